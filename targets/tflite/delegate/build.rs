//! Release builds of the library are linked without the names of functions, a third of its size: nothing
//! but the two functions that TFLite looks up is called by name.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_FAMILY", "unix")
        && !is("CARGO_CFG_TARGET_VENDOR", "apple")
    {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--strip-all");
    }
}
