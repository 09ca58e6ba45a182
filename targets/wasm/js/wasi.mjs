// Runs a program for wasm32-wasip1 in node: cargo's runner of tests.
//
//   CARGO_TARGET_WASM32_WASIP1_RUNNER="node targets/wasm/js/wasi.mjs" cargo test --target wasm32-wasip1 …

import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

// What older versions of wasi-libc lack, Debian 12's among them: a thread cannot be had (EAGAIN).
const [done, refused] = [() => 0, () => 6];
const threads = {
  pthread_attr_init: done,
  pthread_attr_setstacksize: done,
  pthread_attr_destroy: done,
  pthread_create: refused,
  pthread_join: refused,
  pthread_detach: refused,
};

const [program] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: process.argv.slice(2), env: process.env });
const imports = { wasi_snapshot_preview1: wasi.wasiImport, env: threads };
const { instance } = await WebAssembly.instantiate(readFileSync(program), imports);
process.exit(wasi.start(instance));
