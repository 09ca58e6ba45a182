//! The API that users meet, on the bundled model and on small ones.

use std::path::Path;

use systole_converter::{AlignedBytes, Converted, Names, Options, npz, run};
use systole_core::{
    Aligned, Arena, DType, LoadError, Model, Opcode, PortError, Session, SessionError, TensorError,
    TensorRecordError,
    format::{Layout, Storage, TensorRecord},
    operators, pack_for, pack_pairs,
};
use systole_kernels::tiles::Activations;
use systole_tests::checked::convert_file;
use systole_tests::hostile::change_tensor;
use systole_tests::{compare, repository};

fn digits() -> Converted {
    convert_file(&repository().join("models/digits.tflite"), &Options::default())
        .expect("the bundled model converts")
}

fn arrays(name: &str) -> Vec<npz::Array> {
    npz::read(&repository().join("models").join(name)).expect("the bundled arrays can be read")
}

/// The outputs of a model equal its goldens.
fn reproduces(model: &str) -> Result<(), String> {
    let converted = convert_file(
        &repository().join(format!("models/{model}.tflite")),
        &Options { matching: systole_converter::Match::Litert, ..Options::default() },
    )
    .map_err(|error| error.to_string())?;
    let model_file = Model::from_bytes(converted.file.as_slice()).map_err(|e| e.to_string())?;
    let outputs = run::run(&model_file, &arrays(&format!("{model}.inputs.npz")), || {})
        .map_err(|error| error.to_string())?;
    compare(&outputs[0], &arrays(&format!("{model}.outputs.npz"))[0])
}

#[test]
fn the_bundled_models_reproduce_their_goldens() {
    reproduces("digits").unwrap();
    reproduces("digits_float").unwrap();
}

#[test]
fn a_file_of_format_version_1_still_gives_its_outputs() {
    let bytes = std::fs::read(repository().join("tests/files/digits-1.systole")).unwrap();
    let file = AlignedBytes::from(&bytes[..]);
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let outputs = run::run(&model, &arrays("digits.inputs.npz"), || {}).unwrap();
    compare(&outputs[0], &arrays("digits.outputs.npz")[0]).unwrap();
}

#[test]
fn converting_twice_gives_the_same_bytes() {
    assert_eq!(digits().file.as_slice(), digits().file.as_slice());
}

#[test]
fn arenas_and_files_that_do_not_fit_are_refused_with_what_is_needed() {
    let file = digits().file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let needed = model.arena_bytes();
    let mut arena = AlignedBytes::zeroed(needed + 32);
    let small = Session::new(&model, &mut arena.as_mut_slice()[..needed - 1]).unwrap_err();
    assert_eq!(small, SessionError::ArenaTooSmall { needed, found: needed - 1 });
    let shifted = Session::new(&model, &mut arena.as_mut_slice()[4..]).unwrap_err();
    assert_eq!(shifted, SessionError::ArenaMisaligned { needed: 16 });

    let mut moved = AlignedBytes::zeroed(file.as_slice().len() + 16);
    moved.as_mut_slice()[8..8 + file.as_slice().len()].copy_from_slice(file.as_slice());
    let misaligned = Model::from_bytes(&moved.as_slice()[8..8 + file.as_slice().len()]);
    assert_eq!(misaligned.unwrap_err(), LoadError::Misaligned { needed: 16 });
}

#[test]
fn damage_and_truncation_are_found() {
    let file = digits().file;
    let mut damaged = file.clone();
    let last = damaged.as_slice().len() - 1;
    damaged.as_mut_slice()[last] ^= 1;
    assert!(matches!(Model::from_bytes(damaged.as_slice()), Err(LoadError::Checksum { .. })));
    let short = AlignedBytes::from(&file.as_slice()[..last]);
    assert!(matches!(Model::from_bytes(short.as_slice()), Err(LoadError::Length { .. })));
    assert_eq!(Model::from_bytes(&Aligned(*b"TFL3 and more").0).unwrap_err(), LoadError::NotAModel);
    let mut newer = file.clone();
    newer.as_mut_slice()[8] = 2;
    let error = Model::from_bytes(newer.as_slice()).unwrap_err();
    assert_eq!(error, LoadError::Version { found: 2, supported: 1 });
}

#[test]
fn operators_that_are_not_linked_are_refused_by_name() {
    let file = digits().file;
    let with = |operators| Model::with_operators(file.as_slice(), operators);
    let missing = |op, opcode| LoadError::NotLinked { op, opcode, output: DType::I8 };
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let found: Vec<Opcode> =
        (0..model.operator_count() as u16).map(|op| model.operator(op).unwrap().opcode()).collect();
    use Opcode::{Conv2d, DepthwiseConv2d, Softmax};
    assert_eq!((found[0], found[1], found[7]), (Conv2d, DepthwiseConv2d, Softmax));

    assert_eq!(with(operators![]).unwrap_err(), missing(0, Conv2d));
    let error = with(operators![Conv2d, AveragePool2d, FullyConnected, Softmax]).unwrap_err();
    assert_eq!(error, missing(1, DepthwiseConv2d));
    let says = "operator 1 (depthwise_conv2d to int8) is not linked into this program";
    assert_eq!(error.to_string(), says);
    // Kernels for another type do not help.
    let error = with(operators![
        I8: Conv2d, DepthwiseConv2d, AveragePool2d, FullyConnected;
        I16: Softmax
    ]);
    assert_eq!(error.unwrap_err(), missing(7, Softmax));
}

