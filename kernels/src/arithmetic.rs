//! Arithmetic on numbers that are not quantized, i16, i32, i64 and f32, with broadcasting and a
//! fused activation range: ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE, FLOOR_DIV, FLOOR_MOD and POW.
//!
//! Integers wrap. What the references leave undefined or refuse at run time is defined here: an
//! integer divided by zero is 0, as is its remainder, and an integer power with a negative exponent
//! is 0; one that is too large saturates.
//!
//! Source: `reference/{add,sub,mul,div,floor_div,floor_mod}.h` and `squared_difference.cc` of TFLite.

use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::remainder::remainder;

/// The range of a fused activation, in the operand's type.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Clamp<T> {
    /// Smallest output.
    pub min: T,
    /// Largest output, not below `min`.
    pub max: T,
}

impl<T: PartialOrd> Clamp<T> {
    /// `x` in the range; what is not a number stays so, as with `std::min(std::max(x, min), max)`.
    #[inline(always)]
    pub fn apply(self, x: T) -> T {
        let x = if x < self.min { self.min } else { x };
        if self.max < x { self.max } else { x }
    }
}

/// The operations of a number type that the kernels of this module are made of.
pub trait Number: Copy + Default + PartialOrd {
    /// `self + b`.
    fn plus(self, b: Self) -> Self;
    /// `self - b`.
    fn minus(self, b: Self) -> Self;
    /// `self × b`.
    fn times(self, b: Self) -> Self;
    /// `self / b`, towards zero for integers.
    fn over(self, b: Self) -> Self;
    /// `self / b`, rounded down.
    fn floor_div(self, b: Self) -> Self;
    /// `self - b × floor(self / b)`: the remainder that has the sign of `b`.
    fn floor_mod(self, b: Self) -> Self;
    /// `self^b`.
    fn power(self, b: Self) -> Self;
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Number for $integer {
            #[inline(always)]
            fn plus(self, b: Self) -> Self {
                self.wrapping_add(b)
            }

            #[inline(always)]
            fn minus(self, b: Self) -> Self {
                self.wrapping_sub(b)
            }

            #[inline(always)]
            fn times(self, b: Self) -> Self {
                self.wrapping_mul(b)
            }

            #[inline(always)]
            fn over(self, b: Self) -> Self {
                if b == 0 { 0 } else { self.wrapping_div(b) }
            }

            #[inline(always)]
            fn floor_div(self, b: Self) -> Self {
                let quotient = self.over(b);
                let inexact = quotient.wrapping_mul(b) != self;
                if b != 0 && inexact && (self < 0) != (b < 0) { quotient - 1 } else { quotient }
            }

            #[inline(always)]
            fn floor_mod(self, b: Self) -> Self {
                if b == 0 {
                    return 0;
                }
                let remainder = self.wrapping_rem(b);
                if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
            }

            #[inline(always)]
            fn power(self, b: Self) -> Self {
                if b < 0 { 0 } else { self.saturating_pow(u32::try_from(b).unwrap_or(u32::MAX)) }
            }
        }
    )*};
}

integer!(i8, i16, i32, i64);

impl Number for f32 {
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        self + b
    }

    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        self - b
    }

    #[inline(always)]
    fn times(self, b: Self) -> Self {
        self * b
    }

    #[inline(always)]
    fn over(self, b: Self) -> Self {
        self / b
    }

    #[inline(always)]
    fn floor_div(self, b: Self) -> Self {
        // The quotient is taken in f64, as the references do: it must not be rounded up to an
        // integer before it is rounded down.
        libm::floor(f64::from(self) / f64::from(b)) as Self
    }

    #[inline(always)]
    fn floor_mod(self, b: Self) -> Self {
        let remainder = remainder(self, b);
        if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
    }

    #[inline(always)]
    fn power(self, b: Self) -> Self {
        libm::powf(self, b)
    }
}

/// `y = a + b`, clamped. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn add<T: Number>(
    range: Clamp<T>,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| range.apply(a.plus(b)))
}

/// `y = a - b`, clamped; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn sub<T: Number>(
    range: Clamp<T>,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| range.apply(a.minus(b)))
}

/// `y = a × b`, clamped; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn mul<T: Number>(
    range: Clamp<T>,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| range.apply(a.times(b)))
}

/// `y = a / b`, clamped; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn div<T: Number>(
    range: Clamp<T>,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| range.apply(a.over(b)))
}

