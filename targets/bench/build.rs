//! Puts the board's memory map where the linker looks, and the model where the source looks.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=SYSTOLE_BENCH_BOARD");
    println!("cargo::rerun-if-env-changed=SYSTOLE_BENCH_MODEL");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let board = env::var("SYSTOLE_BENCH_BOARD").unwrap_or_else(|_| "mps2-an386".to_owned());
    let map = format!("memory/{board}.x");
    println!("cargo::rerun-if-changed={map}");
    fs::copy(&map, out.join("memory.x")).unwrap_or_else(|why| panic!("{map}: {why}"));
    // What cortex-m-rt includes for a device's interrupts; there are none.
    fs::write(out.join("device.x"), "").expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search={}", out.display());
    // cortex-m-rt's script includes the memory map by itself, riscv-rt's does not.
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
        println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    // Written by xtask; the harness alone has none.
    if let Some(model) = env::var_os("SYSTOLE_BENCH_MODEL").map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", model.display());
        println!("cargo::rustc-env=SYSTOLE_BENCH_MODEL={}", model.display());
    } else {
        let none = out.join("none.rs");
        fs::write(
            &none,
            "compile_error!(\"SYSTOLE_BENCH_MODEL names no model: use cargo xtask measure\");",
        )
        .expect("OUT_DIR can be written");
        println!("cargo::rustc-env=SYSTOLE_BENCH_MODEL={}", none.display());
    }
}