#[test]
fn a_model_with_the_operators_that_it_has_gives_the_same_bytes() {
    let file = digits().file;
    let images = arrays("digits.inputs.npz");
    let all = Model::from_bytes(file.as_slice()).unwrap();
    let its = operators![I8: Conv2d, DepthwiseConv2d, AveragePool2d, FullyConnected, Softmax];
    let few = Model::with_operators(file.as_slice(), its).unwrap();
    assert_eq!(few.work(), all.work());
    let want = &arrays("digits.outputs.npz")[0];
    compare(&run::run(&few, &images, || {}).unwrap()[0], want).unwrap();
}

#[test]
fn stepping_gives_what_running_gives() {
    let file = digits().file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let images = arrays("digits.inputs.npz");
    let mut arena = Arena::<2048>::new();
    let mut whole = vec![0_i8; 10];
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    run::load_sample(&mut session, &images, 7).unwrap();
    session.run().unwrap();
    session.output(0).unwrap().copy_to(&mut whole).unwrap();
    drop(session);

    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    run::load_sample(&mut session, &images, 7).unwrap();
    let mut steps = 1;
    while session.step().unwrap() {
        steps += 1;
    }
    assert_eq!(steps, model.operator_count());
    assert_eq!(session.output(0).unwrap().as_slice::<i8>().unwrap(), whole);
}

/// What the bundled model makes of a few images, read from this file.
fn answers(file: &[u8]) -> Vec<u8> {
    let model = Model::from_bytes(file).unwrap();
    let images = arrays("digits.inputs.npz");
    let mut arena = Arena::<2048>::new();
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let mut answers = Vec::new();
    for sample in 0..5 {
        run::load_sample(&mut session, &images, sample).unwrap();
        session.run().unwrap();
        answers.extend(session.output(0).unwrap().stored_bytes());
    }
    answers
}

#[test]
fn packed_weights_give_the_same_answers_and_are_packed_once() {
    let plain = digits().file;
    for activations in [Activations::Signed, Activations::Unsigned, Activations::Eights] {
        let packed = pack_for(activations, plain.as_slice()).unwrap().unwrap();
        assert_ne!(packed.as_slice(), plain.as_slice());
        assert_eq!(answers(packed.as_slice()), answers(plain.as_slice()));
        assert!(pack_for(activations, packed.as_slice()).unwrap().is_none());
        // Wherever the file lies.
        let mut unaligned = vec![0];
        unaligned.extend(plain.as_slice());
        let again = pack_for(activations, &unaligned[1..]).unwrap().unwrap();
        assert_eq!(again.as_slice(), packed.as_slice());
    }
}

#[test]
fn weights_in_pairs_give_the_same_answers_and_are_packed_once() {
    let plain = digits().file;
    let packed = pack_pairs(plain.as_slice()).unwrap().unwrap();
    // Weights are nearly all of it.
    assert!(packed.as_slice().len() > plain.as_slice().len() * 5 / 4);
    assert_eq!(answers(packed.as_slice()), answers(plain.as_slice()));
    assert!(pack_pairs(packed.as_slice()).unwrap().is_none());
    // Other processors run it as it is.
    for activations in [Activations::Signed, Activations::Unsigned, Activations::Eights] {
        let again = pack_for(activations, packed.as_slice()).unwrap();
        let file = again.as_ref().unwrap_or(&packed);
        assert_eq!(answers(file.as_slice()), answers(plain.as_slice()));
    }
    let mut damaged = plain.as_slice().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(pack_pairs(&damaged), Err(LoadError::Checksum { .. })));
}

/// Changes a field of the record of weights in pairs, and what a reader then says.
fn with_pairs(change: impl Fn(&mut TensorRecord)) -> LoadError {
    let mut file = pack_pairs(digits().file.as_slice()).unwrap().unwrap();
    change_tensor(file.as_mut_slice(), Layout::Pairs, change);
    Model::from_bytes(file.as_slice()).map(|_| ()).unwrap_err()
}

#[test]
fn pairs_that_are_no_pairs_are_refused() {
    let refused = |change: fn(&mut TensorRecord)| match with_pairs(change) {
        LoadError::Tensor { error, .. } => error,
        other => panic!("{other}"),
    };
    assert_eq!(refused(|record| record.bytes -= 2), TensorRecordError::Bytes);
    assert_eq!(refused(|record| record.offset += 2), TensorRecordError::Place);
    assert_eq!(refused(|record| record.storage = Storage::Arena as u8), TensorRecordError::Unknown);
    assert_eq!(refused(|record| record.dtype = DType::I16 as u8), TensorRecordError::Unknown);
    // Rows of a single weight would take more.
    assert_eq!(refused(|record| record.rank = 1), TensorRecordError::Bytes);
    // Where they say to be plain there are more bytes than weights.
    assert_eq!(refused(|record| record.layout = 0), TensorRecordError::Bytes);
    assert_eq!(refused(|record| record.layout = 6), TensorRecordError::Unknown);
}

