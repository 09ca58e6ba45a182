//! Tells the crate what the processor can do that `cfg(target_feature)` does not say: the names of
//! Arm's features are not stable yet, so that a stable compiler hides them.

use std::env;

/// Cores of Armv8-M with the DSP extension, which their architecture leaves open, and without Helium.
const ARMV8_M_CORES: [&str; 3] = ["cortex-m33", "cortex-m35p", "star-mc1"];

/// Cores with Helium's vectors of integers.
const HELIUM_CORES: [&str; 3] = ["cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(dsp, armv8m)");
    println!("cargo::rustc-check-cfg=cfg(helium)");
    println!("cargo::rustc-check-cfg=cfg(scalar, armv6m, armv7m, layers)");
    println!("cargo::rustc-check-cfg=cfg(simd)");
    let variable = |name| env::var(name).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // The last one counts, as it does for the compiler. The flag is one argument or two.
    let flag = |name: &str| {
        let (_, value) = flags.rsplit_once(&format!("{name}="))?;
        value.split('\x1f').next()
    };
    let features = flag("target-feature").unwrap_or_default();
    let named = |feature: &str| features.split(',').any(|one| one == feature);
    // All of Armv7E-M has it.
    let target = variable("TARGET");
    let is = |start: &str| target.starts_with(start);
    let core = |cores: &[&str]| flag("target-cpu").is_some_and(|cpu| cores.contains(&cpu));
    let helium = !named("-mve") && (core(&HELIUM_CORES) || named("+mve") || named("+mve.fp"));
    let dsp =
        !helium && !named("-dsp") && (is("thumbv7em") || core(&ARMV8_M_CORES) || named("+dsp"));
    // Cores that do one product at a time, and whose assembly they have.
    let (armv6m, armv7m) = (is("thumbv6m") || is("thumbv8m.base"), is("thumbv7m"));
    let scalar = !dsp && !helium && (armv6m || armv7m || is("riscv32"));
    // All of these have kernels of their own for layers of int8.
    let layers = helium || dsp || scalar;
    let names = [
        (helium, "helium"),
        (dsp, "dsp"),
        // An architecture that leaves the extension open: its assembler has to be told.
        (dsp && is("thumbv8m"), "armv8m"),
        (scalar, "scalar"),
        (scalar && armv6m, "armv6m"),
        (scalar && armv7m, "armv7m"),
        (layers, "layers"),
    ];
    for (_, name) in names.into_iter().filter(|(holds, _)| *holds) {
        println!("cargo::rustc-cfg={name}");
    }
    // Architectures with kernels for vectors in `src/arch`: those of x86-64 are chosen when the
    // program runs; where WebAssembly has them, a module cannot do without. All 64-bit Arm has NEON,
    // but for targets without floats, whose compiler says so.
    let has = |feature: &str| {
        variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|found| found == feature)
    };
    let simd = match &*variable("CARGO_CFG_TARGET_ARCH") {
        "x86_64" => env::var_os("CARGO_FEATURE_STD").is_some(),
        "wasm32" => has("simd128"),
        "aarch64" => has("neon") && variable("CARGO_CFG_TARGET_ENDIAN") == "little",
        _ => false,
    };
    if simd {
        println!("cargo::rustc-cfg=simd");
    }
}
