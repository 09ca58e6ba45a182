//! Tables of functions of one quantized value, filled offline in the arithmetic of the runtime whose
//! bytes are to be reproduced. Those over int16 are [`crate::table16`].
//!
//! Source: `LUTPopulate` of TFLite's `internal/common.h`. Transcendental functions are computed in
//! f64 and rounded to f32, which is what the C library of a host gives but for rare cases.

/// A scale and a zero point.
pub(super) type Affine = (f32, i32);

/// A table over int8 from a function of int8: entries for 0 to 127, then for −128 to −1.
pub(super) fn of_integers(f: impl Fn(i8) -> i8) -> Vec<i8> {
    (0..=u8::MAX).map(|byte| f(byte as i8)).collect()
}

/// A table over int8 from a function of real numbers, which are f32 here.
pub(super) fn of_reals(
    (x_scale, x_zero_point): Affine,
    (y_scale, y_zero_point): Affine,
    f: impl Fn(f32) -> f32,
) -> Vec<i8> {
    let inverse_scale = 1.0 / y_scale;
    of_integers(|x| {
        let real = x_scale * (i32::from(x) - x_zero_point) as f32;
        let rescaled = (f(real) * inverse_scale).round() + y_zero_point as f32;
        (rescaled as i32).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    })
}

/// As [`of_reals`], quantized as ONNX Runtime does it: divided by the scale, ties to even.
pub(super) fn of_reals_to_even(
    (x_scale, x_zero_point): Affine,
    (y_scale, y_zero_point): Affine,
    f: impl Fn(f32) -> f32,
) -> Vec<i8> {
    of_integers(|x| {
        let real = f(x_scale * (i32::from(x) - x_zero_point) as f32);
        let rounded = (real / y_scale).round_ties_even() as i32;
        rounded.saturating_add(y_zero_point).clamp(i8::MIN.into(), i8::MAX.into()) as i8
    })
}

/// `exp(x)`.
pub(super) fn exp(x: f32) -> f32 {
    libm::exp(x.into()) as f32
}

/// `exp(x) − 1`.
pub(super) fn expm1(x: f32) -> f32 {
    libm::expm1(x.into()) as f32
}

/// `ln(x)`.
pub(super) fn log(x: f32) -> f32 {
    libm::log(x.into()) as f32
}

/// `tanh(x)`.
pub(super) fn tanh(x: f32) -> f32 {
    libm::tanh(x.into()) as f32
}

/// `1 / (1 + exp(−x))`.
pub(super) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `x × Φ(x)`.
pub(super) fn gelu(x: f32) -> f32 {
    let argument = x * -core::f32::consts::FRAC_1_SQRT_2;
    0.5 * x * (libm::erfc(argument.into()) as f32)
}

/// The approximation of [`gelu`] by [`tanh`].
pub(super) fn gelu_tanh(x: f32) -> f32 {
    let root = core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::FRAC_1_SQRT_2;
    0.5 * x * (1.0 + tanh(root * (x + 0.044_715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_int8_table_begins_at_zero() {
        let table = of_reals((0.5, 3), (0.25, -7), |x| x);
        for x in i8::MIN..=i8::MAX {
            let wanted = ((i32::from(x) - 3) * 2 - 7).clamp(-128, 127);
            assert_eq!(i32::from(table[usize::from(x as u8)]), wanted);
        }
    }

    #[test]
    fn what_is_too_large_saturates() {
        let table = of_reals((1.0, 0), (1.0, 0), exp);
        assert_eq!([table[0], table[5], table[127], table[128]], [1, 127, 127, 0]);
    }
}
