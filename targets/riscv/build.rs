//! Puts the chosen board's memory map where the linker looks, and tells the runner the board.

use std::{env, fs, path::PathBuf};

/// How a board's programs are run.
enum Run {
    /// By QEMU, as the machine of the same name after `qemu_`.
    Qemu,
    /// By probe-rs, on the chip that it calls so.
    Probe(&'static str),
}

/// One line per board: the feature, which is also the folder, and how it is run.
const BOARDS: &[(&str, Run)] = &[("qemu-virt", Run::Qemu), ("esp32c3", Run::Probe("esp32c3"))];

fn main() {
    let chosen: Vec<_> = BOARDS.iter().filter(|(board, _)| has_feature(board)).collect();
    let [(board, run)] = chosen[..] else {
        let names: Vec<_> = BOARDS.iter().map(|(board, _)| *board).collect();
        let found = chosen.len();
        println!("cargo::error=choose one board, not {found}: --features {}", names.join("|"));
        return;
    };
    let map = format!("boards/{board}/memory.x");
    println!("cargo::rerun-if-changed={map}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|why| panic!("{map}: {why}"));
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    // On boards defmt carries every line, in QEMU only logs.
    let defmt = if let Run::Probe(_) = run { "bins" } else { "bin=kws" };
    println!("cargo::rustc-link-arg-{defmt}=-Tdefmt.x");
    // defmt leaves out what is less than an error, unless told.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    if env::var_os("DEFMT_LOG").is_none() {
        println!("cargo::rustc-env=DEFMT_LOG=info");
    }
    // A symbol that costs no flash: run.sh reads it from the ELF file.
    let symbol = match run {
        Run::Qemu => format!("run.qemu.{}", board.replace('-', "_")),
        Run::Probe(chip) => format!("run.chip.{chip}"),
    };
    println!("cargo::rustc-link-arg-bins=--defsym={symbol}=0");
}

fn has_feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))).is_some()
}
