//! ADD of int8 tensors in single precision: the sum of QLinearAdd, with broadcasting.
//!
//! `y = round(a × a_scale + (b × b_scale + fixed))`, ties to even, where the scales are those of the
//! operands over the output's, and `fixed` holds all zero points. Each product is added before it is
//! rounded (a fused multiply-add), and each sum is rounded to the 24 bits of an f32.
//!
//! Operands have 8 bits, so that all of it are integers of 64 bits in units of the last place, which
//! every processor computes alike, and those without an FPU fast.
//!
//! Source: `MlasQLinearAdd` of ONNX Runtime, as it is for x86-64 with AVX2. `docs/numerics` says what
//! other machines do there.

use crate::arch;
use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, round_to_even};

/// Which operand is one number for whole rows: its product is rounded and added to `fixed` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub enum RowConstant {
    /// Neither.
    None,
    /// The first.
    A,
    /// The second.
    B,
}

/// Parameters of ADD in single precision. Multipliers and `fixed` are in units of `2^-point`.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AddFloat32 {
    /// Added to stored values: 128 for tensors that were uint8, whose own values count, else 0.
    pub offset: i32,
    /// The first operand's scale over the output's.
    pub a_multiplier: i64,
    /// The second operand's scale over the output's.
    pub b_multiplier: i64,
    /// The output's zero point less those of the operands times their scales.
    pub fixed: i64,
    /// Bits behind the point, in `[0, 62]`.
    pub point: u32,
    /// Which operand is one number for whole rows.
    pub row_constant: RowConstant,
    /// Offset from sums to stored values (-128 for tensors that were uint8, else 0), and the range.
    pub output: Output,
}

/// The bits of an f32's significand.
const SIGNIFICAND: u32 = 24;

/// The significand of a float without zeros behind, and its power of two; `None` for what is no
/// number.
fn parts(x: f32) -> Option<(i64, i32)> {
    if !x.is_finite() {
        return None;
    }
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 23 & 0xFF) as i32, i64::from(bits & 0x7F_FFFF));
    let (significand, power) = match exponent {
        0 => (fraction, -149),
        _ => (fraction | 0x80_0000, exponent - 150),
    };
    if significand == 0 {
        return Some((0, 0));
    }
    let zeros = significand.trailing_zeros();
    let signed = if bits >> 31 == 1 { -(significand >> zeros) } else { significand >> zeros };
    Some((signed, power + zeros as i32))
}

impl AddFloat32 {
    /// The parameters of these scales and this fixed part, f32 as the sum is defined. `None` where they
    /// are no numbers, or so far apart that 64 bits do not hold the sums: by 2²⁸ and more.
    pub fn new(
        [a_scale, b_scale, fixed]: [f32; 3],
        offset: i32,
        row_constant: RowConstant,
        output: Output,
    ) -> Option<Self> {
        let parts = [parts(a_scale)?, parts(b_scale)?, parts(fixed)?];
        let lowest = parts.iter().map(|&(_, power)| power).min()?.min(0);
        let point = lowest.unsigned_abs();
        if point > 62 {
            return None;
        }
        let in_units = |(significand, power): (i64, i32), room: u32| {
            let shift = power.checked_sub(lowest)?.unsigned_abs();
            let used = 64 - significand.unsigned_abs().leading_zeros();
            (shift + used + room <= 62).then(|| significand << shift)
        };
        // Values have 9 bits with their sign, and three terms add up.
        let [a, b, fixed] = parts;
        let (a_multiplier, b_multiplier) = (in_units(a, 10)?, in_units(b, 10)?);
        let fixed = in_units(fixed, 2)?;
        Some(Self { offset, a_multiplier, b_multiplier, fixed, point, row_constant, output })
    }

    /// A stored value times a multiplier.
    #[inline(always)]
    fn product(&self, q: i8, multiplier: i64) -> i64 {
        i64::from(i32::from(q).wrapping_add(self.offset)).wrapping_mul(multiplier)
    }

    /// What is stored of a sum, which is rounded to an f32 and then to an integer.
    #[inline(always)]
    fn stored(&self, sum: i64) -> i8 {
        let rounded = shift_to_even(to_f32(sum), self.point);
        let limit = 1 << 30;
        i8::saturate(self.output.apply(rounded.clamp(-limit, limit) as i32))
    }
}

/// The same sums in f64, whose 53 bits mostly hold them: faster where there is an FPU for that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubles {
    offset: i32,
    a_multiplier: f64,
    b_multiplier: f64,
    fixed: f64,
    /// `2^-point`.
    unit: f32,
    output: Output,
}

/// Whether processors of this kind compute in f64.
const COMPUTES_IN_F64: bool =
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32"));

