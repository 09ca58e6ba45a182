//! Models whose weights lie in a memory that cannot be mapped answer as they do otherwise, byte for byte,
//! whatever is read when; and what can go wrong with such a memory is an error.

use std::path::Path;

use proptest::prelude::*;
use systole::{NorFlashWeights, SpiFlashError, SpiFlashWeights};
use systole_converter::{
    AlignedBytes, Class, Match, Memory, Options,
    apart::{Split, join, split, with_model},
    npz::{self, Array},
    run,
};
use systole_core::{
    LoadError, Model, Operators, RunFailure, Session, WeightSource, Weights, WeightsError,
    format::SectionKind,
};
use systole_tests::checked::{compile, convert_file};
use systole_tests::{
    compare,
    hostile::{seal, section},
    networks::networks,
    packed_digits, repository, shared,
    spi_flash::{Failed, SpiFlash},
};

/// Where weights begin in the chip.
const BASE: usize = 4096;

fn chip(split: &Split) -> SpiFlashWeights<SpiFlash> {
    let chip = SpiFlash::new(BASE, &split.weights);
    let capacity = chip.capacity();
    SpiFlashWeights::new(chip, BASE as u32, capacity)
}

/// The model of the parts, with so much room for weights.
fn model<'m, S>(split: &'m Split, weights: &Weights<'_, S>) -> Model<'m> {
    Model::with_weights(split.file.as_slice(), Operators::ALL, weights).expect("it is valid")
}

/// What the file says of the memory that it needs.
fn room(split: &Split) -> systole_core::WeightsRoom {
    let mut buffer = AlignedBytes::zeroed(1 << 20);
    model(split, &Weights::new((), buffer.as_mut_slice())).weights_room()
}

fn digits() -> Split {
    let path = repository().join("models/digits.tflite");
    let options = Options { matching: Match::Litert, ..Options::default() };
    split(convert_file(&path, &options).unwrap().file.as_slice()).unwrap()
}

fn samples(path: &Path) -> Vec<Array> {
    npz::read(&path.with_extension("inputs.npz")).unwrap()
}

/// Runs all samples; the outputs, and what the chip did.
fn outputs(split: &Split, room: usize, inputs: &[Array]) -> (Array, SpiFlash) {
    let mut buffer = AlignedBytes::zeroed(room);
    let mut weights = Weights::new(chip(split), buffer.as_mut_slice());
    let model = model(split, &weights);
    weights.verify(&model).expect("they are the model's");
    weights.source();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let info = model.output(0).unwrap();
    let mut output = Array {
        name: info.name().unwrap_or_default().to_owned(),
        dtype: info.dtype(),
        shape: vec![],
        bytes: vec![],
    };
    let verified = weights.into_source().release();
    assert_eq!(verified.bytes_read, split.weights.len(), "all of them were looked at once");
    let mut buffer = AlignedBytes::zeroed(room);
    let mut weights = Weights::new(chip(split), buffer.as_mut_slice());
    for sample in 0..inputs[0].shape[0] {
        run::load_sample(&mut session, inputs, sample).unwrap();
        session.run_from(&mut weights).unwrap();
        let tensor = session.output(0).unwrap();
        let flip = tensor.info().sign_flip();
        output.bytes.extend(tensor.stored_bytes().iter().map(|byte| byte ^ flip));
    }
    (output, weights.into_source().release())
}

/// Goldens of a real model with its weights in the chip; bytes of the arena, of both rooms, of the file.
fn goldens(name: &str) -> Option<[usize; 5]> {
    let folder = shared()?.join("models/mlperf_tiny");
    let path = folder.join(name).with_extension("tflite");
    let inputs = samples(&path);
    let mut figures = None;
    for (matching, golden) in [(Match::Litert, "outputs.npz"), (Match::Tflm, "tflm.npz")] {
        let options = Options { matching, ..Options::default() };
        let converted = convert_file(&path, &options).unwrap();
        let parts = split(converted.file.as_slice()).unwrap();
        let room = room(&parts);
        let golden = npz::read(&path.with_extension(golden)).unwrap();
        for bytes in [room.double, room.least, (room.least + room.double) / 2] {
            let (got, chip) = outputs(&parts, bytes, &inputs);
            compare(&got, &golden[0]).unwrap_or_else(|why| panic!("{name} in {bytes}: {why}"));
            // Of every layer once in every run, and those of the next run's first at its end.
            let runs = inputs[0].shape[0];
            let ahead = chip.bytes_read - runs * parts.weights.len();
            assert!(ahead <= room.least, "{name} in {bytes}: {ahead} bytes more than once a run");
        }
        let file = parts.file.as_slice().len();
        let arena = converted.report.arena_bytes;
        figures = Some([arena, room.double, room.least, file, parts.weights.len()]);
    }
    figures
}

