//! What operators that only move elements share: they look at an element's size, not at its type.

use crate::{OperatorError, TensorInfo};

/// Bytes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    /// The size of the elements of `x`.
    pub(crate) fn of(x: &TensorInfo<'_>) -> Self {
        match x.stored_dtype().size() {
            1 => Self::One,
            2 => Self::Two,
            4 => Self::Four,
            _ => Self::Eight,
        }
    }
}

/// Fails unless the operands are stored as the same type; `operand` is the second one's.
pub(crate) fn same_type(
    x: &TensorInfo<'_>,
    y: &TensorInfo<'_>,
    operand: usize,
) -> Result<(), OperatorError> {
    let found = y.stored_dtype();
    if x.stored_dtype() == found {
        Ok(())
    } else {
        Err(OperatorError::Type { operand: operand as u8, found })
    }
}

/// Runs `body` with `T` as the integer type of that width.
macro_rules! with_width {
    ($width:expr, $t:ident => $body:expr) => {
        match $width {
            $crate::ops::movement::Width::One => {
                type $t = i8;
                $body
            }
            $crate::ops::movement::Width::Two => {
                type $t = i16;
                $body
            }
            $crate::ops::movement::Width::Four => {
                type $t = i32;
                $body
            }
            $crate::ops::movement::Width::Eight => {
                type $t = i64;
                $body
            }
        }
    };
}
pub(crate) use with_width;
