//! `systole convert`

use std::path::PathBuf;

use clap::Args;
use systole_converter::{
    ChipMemory, Class, Error, Memory, Names, Options, Result, apart, convert_source,
    edgetpu::compiler,
    import_file,
    predict::{Core, Prediction, predict},
    report::{Pairs, Report},
};
use systole_core::{AlignedBytes, Model, emit, pack_for, pack_pairs};
use systole_kernels::tiles::Activations;

use super::{Conversion, quantize, to_json, write_whole};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model, .onnx or .tflite
    model: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "OUT.systole")]
    output: PathBuf,
    #[command(flatten)]
    conversion: Conversion,
    /// For a model compiled for the Edge TPU: the .tflite model that it was compiled
    /// from, of which a part is stored to run where there is no such device
    #[arg(long, value_name = "MODEL.tflite")]
    fallback: Option<PathBuf>,
    /// Which tensor names to keep in the file
    #[arg(long, value_enum, default_value_t = KeepNames::Ports)]
    names: KeepNames,
    /// Store class names, one per line of this file
    #[arg(long, value_name = "FILE")]
    class_names: Option<PathBuf>,
    /// Pack weights for the kernels of a processor, so that it need not when it loads the
    /// file; or convert for a microcontroller, and predict what the model takes there; or compile a
    /// quantized .tflite model for an accelerator
    #[arg(long, value_enum, value_name = "TARGET")]
    target: Option<Target>,
    /// How weights are stored for a Cortex-M with the DSP extension (M4, M7, M33): "pairs" takes twice
    /// the flash for those of convolutions and large fully connected layers, and fewer instructions.
    /// The report says how many of both
    #[arg(long, value_enum, default_value_t = Pack::None, requires = "target")]
    pack: Pack,
    /// Fit the arena into so many bytes: operators run on bands of rows where they must. "min" asks
    /// for as little as there is a way to, "sums" for what costs next to nothing [default for
    /// microcontrollers: sums; else whole tensors]
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    ram: Option<Memory>,
    /// Divide tensors among the chip's memories, fastest first, so that an inference costs the least:
    /// tcm=64k:1,sram=256k:3. Behind the colon is what a byte costs there that is read or written, in any
    /// unit [default: 1, 2, 3, 4 in their order]. With flash:6 behind them, weights whose reading costs
    /// the most for their size are copied into these memories when a session is made
    #[arg(long, value_name = "NAME=SIZE:COST,...", value_delimiter = ',', value_parser = ChipMemory::parse)]
    memory: Vec<ChipMemory>,
    /// Write weights into this file instead of the model's, for memory that cannot be mapped
    #[arg(long, value_name = "WEIGHTS.bin")]
    weights_apart: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    quantization: quantize::Quantization,
}

