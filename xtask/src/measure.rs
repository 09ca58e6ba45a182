//! `cargo xtask measure`: what a model costs on a microcontroller.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};
use systole_converter::{AlignedBytes, Options, load_file, macs, npz, predict};
use systole_core::Model;

use crate::{
    audit::{self, Finding},
    calibration::Calibration,
    elf::Program,
    error::{Error, Result, failed},
    firmware::{self, Opt},
    hex, jobs, qemu,
    readings::Readings,
    samples::Samples,
    source::{self, Form, symbols},
    targets::{self, Board, TARGETS, Target},
    toolchain::Toolchain,
};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// What a model's code and the firmware's may need beside the model's file; for choosing a board.
const CODE_BYTES: usize = 64 << 10;
/// The same where all operators are linked, because any file may be loaded.
const INTERPRETER_BYTES: usize = 512 << 10;
/// The same for statics and stack beside the arena.
const STACK_BYTES: usize = 4 << 10;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The processor [default: the one that the file was converted for]
    #[arg(long, value_parser = PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    target: Option<String>,
    /// The model: .tflite or .systole
    #[arg(long)]
    model: PathBuf,
    /// Inputs, of which the first samples are taken; a fixed pattern where it is left out
    #[arg(long, value_name = "X.npz")]
    input: Option<PathBuf>,
    /// Outputs that the device has to give, too
    #[arg(long, value_name = "Y.npz", requires = "input")]
    golden: Option<PathBuf>,
    /// Samples to run; instructions are those of the first
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
    /// Load the model from its file, instead of compiling it in
    #[arg(long)]
    interpreter: bool,
    /// Instructions per operator, too
    #[arg(long)]
    per_layer: bool,
    /// What the compiler optimizes for: `opt-level`
    #[arg(long, value_enum, default_value_t = Opt::Speed)]
    opt: Opt,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What is to be measured.
#[derive(Debug)]
pub struct Request<'a> {
    /// The processor.
    pub target: &'static Target,
    /// The model's file.
    pub model: &'a Path,
    /// Inputs, or a pattern.
    pub input: Option<&'a Path>,
    /// Golden outputs.
    pub golden: Option<&'a Path>,
    /// How many samples to run.
    pub samples: usize,
    /// How the model is put into the firmware.
    pub form: Form,
    /// Whether to count per operator.
    pub per_layer: bool,
    /// What the compiler optimizes for.
    pub opt: Opt,
}

/// Figures of a model on a processor. Sizes are bytes.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The processor's name.
    pub target: &'static str,
    /// QEMU's board that it ran on.
    pub board: &'static str,
    /// Compiled in or loaded.
    pub form: Form,
    /// What the compiler optimized for.
    pub opt: Opt,
    /// Which toolchain built it.
    pub toolchain: Toolchain,
    /// Instructions of an inference.
    pub instructions: u64,
    /// Those of validating the file; only where it is loaded.
    pub load_instructions: Option<u64>,
    /// Multiply-accumulates of an inference.
    pub macs: u64,
    /// Code, constants and initial data, without the model's bytes and the samples.
    pub flash: u64,
    /// Of which are the measuring parts and the start-up code.
    pub harness: u64,
    /// The model's bytes in the program: its constants, or its whole file.
    pub model: u64,
    /// The whole `.systole` file.
    pub file: u64,
    /// The arena.
    pub arena: u64,
    /// Other statics.
    pub statics: u64,
    /// The stack's high-water mark over a run, from the stack's top.
    pub stack: u64,
    /// Per sample, per output.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// Whether they equal those of the host's session.
    pub outputs_match: bool,
    /// Whether they equal the golden ones; `None` where there are none.
    pub golden_match: Option<bool>,
    /// Per operator, where asked for.
    pub layers: Option<Vec<Layer>>,
    /// What should not be in the program.
    pub findings: Vec<Finding>,
}

/// Figures of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub operator: &'static str,
    /// Instructions of a run.
    pub instructions: u64,
    /// Multiply-accumulates of a run.
    pub macs: u64,
}

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let target = target(arguments)?;
    let measured = measure(&Request {
        target,
        model: &arguments.model,
        input: arguments.input.as_deref(),
        golden: arguments.golden.as_deref(),
        samples: arguments.samples.into(),
        form: if arguments.interpreter { Form::Interpreter } else { Form::Compiled },
        per_layer: arguments.per_layer,
        opt: arguments.opt,
    })?;
    let text = if arguments.json {
        let mut value = measured.to_value();
        value["model"] = json!(arguments.model.display().to_string());
        format!("{value:#}\n")
    } else {
        measured.to_string()
    };
    jobs::check(&measured).inspect_err(|_| print!("{text}"))?;
    Ok(text)
}

/// The processor that is named, or that the file names.
fn target(arguments: &Arguments) -> Result<&'static Target> {
    if let Some(name) = &arguments.target {
        return targets::find(name).ok_or_else(|| Error::Usage(format!("no target {name}")));
    }
    let file = load_file(&arguments.model, &Options::default())?;
    let model = Model::from_bytes(file.as_slice())
        .map_err(|problem| failed!("{}: {problem}", arguments.model.display()))?;
    let core = predict::target_of(&model).and_then(|core| targets::find(core.name));
    core.ok_or_else(|| {
        Error::Usage("--target is missing, and the model was converted for none".into())
    })
}

