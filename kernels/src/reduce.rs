//! SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_ANY, REDUCE_ALL and MEAN of numbers without a
//! scale, and the maximum and minimum of quantized ones.
//!
//! `x: dims`, `y: dims` without the reduced axes. Sums and products of integers wrap. Those of f32
//! are taken in the order of memory. Source: TFLite's `reference/reduce.h`. Sums, means and
//! products of quantized values are in [`reduce_quantized`](crate::reduce_quantized).

use crate::Mismatch;
use crate::reduction::{Reduction, fold};

/// A number that the operators of this module take: i8, i16, i32, i64, f32.
pub trait Number: Copy + PartialOrd {
    /// The neutral element of addition.
    const ZERO: Self;
    /// The neutral element of multiplication.
    const ONE: Self;
    /// No number is below this.
    const LOWEST: Self;
    /// No number is above this.
    const HIGHEST: Self;

    /// The sum; integers wrap.
    fn add(self, other: Self) -> Self;

    /// The product; integers wrap.
    fn mul(self, other: Self) -> Self;
}

macro_rules! integer_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;

            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }
    )*};
}

integer_number!(i8, i16, i32, i64);

impl Number for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const LOWEST: Self = Self::NEG_INFINITY;
    const HIGHEST: Self = Self::INFINITY;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }
}

/// The sum of each group; 0 of none.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_sum<T: Number>(p: &Reduction, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    fold(p, x, y, T::ZERO, T::add, |acc| acc)
}

/// The product of each group; 1 of none.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_prod<T: Number>(p: &Reduction, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    fold(p, x, y, T::ONE, T::mul, |acc| acc)
}

/// The largest of each group; the lowest number of none. NaN is never the largest.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_max<T: Number>(p: &Reduction, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    let step = |acc: T, value: T| if value > acc { value } else { acc };
    fold(p, x, y, T::LOWEST, step, |acc| acc)
}

/// The smallest of each group; the highest number of none. NaN is never the smallest.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_min<T: Number>(p: &Reduction, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    let step = |acc: T, value: T| if value < acc { value } else { acc };
    fold(p, x, y, T::HIGHEST, step, |acc| acc)
}

/// Whether any of each group is true. A bool is a byte, true unless it is 0; the output is 0 or 1.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_any(p: &Reduction, x: &[u8], y: &mut [u8]) -> Result<(), Mismatch> {
    fold(p, x, y, false, |acc, value| acc | (value != 0), u8::from)
}

/// Whether all of each group are true, as [`reduce_any`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn reduce_all(p: &Reduction, x: &[u8], y: &mut [u8]) -> Result<(), Mismatch> {
    fold(p, x, y, true, |acc, value| acc & (value != 0), u8::from)
}

/// The mean of each group: the sum in f32, divided by the number of elements; NaN of none.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn mean_f32(p: &Reduction, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    let count = p.count().ok_or(Mismatch)? as f32;
    fold(p, x, y, 0.0, |acc: f32, value| acc + value, |acc| acc / count)
}

/// The mean of each group: the sum in i64, divided and rounded toward zero; 0 of none.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn mean_i32(p: &Reduction, x: &[i32], y: &mut [i32]) -> Result<(), Mismatch> {
    let count = p.count().ok_or(Mismatch)? as i64;
    let step = |acc: i64, value: i32| acc.wrapping_add(i64::from(value));
    fold(p, x, y, 0, step, |acc| acc.checked_div(count).unwrap_or(0) as i32)
}

