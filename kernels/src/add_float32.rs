//! ADD of int8 tensors in single precision: the sum of QLinearAdd, with broadcasting.
//!
//! `y = round(a × a_scale + (b × b_scale + fixed))`, ties to even, where the scales are those of the
//! operands over the output's, and `fixed` holds all zero points. Each product is added before it is
//! rounded (a fused multiply-add), which is a rule of the result, not of the machine: `libm` computes
//! it the same way everywhere.
//!
//! Source: `MlasQLinearAdd` of ONNX Runtime, as it is for x86-64 with AVX2. `docs/numerics` says what
//! other machines do there.

use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::Output;

/// An operand of a sum in single precision.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct RealOperand {
    /// Added to stored values: 128 for tensors that were uint8, whose own values count, else 0.
    pub offset: i32,
    /// The operand's scale over the output's.
    pub scale: f32,
}

impl RealOperand {
    #[inline(always)]
    fn value(&self, q: i8) -> f32 {
        i32::from(q).wrapping_add(self.offset) as f32
    }
}

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

/// Parameters of ADD in single precision.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AddFloat32 {
    /// The first operand.
    pub a: RealOperand,
    /// The second operand.
    pub b: RealOperand,
    /// The output's zero point less those of the operands times their scales.
    pub fixed: f32,
    /// Which operand is one number for whole rows.
    pub row_constant: RowConstant,
    /// Offset from sums to stored values (-128 for tensors that were uint8, else 0), and the range.
    pub output: Output,
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
    // `as` saturates, and turns what is not a number into 0.
    let stored = |sum: f32| i8::saturate(p.output.apply(libm::rintf(sum) as i32));
    let (scale_a, scale_b, fixed) = (p.a.scale, p.b.scale, p.fixed);
    match p.row_constant {
        RowConstant::None => binary_in_place(walk, a, b, y, |a, b| {
            let sum = libm::fmaf(p.b.value(b), scale_b, fixed);
            stored(libm::fmaf(p.a.value(a), scale_a, sum))
        }),
        RowConstant::A => binary_in_place(walk, a, b, y, |a, b| {
            let sum = fixed + p.a.value(a) * scale_a;
            stored(libm::fmaf(p.b.value(b), scale_b, sum))
        }),
        RowConstant::B => binary_in_place(walk, a, b, y, |a, b| {
            let sum = fixed + p.b.value(b) * scale_b;
            stored(libm::fmaf(p.a.value(a), scale_a, sum))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;
    use proptest::prelude::*;

    fn flat(length: usize) -> Walk<2> {
        let shape = Shape::new(&[length as u32]).unwrap();
        Walk::new([&shape, &shape]).unwrap()
    }

    fn params(scales: [f32; 3], zero_points: [i32; 3], row_constant: RowConstant) -> AddFloat32 {
        let (a, b) = (scales[0] / scales[2], scales[1] / scales[2]);
        let fixed = zero_points[2] as f32 - (a * zero_points[0] as f32 + b * zero_points[1] as f32);
        AddFloat32 {
            a: RealOperand { offset: 0, scale: a },
            b: RealOperand { offset: 0, scale: b },
            fixed,
            row_constant,
            output: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
        }
    }

    proptest! {
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
            let p = params([0.25, 0.5, 0.5], zero_points, RowConstant::None);
            let shifted = zero_points.map(|zero_point| zero_point + 128);
            let mut q = params([0.25, 0.5, 0.5], shifted, RowConstant::None);
            (q.a.offset, q.b.offset, q.output.output_offset) = (128, 128, -128);
            let (mut y, mut z) = ([0; 9], [0; 9]);
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            add_float32(&p, &flat(9), x, w, &mut y).unwrap();
            add_float32(&q, &flat(9), x, w, &mut z).unwrap();
            // Ties go to the even neighbour, and 128 is even.
            prop_assert_eq!(y, z);
        }

        #[test]
        fn no_parameters_panic(floats: [f32; 3], ints: [i32; 5], a: [i8; 4], b: [i8; 4]) {
            let p = AddFloat32 {
                a: RealOperand { offset: ints[0], scale: floats[0] },
                b: RealOperand { offset: ints[1], scale: floats[1] },
                fixed: floats[2],
                row_constant: RowConstant::B,
                output: Output {
                    output_offset: ints[2], activation_min: ints[3], activation_max: ints[4],
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
        let mut p = params([1.0, 1.0, 1.0], [0; 3], RowConstant::None);
        (p.a.scale, p.b.scale, p.fixed) = (1.0 / 3.0, 0.0, -33.5);
        let (x, w) = (Operand::Buffer(&[96_i8][..]), Operand::Buffer(&[0_i8][..]));
        let mut y = [9];
        add_float32(&p, &flat(1), x, w, &mut y).unwrap();
        assert_eq!(y, [-1]);
        // Where a row has one number, its product is a float.
        p.row_constant = RowConstant::A;
        add_float32(&p, &flat(1), x, w, &mut y).unwrap();
        assert_eq!(y, [-2]);
    }
}
