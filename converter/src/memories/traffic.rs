//! Bytes that an inference reads and writes, of each buffer and of each layer's weights, from the structure of
//! the kernels for microcontrollers (`docs/kernels.md`).
//!
//! Most operators read each operand once and write each output once. Others read more:
//!
//! | operator | its input is read | its weights are read |
//! | --- | --- | --- |
//! | CONV_2D | once for each window that it is in; again for each 16 filters where windows are long | once for each 4 positions |
//! | DEPTHWISE_CONV_2D | once for each row of windows that it is in | once |
//! | FULLY_CONNECTED | once for each 32 outputs | once; of several rows of input once for each 4 |
//! | pooling | once for each window that it is in | |
//! | LSTM | once; its states once for each step, and they are written as often | once for each step |
//!
//! A core of its own may do otherwise: Helium reads weights of convolutions once for 2 positions.

use std::collections::BTreeMap;

use systole_core::{
    Model, Opcode, Operator, TensorInfo,
    format::{PARAMS_BYTES, Params},
    ops::{lstm, pool, repeat},
};

use crate::{
    arena::Layout,
    lower::{Instruction, Program, SlotId, Source},
};

/// Positions whose windows pass by a row of weights together.
const POSITIONS: u64 = 4;
/// Elements of windows that are widened once for all filters.
const DEPTH: u64 = 96;
/// Filters that a longer window is widened for.
const FILTERS: u64 = 16;
/// Outputs of a fully connected layer that its input is widened for.
const OUTPUTS: u64 = 32;

/// What an inference reads and writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Bytes by buffer, what users write and read included.
    pub buffers: Vec<u64>,
    /// Bytes by the slot of weights that kernels read where they are told to.
    pub weights: BTreeMap<SlotId, u64>,
}

impl Traffic {
    /// The traffic of a program.
    pub fn of(program: &Program, layout: &Layout) -> Self {
        let buffers = vec![0; layout.buffers.len()];
        let mut counted =
            Counting { program, layout, traffic: Self { buffers, weights: BTreeMap::new() } };
        let (mut left, mut times) = (0, 1);
        for instruction in &program.instructions {
            if instruction.opcode == Opcode::Repeat {
                let repeat::Params { count, body } = Params::read(&instruction.params);
                (left, times) = (body, u64::from(count));
                continue;
            }
            counted.instruction(instruction, if left > 0 { times } else { 1 });
            left = left.saturating_sub(1);
        }
        program.inputs.iter().chain(&program.outputs).for_each(|&slot| counted.touch(slot, 1, 1));
        counted.traffic
    }
}

/// Whether kernels read an operand of an operator where it is resident.
pub(super) fn is_weights(opcode: Opcode, operand: usize) -> bool {
    match opcode {
        Opcode::Conv2d | Opcode::DepthwiseConv2d | Opcode::FullyConnected => operand == 1,
        Opcode::Lstm => operand == 1 || operand == 2,
        _ => false,
    }
}

struct Counting<'a> {
    program: &'a Program,
    layout: &'a Layout,
    traffic: Traffic,
}

impl Counting<'_> {
    fn instruction(&mut self, instruction: &Instruction, runs: u64) {
        let Instruction { opcode, inputs, outputs, params, .. } = instruction;
        let (opcode, count) = (*opcode, inputs.len());
        let slots = &self.program.slots;
        let dims = |slot: Option<&SlotId>| -> Vec<u64> {
            let shape = slot.map(|slot| &slots[slot.0].shape);
            shape.into_iter().flatten().map(|&dim| dim as u64).collect()
        };
        let input = |index: usize| dims(inputs.get(index).and_then(Option::as_ref));
        let packed = input(1).len() == 1 && outputs.len() > 1;
        let w = if packed { dims(outputs.get(1)) } else { input(1) };
        let reads = Shapes { opcode, params, x: input(0), w, y: dims(outputs.first()) }.reads();
        let operands = inputs.iter().copied().chain(outputs.iter().map(|&slot| Some(slot)));
        for (operand, slot) in operands.enumerate() {
            let Some(slot) = slot else { continue };
            if operand < count && is_weights(opcode, operand) {
                self.weights(slot, runs.saturating_mul(reads.weights));
            }
            let (part, of) = reads.of_operand(opcode, operand, count);
            self.touch(slot, runs.saturating_mul(part), of);
        }
    }

    /// `part / of` times the bytes of a slot.
    fn touch(&mut self, slot: SlotId, part: u64, of: u64) {
        let arena =
            !matches!(self.program.slots[self.program.root(slot).0].source, Source::Constant(_));
        if let Some(buffer) = self.layout.buffer_of[slot.0].filter(|_| arena) {
            let bytes = bytes(self.program.slots[slot.0].bytes(), part, of);
            let touched = &mut self.traffic.buffers[buffer];
            *touched = touched.saturating_add(bytes);
        }
    }

    fn weights(&mut self, slot: SlotId, times: u64) {
        let root = self.program.root(slot);
        // A part of a constant is written as a constant of its own only where it is one.
        if root == slot && matches!(self.program.slots[slot.0].source, Source::Constant(_)) {
            let bytes = bytes(self.program.slots[slot.0].bytes(), times, 1);
            let touched = self.traffic.weights.entry(slot).or_default();
            *touched = touched.saturating_add(bytes);
        }
    }
}

/// How often a kernel reads its first input, `input / of` times, and its weights.
struct Reads {
    input: u64,
    of: u64,
    weights: u64,
}

/// An operator as its record has it.
struct Shapes<'a> {
    opcode: Opcode,
    params: &'a [u8; PARAMS_BYTES],
    x: Vec<u64>,
    /// Those of weights, or of what they are unpacked into.
    w: Vec<u64>,
    y: Vec<u64>,
}

