//! What a model will take on a microcontroller, before it is flashed: instructions of each layer, flash, RAM.
//!
//! The instructions of a kernel are a sum: so many for a call, so many for each row of weights, for each
//! product of a step, for each output. How often a layer has each is counted from its shapes, in the way in
//! which the kernel's loops go ([`Work`]); how many instructions each takes on a processor is in
//! `costs.toml`, which `cargo xtask fit` writes from measurements of layers that are made for it. No model that
//! anybody uses is among them. `docs/measuring.md` says how far predictions are off.

mod convolution;
mod cores;
mod costs;
mod depthwise;
mod elementwise;
mod work;

use std::fmt;

use serde_json::{Value, json};
use systole_core::{Model, Opcode, Operator, emit, format::Key};

pub use cores::{CORES, Core};
pub use costs::{Cost, Costs, Family, has_output_stage};
pub use work::Work;

/// What is predicted of a model on a processor. Sizes are bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The processor.
    pub core: &'static str,
    /// Per operator of the file.
    pub layers: Vec<Layer>,
    /// Instructions around the layers of an inference: the copy of the input, and calls.
    pub around: f64,
    /// Code and constants of the program, without the model's.
    pub code: f64,
    /// The model's constants: exact.
    pub constants: usize,
    /// The arena, which is all RAM that the model's type has: exact.
    pub arena: usize,
    /// The stack's high-water mark over a run, from `main` on.
    pub stack: f64,
}

/// What is predicted of an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name.
    pub operator: &'static str,
    /// The kernel; `None` where there are no costs of it.
    pub kernel: Option<&'static str>,
    /// Instructions, of all repetitions.
    pub instructions: Option<f64>,
}