/// Builds, runs and counts.
///
/// # Errors
/// Where the model is refused, does not fit the target's boards, or the firmware is not built or
/// does not run. Outputs that differ are no error here.
pub fn measure(request: &Request<'_>) -> Result<Measurement> {
    let file = load_file(request.model, &Options::default())?;
    let model = Model::from_bytes(file.as_slice())
        .map_err(|problem| failed!("{}: {problem}", request.model.display()))?;
    let board = board(request.target, &model, file.as_slice().len(), request.form)?;
    let inputs = request.input.map(npz::read).transpose()?;
    let samples = Samples::new(&model, inputs, request.samples)?;

    let measured = run(request, board, &model, &file, &samples, false)?;
    let layers = if request.per_layer {
        let with_hooks = run(request, board, &model, &file, &samples, true)?;
        Some(layers(&model, &with_hooks, board)?)
    } else {
        None
    };
    let Run { readings, calibration, program, harness, toolchain, .. } = &measured;

    let stack = u64::from(readings.stack.ok_or_else(|| failed!("no stack was measured"))?);
    if stack >= measured.stack_room {
        return Err(failed!(
            "the stack has met the statics on {}: the RAM does not suffice",
            board.name
        ));
    }
    let count = |name: &str| {
        readings.counts(name).next().map(|count| calibration.instructions(board.counter, count))
    };
    let outputs = outputs(&model, readings, request)?;
    let golden = request.golden.map(npz::read).transpose()?;
    Ok(Measurement {
        target: request.target.name,
        board: board.name,
        form: request.form,
        opt: request.opt,
        toolchain: *toolchain,
        instructions: count("count").ok_or_else(|| failed!("nothing was counted"))?,
        load_instructions: count("load"),
        macs: model.macs(),
        flash: program.flash()
            - program.size_of(|name| symbols::is_model(name) || symbols::is_input(name)),
        harness: harness.flash(),
        model: program.size_of(symbols::is_model),
        file: file.as_slice().len() as u64,
        arena: model.arena_bytes() as u64,
        statics: program.statics() - program.size_of(symbols::is_arena),
        stack,
        outputs_match: outputs == samples.outputs,
        golden_match: golden.map(|golden| {
            outputs.iter().enumerate().all(|(sample, outputs)| {
                golden.len() == outputs.len()
                    && golden.iter().all(|array| {
                        outputs.iter().any(|bytes| array.sample(sample) == Some(bytes))
                    })
            })
        }),
        outputs,
        layers,
        findings: audit::findings(program, &[]),
    })
}

/// A firmware that has been built and run.
struct Run {
    readings: Readings,
    calibration: Calibration,
    program: Program,
    harness: Program,
    toolchain: Toolchain,
    /// RAM that the statics leave for the stack.
    stack_room: u64,
}

fn run(
    request: &Request<'_>,
    board: &Board,
    model: &Model<'_>,
    file: &AlignedBytes,
    samples: &Samples,
    layers: bool,
) -> Result<Run> {
    let Request { target, opt, form, .. } = *request;
    let built = firmware::build(target, board, opt, form, file.as_slice(), |path| {
        source::write(model, file.as_slice(), path, samples, form, layers)
    })?;
    let calibration = qemu::run(board, &built.harness, LIMIT)?;
    let program = Program::read(&built.model)?;
    let stack_room = program.stack_room.unwrap_or(u64::MAX);
    Ok(Run {
        calibration: Calibration::new(board.counter, &Readings::parse(&calibration)?)?,
        readings: Readings::parse(&qemu::run(board, &built.model, LIMIT)?)?,
        program,
        harness: Program::read(&built.harness)?,
        toolchain: built.toolchain,
        stack_room,
    })
}

/// The first of the target's boards that has the memory.
fn board(
    target: &'static Target,
    model: &Model<'_>,
    file: usize,
    form: Form,
) -> Result<&'static Board> {
    let code = match form {
        Form::Compiled => CODE_BYTES,
        Form::Interpreter => INTERPRETER_BYTES,
    };
    let (flash, ram) = (file + code, model.arena_bytes() + STACK_BYTES);
    let fits = |board: &&Board| board.flash >= flash && board.ram >= ram;
    target.boards.iter().find(fits).ok_or_else(|| {
        failed!(
            "no board of {} has the {flash} bytes of flash and {ram} of RAM that the model may need",
            target.name
        )
    })
}

/// Sample by sample, as users see them.
fn outputs(
    model: &Model<'_>,
    readings: &Readings,
    request: &Request<'_>,
) -> Result<Vec<Vec<Vec<u8>>>> {
    let (ports, found) = (model.output_count(), readings.outputs.len());
    if found != ports * request.samples {
        return Err(failed!("{found} outputs were printed for {} samples", request.samples));
    }
    let mut outputs: Vec<Vec<Vec<u8>>> =
        readings.outputs.chunks(ports.max(1)).map(<[_]>::to_vec).collect();
    // A session shows uint8 as the int8 that it is stored as.
    if request.form == Form::Interpreter {
        for sample in &mut outputs {
            for (bytes, info) in sample.iter_mut().zip(model.outputs()) {
                let flip = info.sign_flip();
                bytes.iter_mut().for_each(|byte| *byte ^= flip);
            }
        }
    }
    Ok(outputs)
}

