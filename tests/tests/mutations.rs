//! Damaged files: seeded mutations of good `.tflite` and `.systole` files end in an error or in a
//! run, never in a panic, a failed run of a validated model, or a case that takes longer than ten
//! seconds.
//!
//! `SYSTOLE_MUTATIONS` sets how many cases each file gets. A case that fails is named by its
//! number, which is its seed: `SYSTOLE_MUTATION=7` runs number 7 alone.

use std::path::PathBuf;

use libtest_mimic::Trial;
use systole_converter::{AlignedBytes, ChipMemory, Memory, Options, apart};
use systole_tests::checked::convert_file;
use systole_tests::{
    hostile::{self, Outcome},
    packed_digits, repository,
    seeded::{self, cases},
    shared,
};

/// Cases per file and kind, unless `SYSTOLE_MUTATIONS` says otherwise.
const CASES: u64 = 600;

fn main() {
    let packed = packed_digits().file.as_slice().to_vec();
    // Weights in a memory of their own.
    let apart = apart::split(AlignedBytes::from(&packed[..]).as_slice()).expect("it is split");
    let apart = systole_trials("digits_int4_apart", apart.file.as_slice().to_vec());
    let packed = systole_trials("digits_int4", packed);
    // Tensors in three memories.
    let sizes = [("tcm", 256), ("sram", 512), ("psram", 4_096)];
    let memories = sizes.map(|(name, bytes)| ChipMemory::new(name, bytes)).to_vec();
    let options = Options { memories, ..Options::default() };
    let divided = convert_file(&repository().join("models/digits.tflite"), &options);
    let divided = divided.expect("it fits").file.as_slice().to_vec();
    let divided = systole_trials("digits_in_three_memories", divided);
    // Weights in two memories.
    let sizes = [("tcm", 2_048), ("sram", 4_096)];
    let mut memories = sizes.map(|(name, bytes)| ChipMemory::new(name, bytes)).to_vec();
    memories.push(ChipMemory::flash("flash", 9));
    let options = Options { memories, ..Options::default() };
    let resident = convert_file(&repository().join("models/digits.tflite"), &options);
    let resident = resident.expect("it fits").file.as_slice().to_vec();
    let resident = systole_trials("digits_with_weights_in_memories", resident);
    let trials = models().into_iter().flat_map(trials).chain(packed).chain(apart).chain(divided);
    seeded::run(trials.chain(resident).collect());
}

/// Three real models where the shared folder is there, else three of this repository; and one with state.
fn models() -> Vec<PathBuf> {
    let bundled = [
        "models/digits.tflite",
        "tests/operators/graph_residual_block.tflite",
        "tests/operators/conv_2d_hybrid_valid.tflite",
    ];
    let state = repository().join("tests/operators/lstm_i8_one_cell.tflite");
    let mut models: Vec<PathBuf> = bundled.iter().map(|name| repository().join(name)).collect();
    match shared() {
        Some(shared) => {
            let real = ["hello/hello_world_int8", "mlperf_tiny/kws_int8", "mlperf_tiny/ic_int8"];
            models = real
                .iter()
                .map(|name| shared.join("models").join(name).with_extension("tflite"))
                .collect();
        }
        None => println!("SKIPPED: mutations of the shared models, because there is no ../shared"),
    }
    models.push(state);
    models
}

fn trials(path: PathBuf) -> Vec<Trial> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let tflite = std::fs::read(&path).expect("the model is there");
    // Those that can run on bands of rows do.
    let options = Options { memory: Memory::Least, ..Options::default() };
    let converted = convert_file(&path, &options).expect("the model converts");
    let systole = converted.file.as_slice().to_vec();
    let everywhere = (0..tflite.len()).collect::<Vec<_>>();
    let source = Trial::test(format!("{name}::tflite"), move || {
        cases(CASES, |noise| {
            let mut bytes = tflite.clone();
            hostile::mutate(&mut bytes, &everywhere, noise);
            hostile::convert_and_run(&bytes)
        })
    });
    [source].into_iter().chain(systole_trials(&name, systole)).collect()
}

/// The tests of a `.systole` file.
fn systole_trials(name: &str, systole: Vec<u8>) -> Vec<Trial> {
    let (damaged, sealed, structure) = (systole.clone(), systole.clone(), systole);
    vec![
        Trial::test(format!("{name}::systole_damaged"), move || {
            let places: Vec<usize> = (0..damaged.len()).collect();
            cases(CASES, |noise| {
                let mut bytes = damaged.clone();
                hostile::mutate(&mut bytes, &places, noise);
                let outcome = hostile::load_and_run(&bytes)?;
                let same = bytes == damaged;
                match outcome {
                    Outcome::Refused => Ok(outcome),
                    _ if same => Ok(outcome),
                    _ => Err("accepted although the checksum cannot be right".to_owned()),
                }
            })
        }),
        Trial::test(format!("{name}::systole_sealed"), move || {
            let places: Vec<usize> = (0..sealed.len()).collect();
            cases(CASES, |noise| {
                let mut bytes = sealed.clone();
                hostile::mutate(&mut bytes, &places, noise);
                hostile::seal(&mut bytes);
                hostile::load_and_run(&bytes)
            })
        }),
        Trial::test(format!("{name}::systole_structure"), move || {
            let places = hostile::structure(&structure);
            cases(CASES, |noise| {
                let mut bytes = structure.clone();
                hostile::mutate(&mut bytes, &places, noise);
                hostile::seal(&mut bytes);
                hostile::load_and_run(&bytes)
            })
        }),
    ]
}
