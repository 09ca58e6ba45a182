//! ADD, SUB and SQUARED_DIFFERENCE of quantized tensors, int8 and int16, with broadcasting.
//!
//! Both operands are brought to a common scale, twice the larger of the two, with `left_shift` bits
//! of headroom below the point; there they are combined, and the result is scaled to the output:
//! `y = output_offset + (a' ± b') × output`, where `x' = ((x + offset) << left_shift) × input`.
//!
//! Source: `reference/add.h`, `reference/sub.h` and `integer_ops/add.h` of TFLite, the same in
//! LiteRT and TFLite Micro. `left_shift` is 20 for int8 and 15 for int16. `docs/numerics` says how
//! the multipliers are computed, which is where the two differ.

use crate::arch;
use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, Rounding, divide_by_power_of_two};

/// How one operand is brought to the common scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct InputScale {
    /// The negative of the operand's zero point, in `[-127, 128]` for int8 and 0 for int16.
    pub offset: i32,
    /// Q0.31 multiplier of the operand's scale over the common scale.
    pub multiplier: i32,
    /// Shift that belongs to `multiplier`, in `[-31, 0]`.
    pub shift: i32,
}

/// Parameters of a quantized ADD, SUB or SQUARED_DIFFERENCE.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Add {
    /// The first operand's scale.
    pub a: InputScale,
    /// The second operand's scale.
    pub b: InputScale,
    /// Bits by which operands are shifted to the left before they are scaled, in `[0, 20]`.
    pub left_shift: u32,
    /// Q0.31 multiplier of the common scale, shifted back, over the output's scale.
    pub output_multiplier: i32,
    /// Shift that belongs to `output_multiplier`, in `[-31, 30]`.
    pub output_shift: i32,
    /// Zero point and range of the output.
    pub output: Output,
}

/// `y = a + b`, int8 or int16. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn add<R: Rounding, T: Quantized>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let (a, b) = p.common_scale::<R>(a.into(), b.into());
        T::saturate(p.rescale_output::<R>(a.wrapping_add(b)))
    })
}

/// [`add`] of int8.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
#[inline(never)]
pub fn add_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::add_i8::<R>(p, walk, a, b, y)
}

/// [`sub`] of int8.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
#[inline(never)]
pub fn sub_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::sub_i8::<R>(p, walk, a, b, y)
}

/// `y = a - b`, int8 or int16; as [`add`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn sub<R: Rounding, T: Quantized>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let (a, b) = p.common_scale::<R>(a.into(), b.into());
        T::saturate(p.rescale_output::<R>(a.wrapping_sub(b)))
    })
}

/// `y = (a - b)²`, int8 or int16; as [`add`]. `left_shift` is 7 for int8 and 0 for int16, and
/// `output_multiplier` has the square of the common scale in it.
///
/// Source: LiteRT's and TFLite Micro's `squared_difference.cc`; int16 only in the latter.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn squared_difference<R: Rounding, T: Quantized>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    y: &mut [T],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let (a, b) = p.common_scale::<R>(a.into(), b.into());
        let difference = a.wrapping_sub(b);
        T::saturate(p.rescale_output::<R>(difference.wrapping_mul(difference)))
    })
}

impl Add {
    /// Both operands at the common scale.
    #[inline(always)]
    fn common_scale<R: Rounding>(&self, a: i32, b: i32) -> (i32, i32) {
        (self.a.apply::<R>(a, self.left_shift), self.b.apply::<R>(b, self.left_shift))
    }

    /// A result at the common scale, scaled to the output, with its zero point and range.
    #[inline(always)]
    fn rescale_output<R: Rounding>(&self, acc: i32) -> i32 {
        self.output.apply(R::requantize(acc, self.output_multiplier, self.output_shift))
    }
}

impl InputScale {
    /// `x` at the common scale.
    #[inline(always)]
    pub(crate) fn apply<R: Rounding>(&self, x: i32, left_shift: u32) -> i32 {
        let shifted = self.offset.wrapping_add(x).wrapping_shl(left_shift);
        R::requantize(shifted, self.multiplier, self.shift)
    }
}

