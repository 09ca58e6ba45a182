//! SUM, MEAN and REDUCE_PROD of quantized values, int8 and int16.
//!
//! `x: dims`, `y: dims` without the reduced axes, each with its scale. A mean is a sum whose output
//! scale has the number of elements in it: one kernel serves both. Source: `QuantizedMeanOrSum` and
//! `QuantizedReduceProd` of TFLite's `reference/reduce.h`; uint8 is the same function of values
//! less 128.

use crate::Mismatch;
use crate::arch;
use crate::quantized::Quantized;
use crate::reduction::{Reduction, fold};
use crate::requantize::{Output, Rescale, requantize_i64};

/// Parameters of SUM and MEAN.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct SumQuantized<R> {
    /// Shape and axes.
    pub reduction: Reduction,
    /// `-input_zero_point × number of elements per group`, added to each sum; it wraps.
    pub acc_offset: i32,
    /// `input_scale / output_scale`, over the number of elements for a mean. A single scale.
    pub requantize: R,
    /// The output's zero point and range.
    pub output: Output,
}

/// Parameters of REDUCE_PROD.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct ProdQuantized {
    /// Shape and axes.
    pub reduction: Reduction,
    /// `-input_zero_point`.
    pub input_offset: i32,
    /// With `shift`: `input_scale / output_scale^(1/n)` for `n` elements per group, Q0.31. Each
    /// factor is multiplied by it, so that no product leaves 32 bits.
    pub multiplier: i32,
    /// In `[-31, 7]`.
    pub shift: i32,
    /// The output's zero point and range.
    pub output: Output,
}

/// The scaled sum of each group of int8; the accumulator wraps.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
#[inline(never)]
pub fn sum_i8<R: Rescale>(p: &SumQuantized<R>, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    arch::sum_groups_i8(p, x, y)
}

/// The definition of [`sum_i8`].
#[inline(always)]
pub(crate) fn portable<R: Rescale>(
    p: &SumQuantized<R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    sum(p, x, y)
}

/// The scaled sum of each group of bytes taken as uint8; the accumulator wraps.
///
/// LiteRT's reference SUM reads the bytes of int8 tensors so, and writes them so.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn sum_u8<R: Rescale>(p: &SumQuantized<R>, x: &[u8], y: &mut [u8]) -> Result<(), Mismatch> {
    sum(p, x, y)
}

/// The scaled sum of each group of int16; the accumulator wraps.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn sum_i16<R: Rescale>(p: &SumQuantized<R>, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    sum(p, x, y)
}

/// The product of each group of int8, scaled at each factor.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn prod_i8(p: &ProdQuantized, x: &[i8], y: &mut [i8]) -> Result<(), Mismatch> {
    prod(p, x, y)
}

/// The product of each group of int16, scaled at each factor.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn prod_i16(p: &ProdQuantized, x: &[i16], y: &mut [i16]) -> Result<(), Mismatch> {
    prod(p, x, y)
}

fn sum<T: Quantized, R: Rescale>(
    p: &SumQuantized<R>,
    x: &[T],
    y: &mut [T],
) -> Result<(), Mismatch> {
    let step = |acc: i32, value: T| acc.wrapping_add(value.into());
    fold(&p.reduction, x, y, 0, step, |acc| {
        let acc = acc.wrapping_add(p.acc_offset);
        T::saturate(p.output.apply(p.requantize.rescale(acc, 0)))
    })
}

