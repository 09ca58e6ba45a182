//! What is known of one tensor after calibration: extremes, a histogram, and extremes and sums of its
//! channels. All of it merges exactly, so the order of samples leaves no trace.

use super::histogram::Histogram;

/// The state of the observer of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The smallest value; infinity before the first.
    pub min: f32,
    /// The largest value; minus infinity before the first.
    pub max: f32,
    /// How many values were seen.
    pub values: u64,
    /// How many of them were NaN.
    pub nans: u64,
    /// How many of them were infinite.
    pub infinities: u64,
    /// The finite values.
    pub histogram: Histogram,
    /// Each channel.
    pub channels: Vec<Channel>,
}

/// What is known of the finite values of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// The smallest value; infinity before the first.
    pub min: f32,
    /// The largest value; minus infinity before the first.
    pub max: f32,
    /// The sum of all values in units of 2⁻⁶⁴: whole numbers, whose sum no order changes. Values
    /// within one sample are added in double precision.
    pub sum: i128,
    /// The sum of all squares, likewise.
    pub squares: i128,
}

/// One, in the unit of sums.
const UNIT: f64 = 18_446_744_073_709_551_616.0;

impl Channel {
    const EMPTY: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: 0, squares: 0 };

    /// The largest magnitude; 0 before the first value.
    pub fn magnitude(&self) -> f64 {
        if self.min > self.max { 0.0 } else { f64::from(self.max.max(-self.min)) }
    }
}

impl Observed {
    /// Nothing seen yet of a tensor with `channels` channels, the innermost axis.
    pub fn new(channels: usize) -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            values: 0,
            nans: 0,
            infinities: 0,
            histogram: Histogram::default(),
            channels: vec![Channel::EMPTY; channels],
        }
    }

    /// Takes in one sample.
    pub fn add(&mut self, values: &[f32]) {
        self.values += values.len() as u64;
        self.histogram.add(values);
        let mut sample = vec![(0.0_f64, 0.0_f64); self.channels.len()];
        for row in values.chunks_exact(self.channels.len().max(1)) {
            for ((channel, sums), &x) in self.channels.iter_mut().zip(&mut sample).zip(row) {
                if !x.is_finite() {
                    self.nans += u64::from(x.is_nan());
                    self.infinities += u64::from(x.is_infinite());
                    continue;
                }
                channel.min = channel.min.min(x);
                channel.max = channel.max.max(x);
                sums.0 += f64::from(x);
                sums.1 += f64::from(x) * f64::from(x);
            }
        }
        for (channel, (sum, squares)) in self.channels.iter_mut().zip(sample) {
            // Casts saturate; beyond 2⁶² sums are of no use anyway.
            channel.sum = channel.sum.saturating_add((sum * UNIT) as i128);
            channel.squares = channel.squares.saturating_add((squares * UNIT) as i128);
        }
        self.extremes();
    }

    /// Takes in what another run has seen.
    pub fn merge(&mut self, other: &Self) {
        self.values += other.values;
        self.nans += other.nans;
        self.infinities += other.infinities;
        self.histogram.merge(&other.histogram);
        for (channel, other) in self.channels.iter_mut().zip(&other.channels) {
            channel.min = channel.min.min(other.min);
            channel.max = channel.max.max(other.max);
            channel.sum = channel.sum.saturating_add(other.sum);
            channel.squares = channel.squares.saturating_add(other.squares);
        }
        self.extremes();
    }

    /// The extremes of the tensor are those of its channels.
    pub(super) fn extremes(&mut self) {
        self.min = self.channels.iter().fold(f32::INFINITY, |min, channel| min.min(channel.min));
        self.max =
            self.channels.iter().fold(f32::NEG_INFINITY, |max, channel| max.max(channel.max));
    }

    /// The tensor with each channel `c` divided by `2^powers[c]`, where a tensor of several rows of
    /// channels counts as many times. Which channel a value is of is not kept, so the histogram is
    /// lost: ranges then follow from the extremes.
    #[must_use]
    pub fn scaled(&self, powers: &[i32]) -> Self {
        let mut scaled = Self { histogram: Histogram::default(), ..self.clone() };
        for (index, channel) in scaled.channels.iter_mut().enumerate() {
            let factor = f64::from(-powers[index % powers.len().max(1)]).exp2();
            channel.min = (f64::from(channel.min) * factor) as f32;
            channel.max = (f64::from(channel.max) * factor) as f32;
            channel.sum = (channel.sum as f64 * factor) as i128;
            channel.squares = (channel.squares as f64 * factor * factor) as i128;
        }
        scaled.extremes();
        scaled
    }

    /// The mean of each channel.
    pub fn means(&self) -> Vec<f64> {
        self.channels.iter().map(|channel| channel.sum as f64 / UNIT / self.per_channel()).collect()
    }

    /// The mean square of each channel.
    pub fn mean_squares(&self) -> Vec<f64> {
        let mean = |channel: &Channel| channel.squares as f64 / UNIT / self.per_channel();
        self.channels.iter().map(mean).collect()
    }

    fn per_channel(&self) -> f64 {
        (self.values as f64 / self.channels.len().max(1) as f64).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_channels() {
        let mut observed = Observed::new(2);
        observed.add(&[1.0, -4.0, 3.0, 0.5]);
        observed.add(&[5.0, 0.0, 7.0, 0.5]);
        assert_eq!(observed.means(), [4.0, -0.75]);
        assert_eq!((observed.min, observed.max), (-4.0, 7.0));
    }

    #[test]
    fn order_leaves_no_trace() {
        let samples: Vec<Vec<f32>> = (0..40)
            .map(|i| (0..6).map(|j| ((i * 7 + j) as f32).sin() * ((i % 9) as f32).exp2()).collect())
            .collect();
        let run = |order: &mut dyn Iterator<Item = usize>| {
            let mut observed = Observed::new(3);
            order.for_each(|i| observed.add(&samples[i]));
            observed
        };
        let forth = run(&mut (0..40));
        assert_eq!(forth, run(&mut (0..40).rev()));
        let mut halves = run(&mut (20..40));
        halves.merge(&run(&mut (0..20)));
        assert_eq!(halves, forth);
    }

    #[test]
    fn scaling_by_powers_of_two_is_as_if_scaled_values_had_been_seen() {
        let (mut plain, mut scaled) = (Observed::new(2), Observed::new(2));
        for sample in [[1.0, -8.0, 3.0, 24.0], [0.5, 16.0, -7.0, 4.0]] {
            plain.add(&sample);
            scaled.add(&[sample[0] * 2.0, sample[1] / 8.0, sample[2] * 2.0, sample[3] / 8.0]);
        }
        let powers = plain.scaled(&[-1, 3]);
        assert_eq!(powers.channels, scaled.channels);
        assert_eq!((powers.min, powers.max), (scaled.min, scaled.max));
        assert_eq!(powers.mean_squares(), scaled.mean_squares());
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let mut observed = Observed::new(1);
        observed.add(&[f32::NAN, f32::INFINITY, 2.0, f32::NEG_INFINITY]);
        assert_eq!((observed.nans, observed.infinities, observed.max), (1, 2, 2.0));
    }
}
