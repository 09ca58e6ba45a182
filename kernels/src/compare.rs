//! EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER and GREATER_EQUAL, with broadcasting. Booleans are
//! bytes, 0 or 1.
//!
//! Source: `reference/comparisons.h` of TFLite, the same in LiteRT and TFLite Micro.

use crate::add::InputScale;
use crate::broadcast::{Walk, binary};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::Rounding;

/// Which outcomes of a comparison give 1. One loop serves all six operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Comparison {
    /// `a < b`.
    pub less: bool,
    /// `a == b`.
    pub equal: bool,
    /// `a > b`.
    pub greater: bool,
    /// One of the two is not a number.
    pub unordered: bool,
}

impl Comparison {
    /// `a == b`.
    pub const EQUAL: Self = Self { less: false, equal: true, greater: false, unordered: false };
    /// `a != b`; also where one is not a number.
    pub const NOT_EQUAL: Self = Self { less: true, equal: false, greater: true, unordered: true };
    /// `a < b`.
    pub const LESS: Self = Self { less: true, equal: false, greater: false, unordered: false };
    /// `a <= b`.
    pub const LESS_EQUAL: Self = Self { less: true, equal: true, greater: false, unordered: false };
    /// `a > b`.
    pub const GREATER: Self = Self { less: false, equal: false, greater: true, unordered: false };
    /// `a >= b`.
    pub const GREATER_EQUAL: Self =
        Self { less: false, equal: true, greater: true, unordered: false };

    /// 1 where the outcome for `a` and `b` is among those wanted, else 0.
    #[inline(always)]
    fn of<T: PartialOrd>(self, a: T, b: T) -> u8 {
        let (less, equal, greater) = (a < b, a == b, a > b);
        // Without short circuits, so that the loop has no branches.
        let wanted = (less & self.less)
            | (equal & self.equal)
            | (greater & self.greater)
            | (!(less | equal | greater) & self.unordered);
        u8::from(wanted)
    }
}

/// `y = a ∘ b` for values that compare as they are: f32, i32, i64, bool, unquantized i16.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn compare<T: Copy + PartialOrd>(
    comparison: Comparison,
    walk: &Walk<2>,
    a: &[T],
    b: &[T],
    y: &mut [u8],
) -> Result<(), Mismatch> {
    binary(walk, a, b, y, |a, b| comparison.of(a, b))
}

/// Parameters of a comparison of quantized tensors, which are brought to a common scale first.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct CompareQuantized {
    /// Which outcomes give 1.
    pub comparison: Comparison,
    /// The first operand's scale; here the scale itself, over no common one.
    pub a: InputScale,
    /// The second operand's scale.
    pub b: InputScale,
    /// Bits by which operands are shifted to the left before they are scaled: 8.
    pub left_shift: u32,
}

/// `y = a ∘ b` for quantized values, int8 or int16.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn compare_quantized<R: Rounding, T: Quantized>(
    p: &CompareQuantized,
    walk: &Walk<2>,
    a: &[T],
    b: &[T],
    y: &mut [u8],
) -> Result<(), Mismatch> {
    binary(walk, a, b, y, |a, b| {
        let a = p.a.apply::<R>(a.into(), p.left_shift);
        p.comparison.of(a, p.b.apply::<R>(b.into(), p.left_shift))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::Double;
    use crate::shape::Shape;
    use crate::testing::multiplier;
    use proptest::prelude::*;

    const ALL: [Comparison; 6] = [
        Comparison::EQUAL,
        Comparison::NOT_EQUAL,
        Comparison::LESS,
        Comparison::LESS_EQUAL,
        Comparison::GREATER,
        Comparison::GREATER_EQUAL,
    ];

    fn operators<T: PartialOrd>(a: T, b: T) -> [bool; 6] {
        [a == b, a != b, a < b, a <= b, a > b, a >= b]
    }

    fn flat(length: u32) -> Walk<2> {
        let shape = Shape::new(&[length]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    proptest! {
        #[test]
        fn every_comparison_is_the_operator_of_its_name(a: f32, b: f32, nan in 0..4) {
            let a = if nan == 0 { f32::NAN } else { a };
            let b = if nan == 1 { a } else { b };
            for (comparison, wanted) in ALL.into_iter().zip(operators(a, b)) {
                let mut y = [9];
                compare(comparison, &flat(1), &[a], &[b], &mut y).unwrap();
                prop_assert_eq!(y, [u8::from(wanted)]);
            }
        }

        #[test]
        fn quantized_values_compare_as_real_ones(
            a: i8, b: i8, zero_points in prop::array::uniform2(-128..=127_i32), scale in 0.1..0.9_f64, same: bool,
        ) {
            let ratio = if same { 1 } else { 2 };

            let input = |i: usize, scale: f64| {
                let (multiplier, shift) = multiplier(scale);
                InputScale { offset: -zero_points[i], multiplier, shift }
            };
            let (first, second) = (input(0, scale / f64::from(ratio)), input(1, scale));
            let real = |i: usize, q: i8| i32::from(q) - zero_points[i];
            let wanted = operators(real(0, a), ratio * real(1, b));
            // Under unequal scales rounding may tell equal values apart, as it does in TFLite.
            prop_assume!(same || !wanted[0]);
            for (comparison, wanted) in ALL.into_iter().zip(wanted) {
                let p = CompareQuantized { comparison, a: first, b: second, left_shift: 8 };
                let mut y = [9];
                compare_quantized::<Double, _>(&p, &flat(1), &[a], &[b], &mut y).unwrap();
                prop_assert_eq!(y, [u8::from(wanted)]);
            }
        }
    }

    #[test]
    fn not_a_number_is_only_unequal() {
        for (comparison, wanted) in ALL.into_iter().zip([0, 1, 0, 0, 0, 0]) {
            let mut y = [9; 2];
            compare(comparison, &flat(2), &[f32::NAN, 1.0], &[f32::NAN; 2], &mut y).unwrap();
            assert_eq!(y, [wanted; 2]);
        }
    }
}