fn prod<T: Quantized>(p: &ProdQuantized, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    let scale = |acc: i64| requantize_i64(acc, p.multiplier, p.shift);
    // The first factor is not scaled before the second has come, the last one at the end.
    let step = |acc: Option<i32>, value: T| {
        let value = value.into().wrapping_add(p.input_offset);
        Some(acc.map_or(value, |acc| scale(i64::from(acc).wrapping_mul(i64::from(value)))))
    };
    fold(&p.reduction, x, y, None, step, |acc| {
        let product = acc.map_or(0, |acc| scale(i64::from(acc)));
        T::saturate(p.output.apply(product))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{Kernels, SumGroupsI8};
    use crate::pool::tests::noise;
    use crate::reduction::tests::{groups, reduction};
    use crate::requantize::FixedScales;
    use crate::requantize::Requantize;
    use crate::testing::shapes::sizes;
    use crate::testing::{Scales, Values, check, output_stage};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let image = sizes(20_000).prop_map(|[n, h, w, c]| Reduction {
            dims: [1, 1, n, h, w, c],
            reduced: [false, false, false, true, true, false],
        });
        let row = sizes(20_000).prop_map(|[outputs, h, w]| Reduction {
            dims: [1, 1, 1, 1, outputs, h * w],
            reduced: [false, false, false, false, false, true],
        });
        let strategy = (prop_oneof![image, row, reduction()], any::<i32>(), any::<u64>());
        check(kernels.level, cases, strategy, |(reduction, offset, seed)| {
            let mut values = Values::new(seed);
            let x = values.i8s(reduction.dims.iter().product());
            let (scales, output) = (Scales::new(&mut values, 1), output_stage(&mut values));
            let acc_offset = offset % (1 << 22);
            for requantize in scales.all() {
                let p = SumQuantized { reduction, acc_offset, requantize, output };
                let run = |kernel: SumGroupsI8| {
                    let mut y = vec![99; reduction.outputs().unwrap()];
                    kernel(&p, &x, &mut y).map(|()| y)
                };
                #[expect(clippy::redundant_closure, reason = "the function is of one lifetime")]
                let expected = run(|p, x, y| portable(p, x, y));
                prop_assert_eq!(run(kernels.sum_groups_i8), expected, "{:?}", p);
            }
            Ok(())
        });
    }

    const INT8: Output = Output { output_offset: 0, activation_min: -128, activation_max: 127 };

    proptest! {
        #[test]
        fn the_sum_is_that_of_real_values(
            p in reduction(), seed: u64, input_zero_point in -128_i32..128, output_zero_point in -20_i32..20,
            scale in 0.0001_f64..4.0,
        ) {
            let noise = noise(p.dims.iter().product(), seed);
            let count = p.count().unwrap() as i32;
            let params = SumQuantized {
                reduction: p,
                acc_offset: -input_zero_point * count,
                requantize: Requantize::Float64(&[scale]),
                output: Output { output_offset: output_zero_point, ..INT8 },
            };
            let x: Vec<i8> = noise.iter().map(|&v| v as i8).collect();
            let wanted: Vec<i8> = groups(&p, &x).iter().map(|group| {
                let sum: i32 = group.iter().map(|&v| i32::from(v) - input_zero_point).sum();
                let scaled = libm::round(f64::from(sum) * scale) as i32;
                (scaled + output_zero_point).clamp(-128, 127) as i8
            }).collect();
            let mut y = vec![0; wanted.len()];
            sum_i8(&params, &x, &mut y).unwrap();
            prop_assert_eq!(&y, &wanted);

            // A narrower range is a clamp more.
            let output = Output { activation_min: -5, activation_max: 9, ..params.output };
            sum_i8(&SumQuantized { output, ..params }, &x, &mut y).unwrap();
            let clamped: Vec<i8> = wanted.iter().map(|&v| v.clamp(-5, 9)).collect();
            prop_assert_eq!(y, clamped);
        }

        #[test]
        fn a_mean_with_its_count_in_the_multiplier_is_near_the_real_mean(p in reduction(), seed: u64) {
            // TFLite folds 1/count into the multiplier: (2^30 << shift) / count stands for 1/count.
            let count = p.count().unwrap() as i64;
            let shift = 63 - (count as u64).leading_zeros() as i32;
            let multiplier = [((1_i64 << (30 + shift)) / count) as i32];
            let shifts = [(1 - shift) as i8];
            let scales = FixedScales { multiplier: &multiplier, shift: &shifts };
            let params = SumQuantized {
                reduction: p,
                acc_offset: 0,
                requantize: Requantize::Double(scales),
                output: Output { activation_min: -32768, activation_max: 32767, output_offset: 0 },
            };
            let noise = noise(p.dims.iter().product(), seed);
            let x: Vec<i16> = noise.iter().map(|&v| v as i16).collect();
            let mut y = vec![0; p.outputs().unwrap()];
            sum_i16(&params, &x, &mut y).unwrap();
            for (&got, group) in y.iter().zip(groups(&p, &x)) {
                let sum: f64 = group.iter().map(|&v| f64::from(v)).sum();
                prop_assert!((f64::from(got) - sum / count as f64).abs() <= 1.0);
            }
        }

        #[test]
        fn the_product_is_near_that_of_real_values(
            x in prop::collection::vec(-100_i8..100, 1..5), zero_point in -20_i32..20,
        ) {
            let reduction = Reduction { dims: [1, 1, 1, 1, 1, x.len()], reduced: [true; 6] };
            // Input scale 1/32, output scale 1: each factor is scaled by 2^-5.
            let params = ProdQuantized {
                reduction, input_offset: -zero_point, multiplier: 1 << 30, shift: -4,
                output: Output { activation_min: -32768, activation_max: 32767, output_offset: 0 },
            };
            let x: Vec<i16> = x.iter().map(|&v| i16::from(v)).collect();
            let mut y = [0];
            prod_i16(&params, &x, &mut y).unwrap();
            let factors: Vec<f64> = x.iter().map(|&v| (f64::from(v) - f64::from(zero_point)) / 32.0).collect();
            let real: f64 = factors.iter().product();
            // Each rounding, of half a unit, is multiplied by all factors after it.
            let error: f64 = (1..=factors.len()).map(|i| factors[i..].iter().product::<f64>().abs()).sum();
            prop_assert!((f64::from(y[0]) - real).abs() <= 0.5 + 0.5 * error + 0.01 * real.abs());
        }

        #[test]
        fn no_parameters_panic(offset: i32, multiplier: i32, shift: i32, output_offset: i32, scale: f32) {
            let reduction = Reduction { dims: [1, 1, 1, 1, 2, 3], reduced: [false, false, false, false, false, true] };
            let output = Output { output_offset, ..INT8 };
            let x = [i16::MIN, i16::MAX, -1, 0, 1, 2];
            let p = ProdQuantized { reduction, input_offset: offset, multiplier, shift, output };
            prod_i16(&p, &x, &mut [0; 2]).unwrap();
            let multiplier = [multiplier];
            let scales = FixedScales { multiplier: &multiplier, shift: &[shift as i8] };
            for requantize in [Requantize::Double(scales), Requantize::Single(scales), Requantize::Float32(&[scale])] {
                let p = SumQuantized { reduction, acc_offset: offset, requantize, output };
                sum_i16(&p, &x, &mut [0; 2]).unwrap();
            }
        }
    }
}
