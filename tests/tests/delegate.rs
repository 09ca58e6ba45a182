//! Files with an operator for an accelerator: who loads them, who runs them, and what a hostile one
//! can do. The accelerator here is a few lines that are told what to answer.

use std::path::PathBuf;

use systole_converter::{
    Class, Converted, Names, Options,
    edgetpu::check::Check,
    npz::{self, Array},
    run,
};
use systole_core::{
    AlignedBytes, DType, Delegate, DelegateError, Delegated, LoadError, Model, Opcode,
    OperatorError, Operators, RunError, RunFailure, Session, operators, pack_for,
};
use systole_kernels::tiles::Activations;
use systole_tests::checked::convert_file;
use systole_tests::{
    compare,
    hostile::{self, Noise, Outcome},
    repository,
};

fn case(name: &str) -> PathBuf {
    repository().join("tests/edgetpu").join(name)
}

fn goldens(what: &str) -> Vec<Array> {
    npz::read(&case(&format!("mixed.{what}.npz"))).expect("the case is bundled")
}

/// The mixed model, with what it was compiled from as a fallback or without.
fn mixed(fallback: bool) -> Converted {
    let fallback = fallback.then(|| case("mixed.tflite"));
    let options = Options { fallback, names: Names::All, ..Options::default() };
    convert_file(&case("mixed_edgetpu.tflite"), &options).expect("the case converts")
}

/// The position of the operator for the accelerator, and how many stand in for it.
fn delegated(model: &Model<'_>) -> (u16, u16) {
    let all = 0..model.operator_count() as u16;
    let mut found = all.filter_map(|op| {
        let operator = model.operator(op).filter(|it| it.opcode() == Opcode::Delegate)?;
        Some((op, operator.record().params::<systole_core::ops::delegate::Params>().fallback))
    });
    let one = found.next().expect("there is one");
    assert_eq!(found.next(), None);
    one
}

/// Computes the part as the uncompiled one does on Systole's kernels, or as it is told to.
struct Twin {
    part: Converted,
    answer: Result<(), DelegateError>,
    asked: Vec<u16>,
}

impl Twin {
    fn new(answer: Result<(), DelegateError>) -> Self {
        let part = convert_file(&case("mixed.part.tflite"), &Options::default());
        Self { part: part.expect("the part converts"), answer, asked: Vec::new() }
    }
}

impl Delegate for Twin {
    fn run(&mut self, part: &mut Delegated<'_, '_>) -> Result<(), DelegateError> {
        self.asked.push(part.operator());
        self.answer?;
        assert!(part.blob().get(4..8) == Some(b"TFL3"), "the blob is a TFLite model");
        assert_eq!((part.input_count(), part.output_count()), (1, 2));
        assert!(part.input(1).is_none() && part.output(2).is_none());
        let model = Model::from_bytes(self.part.file.as_slice()).expect("it was loaded before");
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(&model, arena.as_mut_slice()).expect("the arena fits");
        let input = part.input(0).expect("it has one");
        assert_eq!(input.info().name(), Some("unsigned"));
        let mut to = session.input(0).expect("it has one");
        to.copy_stored(input.stored_bytes()).expect("they are the same tensor");
        session.run().expect("it runs");
        for index in 0..2 {
            let mut to = part.output(index).expect("it has two");
            // The compiled operator's outputs are in another order than the part's.
            let name = to.info().name().expect("all names are kept");
            let from = session.output_named(name).expect("it has the same");
            to.copy_stored(from.stored_bytes()).expect("they are the same tensor");
        }
        Ok(())
    }
}

/// Runs the first samples; all outputs, in the order of the model's.
fn outputs(model: &Model<'_>, twin: Option<&mut Twin>) -> Result<Vec<Array>, RunError> {
    let inputs = goldens("inputs");
    let samples = inputs[0].shape[0];
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(model, arena.as_mut_slice()).expect("the arena fits");
    let mut found: Vec<Array> = model
        .outputs()
        .map(|info| Array {
            name: info.name().unwrap_or_default().to_owned(),
            dtype: info.dtype(),
            shape: vec![samples, info.len()],
            bytes: Vec::new(),
        })
        .collect();
    let mut twin = twin;
    for sample in 0..samples {
        run::load_sample(&mut session, &inputs, sample).expect("they fit");
        match &mut twin {
            Some(twin) => session.run_with(*twin)?,
            None => session.run()?,
        }
        for (index, array) in found.iter_mut().enumerate() {
            let output = session.output(index).expect("it has that many");
            let flip = output.info().sign_flip();
            array.bytes.extend(output.stored_bytes().iter().map(|byte| byte ^ flip));
        }
    }
    Ok(found)
}

