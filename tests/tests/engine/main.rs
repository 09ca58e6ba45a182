//! The engine for applications: who runs a model, with what result, and what it says where nobody
//! does. A simulated Edge TPU stands in for the device.
//!
//! TFLite's library is looked for where `systole-tflite` looks, and where `.ci/run tflite` puts it.
//! Without it each test that needs it says that it was skipped, as do those that need the shared
//! folder.

mod devices;
mod goldens;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::npz::{self, Array};
use systole_converter::{Match, Options as Conversion};
use systole_core::{DType, LoadError};
use systole_engine::{
    Abi, Backend, EdgeTpuDevice, EdgeTpuOptions, Engine, Error, Options, Place, VendorDelegate,
};
use systole_tests::checked::convert_file;
use systole_tests::{
    PEER_TOLERANCE, compare_within, float_tolerance, repository,
    tflite::{installed, library_and_models, simulated_edgetpu},
};
use systole_tflite::{Failure, Library};

/// Samples of each golden that are run.
const SAMPLES: usize = 4;

/// Models compiled for the Edge TPU, and those that they were compiled from.
const TWINS: [(&str, &str); 3] = [
    ("edgetpu/split_concat_edgetpu", "edgetpu/split_concat"),
    ("edgetpu/keras_lstm_mnist_ptq_edgetpu", "sequence/keras_lstm_mnist_ptq"),
    ("edgetpu/mobilenet_v1_0.25_128_quant_edgetpu", "vision/mobilenet_v1_0.25_128_quant"),
];

type Outcome = Result<(), Failed>;