/// The memory that --ram asks for.
fn memory(text: &str) -> std::result::Result<Memory, String> {
    match text {
        "min" => Ok(Memory::Least),
        "sums" => Ok(Memory::Sums),
        _ => text.parse().map(Memory::AtMost).map_err(|_| "a number of bytes, min or sums".into()),
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum KeepNames {
    /// None: the smallest file
    None,
    /// Those of inputs and outputs
    Ports,
    /// Those of all tensors
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pack {
    /// As the kernels of --target read them
    None,
    /// Widened to 16 bits, in the order in which they are multiplied
    Pairs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// x86-64 with AVX2, AVX-VNNI or AVX-512 VNNI
    #[value(name = "x86-64-vnni")]
    X86Vnni,
    /// 64-bit Arm, all of them
    #[value(name = "aarch64-neon")]
    Aarch64Neon,
    /// 64-bit Arm with SDOT; the same file as of aarch64-neon
    #[value(name = "aarch64-dot")]
    Aarch64Dot,
    /// 64-bit Arm with SMMLA: weights that no other level reads
    #[value(name = "aarch64-i8mm")]
    Aarch64I8mm,
    /// Cortex-M0 and M0+. Weights of all microcontrollers stay as they are, as their kernels read them,
    /// unless --pack says otherwise
    #[value(name = "cortex-m0")]
    CortexM0,
    /// Cortex-M3
    #[value(name = "cortex-m3")]
    CortexM3,
    /// Cortex-M4
    #[value(name = "cortex-m4")]
    CortexM4,
    /// Cortex-M7
    #[value(name = "cortex-m7")]
    CortexM7,
    /// Cortex-M33, with the DSP extension
    #[value(name = "cortex-m33")]
    CortexM33,
    /// Cortex-M55, with Helium
    #[value(name = "cortex-m55")]
    CortexM55,
    /// 32-bit RISC-V without vectors
    #[value(name = "riscv32imac", alias = "riscv32")]
    RiscV32,
    /// Coral's Edge TPU, with Coral's compiler, which has to be installed. The uncompiled model
    /// becomes the fallback; -o NAME.tflite writes what the compiler makes
    #[value(name = "edgetpu")]
    EdgeTpu,
}

impl Target {
    /// How its kernels read activations; `None` where it has none of its own.
    fn activations(self) -> Option<Activations> {
        match self {
            Self::X86Vnni => Some(Activations::Unsigned),
            Self::Aarch64Neon | Self::Aarch64Dot => Some(Activations::Signed),
            Self::Aarch64I8mm => Some(Activations::Eights),
            _ => None,
        }
    }

    /// The microcontroller, if it is one.
    fn core(self) -> Option<&'static Core> {
        let name = match self {
            Self::CortexM0 => "cortex-m0",
            Self::CortexM3 => "cortex-m3",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM7 => "cortex-m7",
            Self::CortexM33 => "cortex-m33",
            Self::CortexM55 => "cortex-m55",
            Self::RiscV32 => "riscv32imac",
            Self::X86Vnni
            | Self::Aarch64Neon
            | Self::Aarch64Dot
            | Self::Aarch64I8mm
            | Self::EdgeTpu => return None,
        };
        Core::find(name)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let mut options = arguments.conversion.options()?;
    options.names = match arguments.names {
        KeepNames::None => Names::None,
        KeepNames::Ports => Names::Ports,
        KeepNames::All => Names::All,
    };
    if let Some(path) = &arguments.class_names {
        let text = std::fs::read_to_string(path).map_err(|problem| {
            Error::new(Class::Io, format!("{}: cannot be read: {problem}", path.display()))
        })?;
        options.labels = text.lines().map(str::to_owned).collect();
    }
    options.memories.clone_from(&arguments.memory);
    let core = arguments.target.and_then(Target::core);
    options.target = core.map(|core| core.name);
    let pairs = arguments.pack == Pack::Pairs;
    if pairs && !core.is_some_and(Core::has_dsp) {
        return Err(unsupported(
            "--pack pairs is for cores with the DSP extension: --target cortex-m4, cortex-m7 or cortex-m33",
        ));
    }
    if pairs && (arguments.weights_apart.is_some() || !arguments.memory.is_empty()) {
        return Err(unsupported(
            "--pack pairs is for weights in flash: --weights-apart and --memory keep them as they are",
        ));
    }
    // Memory is what microcontrollers have least of, unless they have several.
    let unless_asked = match core {
        Some(_) if arguments.memory.is_empty() => Memory::Sums,
        _ => Memory::default(),
    };
    options.memory = arguments.ram.unwrap_or(unless_asked);
    options.fallback.clone_from(&arguments.fallback);
    if arguments.target == Some(Target::EdgeTpu) {
        return compiled(arguments, options);
    }
    let source = import_file(&arguments.model, &options)?;
    let converted = match arguments.quantization.asked() {
        true => {
            let matching_given = arguments.conversion.matching.is_some();
            arguments.quantization.convert(source, &mut options, matching_given)
        }
        false => convert_source(source, &options),
    };
    let place = |error: Error| error.within(arguments.model.display().to_string());
    let mut converted = converted.map_err(place)?;
    // What is predicted is of models that are compiled in, with their weights.
    if let Some(core) = core.filter(|_| arguments.weights_apart.is_none()) {
        converted.report.prediction = predicted(converted.file.as_slice(), core).map_err(place)?;
    }
    let packed = match arguments.target.and_then(Target::activations) {
        None if pairs => paired(&mut converted.report, &converted.file, core).map_err(place)?,
        None => None,
        Some(activations) => pack_for(activations, converted.file.as_slice())
            .map_err(|problem| place(Error::new(Class::Corrupt, problem.to_string())))?,
    };
    let file = packed.as_ref().unwrap_or(&converted.file);
    match &arguments.weights_apart {
        None => write_whole(&arguments.output, file.as_slice())?,
        Some(path) => {
            let apart::Split { file, weights } = apart::split(file.as_slice()).map_err(place)?;
            let report = &mut converted.report;
            (report.apart, report.weight_bytes) = apart::with_model(file.as_slice(), |model| {
                (apart::Apart::of(model), model.constants().len())
            })?;
            report.file_bytes = file.as_slice().len();
            write_whole(path, &weights)?;
            write_whole(&arguments.output, file.as_slice())?;
        }
    }
    if arguments.json {
        return Ok(to_json(&converted.report.to_json()));
    }
    Ok(format!(
        "{} -> {} (--match {})\n{}",
        arguments.model.display(),
        arguments.output.display(),
        options.matching.of(converted.graph.format)?.name(),
        converted.report
    ))
}

fn unsupported(message: &str) -> Error {
    Error::new(Class::UnsupportedFeature, message.to_owned())
}

/// The file with its weights in pairs, if there are such, and what that takes and gains in the report.
fn paired(
    report: &mut Report,
    file: &AlignedBytes,
    core: Option<&'static Core>,
) -> Result<Option<AlignedBytes>> {
    let packed = pack_pairs(file.as_slice())
        .map_err(|problem| Error::new(Class::Corrupt, problem.to_string()))?;
    let constants = |file: &AlignedBytes| emit::constant_bytes(file.as_slice()).unwrap_or_default();
    let before = constants(file);
    let instructions = report.prediction.as_ref().map_or(0, Prediction::instructions);
    let code = report.prediction.as_ref().map_or(0.0, |prediction| prediction.code);
    if let (Some(packed), Some(core)) = (&packed, core) {
        report.prediction = predicted(packed.as_slice(), core)?;
        report.file_bytes = packed.as_slice().len();
        report.weight_bytes += constants(packed) - before;
    }
    report.pairs = Some(Pairs {
        constants: packed.as_ref().map_or(before, constants) - before,
        plain_code: code.round() as u64,
        plain_instructions: instructions,
    });
    Ok(packed)
}

/// What the model will take on a microcontroller.
fn predicted(file: &[u8], core: &'static Core) -> Result<Option<Prediction>> {
    // Delegates have no code that anything is known of.
    let model = Model::with_delegate(file)
        .map_err(|problem| Error::new(Class::Corrupt, problem.to_string()))?;
    Ok(predict(&model, file, core))
}

/// A model compiled for the Edge TPU: as a `.tflite` model, or with the uncompiled one as its fallback
/// in a `.systole` file.
fn compiled(arguments: &Arguments, mut options: Options) -> Result<String> {
    let place = |error: Error| error.within(arguments.model.display().to_string());
    let usage = |message: &str| place(Error::new(Class::UnsupportedFeature, message));
    if arguments.quantization.asked() || arguments.fallback.is_some() {
        return Err(usage(
            "--target edgetpu takes a quantized model, which is its fallback itself",
        ));
    }
    if arguments.model.extension().is_none_or(|extension| extension != "tflite") {
        return Err(usage("--target edgetpu takes .tflite models: its compiler reads no others"));
    }
    let failed = |problem: std::io::Error| Error::new(Class::Io, problem.to_string());
    let folder = tempfile::tempdir().map_err(failed)?;
    let model = compiler::compile(&arguments.model, folder.path()).map_err(place)?;
    if arguments.output.extension().is_some_and(|extension| extension == "tflite") {
        write_whole(&arguments.output, &std::fs::read(&model).map_err(failed)?)?;
        let (from, to) = (arguments.model.display(), arguments.output.display());
        return Ok(format!("{from} -> {to} ({})\n", compiler::COMPILER));
    }
    options.fallback = Some(arguments.model.clone());
    let converted = convert_source(import_file(&model, &options).map_err(place)?, &options);
    let converted = converted.map_err(place)?;
    write_whole(&arguments.output, converted.file.as_slice())?;
    if arguments.json {
        return Ok(to_json(&converted.report.to_json()));
    }
    let (from, to) = (arguments.model.display(), arguments.output.display());
    Ok(format!("{from} -> {to} ({})\n{}", compiler::COMPILER, converted.report))
}
