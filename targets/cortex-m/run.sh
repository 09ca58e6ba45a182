#!/bin/sh
# Runs a program that was built here: in QEMU, or on a board by probe-rs. cargo calls it with the ELF file,
# which says for which board it was linked.
set -eu
elf=$1
run=$(LC_ALL=C grep -a -o 'run\.[a-z]*\.[A-Za-z0-9_]*' "$elf" | head -n 1)
name=${run#run.*.}
case $run in
run.qemu.*)
  case $name in
  qemu_virt) set -- qemu-system-riscv32 -M virt -bios none -icount shift=0 ;;
  *) set -- qemu-system-arm -M "$(echo "$name" | tr _ -)" -icount shift=6 ;;
  esac
  set -- timeout "${SYSTOLE_TIMEOUT:-60}" "$@" -nographic -monitor none -serial none \
    -semihosting-config enable=on,target=native -kernel "$elf"
  # What defmt logs needs decoding; other programs write text.
  if LC_ALL=C grep -a -q '"tag":"defmt_' "$elf"; then
    command -v defmt-print >/dev/null || {
      echo "run.sh: cargo install defmt-print shows what $(basename "$elf") logs" >&2
      exec "$@" </dev/null >/dev/null
    }
    failed=$(mktemp)
    { "$@" </dev/null || echo $? >"$failed"; } | defmt-print -e "$elf"
    status=$(cat "$failed")
    rm -f "$failed"
    exit "${status:-0}"
  fi
  exec "$@" </dev/null
  ;;
run.chip.esp*)
  exec probe-rs run --chip "$name" --binary-format idf "$elf"
  ;;
run.chip.*)
  exec probe-rs run --chip "$name" "$elf"
  ;;
*)
  echo "run.sh: $elf was not built here: it names no board" >&2
  exit 2
  ;;
esac