/// `y = (a - b)²`; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn squared_difference<T: Number>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let difference = a.minus(b);
        difference.times(difference)
    })
}

/// `y = floor(a / b)`; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn floor_div<T: Number>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, T::floor_div)
}

/// `y = a - b × floor(a / b)`; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn floor_mod<T: Number>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, T::floor_mod)
}

/// `y = a^b`; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn pow<T: Number>(
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, T::power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use proptest::prelude::*;

    fn flat(length: u32) -> Walk<2> {
        let shape = Shape::new(&[length]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    type Kernel<T> = fn(&Walk<2>, Operand<'_, T>, Operand<'_, T>, &mut [T]) -> Result<(), Mismatch>;

    fn one<T: Number>(kernel: Kernel<T>, a: T, b: T) -> T {
        let mut y = [a];
        kernel(&flat(1), Operand::Output, Operand::Buffer(&[b]), &mut y).unwrap();
        y[0]
    }

    proptest! {
        #[test]
        fn integers_are_those_of_wide_arithmetic(a: i16, b: i16) {
            let (x, w) = (i64::from(a), i64::from(b));
            let full = Clamp { min: i16::MIN, max: i16::MAX };
            let mut y = [0; 3];
            let (p, q) = (Operand::Buffer(&[a][..]), Operand::Buffer(&[b][..]));
            add(full, &flat(1), p, q, &mut y[..1]).unwrap();
            sub(full, &flat(1), p, q, &mut y[1..2]).unwrap();
            mul(full, &flat(1), p, q, &mut y[2..]).unwrap();
            prop_assert_eq!(y, [(x + w) as i16, (x - w) as i16, (x * w) as i16]);
            prop_assert_eq!(one(squared_difference, a, b), ((x - w) * (x - w)) as i16);
            if b != 0 {
                let floor = libm::floor(x as f64 / w as f64) as i64;
                prop_assert_eq!(one(floor_div, a, b), floor as i16);
                prop_assert_eq!(one(floor_mod, a, b), (x - w * floor) as i16);
            }
        }

        #[test]
        fn nothing_panics(a: i64, b: i64, c: i32, d: i32) {
            for kernel in [squared_difference, floor_div, floor_mod, pow] {
                one(kernel, a, b);
            }
            for kernel in [squared_difference, floor_div, floor_mod, pow] {
                one(kernel, c, d);
            }
        }

        #[test]
        fn the_remainder_of_floats_has_the_sign_of_the_divisor(a in -99.0..99_f32, b in 0.1..9_f32) {
            prop_assert!((0.0..=b).contains(&one(floor_mod, a, b)));
            prop_assert!((-b..=0.0).contains(&one(floor_mod, a, -b)));
            prop_assert_eq!(
                f64::from(one(floor_div, a, b)),
                libm::floor(f64::from(a) / f64::from(b))
            );
        }
    }

    #[test]
    fn what_the_references_leave_undefined_is_defined() {
        let full = Clamp { min: i32::MIN, max: i32::MAX };
        let mut y = [0; 3];
        let (a, b) = (Operand::Buffer(&[7, i32::MIN, -7][..]), Operand::Buffer(&[0, -1, 2][..]));
        div(full, &flat(3), a, b, &mut y).unwrap();
        assert_eq!(y, [0, i32::MIN, -3]);
        assert_eq!([one(floor_div, 7, 0), one(floor_mod, 7, 0)], [0, 0]);
        assert_eq!([one(floor_div, i32::MIN, -1), one(floor_mod, i32::MIN, -1)], [i32::MIN, 0]);
        assert_eq!([one(pow, 3, 4), one(pow, 3, -1), one(pow, 10, 99)], [81, 0, i32::MAX]);
        assert!((one(pow, 2.0, -0.5_f32) - 0.707_106_77).abs() < 1e-7);
    }

    #[test]
    fn the_range_keeps_what_is_not_a_number() {
        let range = Clamp { min: 0.0, max: 6.0 };
        let values = [-1.0, 3.0, f32::INFINITY, f32::NAN];
        let mut y = [0.0_f32; 4];
        add(range, &flat(4), Operand::Buffer(&values), Operand::Buffer(&[0.0; 4]), &mut y).unwrap();
        assert_eq!(y[..3], [0.0, 3.0, 6.0]);
        assert!(y[3].is_nan());
    }
}
