//! Any bytes as a `.tflite` model that is checked for the Edge TPU, or that was compiled for it: much
//! faster than `tflite`, which converts and runs what it is given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_converter::edgetpu::{self, check::Check};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(check) = Check::new(bytes) {
        assert!(check.mapped() <= check.operators.len());
        let _ = check.to_string();
    }
    if let Ok(Some(parts)) = edgetpu::parts(bytes) {
        let _ = edgetpu::text(&parts);
    }
});