fn product(dims: &[u64]) -> u64 {
    dims.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim))
}

impl Shapes<'_> {
    fn reads(&self) -> Reads {
        self.more().unwrap_or(Reads { input: 1, of: 1, weights: 1 })
    }

    /// `None` for operators that read once, and shapes that none has.
    fn more(&self) -> Option<Reads> {
        let Self { opcode, params, x, w, y } = self;
        let all = product(x).max(1);
        Some(match opcode {
            Opcode::Conv2d => {
                let (&[filters, kernel_h, kernel_w, depth], &[batches, height, width, _]) =
                    (w.first_chunk()?, y.first_chunk()?);
                let window = product(&[kernel_h, kernel_w, depth]);
                let groups = x.get(3)?.checked_div(depth)?;
                let of_group = filters.checked_div(groups)?;
                let turns = if window > DEPTH { of_group.div_ceil(FILTERS) } else { 1 };
                let input = product(&[batches, height, width, window, groups, turns]);
                let weights = height.saturating_mul(width).div_ceil(POSITIONS);
                Reads { input, of: all, weights: weights.saturating_mul(batches) }
            }
            Opcode::DepthwiseConv2d => {
                let (kernel_h, rows) = (w.get(1)?, y.get(1)?);
                Reads { input: kernel_h.saturating_mul(*rows), of: *x.get(1)?, weights: 1 }
            }
            Opcode::FullyConnected => {
                let (&outputs, &depth) = (w.first()?, w.last()?);
                let rows = product(x).checked_div(depth)?;
                Reads { input: outputs.div_ceil(OUTPUTS), of: 1, weights: rows.div_ceil(POSITIONS) }
            }
            Opcode::AveragePool2d | Opcode::MaxPool2d | Opcode::L2Pool2d => {
                let [height, width] = pool::Params::read(params).kernel.map(u64::from);
                Reads { input: product(&[product(y), height, width]), of: all, weights: 1 }
            }
            Opcode::Lstm => {
                let first = lstm::Params::read(params).time_major != 0;
                let steps = *x.get(usize::from(!first))?;
                Reads { input: 1, of: 1, weights: steps }
            }
            _ => return None,
        })
    }
}

/// Bytes that an inference of a file reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divided {
    /// Of tensors, by arena.
    pub arenas: Vec<u64>,
    /// Of weights that are resident, by arena.
    pub weights: Vec<u64>,
    /// Of weights that are read in flash.
    pub flash: u64,
}

impl Divided {
    /// The traffic of a model.
    pub fn of(model: &Model<'_>) -> Self {
        let mut divided = Self {
            arenas: vec![0; model.arenas().len()],
            weights: vec![0; model.arenas().len()],
            flash: 0,
        };
        for (op, times) in (0..model.operator_count() as u16).zip(model.repetitions()) {
            if let Some(operator) = model.operator(op) {
                divided.operator(model, &operator, times.into());
            }
        }
        model.inputs().chain(model.outputs()).for_each(|info| divided.touch(&info, 1, 1));
        divided
    }

    fn operator(&mut self, model: &Model<'_>, operator: &Operator<'_>, runs: u64) {
        let record = operator.record();
        let Some(params) = record.params_bytes().first_chunk() else { return };
        let count = record.input_count();
        let tensor = |operand| record.operand(operand).and_then(|tensor| model.tensor(tensor));
        let dims = |info: &TensorInfo<'_>| -> Vec<u64> {
            info.shape().dims().iter().map(|&dim| dim.into()).collect()
        };
        let shape = |operand| tensor(operand).map(|info| dims(&info)).unwrap_or_default();
        let (opcode, stored) = (operator.opcode(), shape(1));
        let packed = stored.len() == 1 && record.output_count() > 1;
        let w = if packed { shape(count + 1) } else { stored };
        let reads = Shapes { opcode, params, x: shape(0), w, y: shape(count) }.reads();
        for operand in 0..count + record.output_count() {
            let Some(info) = tensor(operand) else { continue };
            if operand < count && is_weights(opcode, operand) {
                let bytes = bytes(info.bytes(), runs.saturating_mul(reads.weights), 1);
                let resident = model.resident(info.index());
                let sum = match resident {
                    Some((arena, _)) => self.weights.get_mut(arena),
                    None => Some(&mut self.flash).filter(|_| info.is_constant()),
                };
                sum.into_iter().for_each(|sum| *sum = sum.saturating_add(bytes));
            }
            let (part, of) = reads.of_operand(opcode, operand, count);
            self.touch(&info, runs.saturating_mul(part), of);
        }
    }

    fn touch(&mut self, info: &TensorInfo<'_>, part: u64, of: u64) {
        let tensors = self.arenas.get_mut(info.arena()).filter(|_| !info.is_constant());
        if let Some(tensors) = tensors {
            *tensors = tensors.saturating_add(bytes(info.bytes(), part, of));
        }
    }
}

/// `part / of` times so many bytes.
fn bytes(bytes: usize, part: u64, of: u64) -> u64 {
    (bytes as u64).saturating_mul(part).checked_div(of).unwrap_or(0)
}

impl Reads {
    /// How often an operand that is no constant is read or written: `part / of` times.
    fn of_operand(&self, opcode: Opcode, operand: usize, inputs: usize) -> (u64, u64) {
        match operand {
            0 => (self.input, self.of),
            // A state is read and written.
            _ if opcode == Opcode::Lstm && operand > inputs => (self.weights.saturating_mul(2), 1),
            _ => (1, 1),
        }
    }
}