/// The mean of each group, as [`mean_i32`]; the sum wraps.
///
/// # Errors
///
/// [`Mismatch`] where a buffer's length does not fit the reduction.
pub fn mean_i64(p: &Reduction, x: &[i64], y: &mut [i64]) -> Result<(), Mismatch> {
    let count = p.count().ok_or(Mismatch)? as i64;
    fold(p, x, y, 0, i64::wrapping_add, |acc| acc.checked_div(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::noise;
    use crate::reduction::tests::{groups, reduction};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    type Kernel<T> = fn(&Reduction, &[T], &mut [T]) -> Result<(), Mismatch>;

    fn run<T: Copy + Default>(kernel: Kernel<T>, p: &Reduction, x: &[T]) -> Vec<T> {
        let mut y = vec![T::default(); p.outputs().unwrap()];
        kernel(p, x, &mut y).unwrap();
        y
    }

    fn naive<T: Copy>(p: &Reduction, x: &[T], f: impl Fn(Vec<T>) -> T) -> Vec<T> {
        groups(p, x).into_iter().map(f).collect()
    }

    proptest! {
        #[test]
        fn integers_are_reduced_exactly(p in reduction(), seed: u64) {
            let noise = noise(p.dims.iter().product(), seed);
            let x: Vec<i32> = noise.iter().map(|&v| v as i32).collect();
            let sum = |group: &[i32]| group.iter().map(|&v| i128::from(v)).sum::<i128>();
            prop_assert_eq!(run(reduce_sum, &p, &x), naive(&p, &x, |g| sum(&g) as i32));
            prop_assert_eq!(run(reduce_max, &p, &x), naive(&p, &x, |g| *g.iter().max().unwrap()));
            prop_assert_eq!(run(reduce_min, &p, &x), naive(&p, &x, |g| *g.iter().min().unwrap()));
            let mean = |g: Vec<i32>| (sum(&g) / g.len() as i128) as i32;
            prop_assert_eq!(run(mean_i32, &p, &x), naive(&p, &x, mean));

            let x: Vec<i64> = noise.iter().map(|&v| v as i64).collect();
            let product = |g: Vec<i64>| g.iter().fold(1_i64, |acc, &v| (i128::from(acc) * i128::from(v)) as i64);
            prop_assert_eq!(run(reduce_prod, &p, &x), naive(&p, &x, product));
            let mean = |g: Vec<i64>| {
                let sum = g.iter().map(|&v| i128::from(v)).sum::<i128>() as i64;
                (i128::from(sum) / g.len() as i128) as i64
            };
            prop_assert_eq!(run(mean_i64, &p, &x), naive(&p, &x, mean));

            let x: Vec<i8> = noise.iter().map(|&v| v as i8).collect();
            prop_assert_eq!(run(reduce_max, &p, &x), naive(&p, &x, |g| *g.iter().max().unwrap()));
            prop_assert_eq!(run(reduce_min, &p, &x), naive(&p, &x, |g| *g.iter().min().unwrap()));
        }

        #[test]
        fn floats_are_reduced_in_order(p in reduction(), seed: u64) {
            let noise = noise(p.dims.iter().product(), seed);
            let x: Vec<f32> = noise.iter().map(|&v| f32::from(v as i16) / 1000.0).collect();
            prop_assert_eq!(run(reduce_sum, &p, &x), naive(&p, &x, |g| g.iter().fold(0.0, |a, b| a + b)));
            let near_one: Vec<f32> = x.iter().map(|&v| 1.0 + v / 100.0).collect();
            let product = |g: Vec<f32>| g.iter().product();
            prop_assert_eq!(run(reduce_prod, &p, &near_one), naive(&p, &near_one, product));
            let mean = |g: Vec<f32>| g.iter().fold(0.0, |a, b| a + b) / g.len() as f32;
            prop_assert_eq!(run(mean_f32, &p, &x), naive(&p, &x, mean));
            let max = |g: Vec<f32>| g.into_iter().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(run(reduce_max, &p, &x), naive(&p, &x, max));
            let min = |g: Vec<f32>| g.into_iter().fold(f32::INFINITY, f32::min);
            prop_assert_eq!(run(reduce_min, &p, &x), naive(&p, &x, min));
        }

        #[test]
        fn bools_are_reduced(p in reduction(), seed: u64) {
            let noise = noise(p.dims.iter().product(), seed);
            let any: Vec<u8> = noise.iter().map(|&v| u8::from(v % 8 == 0)).collect();
            prop_assert_eq!(run(reduce_any, &p, &any), naive(&p, &any, |g| u8::from(g.contains(&1))));
            let all: Vec<u8> = any.iter().map(|&v| 1 - v).collect();
            prop_assert_eq!(run(reduce_all, &p, &all), naive(&p, &all, |g| u8::from(!g.contains(&0))));
        }
    }

    #[test]
    fn an_empty_group_gives_the_neutral_element() {
        let p = Reduction { dims: [1, 1, 1, 1, 1, 0], reduced: [true; 6] };
        assert_eq!(run::<i32>(reduce_sum, &p, &[]), [0]);
        assert_eq!(run::<i32>(reduce_prod, &p, &[]), [1]);
        assert_eq!(run::<i32>(reduce_max, &p, &[]), [i32::MIN]);
        assert_eq!(run::<i32>(reduce_min, &p, &[]), [i32::MAX]);
        assert_eq!(run(mean_i32, &p, &[]), [0]);
        assert!(run(mean_f32, &p, &[])[0].is_nan());
        assert_eq!([run(reduce_any, &p, &[])[0], run(reduce_all, &p, &[])[0]], [0, 1]);
    }

    #[test]
    fn extremes_wrap_and_nan_is_passed_over() {
        let p = Reduction { dims: [1, 1, 1, 1, 1, 2], reduced: [true; 6] };
        assert_eq!(run(reduce_sum, &p, &[i64::MAX, 1]), [i64::MIN]);
        assert_eq!(run(reduce_prod, &p, &[i32::MIN, -1]), [i32::MIN]);
        assert_eq!(run(mean_i32, &p, &[i32::MAX, i32::MAX]), [i32::MAX]);
        assert_eq!(run(mean_i32, &p, &[-1, -2]), [-1]);
        assert_eq!(run(reduce_max, &p, &[f32::NAN, -1.0]), [-1.0]);
        assert_eq!(run(reduce_any, &p, &[0, 0x80]), [1]);
    }
}
