//! MUL of int8 tensors in single precision: the product of QLinearMul, with broadcasting.
//!
//! `y = round((a − z_a) × (b − z_b) × scale + z_y)`, ties to even. The zero point is added before it
//! is rounded, and as the number that the model states: of uint8 tensors as such.
//!
//! Source: `MlasQLinearMul` of ONNX Runtime, as it is for x86-64.

use crate::broadcast::{Operand, Walk, binary_in_place};
use crate::error::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, round_to_even};

/// Parameters of MUL in single precision.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct MulFloat32 {
    /// The negative of the first operand's zero point, in `[-127, 128]`.
    pub a_offset: i32,
    /// The negative of the second operand's zero point.
    pub b_offset: i32,
    /// `a_scale × b_scale / output_scale`.
    pub scale: f32,
    /// The output's zero point in the model: of tensors that were uint8 in `[0, 255]`.
    pub zero_point: f32,
    /// Offset from there to stored values (-128 for tensors that were uint8, else 0), and the range.
    pub output: Output,
}

/// `y = a × b`. `walk` is that of the operands' shapes; either may be in place.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn mul_float32(
    p: &MulFloat32,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    binary_in_place(walk, a, b, y, |a, b| {
        let (a, b) = (p.a_offset.wrapping_add(a.into()), p.b_offset.wrapping_add(b.into()));
        let real = a.wrapping_mul(b) as f32 * p.scale + p.zero_point;
        i8::saturate(p.output.apply(round_to_even(real)))
    })
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

    proptest! {
        #[test]
        fn it_is_the_nearest_integer_of_the_real_product(
            a: [i8; 17], b: [i8; 17], scale in 1e-4..1.0_f32,
            zero_points in prop::array::uniform3(-128..=127_i32), unsigned: bool,
        ) {
            let shift = if unsigned { 128 } else { 0 };
            let p = MulFloat32 {
                a_offset: -zero_points[0],
                b_offset: -zero_points[1],
                scale,
                zero_point: (zero_points[2] + shift) as f32,
                output: Output { output_offset: -shift, activation_min: -128, activation_max: 127 },
            };
            let mut y = [0; 17];
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            mul_float32(&p, &flat(17), x, w, &mut y).unwrap();
            for ((&y, &a), &b) in y.iter().zip(&a).zip(&b) {
                let product = f64::from(i32::from(a) - zero_points[0])
                    * f64::from(i32::from(b) - zero_points[1]) * f64::from(scale);
                let wanted = (product + f64::from(zero_points[2])).clamp(-128.0, 127.0);
                prop_assert!((f64::from(y) - wanted).abs() < 0.51, "{y} for {wanted}");
            }
        }

        #[test]
        fn no_parameters_panic(floats: [f32; 2], ints: [i32; 5], a: [i8; 4], b: [i8; 4]) {
            let p = MulFloat32 {
                a_offset: ints[0], b_offset: ints[1], scale: floats[0], zero_point: floats[1],
                output: Output {
                    output_offset: ints[2], activation_min: ints[3], activation_max: ints[4],
                },
            };
            let (x, w) = (Operand::Buffer(&a[..]), Operand::Buffer(&b[..]));
            mul_float32(&p, &flat(4), x, w, &mut [0; 4]).unwrap();
        }
    }

    #[test]
    fn the_zero_point_is_added_before_the_sum_is_rounded() {
        // 1 × 1.4999999 is below a tie; with 128 added it is one, and goes to the even 130.
        let scale = 1.499_999_9_f32;
        let output = Output { output_offset: 0, activation_min: -128, activation_max: 127 };
        let mut p = MulFloat32 { a_offset: 0, b_offset: 0, scale, zero_point: 0.0, output };
        let (x, w) = (Operand::Buffer(&[1_i8][..]), Operand::Buffer(&[1_i8][..]));
        let mut y = [9];
        mul_float32(&p, &flat(1), x, w, &mut y).unwrap();
        assert_eq!(y, [1]);
        (p.zero_point, p.output.output_offset) = (128.0, -128);
        mul_float32(&p, &flat(1), x, w, &mut y).unwrap();
        assert_eq!(y, [2]);
    }
}
