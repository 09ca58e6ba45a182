//! Any bytes as an ONNX model: converted, loaded and run once, within limits of memory and work.
//! Every other input is a model with some fields changed, since few flipped bits leave a protobuf.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use systole_tests::{hostile, hostile::Noise, onnx};

fuzz_target!(|bytes: &[u8]| {
    if let Err(problem) = hostile::convert_onnx_and_run(bytes) {
        panic!("{problem}");
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut noise = Noise::new(seed.into());
    let fields = noise.below(2) == 0;
    match onnx::mutated(&data[..size], &mut noise).filter(|_| fields) {
        Some(bytes) if bytes.len() <= max_size => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