/// Differences between readings, without the reading itself.
fn layers(model: &Model<'_>, run: &Run, board: &Board) -> Result<Vec<Layer>> {
    let count = |count: crate::readings::Count| run.calibration.instructions(board.counter, count);
    let pair: Vec<u64> = run.readings.counts("reading").map(count).collect();
    let &[first, second] = pair.as_slice() else {
        return Err(failed!("the firmware did not measure its readings"));
    };
    let readings: Vec<u64> = run.readings.counts("layer").map(count).collect();
    let steps: Vec<u16> = model.steps().collect();
    if readings.len() != steps.len() + 1 {
        return Err(failed!("{} readings for {} steps", readings.len(), steps.len()));
    }
    let layer = |(index, times): (u16, u16)| {
        let operator = model.operator(index)?;
        let of_it = readings.windows(2).zip(&steps).filter(|&(_, &step)| step == index);
        let taken = of_it.map(|(pair, _)| pair.iter().rev().copied().reduce(u64::saturating_sub));
        let instructions = taken.flatten().map(|taken| taken.saturating_sub(second - first)).sum();
        let macs = u64::from(times) * macs::of(&operator);
        Some(Layer { operator: operator.opcode().name(), instructions, macs })
    };
    Ok((0..).zip(model.repetitions()).filter_map(layer).collect())
}

impl Measurement {
    /// All RAM.
    pub fn ram(&self) -> u64 {
        self.arena + self.statics + self.stack
    }

    /// Instructions per multiply-accumulate; `None` where there are none.
    pub fn per_mac(&self) -> Option<f64> {
        (self.macs > 0).then(|| self.instructions as f64 / self.macs as f64)
    }

    /// The figures; the keys are part of the interface.
    pub fn to_value(&self) -> Value {
        let digits = |bytes: &Vec<u8>| hex::encode(bytes);
        let outputs: Vec<Vec<String>> =
            self.outputs.iter().map(|sample| sample.iter().map(digits).collect()).collect();
        let mut value = json!({
            "target": self.target,
            "board": self.board,
            "path": self.form.name(),
            "opt_level": self.opt.level(),
            "toolchain": self.toolchain.name(),
            "instructions": self.instructions,
            "macs": self.macs,
            "instructions_per_mac": self.per_mac(),
            "flash_bytes": self.flash,
            "harness_bytes": self.harness,
            "model_bytes": self.model,
            "file_bytes": self.file,
            "arena_bytes": self.arena,
            "static_bytes": self.statics,
            "stack_bytes": self.stack,
            "ram_bytes": self.ram(),
            "outputs": outputs,
            "outputs_match": self.outputs_match,
            "golden_match": self.golden_match,
        });
        if let Some(load) = self.load_instructions {
            value["load_instructions"] = json!(load);
        }
        if let Some(layers) = &self.layers {
            let rows = layers.iter().enumerate().map(|(index, layer)| {
                json!({
                    "index": index,
                    "operator": layer.operator,
                    "instructions": layer.instructions,
                    "macs": layer.macs,
                })
            });
            value["layers"] = rows.collect();
        }
        value
    }
}

impl std::fmt::Display for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_mac = self.per_mac().map_or(String::new(), |n| format!(", {n:.2} per MAC"));
        let says = |equal: bool| if equal { "equal" } else { "DIFFERENT" };
        writeln!(f, "target        {} on {}, {}", self.target, self.board, self.toolchain.name())?;
        writeln!(f, "model         {}, opt-level {}", self.form.name(), self.opt.level())?;
        writeln!(f, "instructions  {}{per_mac}", self.instructions)?;
        if let Some(load) = self.load_instructions {
            writeln!(f, "loading       {load} instructions, once")?;
        }
        let (flash, model, harness) = (self.flash, self.model, self.harness);
        writeln!(f, "flash         {flash} + {model} of the model; {harness} are the harness's")?;
        let Self { arena, statics, stack, .. } = self;
        writeln!(
            f,
            "RAM           {} = {arena} arena + {statics} static + {stack} stack",
            self.ram()
        )?;
        write!(f, "outputs       {} to the host's", says(self.outputs_match))?;
        match self.golden_match {
            Some(golden) => writeln!(f, ", {} to the golden ones", says(golden))?,
            None => writeln!(f)?,
        }
        for (index, layer) in self.layers.iter().flatten().enumerate() {
            let Layer { operator, instructions, macs } = layer;
            let per_mac = if *macs > 0 {
                format!("{:>8.2} per MAC", *instructions as f64 / *macs as f64)
            } else {
                String::new()
            };
            writeln!(f, "{index:>5}  {operator:<20} {instructions:>12}{per_mac}")?;
        }
        Ok(())
    }
}