/// The processor that a model was converted for, if the file names one that there are costs for.
pub fn target_of(model: &Model<'_>) -> Option<&'static Core> {
    let named = model.metadata().find(|entry| entry.key == Key::Target as u16)?;
    Core::find(named.text)
}

/// What the kernel of an operator does; `None` where it is none of those that there are costs for.
pub fn work(operator: &Operator<'_>, core: &Core) -> Option<Work> {
    match operator.opcode() {
        Opcode::Conv2d => convolution::conv2d(operator, core),
        Opcode::FullyConnected => convolution::fully_connected(operator, core),
        Opcode::DepthwiseConv2d => depthwise::depthwise_conv2d(operator, core),
        Opcode::AveragePool2d | Opcode::MaxPool2d => elementwise::pool_2d(operator),
        Opcode::SumQuantized => elementwise::mean(operator),
        Opcode::Add | Opcode::Mul => elementwise::binary(operator),
        Opcode::Softmax => elementwise::softmax(operator),
        Opcode::Lut | Opcode::Requantize | Opcode::Quantize | Opcode::Dequantize => {
            elementwise::by_elements(operator)
        }
        Opcode::Concatenation => elementwise::concatenation(operator),
        Opcode::Pad => elementwise::pad(operator),
        _ => None,
    }
}

/// What is around the layers of a model that is compiled in.
pub fn around(model: &Model<'_>) -> Work {
    let mut work = Work::of("run");
    work.add("input_byte", model.inputs().map(|info| info.bytes()).sum());
    work.add("operator", model.steps().count());
    work
}

/// Predicts what `model`, whose file's bytes are `file`, takes where it is compiled in with `opt-level = 3`.
/// `None` where there are no costs for the processor.
pub fn predict(model: &Model<'_>, file: &[u8], core: &'static Core) -> Option<Prediction> {
    predict_with(&Costs::read(), model, file, core)
}

/// [`predict`] with other costs than those that come with this program.
pub fn predict_with(
    costs: &Costs,
    model: &Model<'_>,
    file: &[u8],
    core: &'static Core,
) -> Option<Prediction> {
    let cost = costs.of(core)?;
    // What each operator does; what repeats others does nothing itself.
    let works: Vec<(Opcode, Option<Work>)> = (0..model.operator_count() as u16)
        .filter_map(|index| model.operator(index))
        .map(|operator| (operator.opcode(), work(&operator, core)))
        .collect();
    // The kernels, with how many layers each has.
    let mut kernels: Vec<(&'static str, usize)> = Vec::new();
    for work in works.iter().filter_map(|(_, work)| work.as_ref()) {
        match kernels.iter_mut().find(|(found, _)| *found == work.family) {
            Some((_, count)) => *count += 1,
            None => kernels.push((work.family, 1)),
        }
    }
    let layers_of = |name: &str| {
        kernels.iter().find(|(found, _)| *found == name).map_or(0, |(_, count)| *count)
    };
    let layer = |((opcode, work), times): (&(Opcode, Option<Work>), u16)| {
        let known = work.as_ref().and_then(|work| Some((work, cost.family(work.family)?)));
        let instructions = known.map(|(work, family)| {
            f64::from(times) * family.instructions_of(work, layers_of(work.family))
        });
        Layer {
            operator: opcode.name(),
            kernel: known.map(|(work, _)| work.family),
            instructions: instructions.or((*opcode == Opcode::Repeat).then_some(0.0)),
        }
    };
    let layers: Vec<Layer> = works.iter().zip(model.repetitions()).map(layer).collect();
    let run = cost.family("run")?;
    let of_kernels = |what: fn(&Family, usize) -> f64| {
        let of = |&(name, layers): &(&'static str, usize)| Some(what(cost.family(name)?, layers));
        kernels.iter().filter_map(of).collect::<Vec<f64>>()
    };
    let shared = kernels.iter().any(|(name, _)| has_output_stage(name));
    let stage = cost.family("output_stage").filter(|_| shared).map_or(0.0, |family| family.code);
    let ports = (model.input_count() + model.output_count()) as f64;
    let code = run.code
        + stage
        + of_kernels(Family::code_of).iter().sum::<f64>()
        + cost.code_per_operator * layers.len() as f64
        + cost.code_per_port * ports;
    Some(Prediction {
        core: core.name,
        around: run.instructions(&around(model)),
        code,
        constants: emit::constant_bytes(file).unwrap_or_default(),
        arena: model.arena_bytes(),
        stack: of_kernels(Family::stack_of).into_iter().fold(run.stack, f64::max),
        layers,
    })
}

impl Prediction {
    /// Instructions of an inference, without those of layers that nothing is known of.
    pub fn instructions(&self) -> u64 {
        let layers: f64 = self.layers.iter().filter_map(|layer| layer.instructions).sum();
        (layers + self.around).round() as u64
    }

    /// Layers that nothing is known of: instructions, flash and stack are at least what is predicted.
    pub fn unknown(&self) -> usize {
        self.layers.iter().filter(|layer| layer.instructions.is_none()).count()
    }

    /// Flash: code and constants.
    pub fn flash(&self) -> u64 {
        self.code.round() as u64 + self.constants as u64
    }

    /// RAM: arena and stack.
    pub fn ram(&self) -> u64 {
        self.arena as u64 + self.stack.round() as u64
    }

    /// The figures for machines; keys are part of the interface.
    pub fn to_json(&self) -> Value {
        let layer = |layer: &Layer| {
            json!({
                "operator": layer.operator,
                "kernel": layer.kernel,
                "instructions": layer.instructions.map(|count| count.round() as u64),
            })
        };
        json!({
            "target": self.core,
            "instructions": self.instructions(),
            "layers_not_known": self.unknown(),
            "flash_bytes": self.code.round() as u64,
            "model_bytes": self.constants,
            "arena_bytes": self.arena,
            "stack_bytes": self.stack.round() as u64,
            "ram_bytes": self.ram(),
            "layers": self.layers.iter().map(layer).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Prediction {
    /// Four lines: what for, and the sums.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "predicted  for {}, compiled in with opt-level = 3, from costs of kernels",
            self.core
        )?;
        let (at_least, about) = match self.unknown() {
            0 => ("about", String::new()),
            n => (
                "at least",
                format!("; of {n} of {} operators no costs are known", self.layers.len()),
            ),
        };
        writeln!(f, "  instructions  {at_least} {}{about}", self.instructions())?;
        let (flash, code) = (self.flash(), self.code.round());
        writeln!(
            f,
            "  flash         {at_least} {flash} bytes: {} of the model, exact, and {code} of code",
            self.constants
        )?;
        writeln!(
            f,
            "  RAM           {at_least} {} bytes: {} of arena, exact, and {} of stack",
            self.ram(),
            self.arena,
            self.stack.round()
        )
    }
}
