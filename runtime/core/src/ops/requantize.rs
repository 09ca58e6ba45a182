//! Another scale, zero point, range or type of quantized values: QUANTIZE between integers, RELU and
//! its relatives, and ABS.
//!
//! Operands: input and output, int8, int16 or int32, of one shape.

use systole_kernels::{
    Mismatch,
    elementary::abs,
    quantize::{Requantization, requantize, requantize_i8, requantize_in_place},
    quantized::Quantized,
};

use super::elementwise::{FixedRounding, output_stage, with_rounding};
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of a change of scale.
    pub struct Params {
        /// 0 the number, 1 its magnitude (for inputs and outputs of one type, int8 or int16).
        pub operation: u8,
        /// Multiplier of the input's scale over the output's.
        pub multiplier: i32,
        /// And its shift.
        pub shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded change of scale.
pub struct Requantize<'m> {
    x: Place,
    y: Place,
    types: (DType, DType),
    is_abs: bool,
    rounding: FixedRounding,
    kernel: Requantization,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Requantize<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        for (operand, tensor) in [&x, &y].into_iter().enumerate() {
            let found = tensor.stored_dtype();
            if !matches!(found, DType::I8 | DType::I16 | DType::I32) {
                return Err(OperatorError::Type { operand: operand as u8, found });
            }
        }
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(1));
        }
        let types = (x.stored_dtype(), y.stored_dtype());
        let is_abs = match params.operation {
            0 => false,
            1 if matches!(types, (DType::I8, DType::I8) | (DType::I16, DType::I16)) => true,
            _ => return Err(OperatorError::Parameter(0)),
        };
        Ok(Self {
            x: x.place,
            y: y.place,
            types,
            is_abs,
            rounding: FixedRounding::decode(record)?,
            kernel: Requantization {
                input_offset: -x.stored_zero_point(),
                multiplier: params.multiplier,
                shift: params.shift.into(),
                output: output_stage(&y, params.activation_min, params.activation_max),
            },
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.types {
            (DType::I8, DType::I8) if !self.is_abs => with_rounding!(self.rounding, R => {
                call!(machine, requantize_i8::<R>, &self.kernel; in place [self.x] => self.y)
            }),
            (DType::I8, DType::I8) => self.within::<i8>(machine),
            (DType::I16, DType::I16) => self.within::<i16>(machine),
            (DType::I8, DType::I16) => self.across::<i8, i16>(machine),
            (DType::I8, _) => self.across::<i8, i32>(machine),
            (DType::I16, DType::I8) => self.across::<i16, i8>(machine),
            (DType::I16, _) => self.across::<i16, i32>(machine),
            (_, DType::I8) => self.across::<i32, i8>(machine),
            (_, DType::I16) => self.across::<i32, i16>(machine),
            _ => self.within::<i32>(machine),
        }
    }
}

impl Requantize<'_> {
    /// Within one type, where the output may lie on the input.
    fn within<T: Element + Quantized>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        with_rounding!(self.rounding, R => if self.is_abs {
            call!(machine, abs::<R, T>, &self.kernel; in place [self.x] => self.y)
        } else {
            call!(machine, requantize_in_place::<R, T>, &self.kernel; in place [self.x] => self.y)
        })
    }

    fn across<X: Element + Quantized, Y: Element + Quantized>(
        &self,
        machine: &mut impl Machine,
    ) -> Result<(), Mismatch> {
        with_rounding!(self.rounding, R => {
            call!(machine, requantize::<R, X, Y>, &self.kernel; [self.x] => self.y)
        })
    }
}
