//! Any bytes as what a model compiled for the Edge TPU carries: the operator's options, and the
//! package in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_converter::edgetpu::{self, Package, Part};

fuzz_target!(|bytes: &[u8]| {
    for package in [Package::from_options(bytes), Package::from_bytes(bytes)].into_iter().flatten() {
        edgetpu::text(&[Part::EdgeTpu(package)]);
    }
});
