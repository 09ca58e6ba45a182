//! ADD_N: the sum of any number of int8 tensors of one shape, one scale and one zero point.
//!
//! Sums of other types are chains of ADD, which gives the same.
//!
//! Source: `reference/add_n.h` of TFLite Micro; LiteRT has no quantized form.

use crate::add::InputScale;
use crate::error::Mismatch;
use crate::requantize::{Output, Rounding};

/// Parameters of a quantized ADD_N.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct AddN {
    /// The scale of every operand over the common scale.
    pub input: InputScale,
    /// Bits by which operands are shifted to the left before they are scaled.
    pub left_shift: u32,
    /// Q0.31 multiplier of the common scale, shifted back, over the output's scale.
    pub output_multiplier: i32,
    /// Shift that belongs to `output_multiplier`, in `[-31, 30]`.
    pub output_shift: i32,
    /// Zero point and range of the output.
    pub output: Output,
}

/// How many sums are kept at a time.
const BLOCK: usize = 64;

/// `y = x₀ + x₁ + …` in int8.
///
/// The sum begins with the scaled value of a quantized 0, not of the real 0, because TFLite
/// Micro's does: with a zero point other than 0 it is off by that once.
///
/// # Errors
///
/// [`Mismatch`] where an operand is not as long as `y`.
pub fn add_n<R: Rounding>(p: &AddN, x: &[&[i8]], y: &mut [i8]) -> Result<(), Mismatch> {
    let initial = p.input.apply::<R>(0, p.left_shift);
    if x.iter().any(|x| x.len() != y.len()) {
        return Err(Mismatch);
    }
    for (block, y) in y.chunks_mut(BLOCK).enumerate() {
        let mut sums = [initial; BLOCK];
        for x in x {
            let x = x.get(block.saturating_mul(BLOCK)..).ok_or(Mismatch)?;
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = sum.wrapping_add(p.input.apply::<R>(x.into(), p.left_shift));
            }
        }
        for (y, &sum) in y.iter_mut().zip(&sums) {
            let scaled = R::requantize(sum, p.output_multiplier, p.output_shift);
            *y = p.output.apply(scaled).clamp(-128, 127) as i8;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requantize::Double;
    use crate::testing::multiplier;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn params(zero_point: i32, output_scale: f64) -> AddN {
        let (output_multiplier, output_shift) =
            multiplier(2.0 / (f64::from(1 << 20) * output_scale));
        AddN {
            input: InputScale { offset: -zero_point, multiplier: 1 << 30, shift: 0 },
            left_shift: 20,
            output_multiplier,
            output_shift,
            output: Output { output_offset: 3, activation_min: -128, activation_max: 127 },
        }
    }

    proptest! {
        #[test]
        fn the_sum_is_the_real_one_and_one_zero_point(
            x in prop::collection::vec(prop::collection::vec(any::<i8>(), 131), 1..5),
            zero_point in -128..=127, output_scale in 1.0..9.0_f64,
        ) {
            let operands: Vec<&[i8]> = x.iter().map(Vec::as_slice).collect();
            let mut y = [0; 131];
            add_n::<Double>(&params(zero_point, output_scale), &operands, &mut y).unwrap();
            for (i, &got) in y.iter().enumerate() {
                let sum: i32 = x.iter().map(|x| i32::from(x[i]) - zero_point).sum();
                let wanted = f64::from(sum - zero_point) / output_scale + 3.0;
                prop_assert!((f64::from(got) - wanted.clamp(-128.0, 127.0)).abs() < 0.501);
            }
        }
    }

    #[test]
    fn operands_of_another_length_are_refused() {
        let mut y = [0; 2];
        assert_eq!(add_n::<Double>(&params(0, 1.0), &[&[1, 2], &[3]], &mut y), Err(Mismatch));
    }
}
