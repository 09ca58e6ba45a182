//! Functions of one f32, and of one integer where the references accept them: ABS, NEG, SIGN.
//!
//! A kernel is one of these under [`unary_in_place`].
//!
//! Source: TFLite's reference kernels of the same names. All go through `libm`, so that they give
//! the same bits everywhere.

use crate::arithmetic::Clamp;
use crate::broadcast::{Operand, unary_in_place};
use crate::error::Mismatch;

/// LOGISTIC: `1 / (1 + exp(-x))`. Below -9 it is `exp(x)` as in TFLite, up to 1.3e-4 too large.
#[inline]
pub fn logistic(x: f32) -> f32 {
    // Above this the result is 1 in f32.
    if x > 16.619_047 {
        1.0
    } else if x < -9.0 {
        libm::expf(x)
    } else {
        1.0 / (1.0 + libm::expf(-x))
    }
}

/// TANH.
#[inline]
pub fn tanh(x: f32) -> f32 {
    libm::tanhf(x)
}

/// ELU: `x`, or `exp(x) - 1` below zero.
#[inline]
pub fn elu(x: f32) -> f32 {
    if x < 0.0 { libm::expm1f(x) } else { x }
}

/// GELU: `x × Φ(x)`, by the complementary error function, which keeps the digits of the lower tail.
#[inline]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * libm::erfcf(x * -core::f32::consts::FRAC_1_SQRT_2)
}

