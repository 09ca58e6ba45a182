//! CUMSUM: running sums along an axis.
//!
//! Operands: int8, int32, int64 or float32 input; output of the same type and shape.

use systole_kernels::{
    Mismatch,
    cumsum::{CumSum as Kernel, CumSumScales, cumsum, cumsum_i8},
    reduce::Number,
    requantize::Output,
};

use super::axis::axis;
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of CUMSUM.
    pub struct Params {
        /// The axis, counted from the outermost.
        pub axis: u8,
        /// 1 where an element is left out of its own sum.
        pub exclusive: u8,
        /// 1 where sums run from the end to the start.
        pub reverse: u8,
        /// Of int8: bits by which elements are widened, 0 to 23.
        pub left_shift: u8,
        /// Of int8: the scale of widened elements: its multiplier.
        pub input_multiplier: i32,
        /// And its shift, -31 to 0.
        pub input_shift: i8,
        /// Of int8: the scale of sums: its multiplier.
        pub output_multiplier: i32,
        /// And its shift, -31 to 30.
        pub output_shift: i8,
        /// Of int8: smallest output value.
        pub activation_min: i32,
        /// Of int8: largest output value.
        pub activation_max: i32,
    }
}

/// A decoded CUMSUM.
pub struct CumSum<'m> {
    x: Place,
    y: Place,
    kernel: Kernel,
    elements: Elements,
    model: core::marker::PhantomData<&'m ()>,
}

enum Elements {
    I8(CumSumScales),
    I32,
    I64,
    F32,
}

impl<'m> Operator<'m> for CumSum<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let y = record.output(0)?.expect_type(x.stored_dtype(), 1)?;
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        let flag = |value: u8, field: u8| match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(OperatorError::Parameter(field)),
        };
        let kernel = Kernel {
            axis: axis(&x, params.axis)?,
            exclusive: flag(params.exclusive, 1)?,
            reverse: flag(params.reverse, 2)?,
        };
        let elements = match x.stored_dtype() {
            DType::I8 => {
                if params.left_shift > 23 {
                    return Err(OperatorError::Parameter(3));
                }
                if !(-31..=0).contains(&params.input_shift) {
                    return Err(OperatorError::Parameter(5));
                }
                if !(-31..=30).contains(&params.output_shift) {
                    return Err(OperatorError::Parameter(7));
                }
                Elements::I8(CumSumScales {
                    input_offset: x.stored_zero_point().wrapping_neg(),
                    left_shift: params.left_shift.into(),
                    input_multiplier: params.input_multiplier,
                    input_shift: params.input_shift.into(),
                    output_multiplier: params.output_multiplier,
                    output_shift: params.output_shift.into(),
                    output: Output {
                        output_offset: y.stored_zero_point(),
                        activation_min: params.activation_min,
                        activation_max: params.activation_max,
                    },
                })
            }
            DType::I32 => Elements::I32,
            DType::I64 => Elements::I64,
            DType::F32 => Elements::F32,
            found => return Err(OperatorError::Type { operand: 0, found }),
        };
        let (x, y) = (x.place, y.place);
        Ok(Self { x, y, kernel, elements, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.elements {
            Elements::I8(scales) => {
                call!(machine, cumsum_i8, &self.kernel, scales; [self.x] => self.y)
            }
            Elements::I32 => self.numbers::<i32>(machine),
            Elements::I64 => self.numbers::<i64>(machine),
            Elements::F32 => self.numbers::<f32>(machine),
        }
    }
}

impl CumSum<'_> {
    fn numbers<T: Number + Element>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        call!(machine, cumsum::<T>, &self.kernel; [self.x] => self.y)
    }
}
