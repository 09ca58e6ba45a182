//! Models that are compiled in answer as a session does, byte for byte: every operator case and every
//! real model is written as source, compiled into one program and run.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use systole_converter::{
    AlignedBytes, ChipMemory, Match, Memory, Options,
    quantize::{Recipe, Scheme},
};
use systole_core::{Arena, DType, Model, Session, TensorInfo, emit, pack_for, pack_pairs};
use systole_kernels::tiles::Activations;
use systole_tests::checked::{compile, convert_file};
use systole_tests::networks::convolutions;
use systole_tests::{packed_digits, quantized_digits, repository, shared};

/// Real models of which a session needs more arena than this are left to the session.
const MAX_ARENA: usize = 1 << 20;

/// Numbers as the peers' benchmarks make them.
struct Bytes(u32);

impl Iterator for Bytes {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((self.0 >> 24) as u8)
    }
}

/// What an input holds: any bytes for quantized types, small numbers for the others, so that
/// indices point somewhere and floats stay finite.
fn values(info: &TensorInfo<'_>, bytes: &mut Bytes) -> Vec<u8> {
    let mut next = || bytes.next().unwrap_or_default();
    let mut out = Vec::new();
    for _ in 0..info.len() {
        match info.dtype() {
            DType::I8 | DType::U8 => out.push(next()),
            DType::Bool => out.push(next() & 1),
            DType::I16 => out.extend([next(), next()]),
            DType::I32 | DType::U32 => out.extend(u32::from(next() & 3).to_le_bytes()),
            DType::I64 => out.extend(u64::from(next() & 3).to_le_bytes()),
            DType::F32 => out.extend((f32::from(next() as i8) / 32.0).to_le_bytes()),
            // Half precision, from 1 to just under 2.
            DType::F16 => out.extend([next(), 0x3C]),
            other => panic!("no model has inputs of type {other}"),
        }
    }
    out
}

/// The outputs of a session, as users see them.
fn session(file: &[u8], inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let model = Model::from_bytes(file).unwrap();
    let mut arena = Box::new(Arena::<MAX_ARENA>::new());
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    for (index, bytes) in inputs.iter().enumerate() {
        let mut input = session.input(index).unwrap();
        let flip = input.info().sign_flip();
        let stored: Vec<u8> = bytes.iter().map(|byte| byte ^ flip).collect();
        input.copy_stored(&stored).unwrap();
    }
    session.run().unwrap();
    (0..model.output_count())
        .map(|index| {
            let output = session.output(index).unwrap();
            let flip = output.info().sign_flip();
            output.stored_bytes().iter().map(|byte| byte ^ flip).collect()
        })
        .collect()
}

/// The models: their names and files, each file once.
fn models() -> Vec<(String, AlignedBytes)> {
    let mut folders = vec![repository().join("tests/operators"), repository().join("models")];
    match shared() {
        Some(shared) => {
            for folder in ["mlperf_tiny", "vision", "hello", "int16", "sequence", "trained"] {
                folders.push(shared.join("models").join(folder));
            }
        }
        None => println!("SKIPPED: real models, because there is no folder ../shared"),
    }
    let mut seen = BTreeSet::new();
    let mut models = Vec::new();
    for path in folders.iter().flat_map(|folder| files(folder, "tflite")) {
        for matching in [Match::Tflm, Match::Litert] {
            let options = Options { matching, ..Options::default() };
            // What is refused has tests of its own.
            let Ok(converted) = convert_file(&path, &options) else { continue };
            let model = Model::from_bytes(converted.file.as_slice()).unwrap();
            if model.arena_bytes() <= MAX_ARENA && seen.insert(converted.file.as_slice().to_vec()) {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                models.push((format!("{stem}::{}", matching.name()), converted.file));
            }
        }
    }
    // Those that can run on bands of rows, so.
    for path in folders.iter().flat_map(|folder| files(folder, "tflite")) {
        let options = Options { memory: Memory::Least, ..Options::default() };
        let Ok(converted) = convert_file(&path, &options) else { continue };
        let few = converted.report.banded > 0 && converted.report.arena_bytes <= MAX_ARENA;
        if few && seen.insert(converted.file.as_slice().to_vec()) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            models.push((format!("{stem}::bands"), converted.file));
        }
    }
    // In two and three memories, what does not fit into them aside.
    for path in folders.iter().flat_map(|folder| files(folder, "tflite")).step_by(7) {
        for parts in [2, 3] {
            let Some(file) = divided(&path, parts) else { continue };
            let model = Model::from_bytes(file.as_slice()).unwrap();
            assert_eq!(model.arenas().len(), parts);
            if model.arena_bytes() <= MAX_ARENA {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                models.push((format!("{stem}::{parts}_memories"), file));
            }
        }
    }
    // With weights in one memory or two, all of them or some.
    for path in folders.iter().flat_map(|folder| files(folder, "tflite")).skip(3).step_by(7) {
        for (parts, room) in [(1, 2_000), (1, 100_000), (2, 4_000)] {
            let Some(file) = with_weights(&path, parts, room) else { continue };
            let model = Model::from_bytes(file.as_slice()).unwrap();
            if model.arena_bytes() <= MAX_ARENA && model.residents().next().is_some() {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                models.push((format!("{stem}::{parts}_memories_with_weights_{room}"), file));
            }
        }
    }
    // Of ONNX the operators that TFLite has not.
    for path in files(&repository().join("tests/onnx_quantized"), "onnx") {
        let converted = convert_file(&path, &Options::default()).unwrap();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        models.push((format!("{stem}::ort"), converted.file));
    }
    models.push(("digits_float::int4".to_owned(), packed_digits().file));
    let recipe = Recipe { quantize: Scheme::F16, ..Recipe::default() };
    let f16 = quantized_digits(recipe).file;
    let packed = pack_for(Activations::Signed, f16.as_slice()).unwrap();
    models.push(("digits_float::f16_tiles".to_owned(), packed.unwrap()));
    let convolutions = compile(&convolutions(11, 32, 3), &Options::default()).unwrap();
    let packed = pack_for(Activations::Unsigned, &convolutions.written.bytes).unwrap();
    models.push(("convolutions::winograd".to_owned(), packed.unwrap()));
    // Weights of 16 bits.
    for path in folders.iter().flat_map(|folder| files(folder, "tflite")).step_by(3) {
        let Ok(converted) = convert_file(&path, &Options::default()) else { continue };
        let file = pack_pairs(converted.file.as_slice()).unwrap();
        if let Some(file) = file.filter(|_| converted.report.arena_bytes <= MAX_ARENA) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            models.push((format!("{stem}::pairs"), file));
        }
    }
    models.push(("digits_float::f16".to_owned(), f16));
    models
}

