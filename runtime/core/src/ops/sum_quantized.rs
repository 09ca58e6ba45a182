//! SUM and MEAN of quantized values: a mean is a sum with the number of elements in its scale.
//!
//! Operands: int8 or int16 input of any shape, scale (see [`Record::requantize`]); output of the same
//! type, its shape without the reduced axes or with ones in their place.

use systole_kernels::{
    requantize::Requantize,
    Mismatch,
    reduce_quantized::{SumQuantized as Kernel, sum_i8, sum_i16, sum_u8},
    requantize::Output,
};

use super::reduction::reduction;
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of quantized sums and means.
    pub struct Params {
        /// Bit `i` is set where axis `i` of the input is reduced.
        pub axes: u8,
        /// 1 where the bytes of int8 tensors are read and written as uint8, as LiteRT's reference
        /// SUM does; otherwise 0.
        pub as_unsigned: u8,
        /// Added to each sum: `-input zero point × elements per sum`.
        pub acc_offset: i32,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded quantized SUM or MEAN.
pub struct SumQuantized<'m> {
    x: Place,
    y: Place,
    elements: Elements,
    kernel: Kernel<Requantize<'m>>,
}

enum Elements {
    I8,
    U8,
    I16,
}

impl<'m> Operator<'m> for SumQuantized<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let params: Params = record.params();
        let y_operand = record.input_count();
        let x = record.input(0)?;
        let y = record.output(0)?.expect_type(x.stored_dtype(), y_operand)?;
        let elements = match (x.stored_dtype(), params.as_unsigned) {
            (DType::I8, 0) => Elements::I8,
            (DType::I8, 1) => Elements::U8,
            (DType::I16, 0) => Elements::I16,
            (DType::I8 | DType::I16, _) => return Err(OperatorError::Parameter(1)),
            (found, _) => return Err(OperatorError::Type { operand: 0, found }),
        };
        let kernel = Kernel {
            reduction: reduction(&x, &y, params.axes, y_operand)?,
            acc_offset: params.acc_offset,
            requantize: record.requantize(1, 1)?,
            output: Output {
                output_offset: y.stored_zero_point(),
                activation_min: params.activation_min,
                activation_max: params.activation_max,
            },
        };
        Ok(Self { x: x.place, y: y.place, elements, kernel })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.elements {
            Elements::I8 => {
                call!(machine, sum_i8, &self.kernel; [self.x] => self.y)
            }
            Elements::U8 => {
                call!(machine, sum_u8, &self.kernel; [self.x] => self.y)
            }
            Elements::I16 => {
                call!(machine, sum_i16, &self.kernel; [self.x] => self.y)
            }
        }
    }
}