fn assert_golden(found: &[Array]) {
    let goldens = goldens("outputs");
    assert_eq!(found.len(), goldens.len());
    for golden in goldens {
        let array = found.iter().find(|array| array.name == golden.name).expect("same names");
        compare(array, &golden).unwrap();
    }
}

#[test]
fn without_a_fallback_a_file_is_for_programs_with_a_delegate() {
    let file = mixed(false).file;
    let refused = Model::from_bytes(file.as_slice()).unwrap_err();
    let model = Model::with_delegate(file.as_slice()).unwrap();
    let (op, fallback) = delegated(&model);
    assert_eq!((refused, fallback), (LoadError::NeedsDelegate { op }, 0));
    assert!(refused.to_string().contains("(delegate) is for an accelerator"), "{refused}");

    let mut twin = Twin::new(Ok(()));
    assert_golden(&outputs(&model, Some(&mut twin)).unwrap());
    assert_eq!(twin.asked, vec![op; goldens("inputs")[0].shape[0]]);

    let missing = RunError { op, why: RunFailure::NoDelegate };
    assert_eq!(outputs(&model, None).unwrap_err(), missing);
    let mut declines = Twin::new(Err(DelegateError::Declined));
    assert_eq!(outputs(&model, Some(&mut declines)).unwrap_err(), missing);
    let mut fails = Twin::new(Err(DelegateError::Failed));
    let failed = outputs(&model, Some(&mut fails)).unwrap_err();
    assert_eq!(failed, RunError { op, why: RunFailure::Delegate });
}

#[test]
fn a_fallback_runs_where_there_is_no_delegate() {
    let file = mixed(true).file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let (op, fallback) = delegated(&model);
    assert!(op > 0 && fallback >= 2, "{op} {fallback}");
    assert_golden(&outputs(&model, None).unwrap());
    let mut declines = Twin::new(Err(DelegateError::Declined));
    assert_golden(&outputs(&model, Some(&mut declines)).unwrap());
    assert!(!declines.asked.is_empty());
    let mut fails = Twin::new(Err(DelegateError::Failed));
    let failed = outputs(&model, Some(&mut fails)).unwrap_err();
    assert_eq!(failed, RunError { op, why: RunFailure::Delegate });
    assert_golden(&outputs(&model, Some(&mut Twin::new(Ok(())))).unwrap());
}

/// The operators that stand in for a part are passed over: what they would write stays as it was.
#[test]
fn with_a_delegate_the_fallback_does_not_run() {
    let file = mixed(true).file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let (op, fallback) = delegated(&model);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    let mut twin = Twin::new(Ok(()));
    let mut executed = Vec::new();
    loop {
        executed.push(session.next_operator());
        if !session.step_with(&mut twin).unwrap() {
            break;
        }
    }
    let count = model.operator_count() as u16;
    let want: Vec<u16> = (0..=op).chain(op + 1 + fallback..count).collect();
    assert_eq!(executed, want);
}

#[test]
fn firmware_that_does_not_name_the_operator_refuses_it() {
    const SOME: Operators = operators![Lut];
    let file = mixed(true).file;
    let refused = Model::with_operators(file.as_slice(), SOME).unwrap_err();
    assert!(matches!(refused, LoadError::NotLinked { opcode: Opcode::Delegate, .. }), "{refused}");
}

#[test]
fn packing_keeps_the_part() {
    let file = mixed(true).file;
    let packed = pack_for(Activations::Unsigned, file.as_slice()).unwrap();
    let packed = packed.expect("it has weights to be packed");
    let model = Model::from_bytes(packed.as_slice()).unwrap();
    assert_golden(&outputs(&model, None).unwrap());
    assert_golden(&outputs(&model, Some(&mut Twin::new(Ok(())))).unwrap());
}

#[test]
fn a_fallback_is_written_as_source_without_the_part() {
    let options = systole_core::emit::Options { name: "M", visibility: "pub", file: "FILE" };
    let file = mixed(true).file;
    let source = systole_core::emit::rust(file.as_slice(), options).unwrap();
    assert!(source.contains("conv2d"), "{source}");
    let options = systole_core::emit::Options { name: "M", visibility: "pub", file: "FILE" };
    let refused = systole_core::emit::rust(mixed(false).file.as_slice(), options).unwrap_err();
    assert!(matches!(refused, LoadError::NeedsDelegate { .. }), "{refused}");
}

