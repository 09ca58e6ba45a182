//! TFLite's interpreter and its delegates through `systole-tflite`, with a simulated Edge TPU.
//!
//! TFLite's library is looked for where the crate looks, and where `.ci/run tflite` puts it. Without
//! it each test says that it was skipped, as do those that need the shared folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::npz;
use systole_tests::{
    repository, shared,
    tflite::{check, library_and_models, simulated_edgetpu},
};
use systole_tflite::{
    Abi, Delegate, DeviceChoice, EdgeTpu, EdgeTpuOptions, Error, Failure, Interpreter, Library,
    Model, Options, Performance,
};

type Outcome = Result<(), Failed>;

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = vec![
        Trial::test("no_library_of_that_name", no_library),
        Trial::test("another_library", another_library),
        Trial::test("no_edgetpu_library", no_edgetpu_library),
        Trial::test("devices_are_listed", devices_are_listed),
        Trial::test("no_device", no_device),
    ];
    let (library, models) = library_and_models();
    let skip = library.is_err();
    let mut add = |name: &str, test: fn(&Library) -> Outcome| {
        let library = library.clone().ok();
        let test = move || library.as_ref().map_or(Ok(()), test);
        trials.push(Trial::test(name, test).with_ignored_flag(skip));
    };
    add("garbage_is_no_model", garbage_is_no_model);
    add("bundled_digits", bundled_digits);
    add("misuse_is_told", misuse_is_told);
    add("inputs_are_resized", inputs_are_resized);
    add("signatures", signatures);
    add("xnnpack", xnnpack);
    add("delegate_that_claims_nothing", delegate_that_claims_nothing);
    if let (Ok(library), Some(models)) = (&library, models) {
        trials.extend(compiled(library, &models));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn digits(library: &Library) -> Result<Model, Error> {
    Model::from_file(library, &repository().join("models/digits_float.tflite"))
}

fn no_library() -> Outcome {
    let path = Path::new("nowhere/libtensorflowlite_c.so");
    let error = Library::load(Some(path)).expect_err("there is none");
    assert_eq!(error.tried.len(), 1);
    assert_eq!(error.tried[0].path, path);
    let Failure::Open(why) = &error.tried[0].failure else { panic!("{error}") };
    assert!(why.contains("nowhere/libtensorflowlite_c.so"), "{why}");
    Ok(())
}

fn another_library() -> Outcome {
    let error = Library::load(Some(&simulated_edgetpu())).expect_err("that is no TFLite");
    let Failure::MissingSymbols(missing) = &error.tried[0].failure else { panic!("{error}") };
    assert!(missing.contains(&"TfLiteModelCreate"), "{missing:?}");
    assert!(missing.contains(&"TfLiteTensorQuantizationParams"), "{missing:?}");
    Ok(())
}

fn no_edgetpu_library() -> Outcome {
    let error = EdgeTpu::load(Some(Path::new("nowhere/libedgetpu.so.1"))).expect_err("none");
    assert!(matches!(error.tried[0].failure, Failure::Open(_)), "{error}");
    if std::env::var_os("EDGETPU_LIBRARY_PATH").is_none()
        && let Err(error) = EdgeTpu::load(None)
    {
        assert_eq!(error.tried.len(), 2, "{error}");
        let text = error.to_string();
        assert!(text.contains("libedgetpu.so.1") && text.contains("EDGETPU_LIBRARY_PATH"));
    }
    Ok(())
}

fn devices_are_listed() -> Outcome {
    let tpu = EdgeTpu::load(Some(&simulated_edgetpu()))?;
    assert_eq!(tpu.version(), "Simulated, RuntimeVersion(14)");
    tpu.set_verbosity(10)?;
    let paths: Vec<String> = tpu.devices().into_iter().map(|device| device.path).collect();
    let usb = ["/sys/bus/usb/devices/2-0", "/sys/bus/usb/devices/2-1"];
    assert_eq!(paths, ["/dev/apex_0", usb[0], usb[1]]);
    for (choice, there) in
        [("", true), ("usb:1", true), ("pci", true), (":2", true), ("pci:1", false), (":3", false)]
    {
        let choice: DeviceChoice = choice.parse()?;
        match tpu.delegate(choice, &EdgeTpuOptions::default()) {
            Ok(_) => assert!(there, "{choice}"),
            Err(error) => {
                assert!(!there, "{choice}");
                assert_eq!(error, Error::NoDevice { choice, count: 3 });
            }
        }
    }
    Ok(())
}

/// In a process of its own, since the simulation is told by the environment that nothing is there.
fn no_device() -> Outcome {
    const DEVICES: &str = "SIMULATED_EDGETPU_DEVICES";
    if std::env::var_os(DEVICES).is_none() {
        let mut again = Command::new(std::env::current_exe()?);
        let status = again.args(["--exact", "no_device"]).env(DEVICES, "0,0").status()?;
        assert!(status.success(), "{status}");
        return Ok(());
    }
    let tpu = EdgeTpu::load(Some(&simulated_edgetpu()))?;
    assert_eq!(tpu.devices(), []);
    let choice = DeviceChoice::default();
    let error = tpu.delegate(choice, &EdgeTpuOptions::default()).map(drop);
    assert_eq!(error, Err(Error::NoDevice { choice, count: 0 }));
    let error = Delegate::external(&simulated_edgetpu(), &[], Abi::Any).map(drop);
    let Err(Error::Refused { log, .. }) = error else { panic!("{error:?}") };
    assert_eq!(log, "no Edge TPU is attached");
    Ok(())
}

fn garbage_is_no_model(library: &Library) -> Outcome {
    for bytes in [&b""[..], b"TFL3", &[0xFF; 4096], b"\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0"] {
        let error = Model::from_bytes(library, bytes).map(drop).expect_err("no model");
        assert!(matches!(error, Error::Model { .. }), "{error}");
    }
    // A file cut short anywhere is refused too, or runs as far as TFLite can tell.
    let whole = std::fs::read(repository().join("models/digits_float.tflite"))?;
    for length in (0..whole.len()).step_by(whole.len() / 20) {
        let cut = Model::from_bytes(library, &whole[..length]);
        assert!(cut.is_err(), "{length} bytes of {}", whole.len());
    }
    Ok(())
}

fn bundled_digits(library: &Library) -> Outcome {
    run_goldens(library, &repository().join("models/digits_float.tflite"), Options::default)
}

fn misuse_is_told(library: &Library) -> Outcome {
    let mut interpreter = Interpreter::new(&digits(library)?, Options::default())?;
    let wrong = interpreter.output(1).map(drop);
    assert_eq!(wrong, Err(Error::Index { what: "output", index: 1, count: 1 }));
    assert!(matches!(interpreter.input(9), Err(Error::Index { .. })));
    assert!(matches!(interpreter.tensor(100_000), Err(Error::Index { .. } | Error::Lacks { .. })));
    let mut input = interpreter.input_mut(0)?;
    assert!(matches!(input.copy_from(&[1i8; 64]), Err(Error::Type { .. })));
    assert!(matches!(input.copy_from(&[1f32; 3]), Err(Error::Length { found: 3, .. })));
    assert!(matches!(interpreter.output(0)?.to_vec::<u8>(), Err(Error::Type { .. })));
    let error = interpreter.signature("nonsense").map(drop).expect_err("no such signature");
    assert!(matches!(error, Error::Name { .. } | Error::Lacks { .. }), "{error}");
    Ok(())
}

fn inputs_are_resized(library: &Library) -> Outcome {
    let mut interpreter = Interpreter::new(&digits(library)?, Options::default())?;
    let mut shape = interpreter.input(0)?.shape();
    shape[0] = 3;
    interpreter.resize_input(0, &shape)?;
    assert!(matches!(interpreter.invoke(), Err(Error::Allocate { .. })));
    let huge = interpreter.resize_input(0, &[usize::MAX]);
    assert!(matches!(huge, Err(Error::Argument { .. })), "{huge:?}");
    // The model reshapes to one sample, which three do not fit.
    let Err(Error::Allocate { log }) = interpreter.allocate() else { panic!("it is allocated") };
    assert!(log.contains("RESHAPE"), "{log}");
    assert!(matches!(interpreter.invoke(), Err(Error::Allocate { .. })));
    shape[0] = 1;
    interpreter.resize_input(0, &shape)?;
    interpreter.allocate()?;
    interpreter.invoke()?;
    assert_eq!(interpreter.input(0)?.shape(), shape);
    Ok(())
}

fn signatures(library: &Library) -> Outcome {
    if !library.has_signatures() {
        println!("SKIPPED: signatures, which TFLite {} does not have", library.version());
        return Ok(());
    }
    let Some(models) = shared() else { return Ok(()) };
    let path = models.join("models/sequence/keras_lstm_mnist_ptq.tflite");
    let model = Model::from_file(library, &path)?;
    let mut interpreter = Interpreter::new(&model, Options::default())?;
    let names = interpreter.signatures();
    let Some(name) = names.first().cloned() else { return Err("no signature".into()) };
    let samples = npz::read(&path.with_extension("inputs.npz"))?;
    let sample = samples[0].sample(0).unwrap_or_default();
    interpreter.input_mut(0)?.bytes_mut()?.copy_from_slice(sample);
    interpreter.invoke()?;
    let want = interpreter.output(0)?.bytes()?.to_vec();
    let mut interpreter = Interpreter::new(&model, Options::default())?;
    let mut signature = interpreter.signature(&name)?;
    let (input, output) = (signature.inputs().remove(0), signature.outputs().remove(0));
    signature.input_mut(&input)?.bytes_mut()?.copy_from_slice(sample);
    signature.invoke()?;
    assert_eq!(signature.output(&output)?.bytes()?, want);
    assert!(matches!(signature.output("nonsense"), Err(Error::Name { .. })));
    Ok(())
}

/// XNNPACK takes operators, and floats stay close.
fn xnnpack(library: &Library) -> Outcome {
    let options = || Options { xnnpack: true, threads: 2, ..Options::default() };
    if !library.has_xnnpack() {
        let refused = Interpreter::new(&digits(library)?, options()).map(drop);
        assert!(matches!(refused, Err(Error::Lacks { .. })), "{refused:?}");
        return Ok(());
    }
    run_goldens(library, &repository().join("models/digits_float.tflite"), options)
}

/// A model without operators for the device runs as if the delegate were not there.
fn delegate_that_claims_nothing(library: &Library) -> Outcome {
    let model = repository().join("models/digits_float.tflite");
    for layout in ["current", "old"] {
        let options = || {
            let options = [("Simulated.Layout", layout), ("Performance", "Max")];
            let delegate = Delegate::external(&simulated_edgetpu(), &options, Abi::Any);
            let delegates = vec![delegate.expect("the simulation takes these options")];
            Options { delegates, ..Options::default() }
        };
        run_goldens(library, &model, options)?;
    }
    Ok(())
}

/// Runs the first samples and compares them with the goldens beside the model.
fn run_goldens(library: &Library, path: &Path, options: impl FnOnce() -> Options) -> Outcome {
    let golden = |suffix: &str| npz::read(&path.with_extension(suffix));
    let model = Model::from_file(library, path)?;
    let mut interpreter = Interpreter::new(&model, options())?;
    check(&mut interpreter, &golden("inputs.npz")?, &golden("outputs.npz")?)
}

/// Models compiled for the Edge TPU, on the simulated one.
fn compiled(library: &Library, models: &Path) -> Vec<Trial> {
    const TWINS: [(&str, &str); 3] = [
        ("split_concat_edgetpu", "edgetpu/split_concat"),
        ("keras_lstm_mnist_ptq_edgetpu", "sequence/keras_lstm_mnist_ptq"),
        ("mobilenet_v1_0.25_128_quant_edgetpu", "vision/mobilenet_v1_0.25_128_quant"),
    ];
    let case = |(model, twin): (&str, &str)| Case {
        library: library.clone(),
        model: models.join(format!("edgetpu/{model}.tflite")),
        twin: models.join(format!("{twin}.tflite")),
    };
    let mut trials = Vec::new();
    for twin in TWINS {
        for layout in ["current", "old"] {
            for by in ["edgetpu", "plugin"] {
                let case = case(twin);
                let test = move || case.equals_twin(layout, by);
                trials.push(Trial::test(format!("{}::{by}_{layout}", twin.0), test));
            }
        }
        let case = case(twin);
        trials.push(Trial::test(format!("{}::no_delegate", twin.0), move || case.no_delegate()));
    }
    for layout in ["current", "old"] {
        let case = case(TWINS[0]);
        let test = move || case.failures(layout);
        trials.push(Trial::test(format!("delegates_fail_{layout}"), test));
    }
    let cases = [case(TWINS[0]), case(TWINS[2])];
    trials.push(Trial::test("two_interpreters_at_once", move || two_at_once(&cases)));
    trials
}

/// Each thread has an interpreter and a delegate for itself.
fn two_at_once(cases: &[Case; 2]) -> Outcome {
    let run =
        |case: &Case| case.equals_twin("old", "edgetpu").map_err(|error| format!("{error:?}"));
    let outcomes = std::thread::scope(|scope| {
        let threads = cases.each_ref().map(|case| scope.spawn(move || run(case)));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".to_owned())))
    });
    outcomes.into_iter().try_for_each(|outcome| outcome.map_err(Failed::from))
}

#[derive(Clone)]
struct Case {
    library: Library,
    model: PathBuf,
    twin: PathBuf,
}

impl Case {
    /// Options of the simulation.
    fn options(&self, layout: &str, fail: &str) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_str().unwrap_or_default().to_owned();
        [
            ("Simulated.Library", text(self.library.path())),
            ("Simulated.Twin", text(&self.twin)),
            ("Simulated.Layout", layout.to_owned()),
            ("Simulated.Fail", fail.to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec()
    }

    fn delegate(&self, layout: &str, fail: &str, by: &str) -> Result<Delegate, Error> {
        let pairs = self.options(layout, fail);
        match by {
            "plugin" => {
                let pairs: Vec<_> =
                    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
                Delegate::external(&simulated_edgetpu(), &pairs, Abi::Any)
            }
            _ => {
                let options = EdgeTpuOptions {
                    performance: Some(Performance::High),
                    usb_always_dfu: Some(false),
                    usb_max_bulk_in_queue_length: Some(8),
                    other: pairs,
                    abi: Abi::Any,
                };
                EdgeTpu::load(Some(&simulated_edgetpu()))?.delegate("usb:1".parse()?, &options)
            }
        }
    }

    fn interpreter(&self, delegates: Vec<Delegate>) -> Result<Interpreter, Error> {
        let model = Model::from_file(&self.library, &self.model)?;
        Interpreter::new(&model, Options { delegates, ..Options::default() })
    }

    fn check(&self, interpreter: &mut Interpreter) -> Outcome {
        let golden = |suffix: &str| npz::read(&self.twin.with_extension(suffix));
        check(interpreter, &golden("inputs.npz")?, &golden("outputs.npz")?)
    }

    fn equals_twin(&self, layout: &str, by: &str) -> Outcome {
        let delegate = self.delegate(layout, "", by)?;
        let mut interpreter = self.interpreter(vec![delegate])?;
        self.check(&mut interpreter)?;
        // What the compiled model says of its tensors is what the twin says.
        let twin = Model::from_file(&self.library, &self.twin)?;
        let twin = Interpreter::new(&twin, Options::default())?;
        assert_eq!(interpreter.input_count(), twin.input_count());
        for index in 0..twin.input_count() {
            let (got, want) = (interpreter.input(index)?, twin.input(index)?);
            assert_eq!((got.name(), got.shape()), (want.name(), want.shape()));
            assert_eq!(got.quantization(), want.quantization());
            assert!(got.quantization().is_some_and(|quantization| quantization.scale > 0.0));
        }
        Ok(())
    }

    fn no_delegate(&self) -> Outcome {
        let error = self.interpreter(Vec::new()).map(drop).expect_err("it needs the device");
        assert_eq!(error, Error::Unresolved { name: "edgetpu-custom-op".to_owned() });
        assert!(error.to_string().contains("the model that it was compiled from"), "{error}");
        Ok(())
    }

    fn failures(&self, layout: &str) -> Outcome {
        // The library gives no delegate.
        for by in ["edgetpu", "plugin"] {
            let error = self.delegate(layout, "create", by).map(drop).expect_err("refused");
            assert!(matches!(error, Error::Refused { .. }), "{error}");
        }
        let unknown =
            Delegate::external(&simulated_edgetpu(), &[("Speed", "11")], Abi::Any).map(drop);
        let Err(Error::Refused { log, .. }) = unknown else { panic!("{unknown:?}") };
        assert_eq!(log, "an option is not known");
        let zero = Delegate::external(&simulated_edgetpu(), &[("a\0b", "")], Abi::Any).map(drop);
        assert!(matches!(zero, Err(Error::Argument { .. })), "{zero:?}");
        // It cannot take its part.
        let delegate = self.delegate(layout, "prepare", "plugin")?;
        let error = self.interpreter(vec![delegate]).map(drop).expect_err("prepare fails");
        let typed = matches!(
            error,
            Error::Interpreter { .. } | Error::Unresolved { .. } | Error::Allocate { .. }
        );
        assert!(typed, "{error}");
        // Its kernel cannot be made.
        let lost = Self { twin: "nowhere.tflite".into(), ..self.clone() };
        let delegate = lost.delegate(layout, "", "edgetpu")?;
        let error = lost.interpreter(vec![delegate]).map(drop).expect_err("init fails");
        let typed = matches!(error, Error::Interpreter { .. } | Error::Allocate { .. });
        assert!(typed, "{error}");
        // It fails in the second run, and works in the third.
        let delegate = self.delegate(layout, "invoke:1", "edgetpu")?;
        let mut interpreter = self.interpreter(vec![delegate])?;
        interpreter.invoke()?;
        let error = interpreter.invoke().expect_err("the second run fails");
        assert!(matches!(error, Error::Invoke { .. }), "{error}");
        self.check(&mut interpreter)
    }
}