impl Doubles {
    /// `None` where 53 bits do not hold all sums.
    pub(crate) fn of(p: &AddFloat32) -> Option<Self> {
        let most = [p.a_multiplier, p.b_multiplier].map(|m| m.unsigned_abs().checked_mul(1 << 9));
        let [a, b] = most;
        let sum = a?.checked_add(b?)?.checked_add(p.fixed.unsigned_abs())?;
        // Beyond, units are below all floats.
        let fits = sum < 1 << 53 && p.point <= 62 && (0..=128).contains(&p.offset);
        fits.then(|| Self {
            offset: p.offset,
            a_multiplier: p.a_multiplier as f64,
            b_multiplier: p.b_multiplier as f64,
            fixed: p.fixed as f64,
            unit: f32::from_bits(127_u32.wrapping_sub(p.point) << 23),
            output: p.output,
        })
    }

    /// The product of a stored value with a multiplier.
    #[inline(always)]
    fn product(&self, q: i8, multiplier: f64) -> f64 {
        f64::from(i32::from(q).wrapping_add(self.offset)) * multiplier
    }

    /// As [`add_float32`], where no row has one number.
    #[inline(always)]
    fn add(&self, a: i8, b: i8) -> i8 {
        i8::saturate(self.output.apply(self.sum::<false>(RowConstant::None, a, b)))
    }

    /// As [`add_float32`] before the output's offset, within ±2²²; `CONSTANT` says whether rows have one
    /// number of an operand, else the second counts as such.
    #[inline(always)]
    pub(crate) fn sum<const CONSTANT: bool>(&self, row_constant: RowConstant, a: i8, b: i8) -> i32 {
        let [a, b] = [self.product(a, self.a_multiplier), self.product(b, self.b_multiplier)];
        let (first, second) = if row_constant == RowConstant::A { (a, b) } else { (b, a) };
        let first = if CONSTANT { f64::from(first as f32) } else { first };
        let sum = (self.fixed + first) as f32;
        round_to_even((f64::from(sum) + second) as f32 * self.unit)
    }
}

/// The nearest number of 24 bits, ties to even.
#[inline(always)]
fn to_f32(x: i64) -> i64 {
    let used = u64::BITS - x.unsigned_abs().leading_zeros();
    let excess = used.saturating_sub(SIGNIFICAND);
    shift_to_even(x, excess).wrapping_shl(excess)
}

/// `x / 2^shift` to the nearest integer, ties to even; `shift` is in `[0, 62]`.
#[inline(always)]
fn shift_to_even(x: i64, shift: u32) -> i64 {
    let one = 1_i64.wrapping_shl(shift);
    // Half of a unit, or a little less where the unit below is even: ties stay there.
    let odd = x.wrapping_shr(shift) & 1;
    x.wrapping_add((one >> 1) - 1 + odd + i64::from(shift == 0) * (1 - odd)).wrapping_shr(shift)
}

/// `y = a + b`. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn add_float32(
    p: &AddFloat32,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::add_float32(p, walk, a, b, y)
}

