//! SOFTMAX of int8 tensors by a table of exponentials: that of QLinearSoftmax.
//!
//! `x: [rows, depth]`, `y: [rows, depth]`. With `e = table[max − x]` and the row's sum of these in
//! order, `y = round(e × scale / Σ e) + z_y`, ties to even, all in f32.
//!
//! Source: `qlinear_softmax.cc` of ONNX Runtime, which keeps the table the other way round. There
//! int8 outputs wrap around where a probability of 1 does not fit; here they saturate.

use crate::Mismatch;
use crate::quantized::Quantized;
use crate::requantize::{Output, round_to_even};
use crate::rows::for_each_row;

/// Entries of the table: one per difference of two int8.
pub const DIFFERENCES: usize = 256;

/// Parameters of SOFTMAX by a table.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct SoftmaxTable<'a> {
    /// Product of all dimensions but the innermost.
    pub rows: usize,
    /// The innermost dimension.
    pub depth: usize,
    /// Positive numbers in proportion to `exp(−d × input_scale)` for `d` from 0 on.
    pub table: &'a [f32; DIFFERENCES],
    /// What a probability of 1 is in stored values above the zero point.
    pub scale: f32,
    /// The output's zero point and range.
    pub output: Output,
}

/// SOFTMAX by a table.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not hold `rows × depth` values.
pub fn softmax_table(p: &SoftmaxTable<'_>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    for_each_row(p.rows, p.depth, x, y, |x, y| {
        let max = x.iter().copied().max().unwrap_or(0);
        let exp = |x: i8| p.table.get(usize::from(max.abs_diff(x))).copied().unwrap_or(0.0);
        let sum = x.iter().fold(0.0, |sum: f32, &x| sum + exp(x));
        for (y, &x) in y.iter_mut().zip(x) {
            let rounded = round_to_even(exp(x) * p.scale / sum);
            *y = i8::saturate(p.output.apply(rounded));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OUTPUT: Output =
        Output { output_offset: -128, activation_min: -128, activation_max: 127 };

    fn table(input_scale: f64) -> [f32; DIFFERENCES] {
        core::array::from_fn(|d| (1e3 * libm::exp(-(d as f64) * input_scale)) as f32)
    }

    proptest! {
        #[test]
        fn outputs_are_the_nearest_to_the_probabilities(
            x in prop::collection::vec(any::<i8>(), 14), input_scale in 0.01..0.5_f64,
        ) {
            let table = table(input_scale);
            let p = SoftmaxTable { rows: 2, depth: 7, table: &table, scale: 256.0, output: OUTPUT };
            let mut y = [0; 14];
            softmax_table(&p, &x, &mut y).unwrap();
            for (x, y) in x.chunks(7).zip(y.chunks(7)) {
                let exp = |&x: &i8| libm::exp(f64::from(x) * input_scale);
                let sum: f64 = x.iter().map(exp).sum();
                for (x, &y) in x.iter().zip(y) {
                    let wanted = (exp(x) / sum * 256.0 - 128.0).min(127.0);
                    prop_assert!((f64::from(y) - wanted).abs() < 0.51, "{y} for {wanted}");
                }
            }
        }

        #[test]
        fn no_parameters_panic(entries: [f32; 32], scale: f32, ints: [i32; 3], x: [i8; 6]) {
            let table = core::array::from_fn(|d| entries[d % 32]);
            let output = Output {
                output_offset: ints[0], activation_min: ints[1], activation_max: ints[2],
            };
            let p = SoftmaxTable { rows: 2, depth: 3, table: &table, scale, output };
            softmax_table(&p, &x, &mut [0; 6]).unwrap();
        }
    }

    #[test]
    fn a_certain_class_saturates_and_the_extremes_are_far_apart() {
        let table = table(1.0);
        let p = SoftmaxTable { rows: 1, depth: 2, table: &table, scale: 256.0, output: OUTPUT };
        let mut y = [0; 2];
        softmax_table(&p, &[127, -128], &mut y).unwrap();
        assert_eq!(y, [127, -128]);
        assert!(softmax_table(&p, &[1; 3], &mut [0; 3]).is_err());
    }
}
