//! CUMSUM: running sums along an axis.
//!
//! `x` and `y: [outer, len, inner]`. Inclusive sums count the element itself, exclusive ones only
//! those before it; `reverse` runs from the end. Source: TFLite's `reference/cumsum.h`. LiteRT has
//! int32, int64 and f32, TFLite Micro f32 and int8.

use crate::Mismatch;
use crate::axis::Axis;
use crate::reduce::Number;
use crate::requantize::{Double, Output, Rounding};
use crate::rows::runs;

/// Parameters of CUMSUM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct CumSum {
    /// The shape, split at the axis that is summed along.
    pub axis: Axis,
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether sums run from the end to the start.
    pub reverse: bool,
}

/// What CUMSUM on int8 needs besides [`CumSum`]: each element is scaled to a common Q-format with
/// `left_shift` more bits, summed there, and each sum scaled to the output.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct CumSumScales {
    /// `-input_zero_point`.
    pub input_offset: i32,
    /// Bits by which elements are widened before they are scaled; 20 in TFLite Micro.
    pub left_shift: u32,
    /// From widened elements to sums: one half, in Q0.31.
    pub input_multiplier: i32,
    /// Power of two that goes with `input_multiplier`; not positive.
    pub input_shift: i32,
    /// From sums to the output: `2 × input_scale / (2^left_shift × output_scale)`, Q0.31.
    pub output_multiplier: i32,
    /// Power of two that goes with `output_multiplier`; not positive.
    pub output_shift: i32,
    /// The output's zero point and range.
    pub output: Output,
}

/// Running sums of numbers; integers wrap.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the shape.
pub fn cumsum<T: Number>(p: &CumSum, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    scan(p, x, y, T::ZERO, T::add, |acc| acc)
}

/// Running sums of int8, as TFLite Micro computes them: sums start not from zero but from the
/// scaled `input_offset`, the real value of a stored 0.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the shape.
pub fn cumsum_i8(
    p: &CumSum,
    scales: &CumSumScales,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let scaled = |value: i32| {
        let widened = value.wrapping_add(scales.input_offset).wrapping_shl(scales.left_shift);
        Double::requantize(widened, scales.input_multiplier, scales.input_shift)
    };
    let add = |acc: i32, value: i8| acc.wrapping_add(scaled(i32::from(value)));
    scan(p, x, y, scaled(0), add, |acc| {
        let sum = Double::requantize(acc, scales.output_multiplier, scales.output_shift);
        scales.output.apply(sum).clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8
    })
}

fn scan<T: Copy, A: Copy>(
    p: &CumSum,
    x: &[T],
    y: &mut [T],
    init: A,
    add: impl Fn(A, T) -> A,
    write: impl Fn(A) -> T,
) -> Result<(), Mismatch> {
    let Axis { inner, .. } = p.axis;
    let elements = p.axis.elements()?;
    if x.len() != elements || y.len() != elements {
        return Err(Mismatch);
    }
    let run = |pairs: &mut dyn Iterator<Item = (&T, &mut T)>| {
        let mut acc = init;
        for (&x, y) in pairs {
            let next = add(acc, x);
            *y = write(if p.exclusive { acc } else { next });
            acc = next;
        }
    };
    let block = p.axis.block();
    for (x, y) in runs(x, block, y, block) {
        for i in 0..inner {
            let mut pairs = x.iter().zip(y.iter_mut()).skip(i).step_by(inner);
            if p.reverse { run(&mut pairs.rev()) } else { run(&mut pairs) }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::noise;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn any_cumsum() -> impl Strategy<Value = CumSum> {
        (0_usize..4, 1_usize..7, 1_usize..4, any::<bool>(), any::<bool>()).prop_map(
            |(outer, len, inner, exclusive, reverse)| CumSum {
                axis: Axis { outer, len, inner },
                exclusive,
                reverse,
            },
        )
    }

    /// The sum of which each output consists, spelled out.
    fn naive(p: &CumSum, x: &[i64]) -> Vec<i64> {
        let Axis { outer, len, inner } = p.axis;
        let mut y = vec![0; x.len()];
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            for a in 0..len {
                let counts = |b: usize| match (p.reverse, p.exclusive) {
                    (false, false) => b <= a,
                    (false, true) => b < a,
                    (true, false) => b >= a,
                    (true, true) => b > a,
                };
                y[(o * len + a) * inner + i] =
                    (0..len).filter(|&b| counts(b)).map(|b| x[(o * len + b) * inner + i]).sum();
            }
        }
        y
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_definition(p in any_cumsum(), seed: u64) {
            let noise = noise(p.axis.elements().unwrap(), seed);
            let x: Vec<i64> = noise.iter().map(|&v| i64::from(v as i32)).collect();
            let wanted = naive(&p, &x);
            let mut y = vec![0; x.len()];
            cumsum(&p, &x, &mut y).unwrap();
            prop_assert_eq!(&y, &wanted);

            let narrow: Vec<i32> = x.iter().map(|&v| v as i32).collect();
            let mut y = vec![0; x.len()];
            cumsum(&p, &narrow, &mut y).unwrap();
            let wrapped: Vec<i32> = wanted.iter().map(|&v| v as i32).collect();
            prop_assert_eq!(y, wrapped);
        }

        #[test]
        fn int8_without_zero_points_is_the_real_sum(p in any_cumsum(), seed: u64) {
            let noise = noise(p.axis.elements().unwrap(), seed);
            let x: Vec<i8> = noise.iter().map(|&v| v as i8).collect();
            // Equal scales: one half, and 2 / 2^20 = 2^30 × 2^(-18 - 31).
            let scales = CumSumScales {
                input_offset: 0, left_shift: 20,
                input_multiplier: 1 << 30, input_shift: 0,
                output_multiplier: 1 << 30, output_shift: -18,
                output: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
            };
            let wide: Vec<i64> = x.iter().map(|&v| i64::from(v)).collect();
            let wanted: Vec<i8> = naive(&p, &wide).iter().map(|&v| v.clamp(-128, 127) as i8).collect();
            let mut y = vec![0; x.len()];
            cumsum_i8(&p, &scales, &x, &mut y).unwrap();
            prop_assert_eq!(&y, &wanted);

            // A stored 0 is worth `input_offset`, and every sum starts with one.
            let shifted = CumSumScales { input_offset: 3, ..scales };
            cumsum_i8(&p, &shifted, &x, &mut y).unwrap();
            let wide: Vec<i64> = x.iter().map(|&v| i64::from(v) + 3).collect();
            let wanted: Vec<i8> = naive(&p, &wide).iter().map(|&v| (v + 3).clamp(-128, 127) as i8).collect();
            prop_assert_eq!(&y, &wanted);
        }

        #[test]
        fn no_parameters_panic(p in any_cumsum(), a: i32, b: i32, c: i32, d: i32, left_shift: u32) {
            let scales = CumSumScales {
                input_offset: a, left_shift, input_multiplier: b, input_shift: c,
                output_multiplier: d, output_shift: a,
                output: Output { output_offset: b, activation_min: c, activation_max: d },
            };
            let len = p.axis.elements().unwrap();
            cumsum_i8(&p, &scales, &vec![-128; len], &mut vec![0; len]).unwrap();
        }
    }

    #[test]
    fn integers_wrap() {
        let axis = Axis { outer: 1, len: 2, inner: 1 };
        let mut y = [0; 2];
        cumsum(&CumSum { axis, exclusive: false, reverse: false }, &[i32::MAX, 1], &mut y).unwrap();
        assert_eq!(y, [i32::MAX, i32::MIN]);
    }
}
