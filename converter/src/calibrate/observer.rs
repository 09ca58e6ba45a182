//! Observers: from what was seen of a tensor to the range that int8 is to cover.
//!
//! Values outside of the range saturate, values inside are rounded to one of 256 levels: a narrower
//! range trades the first error for the second.

use std::str::FromStr;

use crate::error::{Error, Result, bail};

use super::{histogram::Histogram, observed::Observed};

/// How a range is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Observer {
    /// From the smallest to the largest value.
    MinMax,
    /// So that this percentage of all values lies below the upper end, and as many above the lower.
    Percentile(f64),
    /// The range with the smallest mean squared error between values and what int8 makes of them.
    #[default]
    Mse,
    /// The range whose quantized distribution is nearest to the real one, by the Kullback-Leibler
    /// divergence.
    Entropy,
}

/// What `percentile` alone stands for.
const PERCENTILE: f64 = 99.99;

impl FromStr for Observer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            None if text == "min-max" => Self::MinMax,
            None if text == "mse" => Self::Mse,
            None if text == "entropy" => Self::Entropy,
            None if text == "percentile" => Self::Percentile(PERCENTILE),
            Some(("percentile", percent)) => match percent.parse::<f64>() {
                Ok(percent) if percent > 50.0 && percent <= 100.0 => Self::Percentile(percent),
                _ => bail!(InvalidData, "percentile {percent}: a number above 50, at most 100"),
            },
            _ => bail!(
                InvalidData,
                "observer '{text}'; there are min-max, percentile, percentile:99.9, mse and entropy"
            ),
        })
    }
}

impl std::fmt::Display for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
            Self::Mse => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

/// The real numbers that a tensor's type has to cover, zero among them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The lower end, at most 0.
    pub min: f64,
    /// The upper end, at least 0.
    pub max: f64,
}

impl Range {
    /// The smallest range with `min`, `max` and 0.
    pub fn new(min: f64, max: f64) -> Self {
        Self { min: min.min(0.0), max: max.max(0.0) }
    }