#[test]
fn fallbacks_that_are_none_are_refused() {
    let convert = |model: &str, fallback: &str| {
        let options = Options { fallback: Some(case(fallback)), ..Options::default() };
        convert_file(&case(model), &options).map(drop).unwrap_err()
    };
    // Another model, of other tensors.
    let error = convert("mixed_edgetpu.tflite", "chain.tflite");
    assert_eq!(error.class, Class::InvalidGraph, "{error}");
    assert!(error.to_string().contains("'unsigned'"), "{error}");
    let error = convert("mixed_edgetpu.tflite", "nowhere.tflite");
    assert_eq!(error.class, Class::Io, "{error}");
    // A fallback of a model that needs none.
    let error = convert("mixed.tflite", "mixed.tflite");
    assert_eq!(error.class, Class::UnsupportedFeature, "{error}");
    // Itself is no fallback either.
    let error = convert("mixed_edgetpu.tflite", "mixed_edgetpu.tflite");
    assert_eq!(error.class, Class::UnsupportedFeature, "{error}");
    assert!(error.to_string().contains("compiled for the Edge TPU itself"), "{error}");
}

/// Damaged anywhere, a file is refused, or runs with a delegate and without.
#[test]
fn hostile_files_are_refused_or_run() {
    for fallback in [true, false] {
        let whole = mixed(fallback).file.as_slice().to_vec();
        let places = hostile::structure(&whole);
        let mut noise = Noise::new(11);
        let (mut ran, mut refused) = (0, 0);
        for _ in 0..1500 {
            let mut bytes = whole.clone();
            hostile::mutate(&mut bytes, &places, &mut noise);
            hostile::seal(&mut bytes);
            match hostile::load_and_run(&bytes).unwrap() {
                Outcome::Ran => ran += 1,
                Outcome::Refused => refused += 1,
                Outcome::OverLimit => {}
            }
        }
        assert!(ran > 50 && refused > 50, "{ran} ran, {refused} were refused");
    }
}

/// The same for the models that such files are converted from, and the pre-flight.
#[test]
fn hostile_models_are_refused_or_converted() {
    for name in ["mixed_edgetpu.tflite", "mixed.tflite", "chain_segment_2_of_3_edgetpu.tflite"] {
        let whole = std::fs::read(case(name)).unwrap();
        let mut noise = Noise::new(5);
        let mut converted = 0;
        for _ in 0..700 {
            let mut bytes = whole.clone();
            for _ in 0..=noise.below(3) {
                let at = noise.below(bytes.len());
                bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, noise.below(256) as u8][noise.below(6)];
            }
            if hostile::convert_and_run(&bytes).unwrap() == Outcome::Ran {
                converted += 1;
            }
            if let Ok(check) = Check::new(&bytes) {
                assert!(check.to_string().contains("operators map"));
            }
        }
        assert!(converted > 20, "{name}: {converted}");
    }
}

/// The record itself: a blob that is none, too many stand-ins, another kind of blob.
#[test]
fn wrong_records_name_what_is_wrong() {
    use systole_core::format::{OPERATOR_BYTES, PARAMS_BYTES, SectionKind};
    let whole = mixed(true).file.as_slice().to_vec();
    let model = Model::with_delegate(&[]).map(drop);
    assert!(model.is_err());
    let (op, _) = {
        let file = AlignedBytes::from(&whole[..]);
        delegated(&Model::with_delegate(file.as_slice()).unwrap())
    };
    let record =
        hostile::section(&whole, SectionKind::Operators).start + usize::from(op) * OPERATOR_BYTES;
    let params = record + OPERATOR_BYTES - PARAMS_BYTES;
    let refused = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        hostile::seal(&mut bytes);
        Model::with_delegate(AlignedBytes::from(&bytes[..]).as_slice()).map(drop).unwrap_err()
    };
    let error = |error| LoadError::Operator { op, opcode: Opcode::Delegate, error };
    assert_eq!(refused(params, 1), error(OperatorError::Parameter(0)));
    assert_eq!(refused(params + 2, 1), error(OperatorError::Parameter(1)));
    // One input more and one output less: the blob is then where an output was.
    assert!(matches!(refused(record + 8, 0), LoadError::Operator { op: at, .. } if at == op));
    assert_eq!(refused(record + 10, 0), error(OperatorError::OperandCount));
    let blob = Model::with_delegate(AlignedBytes::from(&whole[..]).as_slice()).map(|model| {
        let operator = model.operator(op).expect("it is there");
        let record = *operator.record();
        record.input(record.input_count() - 1).map(|info| (info.index(), info.stored_dtype()))
    });
    let (index, dtype) = blob.unwrap().unwrap();
    assert_eq!(dtype, DType::U8);
    let tensor = hostile::section(&whole, SectionKind::Tensors).start
        + usize::from(index) * systole_core::format::TENSOR_BYTES;
    let wrong = refused(tensor, DType::Bool as u8);
    assert!(
        matches!(
            wrong,
            LoadError::Operator { error: OperatorError::Type { found: DType::Bool, .. }, .. }
        ),
        "{wrong:?}"
    );
}