#[test]
fn sessions_of_two_models_take_turns_in_one_arena() {
    let (first, second) = (digits().file, converted_case("add_u8").file);
    let first = Model::from_bytes(first.as_slice()).unwrap();
    let second = Model::from_bytes(second.as_slice()).unwrap();
    let images = arrays("digits.inputs.npz");
    let want = &arrays("digits.outputs.npz")[0];
    let mut arena = Arena::<4096>::new();
    for sample in 0..3 {
        let mut session = Session::new(&second, arena.as_mut_slice()).unwrap();
        let elements = session.input(0).unwrap().info().len();
        session.input(0).unwrap().copy_from(&vec![200_u8; elements]).unwrap();
        session.run().unwrap();
        drop(session);
        let mut session = Session::new(&first, arena.as_mut_slice()).unwrap();
        run::load_sample(&mut session, &images, sample).unwrap();
        session.run().unwrap();
        assert_eq!(session.output(0).unwrap().stored_bytes(), want.sample(sample).unwrap());
    }
}

#[test]
fn tensors_know_their_quantization_and_refuse_what_does_not_fit() {
    let file = digits().file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let mut arena = Arena::<2048>::new();
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let mut input = session.input_named("image").unwrap();
    assert_eq!(input.info().dtype(), DType::I8);
    assert_eq!(input.info().shape().dims(), [1, 8, 8, 1]);
    assert_eq!(
        input.copy_from(&[0.0_f32; 64]),
        Err(TensorError::Type { tensor: DType::I8, asked: DType::F32 })
    );
    let wrong = TensorError::Length { tensor: 64, given: 63 };
    assert_eq!(input.copy_from(&[0_i8; 63]), Err(wrong));
    assert_eq!(input.quantize_from(&[0.0; 63]), Err(wrong));

    // Quantizing is the inverse of dequantizing, and saturates.
    let (scale, zero_point) = (input.info().scale(), input.info().zero_point());
    let reals: Vec<f32> = (0..64).map(|i| scale * (4 * i - 128 - zero_point) as f32).collect();
    input.quantize_from(&reals).unwrap();
    let stored: Vec<i8> = input.as_mut_slice::<i8>().unwrap().to_vec();
    assert_eq!(stored, (0..64).map(|i| (4 * i - 128) as i8).collect::<Vec<_>>());
    input.quantize_from(&[f32::INFINITY; 64]).unwrap();
    assert!(input.as_mut_slice::<i8>().unwrap().iter().all(|&q| q == i8::MAX));

    assert_eq!(session.input(1).unwrap_err(), PortError::Index { index: 1, count: 1 });
    assert_eq!(session.output_named("nothing").unwrap_err(), PortError::Name);
}

#[test]
fn uint8_models_show_uint8() {
    let file = converted_case("add_u8").file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let info = model.input(0).unwrap();
    assert_eq!((info.dtype(), info.stored_dtype()), (DType::U8, DType::I8));
    assert_eq!(info.zero_point(), info.stored_zero_point() + 128);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let elements = info.len();
    session.input(0).unwrap().copy_from(&vec![130_u8; elements]).unwrap();
    session.input(1).unwrap().copy_from(&vec![130_u8; elements]).unwrap();
    session.run().unwrap();
    let mut out = vec![0_u8; elements];
    let output = session.output(0).unwrap();
    assert_eq!(output.as_slice::<u8>().unwrap_err(), TensorError::NotBorrowable);
    output.copy_to(&mut out).unwrap();
    let mut reals = vec![0.0; elements];
    output.dequantize_into(&mut reals).unwrap();
    let (scale, zero_point) = (output.info().scale(), output.info().zero_point());
    let expected: Vec<f32> =
        out.iter().map(|&q| scale * (i32::from(q) - zero_point) as f32).collect();
    assert_eq!(reals, expected);
}

#[test]
fn stripped_files_have_no_names() {
    let path = repository().join("models/digits.tflite");
    let options = Options { names: Names::None, ..Options::default() };
    let stripped = convert_file(&path, &options).unwrap();
    assert!(stripped.file.as_slice().len() < digits().file.as_slice().len());
    let model = Model::from_bytes(stripped.file.as_slice()).unwrap();
    assert_eq!(model.input(0).unwrap().name(), None);
    assert_eq!(model.metadata().count(), 0);
}

fn converted_case(name: &str) -> Converted {
    let folder: &Path = repository();
    convert_file(&folder.join(format!("tests/operators/{name}.tflite")), &Options::default())
        .expect("the case converts")
}
