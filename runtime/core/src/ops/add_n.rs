//! ADD_N: the sum of several int8 tensors of one shape, scale and zero point.
//!
//! Operands: at least one input and at most [`MAX_INPUTS`]; an output of the same shape.

use systole_kernels::{
    Mismatch,
    add_n::{AddN as Kernel, add_n},
};

use super::elementwise::{FixedRounding, input_scale, output_stage, with_rounding};
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

/// The most inputs that one record may have.
pub const MAX_INPUTS: usize = 16;

params! {
    /// Parameters of ADD_N.
    pub struct Params {
        /// Bits by which inputs are shifted to the left before they are scaled, at most 20.
        pub left_shift: u8,
        /// Multiplier of the inputs' scale over the common scale.
        pub input_multiplier: i32,
        /// And its shift.
        pub input_shift: i8,
        /// Multiplier of the common scale, shifted back, over the output's.
        pub output_multiplier: i32,
        /// And its shift.
        pub output_shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded ADD_N.
pub struct AddN<'m> {
    x: [Place; MAX_INPUTS],
    count: usize,
    y: Place,
    rounding: FixedRounding,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for AddN<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let count = record.input_count();
        if !(1..=MAX_INPUTS).contains(&count) || record.output_count() != 1 {
            return Err(OperatorError::OperandCount);
        }
        let params: Params = record.params();
        let y = record.output(0)?.expect_type(DType::I8, count)?;
        let first = record.input(0)?;
        let mut x = [first.place; MAX_INPUTS];
        for (index, place) in x.iter_mut().take(count).enumerate() {
            let input = record.input(index)?.expect_type(DType::I8, index)?;
            if input.shape() != y.shape() {
                return Err(OperatorError::Shape(index as u8));
            }
            *place = input.place;
        }
        if params.left_shift > 20 {
            return Err(OperatorError::Parameter(0));
        }
        Ok(Self {
            x,
            count,
            y: y.place,
            rounding: FixedRounding::decode(record)?,
            kernel: Kernel {
                input: input_scale(&first, params.input_multiplier, params.input_shift),
                left_shift: params.left_shift.into(),
                output_multiplier: params.output_multiplier,
                output_shift: params.output_shift.into(),
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let places = self.x.get(..self.count).ok_or(Mismatch)?;
        with_rounding!(self.rounding, R => {
            call!(machine, add_n::<R>, &self.kernel; each MAX_INPUTS [places] => self.y)
        })
    }
}