/// GELU's approximation: `x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))`.
#[inline]
pub fn gelu_tanh(x: f32) -> f32 {
    const ROOT_OF_2_OVER_PI: f32 =
        core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::FRAC_1_SQRT_2;
    0.5 * x * (1.0 + libm::tanhf(ROOT_OF_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// HARD_SWISH: `x × min(max(x + 3, 0), 6) / 6`.
#[inline]
pub fn hard_swish(x: f32) -> f32 {
    let shifted = x + 3.0;
    let relu = if 0.0 < shifted { shifted } else { 0.0 };
    x * (if relu < 6.0 { relu } else { 6.0 }) / 6.0
}

/// LEAKY_RELU: `x`, or `alpha × x` where it is not above zero.
#[inline]
pub fn leaky_relu(alpha: f32, x: f32) -> f32 {
    if x > 0.0 { x } else { x * alpha }
}

/// EXP.
#[inline]
pub fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// LOG, the natural one.
#[inline]
pub fn log(x: f32) -> f32 {
    libm::logf(x)
}

/// SQRT.
#[inline]
pub fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

/// RSQRT: `1 / √x`.
#[inline]
pub fn rsqrt(x: f32) -> f32 {
    1.0 / libm::sqrtf(x)
}

/// The error function, `2/√π × ∫ exp(−t²) dt` from 0 to `x`: ONNX's Erf.
#[inline]
pub fn erf(x: f32) -> f32 {
    libm::erff(x)
}

/// SIN.
#[inline]
pub fn sin(x: f32) -> f32 {
    libm::sinf(x)
}

/// COS.
#[inline]
pub fn cos(x: f32) -> f32 {
    libm::cosf(x)
}

/// SQUARE.
#[inline]
pub fn square(x: f32) -> f32 {
    x * x
}

/// FLOOR.
#[inline]
pub fn floor(x: f32) -> f32 {
    libm::floorf(x)
}

/// CEIL.
#[inline]
pub fn ceil(x: f32) -> f32 {
    libm::ceilf(x)
}

/// ROUND, ties to the even neighbour.
#[inline]
pub fn round(x: f32) -> f32 {
    libm::rintf(x)
}

macro_rules! over_tensors {
    ($($tensor:ident $function:ident)*) => {$(
        #[doc = concat!("[`", stringify!($function), "`] of every element; the output may lie on the input.")]
        ///
        /// # Errors
        ///
        /// [`Mismatch`] where the lengths differ.
        pub fn $tensor(x: Operand<'_, f32>, y: &mut [f32]) -> Result<(), Mismatch> {
            unary_in_place(x, y, $function)
        }
    )*};
}

over_tensors! {
    logistic_f32 logistic
    tanh_f32 tanh
    elu_f32 elu
    gelu_f32 gelu
    gelu_tanh_f32 gelu_tanh
    hard_swish_f32 hard_swish
    exp_f32 exp
    log_f32 log
    sqrt_f32 sqrt
    rsqrt_f32 rsqrt
    sin_f32 sin
    cos_f32 cos
    square_f32 square
    floor_f32 floor
    ceil_f32 ceil
    round_f32 round
    erf_f32 erf
}

/// [`leaky_relu`] of every element; the output may lie on the input.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn leaky_relu_f32(alpha: f32, x: Operand<'_, f32>, y: &mut [f32]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| leaky_relu(alpha, x))
}

/// Every element clamped to a range; the output may lie on the input.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn clamp_f32(range: Clamp<f32>, x: Operand<'_, f32>, y: &mut [f32]) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| range.apply(x))
}

macro_rules! of_signed {
    ($($tensor:ident $function:ident)*) => {$(
        #[doc = concat!("[`Signed::", stringify!($function), "`] of every element; the output may lie on the input.")]
        ///
        /// # Errors
        ///
        /// [`Mismatch`] where the lengths differ.
        pub fn $tensor<T: Signed>(x: Operand<'_, T>, y: &mut [T]) -> Result<(), Mismatch> {
            unary_in_place(x, y, T::$function)
        }
    )*};
}

of_signed! {
    negative negative
    magnitude magnitude
    sign sign
}

/// A number with a sign: f32, or an integer, whose smallest value is its own negative.
pub trait Signed: Copy + Default {
    /// `-self`.
    fn negative(self) -> Self;
    /// `|self|`.
    fn magnitude(self) -> Self;
    /// 1, 0 or -1; what is not a number stays so.
    fn sign(self) -> Self;
}

macro_rules! integer {
    ($($integer:ty),*) => {$(
        impl Signed for $integer {
            #[inline(always)]
            fn negative(self) -> Self {
                self.wrapping_neg()
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.wrapping_abs()
            }

            #[inline(always)]
            fn sign(self) -> Self {
                self.signum()
            }
        }
    )*};
}

integer!(i8, i16, i32, i64);

impl Signed for f32 {
    #[inline(always)]
    fn negative(self) -> Self {
        -self
    }

    #[inline(always)]
    fn magnitude(self) -> Self {
        libm::fabsf(self)
    }

    #[inline(always)]
    fn sign(self) -> Self {
        if self > 0.0 {
            1.0
        } else if self < 0.0 {
            -1.0
        } else {
            // Zero of either sign is 0.
            self + 0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(got: f32, wanted: f64) -> bool {
        let error = (f64::from(got) - wanted).abs();
        f64::from(got) == wanted || error <= 4e-7 * wanted.abs() || error < 1e-38
    }

    proptest! {
        #[test]
        fn functions_are_near_the_real_ones(x in -40.0..40_f32) {
            let real = f64::from(x);
            let tail = if x < -9.0 { 0.0 } else { libm::exp(real) };
            prop_assert!(near(logistic(x), libm::exp(real) / (1.0 + tail)));
            prop_assert!(near(tanh(x), libm::tanh(real)));
            let wanted = if real < 0.0 { libm::expm1(real) } else { real };
            prop_assert!(near(elu(x), wanted));
            prop_assert!(near(exp(x), libm::exp(real)));
            prop_assert!((f64::from(sin(x)) - libm::sin(real)).abs() < 1e-6);
            prop_assert!((f64::from(cos(x)) - libm::cos(real)).abs() < 1e-6);
            prop_assert!(near(square(x), real * real));
            prop_assert!(near(log(x.abs()), libm::log(real.abs())) || (real.abs() - 1.0).abs() < 1e-2);
            prop_assert!(near(sqrt(x.abs()), libm::sqrt(real.abs())));
            prop_assert!(near(rsqrt(x.abs()), 1.0 / libm::sqrt(real.abs())));
            prop_assert!(near(leaky_relu(0.25, x), real.max(0.25 * real)));
            let wanted = real * (real + 3.0).clamp(0.0, 6.0) / 6.0;
            prop_assert!((f64::from(hard_swish(x)) - wanted).abs() <= 1e-6 * real.abs());
        }

        #[test]
        fn both_forms_of_gelu_are_near_the_real_one(x in -5.0..5_f32) {
            let real = f64::from(x);
            let wanted = real * 0.5 * libm::erfc(-real / core::f64::consts::SQRT_2);
            prop_assert!((f64::from(gelu(x)) - wanted).abs() <= 1e-5 * wanted.abs() + 1e-9);
            prop_assert!((f64::from(gelu_tanh(x)) - wanted).abs() < 6e-4);
        }
    }

    #[test]
    fn rounding_goes_down_up_and_to_even() {
        let x = [-1.5, -0.5, 0.5, 1.5, 2.5, 2.4];
        assert_eq!(x.map(floor), [-2.0, -1.0, 0.0, 1.0, 2.0, 2.0]);
        assert_eq!(x.map(ceil), [-1.0, 0.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(x.map(round), [-2.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn signs() {
        assert_eq!([i8::MIN.magnitude(), i8::MIN.negative(), 5_i8.negative()], [-128, -128, -5]);
        assert_eq!([(-3_i32).sign(), 0.sign(), 9.sign()], [-1, 0, 1]);
        assert_eq!([(-3.5_f32).sign(), (-0.0).sign(), 9.0.sign()], [-1.0, 0.0, 1.0]);
        assert!(f32::NAN.sign().is_nan());
    }

    #[test]
    fn hard_swish_and_relu_at_their_corners() {
        assert_eq!([-4.0, -3.0, 0.0, 3.0, 5.0].map(hard_swish), [0.0, 0.0, 0.0, 3.0, 5.0]);
        assert_eq!(leaky_relu(-2.0, -3.0), 6.0);
    }
}