#[test]
fn kws_gives_its_goldens_with_its_weights_in_a_flash_chip() {
    match goldens("kws_int8") {
        // docs/microcontrollers.md states these.
        Some(figures) => assert_eq!(figures, KWS, "arena, two rooms, file, weights"),
        None => println!("SKIPPED: there is no folder ../shared"),
    }
}

#[test]
fn vww_gives_its_goldens_with_its_weights_in_a_flash_chip() {
    match goldens("vww_int8") {
        Some(figures) => assert_eq!(figures, VWW, "arena, two rooms, file, weights"),
        None => println!("SKIPPED: there is no folder ../shared"),
    }
}

const KWS: [usize; 5] = [16_000, 4_864, 4_096, 7_812, 22_016];
const VWW: [usize; 5] = [55_296, 67_840, 65_536, 31_088, 208_128];

#[test]
fn the_bundled_model_gives_its_goldens_from_either_driver() {
    let parts = digits();
    let path = repository().join("models/digits.tflite");
    let golden = npz::read(&path.with_extension("outputs.npz")).unwrap();
    let room = room(&parts);
    let (got, _) = outputs(&parts, room.double, &samples(&path));
    compare(&got, &golden[0]).unwrap();
    let mut buffer = AlignedBytes::zeroed(room.double);
    let flash = NorFlashWeights::new(SpiFlash::new(BASE, &parts.weights), BASE as u32);
    let mut weights = Weights::new(flash, buffer.as_mut_slice());
    let model = model(&parts, &weights);
    weights.verify(&model).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    run::load_sample(&mut session, &samples(&path), 0).unwrap();
    session.run_from(&mut weights).unwrap();
    let output = session.output(0).unwrap();
    let flip = output.info().sign_flip();
    let got: Vec<u8> = output.stored_bytes().iter().map(|byte| byte ^ flip).collect();
    assert_eq!(got, golden[0].sample(0).unwrap());
}

#[test]
fn weights_that_fit_altogether_are_read_once_for_all_runs() {
    let parts = digits();
    let path = repository().join("models/digits.tflite");
    let weights = 1 << 20;
    let (_, chip) = outputs(&parts, weights, &samples(&path));
    assert!(chip.bytes_read >= parts.weights.len());
    let runs = samples(&path)[0].shape[0];
    assert!(runs > 1 && chip.bytes_read < 2 * parts.weights.len() * runs);
}

/// A source that reads on another thread while a layer is computed.
struct Threaded(SpiFlashWeights<SpiFlash>);

impl WeightSource for Threaded {
    type Error = SpiFlashError<Failed>;

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, into)
    }

    fn read_beside<T>(
        &mut self,
        offset: u32,
        into: &mut [u8],
        work: impl FnOnce() -> T,
    ) -> (T, Result<(), Self::Error>) {
        std::thread::scope(|scope| {
            let read = scope.spawn(|| self.0.read(offset, into));
            (work(), read.join().expect("it does not panic"))
        })
    }
}

#[test]
fn a_layer_is_computed_while_the_next_ones_weights_arrive() {
    let parts = digits();
    let path = repository().join("models/digits.tflite");
    let room = room(&parts);
    let (want, _) = outputs(&parts, room.least, &samples(&path));
    let mut buffer = AlignedBytes::zeroed(room.double);
    let mut weights = Weights::new(Threaded(chip(&parts)), buffer.as_mut_slice());
    let model = model(&parts, &weights);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    for sample in 0..20 {
        run::load_sample(&mut session, &samples(&path), sample).unwrap();
        session.run_from(&mut weights).unwrap();
        let output = session.output(0).unwrap();
        let flip = output.info().sign_flip();
        let got: Vec<u8> = output.stored_bytes().iter().map(|byte| byte ^ flip).collect();
        let bytes = got.len();
        assert_eq!(got, want.bytes[sample * bytes..][..bytes], "sample {sample}");
    }
}

