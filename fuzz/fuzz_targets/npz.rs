//! Any bytes as an `.npz` file with samples.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_converter::npz;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(arrays) = npz::parse(bytes, "fuzz") {
        for array in arrays {
            let elements: usize = array.shape.iter().product();
            assert_eq!(elements * array.dtype.size(), array.bytes.len());
        }
    }
});
