//! Any bytes as a `.systole` file that is taken apart into records and weights, and put together again; and
//! as one whose weights are in another file already.
#![no_main]

use libfuzzer_sys::fuzz_target;
use systole_converter::{AlignedBytes, apart};
use systole_tests::hostile;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    hostile::seal(&mut bytes);
    let file = AlignedBytes::from(&bytes[..]);
    if let Ok(parts) = apart::split(file.as_slice()) {
        apart::join(parts.file.as_slice(), &parts.weights).expect("the parts are one model's");
    }
    let _ = apart::join(file.as_slice(), &bytes);
    let _ = apart::with_model(file.as_slice(), |model| model.weights_room());
});
