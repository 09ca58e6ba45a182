//! What models compiled for the Edge TPU say of themselves, and what damaged ones do.

use systole_converter::{
    Class,
    edgetpu::{self, Executable, ExecutableKind, LayerType, Package, Part},
};
use systole_tests::{hostile::Noise, shared};

fn model(name: &str) -> Option<Vec<u8>> {
    let Some(shared) = shared() else {
        println!("SKIPPED: {name}, because there is no folder ../shared");
        return None;
    };
    let path = shared.join(format!("models/edgetpu/{name}_edgetpu.tflite"));
    Some(std::fs::read(path).expect("the shared folder has it"))
}

fn package(name: &str) -> Option<Package> {
    let parts = edgetpu::parts(&model(name)?).expect("it is sound").expect("it is compiled");
    match &parts[..] {
        [Part::EdgeTpu(package)] => Some(package.clone()),
        other => panic!("one operator, not {other:?}"),
    }
}

/// Kind, and bytes of instructions and parameters.
fn sizes(executable: &Executable) -> (ExecutableKind, u64, u64) {
    (executable.kind, executable.instruction_bytes, executable.parameter_bytes)
}

#[test]
fn mobilenet_is_read() {
    let Some(package) = package("mobilenet_v1_0.25_128_quant") else { return };
    assert_eq!(package.min_runtime_version, 12);
    let [run, cache] = &package.executables[..] else { panic!("{package:?}") };
    assert_eq!(sizes(run), (ExecutableKind::ExecutionOnly, 170_032, 0));
    assert_eq!(sizes(cache), (ExecutableKind::ParameterCaching, 12_624, 566_912));
    assert!(run.chip == "beagle" && run.caching_token == cache.caching_token);
    assert_eq!((package.cached_bytes(), package.streamed_bytes()), (566_912, 0));
    assert!(package.fits());
    let ([input], [output]) = (&run.inputs[..], &run.outputs[..]) else { panic!("{run:?}") };
    assert_eq!(
        (&input.name[..], input.dtype, input.shape),
        ("input", LayerType::U8, [128, 128, 3])
    );
    assert_eq!((input.scale, input.zero_point, input.bytes), (1.0 / 128.0, 128, 49_152));
    assert_eq!((output.shape, output.bytes), ([1, 1, 1001], 1008));
    assert_eq!((output.scale, output.zero_point), (1.0 / 256.0, 0));
    let text = edgetpu::text(&[Part::EdgeTpu(package)]);
    assert!(text.contains("runtime    12 or later") && text.contains("566912 bytes"), "{text}");
}

#[test]
fn all_layers_are_read() {
    let Some(package) = package("split_concat") else { return };
    let outputs: Vec<&str> =
        package.executables[0].outputs.iter().map(|layer| layer.name.as_str()).collect();
    let want = ["concat/split0", "outputs/rnn1", "concat/split2", "concat/split4", "outputs/rnn2"];
    assert_eq!(outputs, want);
}

#[test]
fn parameters_that_do_not_stay_are_told() {
    let Some(package) = package("keras_lstm_mnist_ptq") else { return };
    assert_eq!((package.cached_bytes(), package.streamed_bytes()), (43_968, 576));
    assert!(!package.fits());
    let types: Vec<LayerType> =
        package.executables[0].inputs.iter().map(|layer| layer.dtype).collect();
    assert_eq!(types, [LayerType::U8, LayerType::I8, LayerType::I16]);
}

#[test]
fn other_models_are_none() {
    let digits = systole_tests::repository().join("models/digits_float.tflite");
    let digits = std::fs::read(digits).expect("the model is bundled");
    assert_eq!(edgetpu::parts(&digits), Ok(None));
    assert_eq!(edgetpu::parts(b"TFL3"), Ok(None));
    assert_eq!(edgetpu::parts(b""), Ok(None));
}

#[test]
fn what_is_no_package_is_refused() {
    let class = |bytes: &[u8]| Package::from_options(bytes).map_err(|error| error.class);
    for bytes in [&b""[..], b"\x24", b"\x24\x01", b"\xff\xff\xff", &[0x24; 64], &[0xFF; 300]] {
        assert_eq!(class(bytes), Err(Class::Corrupt), "{bytes:?}");
    }
    let class = |bytes: &[u8]| Package::from_bytes(bytes).map_err(|error| error.class);
    for bytes in [&b""[..], b"\0\0\0\0DWN1", b"\xff\xff\xff\xffDWN1", b"\x08\0\0\0TFL3\0\0\0\0"] {
        assert_eq!(class(bytes), Err(Class::Corrupt), "{bytes:?}");
    }
}

/// A package whose layers are one table, named 5000 times, is refused before they are read.
#[test]
fn repeated_layers_are_refused() {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let start = builder.start_table();
    let layer = builder.end_table(start);
    let layers = builder.create_vector(&vec![layer; 5000]);
    let start = builder.start_table();
    builder.push_slot_always(4 + 2 * 8, layers);
    let executable = builder.end_table(start);
    builder.finish_minimal(flatbuffers::WIPOffset::<()>::new(executable.value()));
    let executable = builder.finished_data().to_vec();

    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let text = builder.create_vector(&executable);
    let texts = builder.create_vector(&[flatbuffers::WIPOffset::<()>::new(text.value())]);
    let start = builder.start_table();
    builder.push_slot_always(4, texts);
    let all = builder.end_table(start);
    builder.finish_minimal(flatbuffers::WIPOffset::<()>::new(all.value()));
    let all = builder.finished_data().to_vec();

    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let all = builder.create_vector(&all);
    let start = builder.start_table();
    builder.push_slot_always(4 + 2, all);
    let package = builder.end_table(start);
    builder.finish(flatbuffers::WIPOffset::<()>::new(package.value()), Some("DWN1"));
    let error = Package::from_bytes(builder.finished_data()).expect_err("too many");
    assert_eq!(error.class, Class::TooLarge, "{error}");
    assert_eq!(error.to_string(), "executable 0: more than 4096 layers");
}

/// Damaged anywhere, a model is read or refused, without a panic or an overflow.
#[test]
fn damaged_models_are_read_or_refused() {
    let Some(whole) = model("split_concat") else { return };
    let (mut read, mut refused) = (0, 0);
    let mut noise = Noise::new(7);
    // Offsets and lengths are small next to instructions: damage them more often.
    let structure: Vec<usize> = (0..whole.len())
        .filter(|&at| whole[at.saturating_sub(8)..whole.len().min(at + 8)].iter().any(|&b| b != 0))
        .collect();
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..=noise.below(3) {
            let at = structure[noise.below(structure.len())];
            bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, noise.below(256) as u8][noise.below(6)];
        }
        if noise.below(8) == 0 {
            bytes.truncate(noise.below(bytes.len()));
        }
        match edgetpu::parts(&bytes) {
            Ok(Some(parts)) => {
                edgetpu::text(&parts);
                read += 1;
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(read > 100 && refused > 10, "{read} read, {refused} refused");
}
