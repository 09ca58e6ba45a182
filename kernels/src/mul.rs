//! MUL and DIV of quantized tensors, int8 and int16, with broadcasting.
//!
//! `y = output_offset + (a + a_offset) × (b + b_offset) × scale`, and likewise the quotient.
//!
//! Source: `integer_ops/mul.h` and `reference/div.h` of TFLite, the same in LiteRT and TFLite
//! Micro. `docs/numerics` says how the multipliers are computed, which is where the two differ.

use crate::arch;
use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::fixed_point_exp::reciprocal;
use crate::quantized::Quantized;
use crate::requantize::{Output, Rounding, doubling_high_mul};

/// Parameters of a quantized MUL or DIV.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Mul {
    /// The negative of the first operand's zero point, in `[-127, 128]` for int8, 0 for int16.
    pub a_offset: i32,
    /// The negative of the second operand's zero point.
    pub b_offset: i32,
    /// Q0.31 multiplier of `a_scale × b_scale / output_scale`; for DIV
    /// `a_scale / (b_scale × output_scale)`.
    pub output_multiplier: i32,
    /// Shift that belongs to `output_multiplier`, in `[-31, 30]`.
    pub output_shift: i32,
    /// DIV: whether shifts to the right by more than 31 bits, which quotients far below the output's
    /// scale need, are taken modulo 32. C++ leaves them undefined, and this is what becomes of them
    /// in TFLite's builds for x86, AArch64 and RISC-V: 0 gives 1, other numbers saturate. Without,
    /// such quotients are 0.
    pub wrapping_shift: bool,
    /// Zero point and range of the output.
    pub output: Output,
}

/// `y = a × b`, int8 or int16. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn mul<R: Rounding, T: Quantized>(
    p: &Mul,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let acc = p.a_offset.wrapping_add(a.into()).wrapping_mul(p.b_offset.wrapping_add(b.into()));
        let scaled = R::requantize(acc, p.output_multiplier, p.output_shift);
        T::saturate(p.output.apply(scaled))
    })
}

/// [`mul`] of int8.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
#[inline(never)]
pub fn mul_i8<R: Rounding>(
    p: &Mul,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::mul_i8::<R>(p, walk, a, b, y)
}

/// `y = a / b`, int8 or int16; as [`mul`].
///
/// The quotient is `a` times the reciprocal of `b`, which comes from Newton's iteration in fixed
/// point. Where `b` is zero, which the references leave undefined, the quotient has the sign of `a`
/// and saturates, and 0 / 0 is 0.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn div<R: Rounding, T: Quantized>(
    p: &Mul,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let (a, b) = (p.a_offset.wrapping_add(a.into()), p.b_offset.wrapping_add(b.into()));
        T::saturate(p.output.apply(quotient::<R>(p, a, b)))
    })
}