/// A model in so many memories, of which each but the last has room for a part of it.
fn divided(path: &Path, parts: usize) -> Option<AlignedBytes> {
    let whole = convert_file(path, &Options::default()).ok()?.report.arena_bytes;
    let memory = |index: usize| {
        let bytes = if index + 1 == parts { whole } else { whole / (parts + 1) };
        ChipMemory::new(&format!("memory_{index}"), bytes)
    };
    let options = Options { memories: (0..parts).map(memory).collect(), ..Options::default() };
    convert_file(path, &options).ok().map(|converted| converted.file)
}

/// A model in so many memories, of which the first has `room` bytes more than for the part of tensors that it
/// has to hold.
fn with_weights(path: &Path, parts: usize, room: usize) -> Option<AlignedBytes> {
    let whole = convert_file(path, &Options::default()).ok()?.report.arena_bytes;
    let mut memories = vec![ChipMemory::new("tcm", whole / parts + room)];
    memories.extend((1..parts).map(|_| ChipMemory::new("sram", whole)));
    memories.push(ChipMemory::flash("flash", 20));
    let options = Options { memories, ..Options::default() };
    convert_file(path, &options).ok().map(|converted| converted.file)
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    files.sort();
    files
}

/// The source of a model, and a function that runs it.
fn module(file: &[u8], path: &Path) -> String {
    let bytes = format!("include_bytes!({path:?})");
    let options = emit::Options { name: "Bench", visibility: "pub", file: &bytes };
    let mut source = emit::rust(file, options).unwrap();
    let model = Model::from_bytes(file).unwrap();
    let arguments: Vec<String> = model
        .inputs()
        .enumerate()
        .map(|(i, info)| format!("&crate::array::<_, {}>(&inputs[{i}])", info.len()))
        .collect();
    let results: Vec<String> = match model.output_count() {
        1 => vec!["crate::bytes(y)".into()],
        count => (0..count).map(|i| format!("crate::bytes(y.{i})")).collect(),
    };
    // State that a run leaves is gone after a reset.
    let again = match model.state().next() {
        Some(_) => format!("bench.run({}); bench.reset(); ", arguments.join(", ")),
        None => String::new(),
    };
    let count = model.arenas().len();
    let arenas = if model.residents().next().is_some() { count.max(2) } else { count };
    let (mut begin, lent) = (String::new(), ["&mut a0", "&mut a1", "&mut a2", "&mut a3"]);
    let lent = if arenas > 1 { lent[..count].join(", ") } else { String::new() };
    for (i, bytes) in model.arenas().enumerate().filter(|_| arenas > 1) {
        let _ = writeln!(begin, "    assert_eq!(Bench::MEMORIES[{i}].1, {bytes});");
        let _ = writeln!(
            begin,
            "    let mut a{i} = Box::new(Arena::<{{ Bench::MEMORIES[{i}].1 }}>::new());"
        );
    }
    let _ = write!(
        source,
        "\npub fn run(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {{
{begin}    let mut bench = Box::new(Bench::new({lent}));
    {again}let y = bench.run({});
    vec![{}]
}}\n",
        arguments.join(", "),
        results.join(", ")
    );
    source
}

