//! CAST: from one element type to another.
//!
//! Integers keep their low bits. Floats lose their fraction and saturate, and what is not a number
//! becomes the largest integer, as in LiteRT; in TFLite Micro both are undefined. Booleans are
//! bytes: as a source they are 0 or 1 like any number, as a target see [`to_bool`]. f16 is stored as
//! [`half::f16`].
//!
//! Source: `cast.cc` of LiteRT and TFLite Micro.

use half::f16;

use crate::broadcast::unary;
use crate::error::Mismatch;

/// A type that can be cast to `Y`.
pub trait CastTo<Y>: Copy {
    /// The value as a `Y`.
    fn cast_to(self) -> Y;
}

/// `y = x` as another type.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn cast<X: CastTo<Y>, Y>(x: &[X], y: &mut [Y]) -> Result<(), Mismatch> {
    unary(x, y, CastTo::cast_to)
}

/// `y = (x != 0)`, as bytes 0 and 1; what is not a number is true.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn to_bool<X: Copy + PartialEq + Default>(x: &[X], y: &mut [u8]) -> Result<(), Mismatch> {
    unary(x, y, |x| u8::from(x != X::default()))
}

macro_rules! plain {
    ($($from:ty => $($to:ty),*;)*) => {$($(
        impl CastTo<$to> for $from {
            #[inline(always)]
            fn cast_to(self) -> $to {
                self as $to
            }
        }
    )*)*};
}

plain! {
    i8 => i8, i16, i32, i64, u8, u32, f32;
    i16 => i8, i16, i32, i64, u8, u32, f32;
    i32 => i8, i16, i32, i64, u8, u32, f32;
    i64 => i8, i16, i32, i64, u8, u32, f32;
    u8 => i8, i16, i32, i64, u8, u32, f32;
    u32 => i8, i16, i32, i64, u8, u32, f32;
    f32 => f32;
}

macro_rules! float_to_integer {
    ($($to:ty),*) => {$(
        impl CastTo<$to> for f32 {
            #[inline(always)]
            fn cast_to(self) -> $to {
                if self.is_nan() { <$to>::MAX } else { self as $to }
            }
        }
    )*};
}

float_to_integer!(i8, i16, i32, i64, u8, u32);

macro_rules! half {
    ($($other:ty),*) => {$(
        impl CastTo<f16> for $other {
            #[inline(always)]
            fn cast_to(self) -> f16 {
                f16::from_f32_const(CastTo::<f32>::cast_to(self))
            }
        }

        impl CastTo<$other> for f16 {
            #[inline(always)]
            fn cast_to(self) -> $other {
                CastTo::<$other>::cast_to(self.to_f32_const())
            }
        }
    )*};
}

half!(i8, i16, i32, i64, u8, u32, f32);

impl CastTo<Self> for f16 {
    #[inline(always)]
    fn cast_to(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one<X: CastTo<Y>, Y: Default + Copy>(x: X) -> Y {
        let mut y = [Y::default()];
        cast(&[x], &mut y).unwrap();
        y[0]
    }

    proptest! {
        #[test]
        fn integers_keep_their_low_bits(x: i64) {
            prop_assert_eq!(i64::from(one::<i64, u8>(x)), x.rem_euclid(256));
            prop_assert_eq!(i64::from(one::<i64, u32>(x)), x.rem_euclid(1 << 32));
            prop_assert_eq!((i64::from(one::<i64, i16>(x)) - x).rem_euclid(1 << 16), 0);
        }

        #[test]
        fn halves_are_the_nearest(x in -6e4..6e4_f32) {
            let back: f32 = one(one::<f32, f16>(x));
            prop_assert!((back - x).abs() <= x.abs() / 2048.0 + 1e-7);
            prop_assert_eq!(one::<f16, f32>(one(back)), back);
        }
    }

    #[test]
    fn floats_lose_their_fraction_and_saturate() {
        let x = [-1.9_f32, 1.9, 200.0, -1e9, f32::INFINITY, f32::NAN];
        let mut y = [0_i8; 6];
        cast(&x, &mut y).unwrap();
        assert_eq!(y, [-1, 1, 127, -128, 127, 127]);
        let mut y = [0_u8; 6];
        cast(&x, &mut y).unwrap();
        assert_eq!(y, [0, 1, 200, 0, 255, 255]);
        to_bool(&x, &mut y).unwrap();
        assert_eq!(y, [1; 6]);
        to_bool(&[0.0, -0.0, f32::MIN_POSITIVE, 1.0, -1.0, 0.5], &mut y).unwrap();
        assert_eq!(y, [0, 0, 1, 1, 1, 1]);
    }
}