/// `a / b` at the output's scale.
#[inline(always)]
fn quotient<R: Rounding>(p: &Mul, a: i32, b: i32) -> i32 {
    // The reciprocal is that of a positive number, so that it may serve as a multiplier.
    let (a, b) = if b < 0 { (a.wrapping_neg(), b.wrapping_neg()) } else { (a, b) };
    if b == 0 {
        return a.signum().saturating_mul(i32::MAX);
    }
    let (inverse, bits_over_unit) = reciprocal(b, 31);
    // All of the bits that the sign leaves free go to the quotient.
    let headroom = ((a ^ (a >> 31)).leading_zeros() as i32) - 1;
    let unscaled = doubling_high_mul(a.wrapping_shl(headroom as u32), inverse);
    let shift = p.output_shift.saturating_sub(bits_over_unit).saturating_sub(headroom);
    if p.wrapping_shift && shift < -31 {
        let high = doubling_high_mul(unscaled, p.output_multiplier);
        // All bits count as the remainder, which a threshold of -1 or 0 rounds away from zero.
        return (high >> (shift.wrapping_neg() & 31)).wrapping_add(i32::from(high >= 0));
    }
    R::requantize(unscaled, p.output_multiplier, shift)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{self, Kernels, MulI8, MulI8Kernel};
    use crate::requantize::FixedScales;
    use crate::requantize::{Double, DoubleUp, Single};
    use crate::shape::Shape;
    use crate::testing::multiplier;
    use crate::testing::{Values, any_scale, check};
    use proptest::prelude::*;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let zero_points = || [-128..128_i32, -128..128_i32, -128..128_i32];
        let bounds = [-128..128_i32, -128..128_i32];
        let strategy = (-20.0..3.0_f64, zero_points(), bounds, 1..600_usize, 0..8_u8, any::<u64>());
        check(
            kernels.level,
            cases,
            strategy,
            |(scale, zero_points, [min, max], len, kind, seed)| {
                let mut scales = params(libm::exp2(scale), zero_points, (min, max));
                let mut values = Values::new(seed);
                // One in two has some scale that no converter writes.
                if kind >= 4 {
                    (scales.output_multiplier, scales.output_shift) = any_scale(&mut values);
                }
                let (scales, kind) = (&scales, kind % 4);
                let (a, b) = (values.i8s(len), values.i8s(len));
                // The second operand may be one element for all.
                let b = if kind == 0 { &b[..1] } else { &b[..] };
                let shapes = [len, b.len()].map(|len| Shape::new(&[len as u32]).unwrap());
                let walk = Walk::new([&shapes[0], &shapes[1]]).unwrap();
                let output = FixedScales {
                    multiplier: &[scales.output_multiplier],
                    shift: &[scales.output_shift as i8],
                };
                for requantize in [Double::of(output), DoubleUp::of(output), Single::of(output)] {
                    let p = MulI8 { scales, requantize };
                    let run = |kernel: MulI8Kernel| {
                        // Either operand may be where the output goes.
                        let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(b));
                        let (operands, mut y) = match kind {
                            1 => ([Operand::Output, w], a.clone()),
                            2 => ([x, Operand::Output], b.to_vec()),
                            _ => ([x, w], std::vec![99; len]),
                        };
                        kernel(&p, &walk, operands, &mut y).map(|()| y)
                    };
                    prop_assert_eq!(run(kernels.mul_i8), run(arch::mul_i8_definition), "{:?}", p);
                }
                Ok(())
            },
        );
    }

    fn flat(length: usize) -> Walk<2> {
        let shape = Shape::new(&[length as u32]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    fn params(real: f64, zero_points: [i32; 3], range: (i32, i32)) -> Mul {
        let (output_multiplier, output_shift) = multiplier(real);
        let output = Output {
            output_offset: zero_points[2],
            activation_min: range.0,
            activation_max: range.1,
        };
        Mul {
            a_offset: -zero_points[0],
            b_offset: -zero_points[1],
            output_multiplier,
            output_shift,
            wrapping_shift: false,
            output,
        }
    }

    proptest! {
        #[test]
        fn int8_is_the_real_product_within_rounding(
            a in prop::collection::vec(any::<i8>(), 67), b in prop::collection::vec(any::<i8>(), 67),
            scale in 1e-4..2.0_f64, zero_points in prop::array::uniform3(-128..=127),
        ) {
            let p = params(scale, zero_points, (-128, 127));
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            let (mut double, mut single) = ([0; 67], [0; 67]);
            mul::<Double, _>(&p, &flat(67), x, w, &mut double).unwrap();
            mul::<Single, _>(&p, &flat(67), x, w, &mut single).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let product = f64::from(i32::from(a) - zero_points[0])
                    * f64::from(i32::from(b) - zero_points[1]);
                let wanted = (product * scale + f64::from(zero_points[2])).clamp(-128.0, 127.0);
                prop_assert!((f64::from(double[i]) - wanted).abs() <= 1.0);
                prop_assert!((f64::from(single[i]) - wanted).abs() <= 0.5001);
            }
        }

        #[test]
        fn int16_is_the_real_product_within_rounding(
            a in prop::collection::vec(any::<i16>(), 9), b in prop::collection::vec(any::<i16>(), 9),
            scale in 1e-5..1e-4_f64,
        ) {
            let p = params(scale, [0; 3], (-32768, 32767));
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            let mut y = [0; 9];
            mul::<DoubleUp, _>(&p, &flat(9), x, w, &mut y).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let wanted = (f64::from(a) * f64::from(b) * scale).clamp(-32768.0, 32767.0);
                prop_assert!((f64::from(y[i]) - wanted).abs() <= 1.0);
            }
        }

        #[test]
        fn int8_is_the_real_quotient_within_rounding(
            a in prop::collection::vec(any::<i8>(), 67), b in prop::collection::vec(any::<i8>(), 67),
            scale in 0.5..20.0_f64, zero_points in prop::array::uniform3(-128..=127),
        ) {
            let p = params(scale, zero_points, (-128, 127));
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            let mut y = [0; 67];
            div::<Double, _>(&p, &flat(67), x, w, &mut y).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let a = f64::from(i32::from(a) - zero_points[0]);
                let b = f64::from(i32::from(b) - zero_points[1]);
                if b == 0.0 { continue; }
                let wanted = (a / b * scale + f64::from(zero_points[2])).clamp(-128.0, 127.0);
                prop_assert!((f64::from(y[i]) - wanted).abs() <= 1.0, "{} for {wanted}", y[i]);
            }
        }

        #[test]
        fn no_parameters_panic(
            offsets: [i32; 3], m: i32, s: i32, range: (i32, i32), x: [i16; 4], w: [i16; 4],
        ) {
            let output =
                Output { output_offset: offsets[2], activation_min: range.0, activation_max: range.1 };
            let p = Mul {
                a_offset: offsets[0], b_offset: offsets[1],
                output_multiplier: m, output_shift: s, wrapping_shift: m < 0, output,
            };
            let (a, b) = (Operand::Buffer(&x[..]), Operand::Buffer(&w[..]));
            let mut y = [0; 4];
            mul::<Double, _>(&p, &flat(4), a, b, &mut y).unwrap();
            div::<Double, _>(&p, &flat(4), a, b, &mut y).unwrap();
            div::<Single, _>(&p, &flat(4), a, b, &mut y).unwrap();
        }
    }

    #[test]
    fn shifts_past_the_end_wrap_where_that_is_asked_for() {
        // 1/100 at an output scale 2^7 times as large: a shift by 43 bits.
        let p = params(1.0 / 128.0, [0; 3], (-128, 127));
        let (a, b) = (Operand::Buffer(&[1_i8, -1, 0][..]), Operand::Buffer(&[100_i8; 3][..]));
        let mut y = [9_i8; 3];
        div::<Double, _>(&p, &flat(3), a, b, &mut y).unwrap();
        assert_eq!(y, [0; 3]);
        div::<Double, _>(&Mul { wrapping_shift: true, ..p }, &flat(3), a, b, &mut y).unwrap();
        assert_eq!(y, [127, -128, 1]);
    }

    #[test]
    fn division_by_zero_saturates() {
        let p = params(1.0, [0; 3], (-128, 127));
        let (a, b) = (Operand::Buffer(&[5_i8, -5, 0][..]), Operand::Buffer(&[0_i8; 3][..]));
        let mut y = [1_i8; 3];
        div::<Double, _>(&p, &flat(3), a, b, &mut y).unwrap();
        assert_eq!(y, [127, -128, 0]);
    }
}