/// Parameters of ADD and SUB of int16 tensors whose scales are powers of two and whose zero points
/// are 0: LiteRT's path for `pot_scale_int16`.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AddPowerOfTwo {
    /// The first operand is divided by `2^a_shift`, in `[0, 31]`.
    pub a_shift: i32,
    /// The second operand is divided by `2^b_shift`, in `[0, 31]`.
    pub b_shift: i32,
    /// The range of the output; its offset is 0.
    pub output: Output,
}

impl AddPowerOfTwo {
    #[inline(always)]
    fn run(
        &self,
        walk: &Walk<2>,
        (a, b): (Operand<'_, i16>, Operand<'_, i16>),
        y: &mut [i16],
        combine: impl Fn(i32, i32) -> i32,
    ) -> Result<(), Mismatch> {
        binary_in_place(walk, a, b, y, |a, b| {
            let a = divide_by_power_of_two(a.into(), self.a_shift);
            let b = divide_by_power_of_two(b.into(), self.b_shift);
            i16::saturate(self.output.apply(combine(a, b)))
        })
    }
}

/// `y = a + b` in int16 with scales that are powers of two. Either operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn add_power_of_two_i16(
    p: &AddPowerOfTwo,
    walk: &Walk<2>,
    a: Operand<'_, i16>,
    b: Operand<'_, i16>,
    y: &mut [i16],
) -> Result<(), Mismatch> {
    p.run(walk, (a, b), y, i32::wrapping_add)
}

