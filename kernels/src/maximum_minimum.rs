//! MAXIMUM and MINIMUM, with broadcasting, of any ordered type. Quantized operands and the output
//! have one scale and zero point, so that the values compare as they are.
//!
//! Source: `reference/maximum_minimum.h` of TFLite. Where one value is not a number, the result is
//! the second, as in C's `a > b ? a : b`.

use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;

/// `y = max(a, b)`. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn maximum<T: Copy + Default + PartialOrd>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| if a > b { a } else { b })
}

/// `y = min(a, b)`; as [`maximum`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn minimum<T: Copy + Default + PartialOrd>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| if a < b { a } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn the_larger_and_the_smaller() {
        let [shape, scalar] = [&[3][..], &[]].map(|dims| Shape::new(dims).unwrap());
        let walk = Walk::new([&shape, &scalar]).unwrap();
        let (a, b) = (Operand::Buffer(&[-5_i8, 1, 9][..]), Operand::Buffer(&[1_i8][..]));
        let mut y = [0; 3];
        maximum(&walk, a, b, &mut y).unwrap();
        assert_eq!(y, [1, 1, 9]);
        minimum(&walk, a, b, &mut y).unwrap();
        assert_eq!(y, [-5, 1, 1]);
    }

    #[test]
    fn the_second_operand_wins_against_not_a_number() {
        let shape = Shape::new(&[2]).unwrap();
        let walk = Walk::new([&shape, &shape]).unwrap();
        let (a, b) = (Operand::Buffer(&[f32::NAN, 1.0][..]), Operand::Buffer(&[1.0, f32::NAN][..]));
        let mut y = [0.0; 2];
        maximum(&walk, a, b, &mut y).unwrap();
        assert!(y[0] == 1.0 && y[1].is_nan());
    }
}
