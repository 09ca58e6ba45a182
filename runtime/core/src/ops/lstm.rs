//! LSTM: a layer of long short-term memory, see [`systole_kernels::lstm`].
//!
//! Operands: input `[batches, steps, inputs]` (time major: `[steps, batches, inputs]`), weights
//! `[cells, 4, inputs]`, recurrent weights `[cells, 4, cells]`, bias `[cells, 4]`, all float32; or int8
//! with int32 biases, and behind them the bias of the recurrent weights, eight multipliers (int32) and
//! eight shifts (int8): of the four gates' sums over the input, then of those over the hidden state.
//! Outputs: `[batches, steps, cells]`, and the states of that persist, `[batches, cells]`: the hidden
//! state, of the output's type and zero point, and the cell state, int16 or float32.

use systole_kernels::{
    Mismatch,
    lstm::{GATES, LstmF32, LstmI8, LstmShape, MAX_CELL_BITS, lstm_f32, lstm_i8, lstm_micro_i8},
    requantize::FixedScales,
};

use crate::{
    DType, OperatorError, Record, TensorInfo,
    call::{Machine, call},
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of LSTM.
    pub struct Params {
        /// 1 where steps are the first axis, else 0.
        pub time_major: u8,
        /// 1 where int8 is computed as TFLite Micro does, else 0: as LiteRT does.
        pub micro: u8,
        /// Of int8: integer bits of the cell state, whose scale is `2^(cell_bits - 15)`; 0 to 6.
        pub cell_bits: u8,
        /// Of int8: the cell state is held within this and its negative; 0 where it is not.
        pub cell_clip: i16,
        /// Of float32: the same.
        pub real_cell_clip: f32,
        /// Of int8: multiplier of the output, for products in Q0.30.
        pub output_multiplier: i32,
        /// And its shift.
        pub output_shift: i8,
    }
}

/// A decoded LSTM.
pub struct Lstm<'m> {
    x: Place,
    y: Place,
    hidden: Place,
    cell: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    Litert(LstmI8<'m>),
    Micro(LstmI8<'m>),
    F32(LstmF32<'m>),
}

impl<'m> Operator<'m> for Lstm<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let operand = |output: usize| record.input_count() + output;
        let x = record.input(0)?;
        let shape = shape(record, &params, &x)?;
        let rows = [x.shape().dim(0), x.shape().dim(1), shape.cells];
        let state = [shape.batches, shape.cells];
        let output = |index: usize, shape: &[usize]| {
            record.output(index)?.expect_shape(shape, operand(index))
        };
        let y = output(0, &rows)?.expect_type(x.stored_dtype(), operand(0))?;
        let hidden = output(1, &state)?.expect_type(x.stored_dtype(), operand(1))?;
        let cell = output(2, &state)?;
        for (output, state) in [(1, &hidden), (2, &cell)] {
            if !state.persists() {
                return Err(OperatorError::Passes(operand(output) as u8));
            }
        }
        if hidden.stored_zero_point() != y.stored_zero_point() {
            return Err(OperatorError::Parameter(operand(1) as u8));
        }
        let kernel = match x.stored_dtype() {
            DType::I8 => {
                record.expect_operands(7, 3)?;
                cell.expect_type(DType::I16, operand(2))?;
                let kernel = int8(record, &params, shape, &y)?;
                if params.micro != 0 { Kernel::Micro(kernel) } else { Kernel::Litert(kernel) }
            }
            DType::F32 => {
                record.expect_operands(4, 3)?;
                cell.expect_type(DType::F32, operand(2))?;
                Kernel::F32(LstmF32 {
                    shape,
                    weights: record.constant(1)?,
                    recurrent: record.constant(2)?,
                    bias: record.constant(3)?,
                    cell_clip: params.real_cell_clip,
                })
            }
            found => return Err(OperatorError::Type { operand: 0, found }),
        };
        Ok(Self { x: x.place, y: y.place, hidden: hidden.place, cell: cell.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        let weights = |input: usize| record.dims(input, 0..3);
        let steps = record.dims(0, 0..2);
        record.elements().saturating_add(steps.saturating_mul(weights(1).saturating_add(weights(2))))
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::Litert(p) => {
                call!(machine, lstm_i8, p; [self.x] => self.y, self.hidden, self.cell)
            }
            Kernel::Micro(p) => {
                call!(machine, lstm_micro_i8, p; [self.x] => self.y, self.hidden, self.cell)
            }
            Kernel::F32(p) => {
                call!(machine, lstm_f32, p; [self.x] => self.y, self.hidden, self.cell)
            }
        }
    }
}

/// The lengths, after checking the constants against each other.
fn shape(
    record: &Record<'_>,
    params: &Params,
    x: &TensorInfo<'_>,
) -> Result<LstmShape, OperatorError> {
    x.expect_rank(3, 0)?;
    let inputs = x.shape().dim(2);
    let recurrent = record.input(2)?;
    let cells = recurrent.shape().dim(2);
    recurrent.expect_shape(&[cells, GATES, cells], 2)?;
    record.input(1)?.expect_shape(&[cells, GATES, inputs], 1)?;
    record.input(3)?.expect_shape(&[cells, GATES], 3)?;
    let time_major = params.time_major != 0;
    let (first, second) = (x.shape().dim(0), x.shape().dim(1));
    let (batches, steps) = if time_major { (second, first) } else { (first, second) };
    Ok(LstmShape { batches, steps, inputs, cells, time_major })
}

fn int8<'m>(
    record: &Record<'m>,
    params: &Params,
    shape: LstmShape,
    y: &TensorInfo<'_>,
) -> Result<LstmI8<'m>, OperatorError> {
    record.input(4)?.expect_shape(&[shape.cells, GATES], 4)?;
    let scales = FixedScales { multiplier: record.constant(5)?, shift: record.constant(6)? };
    for (operand, len) in [(5, scales.multiplier.len()), (6, scales.shift.len())] {
        if len != 2 * GATES {
            return Err(OperatorError::Shape(operand));
        }
    }
    // The products of `Double` rely on it.
    if scales.multiplier.iter().chain([&params.output_multiplier]).any(|&it| it < 0) {
        return Err(OperatorError::Parameter(5));
    }
    if u32::from(params.cell_bits) > MAX_CELL_BITS {
        return Err(OperatorError::Parameter(2));
    }
    if params.cell_clip < 0 {
        return Err(OperatorError::Parameter(3));
    }
    Ok(LstmI8 {
        shape,
        weights: record.constant(1)?,
        recurrent: record.constant(2)?,
        bias: record.constant(3)?,
        recurrent_bias: record.constant(4)?,
        scales,
        cell_bits: params.cell_bits.into(),
        cell_clip: params.cell_clip,
        output_scale: (params.output_multiplier, params.output_shift.into()),
        zero_point: y.stored_zero_point(),
    })
}
