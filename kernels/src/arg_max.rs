//! ARG_MAX and ARG_MIN: the index of the largest or smallest value along an axis.
//!
//! `x: [outer, len, inner]`, `y: [outer, inner]`. Among equals the first wins. Source: TFLite's
//! `reference/arg_min_max.h`.

use crate::Mismatch;
use crate::axis::Axis;
use crate::rows::runs;

/// Writes the index of the largest value along the axis. NaN is below every number.
///
/// TFLite Micro does not treat NaN apart; LiteRT does, as here.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the shape, or the axis has no elements while
/// the output has.
pub fn arg_max<T, I>(p: &Axis, x: &[T], y: &mut [I]) -> Result<(), Mismatch>
where
    T: PartialOrd + Copy,
    I: TryFrom<usize>,
{
    arg_best(p, x, y, |value, best| value > best)
}

/// Writes the index of the smallest value along the axis. NaN is above every number.
///
/// # Errors
///
/// As [`arg_max`].
pub fn arg_min<T, I>(p: &Axis, x: &[T], y: &mut [I]) -> Result<(), Mismatch>
where
    T: PartialOrd + Copy,
    I: TryFrom<usize>,
{
    arg_best(p, x, y, |value, best| value < best)
}

fn arg_best<T, I>(
    p: &Axis,
    x: &[T],
    y: &mut [I],
    better: impl Fn(T, T) -> bool,
) -> Result<(), Mismatch>
where
    T: PartialOrd + Copy,
    I: TryFrom<usize>,
{
    if x.len() != p.elements()? || p.outer.checked_mul(p.inner) != Some(y.len()) {
        return Err(Mismatch);
    }
    for (x, y) in runs(x, p.block(), y, p.inner) {
        for (inner, y) in y.iter_mut().enumerate() {
            let mut values = x.iter().copied().skip(inner).step_by(p.inner.max(1));
            let mut best = (0, values.next().ok_or(Mismatch)?);
            for (index, value) in (1..).zip(values) {
                if better(value, best.1) || (is_nan(best.1) && !is_nan(value)) {
                    best = (index, value);
                }
            }
            *y = I::try_from(best.0).map_err(|_| Mismatch)?;
        }
    }
    // Without an axis there are no blocks, and nothing was written.
    if p.len == 0 && !y.is_empty() { Err(Mismatch) } else { Ok(()) }
}

/// Only NaN does not compare with itself.
#[inline(always)]
pub(crate) fn is_nan<T: PartialOrd>(value: T) -> bool {
    value.partial_cmp(&value).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::noise;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn the_first_of_the_best_wins(
            outer in 0_usize..4, len in 1_usize..9, inner in 0_usize..4, seed: u64,
        ) {
            let p = Axis { outer, len, inner };
            let x: Vec<i8> = noise(outer * len * inner, seed).iter().map(|&v| (v % 4) as i8).collect();
            let (mut max, mut min) = (vec![0_i32; outer * inner], vec![0_i64; outer * inner]);
            arg_max(&p, &x, &mut max).unwrap();
            arg_min(&p, &x, &mut min).unwrap();
            let floats: Vec<f32> = x.iter().map(|&v| f32::from(v)).collect();
            let mut float_max = max.clone();
            float_max.fill(-1);
            arg_max(&p, &floats, &mut float_max).unwrap();
            prop_assert_eq!(&float_max, &max);
            for o in 0..outer {
                for i in 0..inner {
                    let values: Vec<i8> = (0..len).map(|a| x[(o * len + a) * inner + i]).collect();
                    let largest = values.iter().max().unwrap();
                    let wanted = values.iter().position(|v| v == largest).unwrap();
                    prop_assert_eq!(max[o * inner + i], wanted as i32);
                    let smallest = values.iter().min().unwrap();
                    let wanted = values.iter().position(|v| v == smallest).unwrap();
                    prop_assert_eq!(min[o * inner + i], wanted as i64);
                }
            }
        }
    }

    #[test]
    fn nan_never_wins_unless_there_is_nothing_else() {
        let p = Axis { outer: 1, len: 4, inner: 1 };
        let (mut max, mut min) = ([9_i32], [9_i32]);
        arg_max(&p, &[f32::NAN, f32::NEG_INFINITY, f32::NAN, 3.0], &mut max).unwrap();
        arg_min(&p, &[f32::NAN, f32::INFINITY, f32::NAN, 3.0], &mut min).unwrap();
        assert_eq!((max, min), ([3], [3]));
        arg_max(&p, &[f32::NAN; 4], &mut max).unwrap();
        assert_eq!(max, [0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let p = Axis { outer: 2, len: 3, inner: 1 };
        assert_eq!(arg_max(&p, &[0_i8; 5], &mut [0_i32; 2]), Err(Mismatch));
        assert_eq!(arg_max(&p, &[0_i8; 6], &mut [0_i32; 3]), Err(Mismatch));
        assert_eq!(arg_max(&Axis { len: 0, ..p }, &[0_i8; 0], &mut [0_i32; 2]), Err(Mismatch));
        let p = Axis { outer: usize::MAX, ..p };
        assert_eq!(arg_max(&p, &[0_i8; 6], &mut [0_i32; 2]), Err(Mismatch));
        let p = Axis { outer: 1, len: 300, inner: 1 };
        let mut x = [0_i8; 300];
        x[299] = 1;
        assert_eq!(arg_max(&p, &x, &mut [0_u8]), Err(Mismatch));
    }
}
