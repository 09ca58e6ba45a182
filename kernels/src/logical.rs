//! LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT. Booleans are bytes; any that is not 0 is true, and
//! results are 0 or 1.

use crate::broadcast::{Operand, Walk, binary_in_place, unary_in_place};
use crate::error::Mismatch;

/// `y = a and b`, with broadcasting; either operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn logical_and(
    walk: &Walk<2>,
    a: Operand<'_, u8>,
    b: Operand<'_, u8>,
    y: &mut [u8],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| u8::from((a != 0) & (b != 0)))
}

/// `y = a or b`; as [`logical_and`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn logical_or(
    walk: &Walk<2>,
    a: Operand<'_, u8>,
    b: Operand<'_, u8>,
    y: &mut [u8],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| u8::from((a | b) != 0))
}

/// `y = not x`; the operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn logical_not(x: Operand<'_, u8>, y: &mut [u8]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| u8::from(x == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn truth_tables() {
        let shape = Shape::new(&[4]).unwrap();
        let walk = Walk::new([&shape, &shape]).unwrap();
        let (a, b) = (Operand::Buffer(&[0, 0, 1, 2][..]), Operand::Buffer(&[0, 1, 0, 4][..]));
        let mut y = [9; 4];
        logical_and(&walk, a, b, &mut y).unwrap();
        assert_eq!(y, [0, 0, 0, 1]);
        logical_or(&walk, a, b, &mut y).unwrap();
        assert_eq!(y, [0, 1, 1, 1]);
        logical_not(a, &mut y).unwrap();
        assert_eq!(y, [1, 1, 0, 0]);
        logical_not(Operand::Output, &mut y).unwrap();
        assert_eq!(y, [0, 0, 1, 1]);
    }
}
