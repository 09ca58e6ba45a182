//! Any bytes as a `.systole` file: length and checksum are made right, so that what the fuzzer
//! invents gets past them; then the file is loaded and run once, within limits of memory and work.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_tests::hostile;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    hostile::seal(&mut bytes);
    if let Err(problem) = hostile::load_and_run(&bytes) {
        panic!("{problem}");
    }
});
