//! What elementwise operators share: operands that broadcast, outputs that lie on an operand, and
//! the fixed-point roundings.

use systole_kernels::{
    add::InputScale,
    broadcast::{Walk, broadcast_shape},
    requantize::Output,
};

use crate::{DType, OperatorError, Record, TensorInfo, format::RoundingCode, memory::Place};

/// A rounding that elementwise operators take.
#[derive(Debug, Clone, Copy)]
pub(super) enum FixedRounding {
    Double,
    Single,
}

impl FixedRounding {
    pub(super) fn decode(record: &Record<'_>) -> Result<Self, OperatorError> {
        match record.rounding()? {
            RoundingCode::Double => Ok(Self::Double),
            RoundingCode::Single => Ok(Self::Single),
            other => Err(OperatorError::Rounding(other as u8)),
        }
    }
}

/// Evaluates `$body` with `$R` standing for the rounding's type, so that a kernel is compiled once
/// per rounding.
macro_rules! with_rounding {
    ($rounding:expr, $R:ident => $body:expr) => {
        match $rounding {
            $crate::ops::elementwise::FixedRounding::Double => {
                type $R = systole_kernels::requantize::Double;
                $body
            }
            $crate::ops::elementwise::FixedRounding::Single => {
                type $R = systole_kernels::requantize::Single;
                $body
            }
        }
    };
}
pub(super) use with_rounding;

/// An input of the output's type and shape, on which the output may lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unary {
    pub(super) x: Place,
    pub(super) y: Place,
    pub(super) dtype: DType,
}

impl Unary {
    /// The operands of a record with `inputs` inputs, of which the first is the one.
    pub(super) fn decode<'m>(
        record: &Record<'m>,
        inputs: usize,
    ) -> Result<(Self, TensorInfo<'m>, TensorInfo<'m>), OperatorError> {
        record.expect_operands(inputs, 1)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        let y = y.expect_type(x.stored_dtype(), inputs)?;
        if x.shape() != y.shape() {
            return Err(OperatorError::Shape(inputs as u8));
        }
        Ok((Self { x: x.place, y: y.place, dtype: x.stored_dtype() }, x, y))
    }

    /// The error for an input of a type that the operator does not take.
    pub(super) fn refuse(&self) -> OperatorError {
        OperatorError::Type { operand: 0, found: self.dtype }
    }
}

/// Two inputs of one type that broadcast to the output's shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binary {
    pub(super) a: Place,
    pub(super) b: Place,
    pub(super) y: Place,
    pub(super) walk: Walk<2>,
    pub(super) dtype: DType,
}

impl Binary {
    /// The operands of a record with two inputs; the output is of the inputs' type, or of `output`.
    pub(super) fn decode<'m>(
        record: &Record<'m>,
        output: Option<DType>,
    ) -> Result<(Self, [TensorInfo<'m>; 3]), OperatorError> {
        record.expect_operands(2, 1)?;
        let a = record.input(0)?;
        let dtype = a.stored_dtype();
        let b = record.input(1)?.expect_type(dtype, 1)?;
        let y = record.output(0)?.expect_type(output.unwrap_or(dtype), 2)?;
        let walk = walk([&a, &b], &y)?;
        Ok((Self { a: a.place, b: b.place, y: y.place, walk, dtype }, [a, b, y]))
    }

    /// The error for inputs of a type that the operator does not take.
    pub(super) fn refuse(&self) -> OperatorError {
        OperatorError::Type { operand: 0, found: self.dtype }
    }
}

/// The walk over inputs that have to broadcast to the shape of `y`, the operand behind them.
pub(super) fn walk<const N: usize>(
    inputs: [&TensorInfo<'_>; N],
    y: &TensorInfo<'_>,
) -> Result<Walk<N>, OperatorError> {
    let shapes = inputs.map(|input| input.shape());
    let shape = broadcast_shape(shapes).ok_or(OperatorError::Shape(1))?;
    if shape.extended() != y.shape().extended() {
        return Err(OperatorError::Shape(N as u8));
    }
    Walk::new(shapes).ok_or(OperatorError::Shape(1))
}

/// An operand's scale, with its zero point from the tensor.
pub(super) fn input_scale(x: &TensorInfo<'_>, multiplier: i32, shift: i8) -> InputScale {
    InputScale { offset: -x.stored_zero_point(), multiplier, shift: shift.into() }
}

/// The output's range, with its zero point from the tensor.
pub(super) fn output_stage(y: &TensorInfo<'_>, min: i32, max: i32) -> Output {
    Output { output_offset: y.stored_zero_point(), activation_min: min, activation_max: max }
}
