//! PRELU: negative numbers are multiplied by slopes that broadcast.
//!
//! Operands: input and slopes, int8, float32, or int16 with slopes of int8 or int16; output of the
//! input's type and shape.

use systole_kernels::{
    Mismatch,
    broadcast::Walk,
    leaky_relu::{Prelu as Kernel, Scale, prelu, prelu_f32},
    quantized::Quantized,
};

use super::elementwise::{FixedRounding, output_stage, walk, with_rounding};
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of PRELU; float32 has none.
    pub struct Params {
        /// Multiplier of the input's scale over the output's.
        pub identity_multiplier: i32,
        /// And its shift.
        pub identity_shift: i8,
        /// Multiplier of the same times the slopes' scale.
        pub product_multiplier: i32,
        /// And its shift.
        pub product_shift: i8,
        /// Smallest output value.
        pub activation_min: i32,
        /// Largest output value.
        pub activation_max: i32,
    }
}

/// A decoded PRELU.
pub struct Prelu<'m> {
    x: Place,
    alpha: Place,
    y: Place,
    walk: Walk<2>,
    types: (DType, DType),
    quantized: Option<(FixedRounding, Kernel)>,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Prelu<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(2, 1)?;
        let params: Params = record.params();
        let (x, alpha) = (record.input(0)?, record.input(1)?);
        let y = record.output(0)?.expect_type(x.stored_dtype(), 2)?;
        let walk = walk([&x, &alpha], &y)?;
        if !walk.may_be_in_place(0) {
            return Err(OperatorError::Shape(1));
        }
        let types = (x.stored_dtype(), alpha.stored_dtype());
        let quantized = match types {
            (DType::F32, DType::F32) => None,
            (DType::I8, DType::I8) | (DType::I16, DType::I8 | DType::I16) => {
                let kernel = Kernel {
                    input_offset: -x.stored_zero_point(),
                    alpha_offset: -alpha.stored_zero_point(),
                    identity: Scale {
                        multiplier: params.identity_multiplier,
                        shift: params.identity_shift.into(),
                    },
                    product: Scale {
                        multiplier: params.product_multiplier,
                        shift: params.product_shift.into(),
                    },
                    output: output_stage(&y, params.activation_min, params.activation_max),
                };
                Some((FixedRounding::decode(record)?, kernel))
            }
            (_, found) => return Err(OperatorError::Type { operand: 1, found }),
        };
        Ok(Self {
            x: x.place,
            alpha: alpha.place,
            y: y.place,
            walk,
            types,
            quantized,
            model: core::marker::PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Some((rounding, kernel)) = &self.quantized else {
            return call!(machine, prelu_f32, &self.walk; [self.x, self.alpha] => self.y);
        };
        match self.types {
            (DType::I8, _) => self.call::<i8, i8>(machine, *rounding, kernel),
            (_, DType::I8) => self.call::<i16, i8>(machine, *rounding, kernel),
            _ => self.call::<i16, i16>(machine, *rounding, kernel),
        }
    }
}

impl Prelu<'_> {
    fn call<T: Element + Quantized, A: Element + Quantized>(
        &self,
        machine: &mut impl Machine,
        rounding: FixedRounding,
        kernel: &Kernel,
    ) -> Result<(), Mismatch> {
        with_rounding!(rounding, R => {
            call!(machine, prelu::<R, T, A>, kernel, &self.walk; [self.x, self.alpha] => self.y)
        })
    }
}