/// The definition of [`add_float32`].
#[inline(always)]
pub(crate) fn portable(
    p: &AddFloat32,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let first = |a: i8| p.product(a, p.a_multiplier);
    let second = |b: i8| p.product(b, p.b_multiplier);
    // Rounded where the sum of the others is, and before it where a row has one.
    let beside = |product: i64| to_f32(p.fixed.wrapping_add(product));
    let doubles = if COMPUTES_IN_F64 { Doubles::of(p) } else { None };
    if let (Some(doubles), RowConstant::None) = (doubles, p.row_constant) {
        return binary_in_place(walk, a, b, y, |a, b| doubles.add(a, b));
    }
    match p.row_constant {
        RowConstant::None => binary_in_place(walk, a, b, y, |a, b| {
            p.stored(beside(second(b)).wrapping_add(first(a)))
        }),
        RowConstant::A => binary_in_place(walk, a, b, y, |a, b| {
            p.stored(beside(to_f32(first(a))).wrapping_add(second(b)))
        }),
        RowConstant::B => binary_in_place(walk, a, b, y, |a, b| {
            p.stored(beside(to_f32(second(b))).wrapping_add(first(a)))
        }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::Kernels;
    use crate::shape::Shape;
    use crate::testing::{self, Values};
    use proptest::prelude::*;
    use std::vec;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let strategy = (prop::array::uniform3(-9.0..3.0_f32), 1..300_usize, any::<u64>());
        testing::check(kernels.level, cases, strategy, |(scales, len, seed)| {
            let mut values = Values::new(seed);
            let power = values.next().is_multiple_of(2);
            // Powers of two give ties. Far apart, scales need more than 53 bits.
            let scales = scales.map(|log| libm::exp2f(if power { libm::floorf(log) } else { log }));
            let far = if values.next().is_multiple_of(4) { 1e-8 } else { 1.0 };
            let zero_points = values.i32s(3, -128, 127);
            let factors = factors(
                [scales[0] * far, scales[1], scales[2]],
                [zero_points[0], zero_points[1], zero_points[2]],
            );
            let offset = [0, 0, 128, 77][values.next() as usize % 4];
            let output = testing::output_stage(&mut values);
            let (a, b) = (values.i8s(len), values.i8s(len));
            for row in [RowConstant::None, RowConstant::A, RowConstant::B] {
                let Some(p) = AddFloat32::new(factors, offset, row, output) else { continue };
                for in_place in [None, Some(0), Some(1)] {
                    let operand = |j: usize, x| match in_place {
                        Some(place) if place == j => Operand::Output,
                        _ => Operand::Buffer(x),
                    };
                    let operands = || [operand(0, &a[..]), operand(1, &b[..])];
                    let [mut y, mut expected] = match in_place {
                        Some(0) => [a.clone(), a.clone()],
                        Some(_) => [b.clone(), b.clone()],
                        None => [vec![1; len], vec![2; len]],
                    };
                    let done = (kernels.add_float32)(&p, &flat(len), operands(), &mut y);
                    prop_assert_eq!(done, Ok(()));
                    let [x, w] = operands();
                    portable(&p, &flat(len), x, w, &mut expected).unwrap();
                    prop_assert_eq!(y, expected, "{:?}", p);
                }
            }
            Ok(())
        });
    }

    fn flat(length: usize) -> Walk<2> {
        let shape = Shape::new(&[length as u32]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    const OUTPUT: Output = Output { output_offset: 0, activation_min: -128, activation_max: 127 };

    fn factors(scales: [f32; 3], zero_points: [i32; 3]) -> [f32; 3] {
        let (a, b) = (scales[0] / scales[2], scales[1] / scales[2]);
        let zeros = a * zero_points[0] as f32 + b * zero_points[1] as f32;
        [a, b, zero_points[2] as f32 - zeros]
    }

    fn params(scales: [f32; 3], zero_points: [i32; 3], row_constant: RowConstant) -> AddFloat32 {
        AddFloat32::new(factors(scales, zero_points), 0, row_constant, OUTPUT).unwrap()
    }

    /// The definition, in floats.
    fn defined([a_scale, b_scale, fixed]: [f32; 3], row: RowConstant, a: i32, b: i32) -> i32 {
        let (a, b) = (a as f32, b as f32);
        let sum = match row {
            RowConstant::None => libm::fmaf(a, a_scale, libm::fmaf(b, b_scale, fixed)),
            RowConstant::A => libm::fmaf(b, b_scale, fixed + a * a_scale),
            RowConstant::B => libm::fmaf(a, a_scale, fixed + b * b_scale),
        };
        (libm::rintf(sum) as i32).clamp(-128, 127)
    }

    proptest! {
        #[test]
        fn it_is_the_sum_that_floats_define(
            a: [i8; 31], b: [i8; 31], scales in prop::array::uniform3(-9.0..3.0_f32),
            zero_points in prop::array::uniform3(0..=255), unsigned: bool, power: bool,
        ) {
            // Powers of two give ties, other scales sums beside them.
            let scales = scales.map(|log| libm::exp2f(if power { libm::floorf(log) } else { log }));
            let offset = if unsigned { 128 } else { 0 };
            let factors = factors(scales, zero_points.map(|zero| zero - 128 + offset));
            let output = Output { output_offset: 0, activation_min: -128, activation_max: 127 };
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            for row in [RowConstant::None, RowConstant::A, RowConstant::B] {
                let p = AddFloat32::new(factors, offset, row, output).unwrap();
                let mut y = [0; 31];
                add_float32(&p, &flat(31), x, w, &mut y).unwrap();
                for ((&y, &a), &b) in y.iter().zip(&a).zip(&b) {
                    let (a, b) = (i32::from(a) + offset, i32::from(b) + offset);
                    prop_assert_eq!(i32::from(y), defined(factors, row, a, b), "{:?}", row);
                }
            }
        }

        #[test]
        fn any_floats_are_refused_or_give_what_they_define(bits: [u32; 3], a: i8, b: i8) {
            let factors = bits.map(f32::from_bits);
            if let Some(p) = AddFloat32::new(factors, 0, RowConstant::None, OUTPUT) {
                let mut y = [0];
                let (x, w) = (Operand::Buffer(core::slice::from_ref(&a)), Operand::Buffer(core::slice::from_ref(&b)));
                add_float32(&p, &flat(1), x, w, &mut y).unwrap();
                let wanted = defined(factors, RowConstant::None, a.into(), b.into());
                prop_assert_eq!(i32::from(y[0]), wanted);
            }
        }

        #[test]
        fn doubles_give_the_same(
            a: i8, b: i8, scales in prop::array::uniform3(-9.0..3.0_f32),
            zero_points in prop::array::uniform3(-128..=127), power: bool,
        ) {
            let scales = scales.map(|log| libm::exp2f(if power { libm::floorf(log) } else { log }));
            let p = params(scales, zero_points, RowConstant::None);
            let doubles = Doubles::of(&p).unwrap();
            let second = p.fixed + p.product(b, p.b_multiplier);
            let wanted = p.stored(to_f32(second) + p.product(a, p.a_multiplier));
            prop_assert_eq!(doubles.add(a, b), wanted);
        }

        #[test]
        fn rounding_to_24_bits_is_that_of_floats(x: i64, bits in 0_u32..63) {
            let x = x >> bits;
            prop_assert_eq!(to_f32(x >> 2), (x >> 2) as f32 as i64);
        }

        #[test]
        fn it_is_the_nearest_integer_of_the_real_sum(
            a in prop::collection::vec(any::<i8>(), 41), b in prop::collection::vec(any::<i8>(), 41),
            scales in prop::array::uniform3(0.01..0.4_f32),
            zero_points in prop::array::uniform3(-128..=127),
        ) {
            for row_constant in [RowConstant::None, RowConstant::A, RowConstant::B] {
                let p = params(scales, zero_points, row_constant);
                let mut y = [0; 41];
                let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
                add_float32(&p, &flat(41), x, w, &mut y).unwrap();
                for ((&y, &a), &b) in y.iter().zip(&a).zip(&b) {
                    let real = |i: usize, q: i8| {
                        f64::from(scales[i]) * f64::from(i32::from(q) - zero_points[i])
                    };
                    let sum = (real(0, a) + real(1, b)) / f64::from(scales[2]);
                    let wanted = (sum + f64::from(zero_points[2])).clamp(-128.0, 127.0);
                    prop_assert!((f64::from(y) - wanted).abs() < 0.51, "{y} for {wanted}");
                }
            }
        }

        #[test]
        fn uint8_gives_what_the_same_numbers_less_128_give(
            a: [i8; 9], b: [i8; 9], zero_points in prop::array::uniform3(-128..=127),
        ) {
            // With scales that are powers of two nothing is rounded before the end.
            let scales = [0.25, 0.5, 0.5];
            let p = params(scales, zero_points, RowConstant::None);
            let shifted = factors(scales, zero_points.map(|zero_point| zero_point + 128));
            let output = Output { output_offset: -128, ..OUTPUT };
            let q = AddFloat32::new(shifted, 128, RowConstant::None, output).unwrap();
            let (mut y, mut z) = ([0; 9], [0; 9]);
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            add_float32(&p, &flat(9), x, w, &mut y).unwrap();
            add_float32(&q, &flat(9), x, w, &mut z).unwrap();
            // Ties go to the even neighbour, and 128 is even.
            prop_assert_eq!(y, z);
        }

        #[test]
        fn no_parameters_panic(wide: [i64; 3], point: u32, ints: [i32; 4], a: [i8; 4], b: [i8; 4]) {
            let p = AddFloat32 {
                offset: ints[0],
                a_multiplier: wide[0],
                b_multiplier: wide[1],
                fixed: wide[2],
                point,
                row_constant: RowConstant::B,
                output: Output {
                    output_offset: ints[1], activation_min: ints[2], activation_max: ints[3],
                },
            };
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            add_float32(&p, &flat(4), x, w, &mut [0; 4]).unwrap();
        }
    }

    #[test]
    fn ties_go_to_the_even_neighbour() {
        let p = params([0.5, 0.5, 1.0], [0; 3], RowConstant::None);
        let (x, w) = (Operand::Buffer(&[1_i8, 3, -1, -3][..]), Operand::Buffer(&[0_i8; 4][..]));
        let mut y = [9; 4];
        add_float32(&p, &flat(4), x, w, &mut y).unwrap();
        assert_eq!(y, [0, 2, 0, -2]);
    }

    #[test]
    fn products_are_not_rounded_before_they_are_added() {
        // 96 × s is 32.00000095, or 32 as a float; less 33.5 that is above a tie, or the tie.
        let factors = [1.0 / 3.0, 0.0, -33.5];
        let (x, w) = (Operand::Buffer(&[96_i8][..]), Operand::Buffer(&[0_i8][..]));
        let run = |row_constant: RowConstant| {
            let p = AddFloat32::new(factors, 0, row_constant, OUTPUT).unwrap();
            let mut y = [9];
            add_float32(&p, &flat(1), x, w, &mut y).unwrap();
            y
        };
        assert_eq!(run(RowConstant::None), [-1]);
        // Where a row has one number, its product is a float.
        assert_eq!(run(RowConstant::A), [-2]);
    }
}
