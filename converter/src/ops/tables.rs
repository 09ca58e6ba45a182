//! Tables of functions of one quantized value, filled offline in the arithmetic of the runtime whose
//! bytes are to be reproduced.
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

/// Steps of a table over int16.
const STEPS: i32 = 512;

/// A table over int16 for linear interpolation: at each step the function, less half of the error
/// that interpolation makes in the middle of the step.
pub(super) fn of_reals_i16(
    (x_scale, x_zero_point): Affine,
    (y_scale, y_zero_point): Affine,
    f: impl Fn(f32) -> f32,
) -> Vec<i16> {
    let (type_min, type_max) = (i32::from(i16::MIN), i32::from(i16::MAX));
    let x_min = x_scale * (type_min - x_zero_point) as f32;
    let x_max = x_scale * (type_max - x_zero_point) as f32;
    let y_min = y_scale * (type_min - y_zero_point) as f32;
    let y_max = y_scale * (type_max - y_zero_point) as f32;
    let step = (x_max - x_min) / STEPS as f32;
    let half_step = step / 2.0;
    let inverse_scale = 65536.0 / (y_max - y_min);
    let saturate = |x: f32| {
        // What is not a number stays so, and is 0 as an integer.
        (if x < type_min as f32 {
            type_min as f32
        } else if x > type_max as f32 {
            type_max as f32
        } else {
            x
        }) as i16
    };
    let entry = |i: i32| {
        let at = x_min + i as f32 * step;
        let here = (f(at) * inverse_scale).round();
        let next = f(x_min + (i + 1) as f32 * step) * inverse_scale;
        let interpolated = ((next + here) / 2.0).round();
        let middle = (f(at + half_step) * inverse_scale).round();
        saturate(here - ((interpolated - middle) / 2.0).round())
    };
    let last = saturate((f(x_max) * inverse_scale).round());
    (0..STEPS).map(entry).chain([last]).collect()
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
    fn an_int16_table_interpolates_to_the_function() {
        let (x_scale, y_scale) = (8.0 / 32768.0, 1.0 / 32768.0);
        let table = of_reals_i16((x_scale, 0), (y_scale, 0), tanh);
        for x in (i16::MIN..=i16::MAX).step_by(61) {
            let got = f32::from(systole_kernels::lut::interpolate(&table, x)) * y_scale;
            let wanted = tanh(f32::from(x) * x_scale);
            assert!((got - wanted).abs() < 2e-4, "{x}: {got} for {wanted}");
        }
    }

    #[test]
    fn what_is_too_large_saturates() {
        let table = of_reals((1.0, 0), (1.0, 0), exp);
        assert_eq!([table[0], table[5], table[127], table[128]], [1, 127, 127, 0]);
    }
}
