//! Histograms that merge to the same bits in any order.
//!
//! Bins are as wide as a power of two, `2^exponent`, and bin `i` holds the values of
//! `[i × 2^exponent, (i + 1) × 2^exponent)`. The exponent follows from the largest magnitude alone:
//! it is the smallest under which every value falls into bins −2048 to 2047. Where a larger
//! magnitude comes along, bins join in groups of a power of two, and as
//! `⌊⌊x / 2^e⌋ / 2^k⌋ = ⌊x / 2^(e + k)⌋`, the counts are those that the wider bins would have had
//! from the start. So a histogram is a function of the multiset of its values: neither their order
//! nor how they were spread over threads, processes or machines changes it.
//!
//! Zeros are counted apart. ReLU makes so many of them that they would hide the rest.

/// Bins on either side of zero.
pub const HALF: i64 = 1 << HALF_BITS;
const HALF_BITS: i32 = 11;

/// Counts of finite values by bins of one width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// How many values were exactly zero.
    pub zeros: u64,
    /// The bins' width is two to this power; of no meaning while there are only zeros.
    pub exponent: i32,
    /// Counts of bins −2048 to 2047; empty while there are only zeros.
    pub counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { zeros: 0, exponent: i32::MIN, counts: Vec::new() }
    }
}

impl Histogram {
    /// Counts all finite values of a slice.
    pub fn add(&mut self, values: &[f32]) {
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        let largest = finite().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        if largest > 0.0 {
            self.widen(exponent_of(largest));
        }
        // Exact in double precision: a power of two times an f32.
        let per_unit = f64::from(-self.exponent.max(-1000)).exp2();
        for x in finite() {
            if x == 0.0 {
                self.zeros += 1;
            } else {
                let bin = (f64::from(x) * per_unit).floor() as i64;
                self.counts[(bin + HALF) as usize] += 1;
            }
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        if other.counts.is_empty() {
            return;
        }
        self.widen(other.exponent);
        let shift = self.exponent - other.exponent;
        for (bin, &count) in (-HALF..).zip(&other.counts) {
            self.counts[((bin >> shift.min(63)) + HALF) as usize] += count;
        }
    }

    /// Values counted.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// The centre of each bin that is not empty, with its count, in ascending order. Zeros are a bin
    /// of their own, at exactly zero.
    pub fn bins(&self) -> Vec<(f64, u64)> {
        let width = f64::from(self.exponent.max(-1000)).exp2();
        let mut bins = Vec::new();
        for (bin, &count) in (-HALF..).zip(&self.counts) {
            if bin == 0 && self.zeros > 0 {
                bins.push((0.0, self.zeros));
            }
            if count > 0 {
                bins.push(((bin as f64 + 0.5) * width, count));
            }
        }
        if self.counts.is_empty() && self.zeros > 0 {
            bins.push((0.0, self.zeros));
        }
        bins
    }

    /// Makes bins at least `2^exponent` wide.
    fn widen(&mut self, exponent: i32) {
        if self.counts.is_empty() {
            self.counts = vec![0; 2 * HALF as usize];
            self.exponent = exponent;
        }
        let Some(shift @ 1..) = exponent.checked_sub(self.exponent) else { return };
        let narrow = std::mem::replace(&mut self.counts, vec![0; 2 * HALF as usize]);
        for (bin, count) in (-HALF..).zip(narrow) {
            self.counts[((bin >> shift.min(63)) + HALF) as usize] += count;
        }
        self.exponent = exponent;
    }
}

/// The exponent of bins for values up to `largest`, which is above zero.
fn exponent_of(largest: f32) -> i32 {
    // largest = fraction × 2^exponent with a fraction in [0.5, 1).
    let (_, exponent) = libm::frexpf(largest);
    exponent - HALF_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    #[test]
    fn bins_are_the_narrowest_that_hold_all_values() {
        let histogram = of(&[0.0, 1.0, -0.5, 0.0]);
        assert_eq!((histogram.zeros, histogram.exponent), (2, -10));
        assert_eq!(histogram.bins(), [(-0.5 + 0.5 / 1024.0, 1), (0.0, 2), (1.0 + 0.5 / 1024.0, 1)]);
        assert_eq!(of(&[0.999_999]).exponent, -11);
    }

    #[test]
    fn values_that_are_not_finite_and_the_smallest_are_no_trouble() {
        let histogram = of(&[f32::NAN, f32::INFINITY, f32::from_bits(1), -f32::MIN_POSITIVE]);
        assert_eq!(histogram.total(), 2);
        assert_eq!(of(&[f32::MAX, f32::MIN]).total(), 2);
        assert_eq!(of(&[]).bins(), []);
    }

    proptest! {
        #[test]
        fn any_split_merges_to_the_same_histogram(
            values in prop::collection::vec((-40_i32..40, -1.0_f32..1.0), 0..60),
            cut in 0_usize..60,
        ) {
            let values: Vec<f32> =
                values.into_iter().map(|(e, x)| x * (e as f32).exp2()).collect();
            let (a, b) = values.split_at(cut.min(values.len()));
            let whole = of(&values);
            let mut ab = of(a);
            ab.merge(&of(b));
            prop_assert_eq!(&ab, &whole);
            let mut ba = of(b);
            ba.merge(&of(a));
            prop_assert_eq!(&ba, &whole);
            let mut one_by_one = Histogram::default();
            values.iter().for_each(|&x| one_by_one.add(&[x]));
            prop_assert_eq!(&one_by_one, &whole);
        }
    }
}