/// The pre-flight of models that are bundled.
#[test]
fn what_maps_is_told_with_reasons() {
    let check = |path: PathBuf| Check::new(&std::fs::read(path).unwrap()).unwrap();
    let part = check(case("mixed.part.tflite"));
    assert!(part.all_map(), "{part}");
    assert_eq!(part.min_runtime_version, 10);

    let whole = check(case("mixed.tflite"));
    let fate: Vec<(&str, bool)> =
        whole.operators.iter().map(|it| (&it.name[..], it.maps)).collect();
    assert_eq!(fate.len(), 11);
    assert_eq!(fate[10], ("ARG_MAX", false));
    assert!(fate[..10].iter().all(|(_, maps)| *maps), "{whole}");
    assert!(!whole.all_map() && whole.mapped() == 10 && whole.min_runtime_version == 13);
    assert_eq!(whole.operators[10].reasons[0].why, "the device has no such operator");

    // Of a float model nothing maps, and the cure is the same everywhere.
    let float = check(repository().join("models/digits_float.tflite"));
    assert_eq!(float.mapped(), 0);
    let first = &float.operators[0].reasons[0];
    assert!(first.why.contains("is float32") && first.cure.contains("quantize"), "{first:?}");

    let class = |bytes: &[u8]| Check::new(bytes).map(drop).map_err(|error| error.class);
    assert_eq!(class(b"nothing"), Err(Class::NotAModel));
    assert_eq!(class(b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0"), Err(Class::Corrupt));
    let compiled = std::fs::read(case("mixed_edgetpu.tflite")).unwrap();
    assert_eq!(class(&compiled), Err(Class::UnsupportedFeature));
}

/// Every rule, on the single operators that the conformance tests have.
#[test]
fn rules_name_the_limit_that_is_passed() {
    let why = |name: &str| -> Vec<String> {
        let path = repository().join(format!("tests/operators/{name}.tflite"));
        let check = Check::new(&std::fs::read(&path).unwrap_or_else(|_| panic!("no {name}")));
        let check = check.unwrap();
        let reasons = check.operators.iter().flat_map(|operator| &operator.reasons);
        reasons.map(|reason| reason.why.clone()).collect()
    };
    assert_eq!(why("conv_2d_i8_valid"), Vec::<String>::new());
    for (name, wanted) in [
        ("squeeze_i32", "int32, not int8"),
        ("strided_slice_i8_reversed", "strides other than 1"),
        ("split_i8_outer", "batch dimension"),
        ("pad_i8_i64", "pads the batch dimension"),
        ("sum_i8_all", "batch dimension"),
        ("topk_v2_i8", "no such operator"),
        ("tanh_i16_0", "int16, not int8"),
        ("strided_slice_i8_new_axis", "new axes"),
    ] {
        let why = why(name);
        assert!(why.iter().any(|why| why.contains(wanted)), "{name}: {why:?}");
    }
}

/// Runtimes up to 12 have narrower limits than the table of later ones.
#[test]
fn what_older_runtimes_do_not_do_needs_a_later_one() {
    for (name, runtime) in [
        ("depthwise_conv_2d_i8_valid", 10),
        ("depthwise_conv_2d_i8_dilated", 13),
        ("mean_i8_global", 10),
        ("pad_i8_nothing", 10),
        ("pad_i8", 13),
        ("squeeze_i8", 13),
        ("transpose_conv_i8_fine", 13),
    ] {
        let path = repository().join(format!("tests/operators/{name}.tflite"));
        let check = Check::new(&std::fs::read(&path).unwrap_or_else(|_| panic!("no {name}")));
        let check = check.unwrap();
        assert!(check.all_map(), "{name}: {check}");
        assert_eq!(check.min_runtime_version, runtime, "{name}");
    }
}
