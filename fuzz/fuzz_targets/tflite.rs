//! Any bytes as a `.tflite` model: converted, loaded and run once, within limits of memory and
//! work, and checked for the Edge TPU.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_converter::edgetpu::check::Check;
use systole_tests::hostile;

fuzz_target!(|bytes: &[u8]| {
    if let Err(problem) = hostile::convert_and_run(bytes) {
        panic!("{problem}");
    }
    if let Ok(check) = Check::new(bytes) {
        let _ = check.to_string();
    }
});
