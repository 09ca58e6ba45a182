//! SOFTMAX: exponentials over the last axis, divided by their sum.
//!
//! Operands: input `[…, depth]`: int8, int16 or float32; for int16 also two int16 tables of 513
//! values, `exp` over [-10, 0] and `1 / (1 + v)` over [0, 1], both Q0.15. Output of the same shape,
//! of the input's type, or int16 for int8.

use systole_kernels::{
    Mismatch,
    softmax::{
        SoftmaxF32, SoftmaxI8, SoftmaxI16, softmax_f32, softmax_i8, softmax_i8_i16, softmax_i16,
    },
};

use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

/// The length of a table: 512 intervals and their end.
const TABLE: usize = 513;

params! {
    /// Parameters of SOFTMAX.
    pub struct Params {
        /// Of int8, `β × input scale` as a Q5.26 number; of int16, `β × input scale` in units of
        /// 10 / 65535: its multiplier.
        pub input_multiplier: i32,
        /// And its shift: 0 to 31 of int8, -31 to 30 of int16.
        pub input_shift: i8,
        /// Of int8: differences from the maximum below this count as probability zero; not positive.
        pub diff_min: i32,
        /// Of float32: the factor in the exponent.
        pub beta: f32,
    }
}

/// A decoded SOFTMAX.
pub struct Softmax<'m> {
    x: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(SoftmaxI8),
    I8ToI16(SoftmaxI8),
    I16(SoftmaxI16<'m>),
    F32(SoftmaxF32),
}

impl<'m> Operator<'m> for Softmax<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        let y_operand = record.input_count();
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(y_operand as u8));
        }
        let depth = x.shape().last();
        let rows = x.len().checked_div(depth).ok_or(OperatorError::Shape(0))?;
        let (input_multiplier, input_shift) = (params.input_multiplier, params.input_shift.into());
        let int8 = || {
            record.expect_operands(1, 1)?;
            if !(0..=31).contains(&input_shift) {
                return Err(OperatorError::Parameter(1));
            }
            if params.diff_min > 0 {
                return Err(OperatorError::Parameter(2));
            }
            let (input_left_shift, diff_min) = (input_shift, params.diff_min);
            Ok(SoftmaxI8 { rows, depth, input_multiplier, input_left_shift, diff_min })
        };
        let kernel = match (x.stored_dtype(), y.stored_dtype()) {
            (DType::I8, DType::I8) => Kernel::I8(int8()?),
            (DType::I8, DType::I16) => Kernel::I8ToI16(int8()?),
            (DType::I16, DType::I16) => {
                record.expect_operands(3, 1)?;
                let table = |operand: usize| -> Result<&'m [i16], OperatorError> {
                    let table: &[i16] = record.constant(operand)?;
                    let fits = table.len() == TABLE;
                    fits.then_some(table).ok_or(OperatorError::Shape(operand as u8))
                };
                let (exp_lut, reciprocal_lut) = (table(1)?, table(2)?);
                Kernel::I16(SoftmaxI16 {
                    rows,
                    depth,
                    input_multiplier,
                    input_shift,
                    exp_lut,
                    reciprocal_lut,
                })
            }
            (DType::F32, DType::F32) => {
                record.expect_operands(1, 1)?;
                Kernel::F32(SoftmaxF32 { rows, depth, beta: params.beta })
            }
            (DType::I8 | DType::I16 | DType::F32, found) => {
                return Err(OperatorError::Type { operand: y_operand as u8, found });
            }
            (found, _) => return Err(OperatorError::Type { operand: 0, found }),
        };
        Ok(Self { x: x.place, y: y.place, kernel })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, softmax_i8, kernel; [self.x] => self.y)
            }
            Kernel::I8ToI16(kernel) => {
                call!(machine, softmax_i8_i16, kernel; [self.x] => self.y)
            }
            Kernel::I16(kernel) => {
                call!(machine, softmax_i16, kernel; [self.x] => self.y)
            }
            Kernel::F32(kernel) => {
                call!(machine, softmax_f32, kernel; [self.x] => self.y)
            }
        }
    }
}
