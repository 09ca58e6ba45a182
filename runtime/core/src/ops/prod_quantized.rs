//! REDUCE_PROD of quantized values.
//!
//! Operands: int8 or int16 input of any shape; output of the same type, its shape without the
//! reduced axes or with ones in their place.

use systole_kernels::{
    Mismatch,
    reduce_quantized::{ProdQuantized as Kernel, prod_i8, prod_i16},
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
    /// Parameters of quantized products.
    pub struct Params {
        /// Bit `i` is set where axis `i` of the input is reduced.
        pub axes: u8,
        /// The scale of each factor, `input scale / output scale^(1/n)`: its multiplier.
        pub multiplier: i32,
        /// And its shift, -31 to 7.
        pub shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded quantized REDUCE_PROD.
pub struct ProdQuantized<'m> {
    x: Place,
    y: Place,
    dtype: DType,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for ProdQuantized<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let dtype = x.stored_dtype();
        let y = record.output(0)?.expect_type(dtype, 1)?;
        if !matches!(dtype, DType::I8 | DType::I16) {
            return Err(OperatorError::Type { operand: 0, found: dtype });
        }
        if !(-31..=7).contains(&params.shift) {
            return Err(OperatorError::Parameter(2));
        }
        let kernel = Kernel {
            reduction: reduction(&x, &y, params.axes, 1)?,
            input_offset: x.stored_zero_point().wrapping_neg(),
            multiplier: params.multiplier,
            shift: params.shift.into(),
            output: Output {
                output_offset: y.stored_zero_point(),
                activation_min: params.activation_min,
                activation_max: params.activation_max,
            },
        };
        Ok(Self { x: x.place, y: y.place, dtype, kernel, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        if self.dtype == DType::I8 {
            call!(machine, prod_i8, &self.kernel; [self.x] => self.y)
        } else {
            call!(machine, prod_i16, &self.kernel; [self.x] => self.y)
        }
    }
}