/// The program's main file but for the list of models.
const MAIN: &str = r##"
pub trait Element: Copy {
    const BYTES: usize;
    fn get(bytes: &[u8]) -> Self;
    fn put(self, out: &mut Vec<u8>);
}
macro_rules! elements { ($($t:ty)*) => {$(
    impl Element for $t {
        const BYTES: usize = size_of::<$t>();
        fn get(bytes: &[u8]) -> Self { <$t>::from_le_bytes(bytes.try_into().unwrap()) }
        fn put(self, out: &mut Vec<u8>) { out.extend(self.to_le_bytes()) }
    }
)*}; }
elements!(i8 u8 i16 u16 i32 u32 i64 f32 f64 systole::compiled::f16);
pub fn array<T: Element, const N: usize>(bytes: &[u8]) -> Box<[T; N]> {
    let all: Vec<T> = bytes.chunks(T::BYTES).map(T::get).collect();
    all.into_boxed_slice().try_into().ok().unwrap()
}
pub fn bytes<T: Element, const N: usize>(array: &[T; N]) -> Vec<u8> {
    let mut out = Vec::new();
    array.iter().for_each(|value| value.put(&mut out));
    out
}
fn read(index: usize, kind: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| std::fs::read(format!("data/{index}.{kind}.{i}")).unwrap()).collect()
}
type Run = fn(&[Vec<u8>]) -> Vec<Vec<u8>>;
fn all() {
    let mut wrong = 0;
    for (index, (name, inputs, outputs, run)) in MODELS.iter().enumerate() {
        if run(&read(index, "in", *inputs)) != read(index, "out", *outputs) {
            println!("{name}: not the session's bytes");
            wrong += 1;
        }
    }
    println!("{} models, {wrong} wrong", MODELS.len());
    std::process::exit(i32::from(wrong > 0));
}
fn main() {
    std::thread::Builder::new().stack_size(1 << 28).spawn(all).unwrap().join().unwrap();
}
"##;

#[test]
fn compiled_models_answer_as_sessions_do() {
    // Without std a program has the definitions, which round floats otherwise than kernels that fuse.
    if std::env::var("SYSTOLE_ISA").as_deref() != Ok("portable") {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["compiled_models_answer_as_sessions_do", "--exact", "--nocapture"])
            .env("SYSTOLE_ISA", "portable")
            .output()
            .unwrap();
        let [printed, said] =
            [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        println!("{printed}");
        assert!(output.status.success(), "{printed}{said}");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let _ = fs::remove_dir_all(folder.join("src"));
    let _ = fs::remove_dir_all(folder.join("data"));
    for part in ["src", "data"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let runtime = repository().join("runtime");
    let manifest = format!(
        "[package]\nname = \"compiled\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nsystole = {{ path = {runtime:?}, default-features = false }}\n\n\
         [profile.dev]\nopt-level = 0\ndebug = false\n\n[profile.dev.package.\"*\"]\nopt-level = 1\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let models = models();
    assert!(models.len() > 1000, "only {} models", models.len());
    let (mut modules, mut list) = (String::new(), String::new());
    for (index, (name, file)) in models.iter().enumerate() {
        let data = folder.join("data");
        let path = data.join(format!("{index}.systole"));
        fs::write(&path, file.as_slice()).unwrap();
        fs::write(folder.join(format!("src/m{index}.rs")), module(file.as_slice(), &path)).unwrap();
        let model = Model::from_bytes(file.as_slice()).unwrap();
        let mut bytes = Bytes(12345);
        let inputs: Vec<Vec<u8>> = model.inputs().map(|info| values(&info, &mut bytes)).collect();
        let outputs = session(file.as_slice(), &inputs);
        for (kind, arrays) in [("in", &inputs), ("out", &outputs)] {
            for (i, array) in arrays.iter().enumerate() {
                fs::write(data.join(format!("{index}.{kind}.{i}")), array).unwrap();
            }
        }
        let _ = writeln!(modules, "#[allow(unused, reason = \"generated\")] mod m{index};");
        let (inputs, outputs) = (inputs.len(), outputs.len());
        let _ = writeln!(list, "    ({name:?}, {inputs}, {outputs}, m{index}::run),");
    }
    let main =
        format!("{modules}\nstatic MODELS: &[(&str, usize, usize, Run)] = &[\n{list}];\n{MAIN}");
    fs::write(folder.join("src/main.rs"), main).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}