    /// The smallest range with both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

impl Observer {
    /// The range of a tensor.
    pub fn range(self, seen: &Observed) -> Range {
        if seen.min > seen.max {
            return Range::new(0.0, 0.0);
        }
        let whole = Range::new(seen.min.into(), seen.max.into());
        match self {
            // The histogram of a tensor is lost where its channels were scaled.
            _ if seen.histogram.total() == 0 => whole,
            Self::MinMax => whole,
            Self::Percentile(percent) => percentile(&seen.histogram, percent / 100.0, whole),
            Self::Mse => search(&seen.histogram, whole, squared_error),
            Self::Entropy => search(&seen.histogram, whole, divergence),
        }
    }
}

/// The range without the outermost values on either side.
fn percentile(histogram: &Histogram, fraction: f64, whole: Range) -> Range {
    let bins = histogram.bins();
    let outside = histogram.total() as f64 * (1.0 - fraction);
    let end = |bins: &mut dyn Iterator<Item = &(f64, u64)>| {
        let mut passed = 0.0;
        for &(centre, count) in bins {
            passed += count as f64;
            if passed > outside {
                return centre;
            }
        }
        0.0
    };
    let (min, max) = (end(&mut bins.iter()), end(&mut bins.iter().rev()));
    // The centre of the outermost bin may lie beyond the outermost value.
    Range::new(min.max(whole.min), max.min(whole.max))
}

/// How many narrower ends are tried, in steps of 1/128 of the whole range: down to a quarter.
const TRIED: u32 = 96;

/// The range with the smallest `cost`: first the longer side is drawn in, then the other.
fn search(histogram: &Histogram, whole: Range, cost: fn(&[(f64, u64)], Range) -> f64) -> Range {
    let bins = histogram.bins();
    let upper_first = whole.max >= -whole.min;
    let mut best = whole;
    let mut least = cost(&bins, whole);
    for upper in [upper_first, !upper_first] {
        let from = best;
        for step in 1..=TRIED {
            let share = 1.0 - f64::from(step) / 128.0;
            let tried = match upper {
                true => Range { max: from.max * share, ..from },
                false => Range { min: from.min * share, ..from },
            };
            if tried == from {
                break;
            }
            let tried_cost = cost(&bins, tried);
            if tried_cost < least {
                (least, best) = (tried_cost, tried);
            }
        }
    }
    best
}

/// Levels of int8.
const LEVELS: f64 = 256.0;

/// The sum of squared differences between values and the nearest of 256 levels.
fn squared_error(bins: &[(f64, u64)], range: Range) -> f64 {
    let scale = (range.max - range.min) / (LEVELS - 1.0);
    if scale <= 0.0 {
        return f64::INFINITY;
    }
    let zero = (-range.min / scale).round();
    let error = |&(x, count): &(f64, u64)| {
        let level = (x / scale + zero).round().clamp(0.0, LEVELS - 1.0);
        let difference = x - (level - zero) * scale;
        difference * difference * count as f64
    };
    bins.iter().map(error).sum()
}

/// The Kullback-Leibler divergence from the distribution of the values to what is left of it in 128
/// levels over the range: values outside are counted at its ends, and what a level holds is spread
/// evenly over its bins that are not empty. 128 levels, as in TensorRT's calibration: with as many
/// as int8 has, bins would be hardly wider than the histogram's, and no range would lose anything.
///
/// Zeros are left out: a level of their own represents them without error.
fn divergence(bins: &[(f64, u64)], range: Range) -> f64 {
    let levels = LEVELS / 2.0;
    let scale = (range.max - range.min) / levels;
    if scale <= 0.0 {
        return f64::INFINITY;
    }
    let level = |x: f64| ((x - range.min) / scale).floor().clamp(0.0, levels - 1.0) as usize;
    let inside = |x: f64| x >= range.min && x <= range.max;
    let values = || bins.iter().filter(|(x, _)| *x != 0.0);
    let mut within = values().enumerate().filter(|(_, (x, _))| inside(*x)).map(|(index, _)| index);
    let Some(first) = within.next() else { return f64::INFINITY };
    let last = within.last().unwrap_or(first);
    // By level: what lies inside, and in how many bins.
    let mut held = vec![(0.0, 0.0); levels as usize];
    let mut total = 0.0;
    for &(x, count) in values() {
        total += count as f64;
        if inside(x) {
            let (sum, filled) = &mut held[level(x)];
            *sum += count as f64;
            *filled += 1.0;
        }
    }
    let kept: f64 = held.iter().map(|(sum, _)| sum).sum();
    let mut clipped = [0.0, 0.0];
    for (index, (_, count)) in values().enumerate() {
        if index < first {
            clipped[0] += *count as f64;
        } else if index > last {
            clipped[1] += *count as f64;
        }
    }
    let mut divergence = 0.0;
    for (index, &(x, count)) in values().enumerate().take(last + 1).skip(first) {
        let mut real = count as f64;
        real += if index == first { clipped[0] } else { 0.0 };
        real += if index == last { clipped[1] } else { 0.0 };
        let (sum, filled) = held[level(x)];
        let (real, left) = (real / total, sum / filled / kept);
        divergence += real * (real / left).ln();
    }
    divergence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f32]) -> Observed {
        let mut observed = Observed::new(1);
        observed.add(values);
        observed
    }

    /// A bell of 5 million values of about standard deviation 1, and one outlier at 40.
    fn bell_and_outlier() -> Observed {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let values: Vec<f32> =
            (0..20_000).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect();
        let mut bell = seen(&values);
        for _ in 0..8 {
            bell.merge(&bell.clone());
        }
        bell.add(&[40.0]);
        bell
    }

    #[test]
    fn ranges_hold_zero() {
        assert_eq!(Observer::MinMax.range(&seen(&[2.0, 3.0])), Range { min: 0.0, max: 3.0 });
        assert_eq!(Observer::MinMax.range(&seen(&[-2.0, -1.0])), Range { min: -2.0, max: 0.0 });
        for observer in
            [Observer::MinMax, Observer::Percentile(99.0), Observer::Mse, Observer::Entropy]
        {
            assert_eq!(observer.range(&seen(&[])), Range { min: 0.0, max: 0.0 }, "{observer}");
            assert_eq!(observer.range(&seen(&[0.0])), Range { min: 0.0, max: 0.0 }, "{observer}");
        }
    }

    #[test]
    fn all_but_min_max_let_an_outlier_go() {
        let seen = bell_and_outlier();
        assert_eq!(Observer::MinMax.range(&seen).max, 40.0);
        for observer in [Observer::Percentile(99.9), Observer::Mse, Observer::Entropy] {
            let range = observer.range(&seen);
            assert!(range.max < 25.0 && range.max > 2.5, "{observer}: {range:?}");
            assert!(range.min < -2.5, "{observer}: {range:?}");
        }
    }

    #[test]
    fn the_range_of_least_error_has_less_than_the_whole_one() {
        let seen = bell_and_outlier();
        let bins = seen.histogram.bins();
        let error = |observer: Observer| squared_error(&bins, observer.range(&seen));
        assert!(error(Observer::Mse) < 0.7 * error(Observer::MinMax));
    }

    #[test]
    fn uniform_values_keep_their_range() {
        let values: Vec<f32> = (0..=4096).map(|i| i as f32 / 4096.0).collect();
        for observer in [Observer::MinMax, Observer::Percentile(99.99), Observer::Mse] {
            let range = observer.range(&seen(&values));
            assert!(range.max > 0.98 && range.min == 0.0, "{observer}: {range:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["min-max", "mse", "entropy", "percentile:99.5"] {
            assert_eq!(name.parse::<Observer>().unwrap().to_string(), name);
        }
        assert!("percentile:20".parse::<Observer>().is_err());
        assert!("percentile:nan".parse::<Observer>().is_err());
        assert!("median".parse::<Observer>().is_err());
    }
}