/// `y = a - b` in int16 with scales that are powers of two; as [`add_power_of_two_i16`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn sub_power_of_two_i16(
    p: &AddPowerOfTwo,
    walk: &Walk<2>,
    a: Operand<'_, i16>,
    b: Operand<'_, i16>,
    y: &mut [i16],
) -> Result<(), Mismatch> {
    p.run(walk, (a, b), y, i32::wrapping_sub)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{Kernels, SumI8, sum_i8};
    use crate::requantize::{Double, DoubleUp, Single};
    use crate::requantize::{FixedScales, Requantize};
    use crate::shape::Shape;
    use crate::testing::multiplier;
    use crate::testing::{Values, any_scale, check};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let scale = || (-12.0..4.0_f64).prop_map(libm::exp2);
        let zero_point = || -128..128_i32;
        let strategy = (
            [scale(), scale(), scale()],
            [zero_point(), zero_point(), zero_point()],
            (zero_point(), zero_point()),
            (1..600_usize, 0..6_usize, any::<bool>(), any::<u64>()),
        );
        check(kernels.level, cases, strategy, |(scales, zero_points, range, rest)| {
            let (len, kind, subtract, seed) = rest;
            let mut scales =
                params(scales, zero_points, 20, (range.0.min(range.1), range.0.max(range.1)));
            let mut values = Values::new(seed);
            // One in two has some scales that no converter writes.
            if kind >= 3 {
                for operand in [&mut scales.a, &mut scales.b] {
                    (operand.multiplier, operand.shift) = any_scale(&mut values);
                    operand.shift = operand.shift.min(kind as i32 - 3);
                }
            }
            if kind == 4 {
                (scales.output_multiplier, scales.output_shift) = any_scale(&mut values);
                scales.left_shift = values.next() as u32 % 32;
            }
            let (scales, kind) = (&scales, kind % 3);
            let (a, b) = (values.i8s(len), values.i8s(len));
            // The second operand may be one element for all.
            let b = if kind == 0 { &b[..1] } else { &b[..] };
            let shapes = [len, b.len()].map(|len| Shape::new(&[len as u32]).unwrap());
            let walk = Walk::new([&shapes[0], &shapes[1]]).unwrap();
            let output = FixedScales {
                multiplier: &[scales.output_multiplier],
                shift: &[scales.output_shift as i8],
            };
            for requantize in [
                Requantize::Double(output),
                Requantize::DoubleUp(output),
                Requantize::Single(output),
            ] {
                let p = SumI8 { scales, requantize, subtract };
                let run = |kernel: arch::SumI8Kernel| {
                    // The first operand may be where the output goes.
                    let mut y = if kind == 1 { a.clone() } else { std::vec![99; len] };
                    let first = if kind == 1 { Operand::Output } else { Operand::Buffer(&a) };
                    kernel(&p, &walk, [first, Operand::Buffer(b)], &mut y).map(|()| y)
                };
                prop_assert_eq!(run(kernels.sum_i8), run(sum_i8), "{:?}", p);
            }
            Ok(())
        });
    }

    /// The parameters for these scales and zero points, computed as TFLite computes them.
    fn params(scales: [f64; 3], zero_points: [i32; 3], left_shift: u32, range: (i32, i32)) -> Add {
        let twice_max = 2.0 * scales[0].max(scales[1]);
        let input = |i: usize| {
            let (multiplier, shift) = multiplier(scales[i] / twice_max);
            InputScale { offset: -zero_points[i], multiplier, shift }
        };
        let (output_multiplier, output_shift) =
            multiplier(twice_max / (f64::from(1 << left_shift) * scales[2]));
        Add {
            a: input(0),
            b: input(1),
            left_shift,
            output_multiplier,
            output_shift,
            output: Output {
                output_offset: zero_points[2],
                activation_min: range.0,
                activation_max: range.1,
            },
        }
    }

    fn flat(length: usize) -> Walk<2> {
        let shape = Shape::new(&[length as u32]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    /// The real value, quantized and clamped, before rounding.
    fn real(scales: [f64; 3], zero_points: [i32; 3], sign: f64, a: i32, b: i32) -> f64 {
        let x = |i: usize, q: i32| scales[i] * f64::from(q - zero_points[i]);
        (x(0, a) + sign * x(1, b)) / scales[2] + f64::from(zero_points[2])
    }

    proptest! {
        #[test]
        fn int8_is_the_real_sum_within_rounding(
            a in prop::collection::vec(any::<i8>(), 67),
            b in prop::collection::vec(any::<i8>(), 67),
            scales in prop::array::uniform3(0.01..0.4_f64),
            zero_points in prop::array::uniform3(-128..=127),
        ) {
            let p = params(scales, zero_points, 20, (-128, 127));
            let mut sum = std::vec![0; 67];
            let mut difference = sum.clone();
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            add::<Double, _>(&p, &flat(67), x, w, &mut sum).unwrap();
            sub::<Single, _>(&p, &flat(67), x, w, &mut difference).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let (a, b) = (i32::from(a), i32::from(b));
                let wanted = real(scales, zero_points, 1.0, a, b).clamp(-128.0, 127.0);
                prop_assert!((f64::from(sum[i]) - wanted).abs() < 0.501);
                let wanted = real(scales, zero_points, -1.0, a, b).clamp(-128.0, 127.0);
                prop_assert!((f64::from(difference[i]) - wanted).abs() < 0.501);
            }
        }

        #[test]
        fn int16_is_the_real_sum_within_rounding(
            a in prop::collection::vec(any::<i16>(), 9),
            b in prop::collection::vec(any::<i16>(), 9),
            scales in prop::array::uniform3(0.001..0.002_f64),
        ) {
            let p = params(scales, [0; 3], 15, (-32768, 32767));
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            let (mut sum, mut difference) = ([0; 9], [0; 9]);
            add::<DoubleUp, _>(&p, &flat(9), x, w, &mut sum).unwrap();
            sub::<Double, _>(&p, &flat(9), x, w, &mut difference).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let (a, b) = (i32::from(a), i32::from(b));
                let wanted = real(scales, [0; 3], 1.0, a, b).clamp(-32768.0, 32767.0);
                prop_assert!((f64::from(sum[i]) - wanted).abs() < 0.51);
                let wanted = real(scales, [0; 3], -1.0, a, b).clamp(-32768.0, 32767.0);
                prop_assert!((f64::from(difference[i]) - wanted).abs() < 0.51);
            }
        }

        #[test]
        fn int8_is_the_squared_difference_within_rounding(
            a in prop::collection::vec(any::<i8>(), 67),
            b in prop::collection::vec(any::<i8>(), 67),
            scales in prop::array::uniform2(0.01..0.4_f64), output in 0.01..9.0_f64,
            zero_points in prop::array::uniform3(-128..=127),
        ) {
            let mut p = params([scales[0], scales[1], output], zero_points, 7, (-128, 127));
            let twice_max = 2.0 * scales[0].max(scales[1]);
            (p.output_multiplier, p.output_shift) =
                multiplier(twice_max * twice_max / (f64::from(1 << 14) * output));
            let mut y = std::vec![0; 67];
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            squared_difference::<Double, _>(&p, &flat(67), x, w, &mut y).unwrap();
            for (i, (&a, &b)) in a.iter().zip(&b).enumerate() {
                let real = |i: usize, q: i8| scales[i] * f64::from(i32::from(q) - zero_points[i]);
                let difference = real(0, a) - real(1, b);
                let wanted = difference * difference / output + f64::from(zero_points[2]);
                // Each operand is rounded to 1/128 of the common scale before the square.
                let slack = 0.51 + difference.abs() * twice_max / 64.0 / output + 1e-3;
                prop_assert!((f64::from(y[i]) - wanted.clamp(-128.0, 127.0)).abs() < slack);
            }
        }

        #[test]
        fn no_parameters_panic(
            offsets: [i32; 3], multipliers: [i32; 3], shifts: [i32; 3], left_shift: u32,
            range: (i32, i32), x: [i16; 4], w: [i16; 4],
        ) {
            let input =
                |i: usize| InputScale { offset: offsets[i], multiplier: multipliers[i], shift: shifts[i] };
            let output =
                Output { output_offset: offsets[2], activation_min: range.0, activation_max: range.1 };
            let p = Add {
                a: input(0), b: input(1), left_shift,
                output_multiplier: multipliers[2], output_shift: shifts[2], output,
            };
            let (x, w) = (Operand::Buffer(&x[..]), Operand::Buffer(&w[..]));
            let mut y = [0; 4];
            sub::<Double, _>(&p, &flat(4), x, w, &mut y).unwrap();
            add::<DoubleUp, _>(&p, &flat(4), x, w, &mut y).unwrap();
            add::<Single, _>(&p, &flat(4), x, w, &mut y).unwrap();
            squared_difference::<Double, _>(&p, &flat(4), x, w, &mut y).unwrap();
            let p = AddPowerOfTwo { a_shift: shifts[0], b_shift: shifts[1], output };
            sub_power_of_two_i16(&p, &flat(4), x, w, &mut y).unwrap();
        }
    }

    #[test]
    fn a_scalar_and_channels_are_broadcast_and_clamped() {
        // Equal scales: the sum is exact, 8 is the zero point of all.
        let p = params([0.5; 3], [8; 3], 20, (8, 20));
        let [x, channels, scalar] = [&[2, 2][..], &[2], &[]].map(|dims| Shape::new(dims).unwrap());
        let a = [8, 9, 10, 0];
        let mut y = [0; 4];
        let walk = Walk::new([&x, &channels]).unwrap();
        add::<Double, _>(&p, &walk, Operand::Buffer(&a), Operand::Buffer(&[9, 28]), &mut y)
            .unwrap();
        assert_eq!(y, [9, 20, 11, 20]);
        let walk = Walk::new([&x, &scalar]).unwrap();
        let mut y = a;
        sub::<Double, _>(&p, &walk, Operand::Output, Operand::Buffer(&[7]), &mut y).unwrap();
        assert_eq!(y, [9, 10, 11, 8]);
        let walk = Walk::new([&scalar, &x]).unwrap();
        let mut y = a;
        sub::<Double, _>(&p, &walk, Operand::Buffer(&[17]), Operand::Output, &mut y).unwrap();
        assert_eq!(y, [17, 16, 15, 20]);
    }

    #[test]
    fn powers_of_two_are_divided_and_saturate() {
        let output = Output { output_offset: 0, activation_min: -32768, activation_max: 32767 };
        let p = AddPowerOfTwo { a_shift: 0, b_shift: 1, output };
        let a: Vec<i16> = std::vec![32767, -32768, 5, -5];
        let b: Vec<i16> = std::vec![32767, -32768, 3, -3];
        let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
        let mut y = [0; 4];
        add_power_of_two_i16(&p, &flat(4), x, w, &mut y).unwrap();
        assert_eq!(y, [32767, -32768, 7, -7]);
        sub_power_of_two_i16(&p, &flat(4), x, w, &mut y).unwrap();
        assert_eq!(y, [16383, -16384, 3, -3]);
    }
}