fn main() {
    let arguments = Arguments::from_args();
    let (library, models) = library_and_models();
    let mut trials = vec![
        Trial::test("systole_file_in_a_few_lines", systole_file),
        Trial::test("float_model_on_our_kernels", float_model),
        Trial::test("misuse_is_told", misuse_is_told),
        Trial::test("no_model", no_model),
        Trial::test("tflite_is_absent", tflite_is_absent),
        Trial::test("forced_backends_say_why_not", forced_backends),
    ];
    let needs = |name: &str, there: bool, test: fn() -> Outcome| {
        Trial::test(name, test).with_ignored_flag(!there)
    };
    let tflite = library.is_ok();
    for layout in ["current", "old"] {
        let name = format!("mixed_graph_is_split_{layout}");
        let test = move || mixed_graph(layout);
        trials.push(Trial::test(name, test).with_ignored_flag(!tflite));
    }
    trials.push(needs("what_systole_lacks_is_tflites", tflite, what_systole_lacks));
    trials.push(needs("mixed_graph_fails_in_the_middle", tflite, mixed_graph_fails));
    trials.push(needs("files_carry_their_part", tflite, files_carry_their_part));
    trials.push(needs("pool_over_devices", tflite, devices::pool_over_devices));
    trials.push(needs("pipeline_of_segments", tflite, devices::pipeline_of_segments));
    trials.push(needs("segments_that_do_not_fit", tflite, devices::segments_that_do_not_fit));
    trials.push(needs("delegates_are_offered_models", tflite, delegates_are_offered_models));
    if let Some(models) = models {
        trials.extend(on_our_kernels(&models));
        trials.extend(compiled(&models, tflite));
        if tflite {
            trials.extend(goldens::goldens(&models));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Options that find TFLite's library, for a backend.
fn with(backend: Backend) -> Options {
    Options { backend, tflite_library: installed(), ..Options::default() }
}

fn digits() -> PathBuf {
    repository().join("models/digits_float.tflite")
}

/// Runs the first samples and compares them with goldens; bytes may differ by `largest`.
fn check(engine: &mut Engine, golden: &Path, tolerance: f64, largest: u8) -> Outcome {
    let read = |suffix: &str| npz::read(&golden.with_extension(suffix));
    let (inputs, goldens) = (read("inputs.npz")?, read("outputs.npz")?);
    let samples = inputs.first().map_or(0, |array| array.shape[0]).min(SAMPLES);
    let mut found = 0;
    for sample in 0..samples {
        engine.reset_state()?;
        for index in 0..engine.inputs().len() {
            let name = &engine.inputs()[index].name;
            let array = inputs.iter().find(|array| array.name == *name).or(inputs.get(index));
            let bytes = array.and_then(|array| array.sample(sample)).ok_or("no such sample")?;
            engine.input(index)?.copy_bytes(bytes)?;
        }
        engine.run()?;
        for (index, golden) in goldens.iter().enumerate() {
            let named = engine.outputs().iter().position(|port| port.name == golden.name);
            let output = engine.output(named.unwrap_or(index))?;
            assert_eq!(output.port().dtype, golden.dtype);
            let bytes = output.to_bytes()?;
            let Some(want) = golden.sample(sample) else { continue };
            if let (true, Some(difference)) = (largest > 0, difference(&bytes, want, golden.dtype))
            {
                found = found.max(difference);
                continue;
            }
            let array = |bytes: &[u8]| Array { bytes: bytes.to_vec(), ..golden.clone() };
            compare_within(&array(&bytes), &array(want), tolerance)
                .map_err(|problem| format!("sample {sample}: {problem}"))?;
        }
    }
    match found <= largest {
        true => Ok(()),
        false => Err(format!("outputs differ by {found}, more than {largest}").into()),
    }
}

/// The largest difference of bytes; `None` for other types.
fn difference(got: &[u8], want: &[u8], dtype: DType) -> Option<u8> {
    let pairs = got.iter().zip(want);
    match dtype {
        _ if got.len() != want.len() => None,
        DType::I8 => pairs.map(|(a, b)| (*a as i8).abs_diff(*b as i8)).max(),
        DType::U8 => pairs.map(|(a, b)| a.abs_diff(*b)).max(),
        _ => None,
    }
}

fn systole_file() -> Outcome {
    let file = repository().join("tests/files/digits-1.systole");
    let mut engine = Engine::load(&file)?;
    let [part] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
    assert!(matches!(part.place, Place::Systole { .. }), "{part}");
    assert_eq!(part.names.iter().map(|(_, count)| count).sum::<usize>(), part.operators);
    let port = engine.inputs()[0].clone();
    let by = port.quantization.ok_or("the input is quantized")?;
    // Real numbers and the integers that they become give the same answer.
    let reals: Vec<f32> = (0..port.elements()).map(|i| (i % 17) as f32 / 16.0).collect();
    engine.input(0)?.quantize_from(&reals)?;
    engine.run()?;
    let scores = engine.output(0)?.dequantize()?;
    let bytes = engine.output(0)?.to_bytes()?;
    let integers: Vec<i8> = reals.iter().map(|&x| by.quantize_i8(x)).collect();
    engine.input(0)?.copy_from(&integers)?;
    engine.run()?;
    assert_eq!(engine.output(0)?.to_bytes()?, bytes);
    let by = engine.outputs()[0].quantization.ok_or("the output is quantized")?;
    let again: Vec<f32> =
        engine.output(0)?.to_vec::<i8>()?.into_iter().map(|q| by.dequantize(q)).collect();
    assert_eq!(again, scores);
    assert!(scores.iter().any(|&score| score != scores[0]), "{scores:?}");
    Ok(())
}

fn float_model() -> Outcome {
    let mut engine = Engine::load(digits())?;
    assert!(!engine.report().accelerated());
    let text = engine.report().to_string();
    assert!(text.contains("operators on Systole's kernels"), "{text}");
    assert!(text.contains("not the Edge TPU: the model is not compiled for it"), "{text}");
    check(&mut engine, &digits(), float_tolerance(), 0)
}

fn misuse_is_told() -> Outcome {
    let mut engine = Engine::load(digits())?;
    let elements = engine.inputs()[0].elements();
    assert!(matches!(engine.input(1), Err(Error::Index { what: "input", index: 1, count: 1 })));
    assert!(matches!(engine.output("nonsense"), Err(Error::Name { what: "output", .. })));
    let name = engine.outputs()[0].name.clone();
    assert_eq!(engine.output(&name)?.port().name, name);
    let mut input = engine.input(0)?;
    let error = input.copy_from(&vec![1i8; elements]).expect_err("floats are wanted");
    assert!(matches!(error, Error::Type { found: DType::F32, asked: DType::I8, .. }), "{error}");
    let error = input.copy_from(&[1f32; 3]).expect_err("too few");
    assert!(matches!(error, Error::Length { found: 3, .. }), "{error}");
    let error = input.quantize_from(&[1f32; 3]).expect_err("too few");
    assert!(matches!(error, Error::Length { found: 3, .. }), "{error}");
    let error = input.copy_bytes(&[0; 7]).expect_err("too few");
    assert!(matches!(error, Error::Length { found: 1, .. }), "{error}");
    assert!(matches!(engine.output(0)?.to_vec::<i8>(), Err(Error::Type { .. })));
    Ok(())
}

fn no_model() -> Outcome {
    let error = Engine::load("nowhere.tflite").map(drop).expect_err("there is none");
    assert!(matches!(error, Error::Read { .. }), "{error}");
    let error = Engine::load(repository().join("README.md")).map(drop).expect_err("a text");
    assert!(matches!(error, Error::NotAModel(_)), "{error}");
    let folder = tempfile::tempdir()?;
    let cut = folder.path().join("cut.systole");
    let whole = std::fs::read(repository().join("tests/files/digits-1.systole"))?;
    std::fs::write(&cut, &whole[..whole.len() / 2])?;
    let error = Engine::load(&cut).map(drop).expect_err("it is cut short");
    assert!(matches!(&error, Error::Convert(_) | Error::Load { .. }), "{error}");
    assert!(error.to_string().contains("cut.systole"), "{error}");
    let garbage = folder.path().join("garbage.tflite");
    std::fs::write(&garbage, b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0")?;
    let error = Engine::load_with(&garbage, &with(Backend::Auto)).map(drop).expect_err("garbage");
    let Error::NoBackend { rejected, .. } = &error else { panic!("{error}") };
    let tried: Vec<&str> = rejected.iter().map(|rejected| rejected.backend).collect();
    assert_eq!(tried, ["the Edge TPU", "Systole's kernels", "TFLite"]);
    Ok(())
}

/// Everything that needs no TFLite works, the rest is told.
fn tflite_is_absent() -> Outcome {
    let nowhere = Some(PathBuf::from("nowhere/libtensorflowlite_c.so"));
    let absent = |backend| Options { tflite_library: nowhere.clone(), ..with(backend) };
    let mut engine = Engine::load_with(digits(), &absent(Backend::Auto))?;
    check(&mut engine, &digits(), float_tolerance(), 0)?;
    let error = Engine::load_with(digits(), &absent(Backend::Tflite)).map(drop);
    let Err(Error::Tflite { why: systole_tflite::Error::Load(load), .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(load.tried.len(), 1);
    Ok(())
}

fn forced_backends() -> Outcome {
    let file = repository().join("tests/files/digits-1.systole");
    let vendor = |library: &str| {
        let vendor = VendorDelegate { library: library.into(), ..VendorDelegate::default() };
        Backend::Delegate(vendor)
    };
    for backend in [Backend::Tflite, Backend::EdgeTpu, vendor("nowhere.so")] {
        let error = Engine::load_with(&file, &with(backend)).map(drop).expect_err("not TFLite's");
        assert!(matches!(error, Error::Unsuitable { .. }), "{error}");
    }
    // Libraries that are absent, empty, of another machine, or of another kind.
    let folder = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| -> Result<PathBuf, Failed> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path)
    };
    let mut foreign = std::fs::read(simulated_edgetpu())?;
    if foreign.starts_with(b"\x7fELF") {
        // The field for the machine, here that of the 6502's successors.
        foreign[18..20].copy_from_slice(&257u16.to_le_bytes());
    }
    let mut libraries = vec![
        ("nowhere.so".into(), Failure::Open(String::new())),
        (write("empty.so", b"")?, Failure::Open(String::new())),
        (write("foreign.so", &foreign)?, Failure::Open(String::new())),
    ];
    if let Some(tflite) = installed() {
        libraries.push((tflite, Failure::MissingSymbols(Vec::new())));
    }
    for (library, failure) in libraries {
        let library = library.to_str().unwrap_or_default();
        let error = Engine::load_with(digits(), &with(vendor(library))).map(drop);
        let Err(Error::Tflite { why: systole_tflite::Error::Load(load), .. }) = error else {
            panic!("{error:?}")
        };
        let [tried] = &load.tried[..] else { panic!("{load}") };
        let same = std::mem::discriminant(&tried.failure) == std::mem::discriminant(&failure);
        assert!(same, "{load}");
        // The Edge TPU's library may be another thing, too.
        let edge_tpu = EdgeTpuDevice { library: Some(library.into()), ..EdgeTpuDevice::default() };
        let options = Options { edge_tpu, ..with(Backend::Auto) };
        let error = Engine::load_with(case("mixed_edgetpu.tflite"), &options).map(drop);
        assert!(matches!(error, Err(Error::NeedsEdgeTpu { .. })), "{library}: {error:?}");
    }
    Ok(())
}

/// `Auto` passes over delegates that are absent, that refuse their options, or that claim nothing.
fn delegates_are_offered_models() -> Outcome {
    let vendor = |library: PathBuf, options: &[(&str, &str)]| VendorDelegate {
        library,
        options: options.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        abi: Abi::Any,
    };
    let delegates = vec![
        vendor("nowhere/libvendor.so".into(), &[]),
        vendor(simulated_edgetpu(), &[("Speed", "11")]),
        vendor(simulated_edgetpu(), &[("Simulated.Layout", "old")]),
    ];
    let options = Options { delegates, ..with(Backend::Auto) };
    let mut engine = Engine::load_with(digits(), &options)?;
    check(&mut engine, &digits(), float_tolerance(), 0)?;
    let report = engine.report();
    let why: Vec<&str> = report.rejected.iter().map(|rejected| &rejected.why[..]).collect();
    let [_, absent, refused, idle] = why[..] else { panic!("{report}") };
    assert!(absent.contains("nowhere/libvendor.so"), "{absent}");
    assert!(refused.contains("an option is not known"), "{refused}");
    assert!(idle.contains("claims none"), "{idle}");
    assert!(matches!(report.parts[0].place, Place::Systole { .. }), "{report}");
    // Forced, it runs beside TFLite's kernels, and the report says what it has.
    let forced = with(Backend::Delegate(options.delegates[2].clone()));
    let mut engine = Engine::load_with(digits(), &forced)?;
    check(&mut engine, &digits(), PEER_TOLERANCE, 0)?;
    let [delegate, tflite] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
    assert!(matches!(delegate.place, Place::Delegate(_)) && delegate.operators == 0);
    assert!(matches!(tflite.place, Place::Tflite(_)) && tflite.operators > 0);
    Ok(())
}

/// The models of which there are compiled ones, on our kernels where there is no device, with any number of
/// threads.
fn on_our_kernels(models: &Path) -> Vec<Trial> {
    let trial = |(_, twin): &(&str, &str)| {
        let path = models.join(format!("{twin}.tflite"));
        Trial::test(format!("{twin}::on_our_kernels"), move || {
            let mut options = absent_edge_tpu(with(Backend::Auto));
            // The goldens are LiteRT's.
            options.conversion.matching = Match::Litert;
            for threads in [1u16, 3] {
                let options = Options { threads, ..options.clone() };
                let mut engine = Engine::load_with(&path, &options)?;
                match &engine.report().parts[0].place {
                    Place::Systole { threads: found, .. } => {
                        assert_eq!(*found, usize::from(threads));
                    }
                    place => panic!("{place}"),
                }
                check(&mut engine, &path, float_tolerance(), 0)?;
            }
            Ok(())
        })
    };
    TWINS.iter().map(trial).collect()
}

fn absent_edge_tpu(options: Options) -> Options {
    let library = Some(PathBuf::from("nowhere/libedgetpu.so.1"));
    Options { edge_tpu: EdgeTpuDevice { library, ..EdgeTpuDevice::default() }, ..options }
}

/// The simulated Edge TPU, which runs `twin`.
fn simulated(twin: &Path, layout: &str, device: &str) -> EdgeTpuDevice {
    let text = |path: &Path| path.to_str().unwrap_or_default().to_owned();
    let library = installed().unwrap_or_else(|| {
        let library = Library::load(None).expect("it was found before");
        library.path().to_owned()
    });
    let other = [
        ("Simulated.Library", text(&library)),
        ("Simulated.Twin", text(twin)),
        ("Simulated.Layout", layout.to_owned()),
    ];
    EdgeTpuDevice {
        library: Some(simulated_edgetpu()),
        device: device.parse().expect("it is a choice"),
        options: EdgeTpuOptions {
            other: other.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            ..EdgeTpuOptions::default()
        },
    }
}

/// Models compiled for the Edge TPU, with the simulated one and without any.
fn compiled(models: &Path, tflite: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (model, twin) in TWINS {
        let path = |name: &str| models.join(format!("{name}.tflite"));
        let (path, twin) = (path(model), path(twin));
        for layout in ["current", "old"] {
            let (path, twin) = (path.clone(), twin.clone());
            let test = move || equals_twin(&path, &twin, layout);
            trials.push(Trial::test(format!("{model}::{layout}"), test).with_ignored_flag(!tflite));
        }
        let test = move || no_device(&path, &twin);
        trials.push(Trial::test(format!("{model}::no_device"), test));
    }
    trials
}

fn equals_twin(model: &Path, twin: &Path, layout: &str) -> Outcome {
    for backend in [Backend::Auto, Backend::EdgeTpu] {
        let edge_tpu = simulated(twin, layout, "usb:1");
        let mut engine = Engine::load_with(model, &Options { edge_tpu, ..with(backend) })?;
        let [part] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
        assert!(matches!(&part.place, Place::EdgeTpu { device, .. } if device == "usb:1"));
        assert!(engine.report().accelerated() && part.operators == 1, "{part}");
        check(&mut engine, twin, float_tolerance(), 0)?;
    }
    Ok(())
}

fn no_device(model: &Path, twin: &Path) -> Outcome {
    for backend in [Backend::Auto, Backend::EdgeTpu, Backend::Systole, Backend::Tflite] {
        let options = absent_edge_tpu(with(backend.clone()));
        let error = Engine::load_with(model, &options).map(drop).expect_err("it needs the device");
        match (&backend, &error) {
            (Backend::Auto, Error::NeedsEdgeTpu { .. }) => {}
            (Backend::EdgeTpu | Backend::Tflite, Error::Tflite { .. }) => {}
            (Backend::Systole, Error::Load { why: LoadError::NeedsDelegate { .. }, .. }) => {}
            _ => panic!("{backend:?}: {error:?}"),
        }
    }
    if let Err(problem) = Library::load(installed().as_deref()) {
        println!("SKIPPED: {} beside a device that is not asked for: {problem}", model.display());
        return Ok(());
    }
    // A device that is not there, though others are.
    let edge_tpu = simulated(twin, "current", "pci:7");
    let options = Options { edge_tpu, ..with(Backend::Auto) };
    let error = Engine::load_with(model, &options).map(drop).expect_err("there is no such device");
    assert!(matches!(error, Error::NeedsEdgeTpu { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("pci:7") && text.contains("Options::fallback"), "{text}");
    // The model that it was compiled from, where it is named.
    let conversion = Conversion { matching: Match::Litert, ..options.conversion.clone() };
    let fallback = Some(twin.to_owned());
    let options = Options { fallback, conversion, ..options };
    let mut engine = Engine::load_with(model, &options)?;
    assert_eq!(engine.report().model, twin);
    assert!(engine.report().to_string().contains("pci:7"), "{}", engine.report());
    check(&mut engine, twin, float_tolerance(), 0)
}

fn case(name: &str) -> PathBuf {
    repository().join("tests/edgetpu").join(name)
}

/// As DeepLab: operators for the CPU in front of the compiled part and behind it.
fn mixed_graph(layout: &str) -> Outcome {
    let edge_tpu = simulated(&case("mixed.part.tflite"), layout, "usb:0");
    let model = case("mixed_edgetpu.tflite");
    for backend in [Backend::Auto, Backend::EdgeTpu] {
        let options = Options { edge_tpu: edge_tpu.clone(), ..with(backend) };
        let mut engine = Engine::load_with(&model, &options)?;
        let [device, own] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
        assert!(matches!(device.place, Place::EdgeTpu { .. }) && device.operators == 1);
        assert!(matches!(own.place, Place::Systole { .. }) && own.operators > 5, "{own}");
        check(&mut engine, &case("mixed.tflite"), float_tolerance(), 0)?;
    }
    // Without the device: what is missing, or the fallback.
    let absent = absent_edge_tpu(with(Backend::Auto));
    let error = Engine::load_with(&model, &absent).map(drop).expect_err("it needs the device");
    assert!(matches!(error, Error::NeedsEdgeTpu { .. }), "{error:?}");
    let fallback = Some(case("mixed.tflite"));
    let mut engine = Engine::load_with(&model, &Options { fallback, ..absent })?;
    check(&mut engine, &case("mixed.tflite"), float_tolerance(), 0)
}

/// A mixed graph with an operator that Systole does not have runs in TFLite, with the device.
fn what_systole_lacks() -> Outcome {
    let edge_tpu = simulated(&case("diagonal.part.tflite"), "old", "usb:0");
    for backend in [Backend::Auto, Backend::EdgeTpu] {
        let options = Options { edge_tpu: edge_tpu.clone(), ..with(backend) };
        let mut engine = Engine::load_with(case("diagonal_edgetpu.tflite"), &options)?;
        let [device, rest] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
        assert!(matches!(device.place, Place::EdgeTpu { .. }) && device.operators == 1);
        assert!(matches!(rest.place, Place::Tflite(_)) && rest.operators == 10, "{rest}");
        check(&mut engine, &case("diagonal.tflite"), float_tolerance(), 0)?;
    }
    // The plain model too, and Systole says which operator it has not.
    let mut engine = Engine::load_with(case("diagonal.tflite"), &with(Backend::Auto))?;
    let [part] = &engine.report().parts[..] else { panic!("{}", engine.report()) };
    assert!(matches!(part.place, Place::Tflite(_)), "{part}");
    let text = engine.report().to_string();
    assert!(text.contains("not Systole's kernels") && text.contains("MATRIX_DIAG"), "{text}");
    check(&mut engine, &case("diagonal.tflite"), float_tolerance(), 0)?;
    // Without TFLite nobody runs it, and both reasons are told.
    let tflite_library = Some(PathBuf::from("nowhere/libtensorflowlite_c.so"));
    let options = Options { tflite_library, ..with(Backend::Auto) };
    let error = Engine::load_with(case("diagonal.tflite"), &options).map(drop);
    let Err(Error::NoBackend { rejected, .. }) = error else { panic!("{error:?}") };
    let told = rejected.iter().map(|rejected| &rejected.why[..]).collect::<Vec<_>>().join(" ");
    assert!(told.contains("MATRIX_DIAG") && told.contains("nowhere/libtensorflowlite_c.so"));
    Ok(())
}

fn mixed_graph_fails() -> Outcome {
    let mut edge_tpu = simulated(&case("mixed.part.tflite"), "old", "usb:0");
    edge_tpu.options.other.push(("Simulated.Fail".to_owned(), "invoke:1".to_owned()));
    let options = Options { edge_tpu: edge_tpu.clone(), ..with(Backend::Auto) };
    let mut engine = Engine::load_with(case("mixed_edgetpu.tflite"), &options)?;
    engine.run()?;
    let error = engine.run().expect_err("the second run fails");
    let failed = matches!(error, Error::Tflite { why: systole_tflite::Error::Invoke { .. }, .. });
    assert!(failed, "{error:?}");
    check(&mut engine, &case("mixed.tflite"), float_tolerance(), 0)?;
    // A device that takes no part, and one that cannot be made.
    for fail in ["prepare", "create"] {
        edge_tpu.options.other.pop();
        edge_tpu.options.other.push(("Simulated.Fail".to_owned(), fail.to_owned()));
        let options = Options { edge_tpu: edge_tpu.clone(), ..with(Backend::Auto) };
        let error = Engine::load_with(case("mixed_edgetpu.tflite"), &options).map(drop);
        assert!(matches!(error, Err(Error::NeedsEdgeTpu { .. })), "{fail}: {error:?}");
    }
    Ok(())
}

/// A `.systole` file with a part for the device, with a fallback and without.
fn files_carry_their_part() -> Outcome {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, fallback: Option<PathBuf>| -> Result<PathBuf, Failed> {
        let options = Conversion { fallback, ..Conversion::default() };
        let converted = convert_file(&case("mixed_edgetpu.tflite"), &options)?;
        let path = folder.path().join(name);
        std::fs::write(&path, converted.file.as_slice())?;
        Ok(path)
    };
    let (bare, whole) =
        (write("bare.systole", None)?, write("whole.systole", Some(case("mixed.tflite")))?);
    let golden = case("mixed.tflite");
    let edge_tpu = simulated(&case("mixed.part.tflite"), "current", "");
    let present = Options { edge_tpu, ..with(Backend::Auto) };
    let absent = absent_edge_tpu(with(Backend::Auto));
    for path in [&bare, &whole] {
        let mut engine = Engine::load_with(path, &present)?;
        assert!(engine.report().accelerated(), "{}", engine.report());
        check(&mut engine, &golden, float_tolerance(), 0)?;
    }
    let mut engine = Engine::load_with(&whole, &absent)?;
    assert!(!engine.report().accelerated(), "{}", engine.report());
    let text = engine.report().to_string();
    assert!(text.contains("not the Edge TPU") && text.contains("nowhere/libedgetpu"), "{text}");
    check(&mut engine, &golden, float_tolerance(), 0)?;
    let error = Engine::load_with(&bare, &absent).map(drop).expect_err("it needs the device");
    assert!(error.to_string().contains("nowhere/libedgetpu.so.1"), "{error}");
    // The backends that are forced.
    let forced = Options { backend: Backend::Systole, ..absent.clone() };
    let mut engine = Engine::load_with(&whole, &forced)?;
    check(&mut engine, &golden, float_tolerance(), 0)?;
    let error = Engine::load_with(&bare, &forced).map(drop);
    assert!(matches!(error, Err(Error::Load { why: LoadError::NeedsDelegate { .. }, .. })));
    let forced = Options { backend: Backend::EdgeTpu, ..absent };
    assert!(Engine::load_with(&whole, &forced).is_err());
    Ok(())
}