#[test]
fn a_chip_that_fails_ends_the_run_and_the_next_one_is_right() {
    let parts = digits();
    let path = repository().join("models/digits.tflite");
    let inputs = samples(&path);
    let room = room(&parts);
    let (want, chip_then) = outputs(&parts, room.least, &inputs);
    let first: Vec<u8> = want.bytes[..want.bytes.len() / inputs[0].shape[0]].to_vec();
    let mut failed = 0;
    for bytes in [room.least, room.double] {
        for read in 0..chip_then.reads.min(12) {
            let mut flash = SpiFlash::new(BASE, &parts.weights);
            // In a row, because what is read ahead is tried again.
            flash.failing = vec![read, read + 1];
            let capacity = flash.capacity();
            let source = SpiFlashWeights::new(flash, BASE as u32, capacity);
            let mut buffer = AlignedBytes::zeroed(bytes);
            let mut weights = Weights::new(source, buffer.as_mut_slice());
            let model = model(&parts, &weights);
            let mut arena = AlignedBytes::zeroed(model.arena_bytes());
            let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
            // As often as it takes: each failure is an error of the bus, at some layer's weights.
            for _ in 0..4 {
                run::load_sample(&mut session, &inputs, 0).unwrap();
                match session.run_from(&mut weights) {
                    Ok(()) => {
                        let output = session.output(0).unwrap();
                        let flip = output.info().sign_flip();
                        let got: Vec<u8> =
                            output.stored_bytes().iter().map(|byte| byte ^ flip).collect();
                        assert_eq!(got, first, "read {read} of {bytes} bytes failed");
                    }
                    Err(WeightsError::Source { offset, error }) => {
                        failed += 1;
                        assert!((offset as usize) < parts.weights.len());
                        assert_eq!(error, SpiFlashError::Bus(Failed::Asked));
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
    }
    assert!(failed > 12, "{failed} runs failed");
}

#[test]
fn what_is_read_ahead_and_fails_is_read_again() {
    let parts = digits();
    let inputs = samples(&repository().join("models/digits.tflite"));
    let room = room(&parts);
    let mut flash = SpiFlash::new(BASE, &parts.weights);
    // The first read is of the first layer, the second one ahead.
    flash.failing = vec![1];
    let capacity = flash.capacity();
    let source = SpiFlashWeights::new(flash, BASE as u32, capacity);
    let mut buffer = AlignedBytes::zeroed(room.double);
    let mut weights = Weights::new(source, buffer.as_mut_slice());
    let model = model(&parts, &weights);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    run::load_sample(&mut session, &inputs, 0).unwrap();
    session.run_from(&mut weights).expect("a second attempt is made");
}

#[test]
fn weights_outside_of_the_chip_are_an_error() {
    let parts = digits();
    let mut buffer = AlignedBytes::zeroed(1 << 20);
    let half = &parts.weights[..parts.weights.len() / 2 / 16 * 16];
    let flash = SpiFlash::new(BASE, half);
    let capacity = flash.capacity();
    let mut weights =
        Weights::new(SpiFlashWeights::new(flash.clone(), 4096, capacity), buffer.as_mut_slice());
    let model = model(&parts, &weights);
    let verified = weights.verify(&model).expect_err("half of them are missing");
    assert!(matches!(verified, WeightsError::Source { error: SpiFlashError::OutOfBounds, .. }));
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let run = session.run_from(&mut weights).expect_err("half of them are missing");
    assert!(matches!(run, WeightsError::Source { error: SpiFlashError::OutOfBounds, .. }), "{run}");
    // The same of a driver that does not look itself, and at the end of all addresses.
    for base in [BASE as u32, u32::MAX - 15] {
        let mut buffer = AlignedBytes::zeroed(1 << 20);
        let mut weights =
            Weights::new(NorFlashWeights::new(flash.clone(), base), buffer.as_mut_slice());
        let run = session.run_from(&mut weights).expect_err("they are missing");
        assert!(matches!(run, WeightsError::Source { .. }), "{run}");
    }
}

#[test]
fn damaged_weights_and_those_of_another_model_are_found() {
    let parts = digits();
    let mut buffer = AlignedBytes::zeroed(room(&parts).least);
    let mut flash = SpiFlash::new(BASE, &parts.weights);
    flash.damage(BASE + parts.weights.len() / 3);
    let capacity = flash.capacity();
    let source = SpiFlashWeights::new(flash, BASE as u32, capacity);
    let mut weights = Weights::new(source, buffer.as_mut_slice());
    let model = model(&parts, &weights);
    let found = weights.verify(&model).expect_err("a bit is wrong");
    assert!(matches!(found, WeightsError::Checksum { .. }), "{found}");
    weights.source();
    // They are weights, though, and a run with them no fault.
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    session.run_from(&mut weights).unwrap();
    let other = join(parts.file.as_slice(), &parts.weights[16..]).expect_err("not its own");
    assert_eq!(other.class, Class::Corrupt);
}

#[test]
fn too_little_memory_is_refused_with_what_is_needed() {
    let parts = digits();
    let needed = room(&parts).least;
    let bytes = parts.file.as_slice();
    let mut buffer = AlignedBytes::zeroed(needed - 1);
    let weights = Weights::new(chip(&parts), buffer.as_mut_slice());
    match Model::with_weights(bytes, Operators::ALL, &weights) {
        Err(LoadError::WeightsBuffer { needed: stated, .. }) => assert_eq!(stated, needed),
        other => panic!("{other:?}"),
    }
    // Bytes that do not begin at a multiple of 16 are no room, but no error either.
    let mut buffer = AlignedBytes::zeroed(needed + 15);
    let weights = Weights::new(chip(&parts), &mut buffer.as_mut_slice()[1..]);
    assert!(Model::with_weights(bytes, Operators::ALL, &weights).is_err());
    let mut buffer = AlignedBytes::zeroed(needed + 16);
    let weights = Weights::new(chip(&parts), &mut buffer.as_mut_slice()[1..]);
    let model = model(&parts, &weights);
    let mut small = AlignedBytes::zeroed(16);
    let mut small = Weights::new(chip(&parts), small.as_mut_slice());
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let refused = session.run_from(&mut small).expect_err("16 bytes");
    assert!(matches!(refused, WeightsError::TooSmall { found: 16, .. }), "{refused}");
}

#[test]
fn a_file_without_its_weights_says_so_wherever_they_are_needed() {
    let parts = digits();
    let bytes = parts.file.as_slice();
    assert_eq!(Model::from_bytes(bytes).err(), Some(LoadError::WeightsApart));
    assert_eq!(systole_core::pack(bytes).err(), Some(LoadError::WeightsApart));
    let mut buffer = AlignedBytes::zeroed(1 << 20);
    let weights = Weights::new((), buffer.as_mut_slice());
    let model = model(&parts, &weights);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    assert_eq!(session.run().expect_err("it has no weights").why, RunFailure::WeightsApart);
    let options = systole_core::emit::Options { name: "M", visibility: "pub", file: "F" };
    assert_eq!(systole_core::emit::rust(bytes, options).err(), Some(LoadError::WeightsApart));
}

/// The output of a whole file, and of its parts with several rooms, whose inputs hold some numbers.
fn whole_and_parts(file: &[u8]) -> Vec<Vec<u8>> {
    let file = AlignedBytes::from(file);
    let parts = split(file.as_slice()).unwrap();
    let joined = join(parts.file.as_slice(), &parts.weights).unwrap();
    let fill = |session: &mut Session<'_, '_>| {
        let mut input = session.input(0).unwrap();
        let bytes: Vec<u8> = (0..input.info().bytes()).map(|i| (i * 37 + i / 11) as u8).collect();
        input.copy_stored(&bytes).unwrap();
    };
    let mut all = Vec::new();
    for file in [&file, &joined] {
        let model = Model::from_bytes(file.as_slice()).unwrap();
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
        fill(&mut session);
        session.run().unwrap();
        all.push(session.output(0).unwrap().stored_bytes().to_vec());
    }
    if parts.weights.is_empty() {
        return all;
    }
    let room = room(&parts);
    for bytes in [room.least, (room.least + room.double) / 2, room.double, 4 * room.double] {
        let mut buffer = AlignedBytes::zeroed(bytes);
        let mut weights = Weights::new(chip(&parts), buffer.as_mut_slice());
        let model = model(&parts, &weights);
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
        for _ in 0..3 {
            fill(&mut session);
            session.run_from(&mut weights).unwrap();
            all.push(session.output(0).unwrap().stored_bytes().to_vec());
        }
    }
    all
}

#[test]
fn files_that_state_absurd_weights_take_no_memory() {
    let parts = digits();
    let mut bytes = parts.file.as_slice().to_vec();
    let apart = section(&bytes, SectionKind::Apart);
    bytes[apart.start..apart.start + 4].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    seal(&mut bytes);
    let file = AlignedBytes::from(&bytes[..]);
    // What is stated behind the weights that tensors name is never asked for.
    assert!(with_model(file.as_slice(), |model| model.weights_bytes()).unwrap() > 1 << 31);
    let error = join(file.as_slice(), &parts.weights).expect_err("they are not as long");
    assert_eq!(error.class, Class::Corrupt);
    // Whole blocks, and one record.
    bytes[apart.start] = 1;
    seal(&mut bytes);
    let refused = Model::from_bytes(AlignedBytes::from(&bytes[..]).as_slice()).unwrap_err();
    assert_eq!(refused, LoadError::Section { kind: SectionKind::Apart as u16 });
}

#[test]
fn weights_of_four_bits_may_lie_apart() {
    let outputs = whole_and_parts(packed_digits().file.as_slice());
    assert!(outputs.len() > 2 && outputs.iter().all(|output| *output == outputs[0]));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn any_network_answers_as_it_does_otherwise(graph in networks(12)) {
        prop_assume!(!graph.nodes.is_empty());
        for memory in [Memory::Whole, Memory::Least] {
            let options = Options { memory, plan_budget: 2_000, ..Options::default() };
            let file = compile(&graph, &options).unwrap().written.bytes;
            let outputs = whole_and_parts(&file);
            prop_assert!(outputs.iter().all(|output| *output == outputs[0]));
        }
    }
}
