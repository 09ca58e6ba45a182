//! How good answers are, and how much of a difference is chance.

use std::collections::HashMap;

use systole_converter::npz::Array;
use systole_core::DType;

use crate::error::{Result, failed};

/// Resamplings behind an interval.
const RESAMPLINGS: usize = 2000;

/// What a model's answers are measured with. All of them are in points, at most 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Percent of the samples whose largest output is the right one.
    Top1,
    /// 100 times the coefficient of determination.
    R2,
    /// 100 times the area under the ROC curve of the mean squared difference to the input.
    Auc,
}

impl Metric {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top-1",
            Self::R2 => "R²",
            Self::Auc => "AUC",
        }
    }
}

/// What answers are held against.
#[derive(Debug, Clone)]
pub struct Truth {
    /// What is measured.
    pub metric: Metric,
    /// Per sample.
    labels: Vec<Vec<f64>>,
    /// Per sample what a reconstruction has to equal.
    inputs: Vec<Vec<f64>>,
}

impl Truth {
    /// Of arrays with test data: integers are classes, floats are values; models that are to
    /// rebuild their input are measured by how well that tells the labels 0 and 1 apart.
    ///
    /// # Errors
    /// Where there are no labels.
    pub fn new(arrays: &[Array], rebuilds: bool) -> Result<Self> {
        let labels = arrays.iter().find(|array| array.name == "labels");
        let labels = labels.ok_or_else(|| failed!("test data without labels"))?;
        let metric = match labels.dtype {
            _ if rebuilds => Metric::Auc,
            DType::F32 | DType::F64 => Metric::R2,
            _ => Metric::Top1,
        };
        let inputs = arrays.iter().find(|array| array.name != "labels" && rebuilds);
        Ok(Self {
            metric,
            labels: per_sample(labels),
            inputs: inputs.map(per_sample).unwrap_or_default(),
        })
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// What each sample adds to the metric.
    ///
    /// # Errors
    /// Where answers and labels do not fit.
    pub fn scored(&self, answers: &[Vec<f64>]) -> Result<Scored> {
        let reference = if self.metric == Metric::Auc { &self.inputs } else { &self.labels };
        let values = self.metric != Metric::Top1;
        let fits = answers.iter().zip(reference).all(|(a, r)| !values || a.len() == r.len());
        if answers.len() != self.samples() || reference.len() != self.samples() || !fits {
            return Err(failed!("{} answers for {} labels", answers.len(), self.samples()));
        }
        let both = answers.iter().zip(reference);
        let squares = |(a, r): (&Vec<f64>, &Vec<f64>)| -> f64 {
            a.iter().zip(r).map(|(a, r)| (a - r).powi(2)).sum()
        };
        Ok(match self.metric {
            Metric::Top1 => {
                Scored::Right(both.map(|(a, r)| r.first() == Some(&(largest(a) as f64))).collect())
            }
            Metric::Auc => Scored::Ranked(
                both.map(squares).zip(&self.labels).map(|(e, l)| (e, l == &[1.0])).collect(),
            ),
            Metric::R2 => Scored::Values(
                both.map(|(a, r)| {
                    let (sum, power) = (r.iter().sum(), r.iter().map(|r| r * r).sum());
                    Sums { error: squares((a, r)), sum, power, count: r.len() as f64 }
                })
                .collect(),
            ),
        })
    }
}

/// Sums over the values of one sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Of the squared errors.
    error: f64,
    /// Of the labels.
    sum: f64,
    /// Of their squares.
    power: f64,
    count: f64,
}

/// What each sample adds to a metric.
#[derive(Debug, Clone)]
pub enum Scored {
    /// Whether it is right.
    Right(Vec<bool>),
    /// Errors and labels.
    Values(Vec<Sums>),
    /// Its score, and whether it is one of those that should have a high one.
    Ranked(Vec<(f64, bool)>),
}

impl Scored {
    /// The metric over all samples.
    pub fn value(&self) -> f64 {
        self.of(&(0..self.len()).collect::<Vec<_>>())
    }

    fn len(&self) -> usize {
        match self {
            Self::Right(all) => all.len(),
            Self::Values(all) => all.len(),
            Self::Ranked(all) => all.len(),
        }
    }

    /// The metric over some samples, each as often as it is named.
    fn of(&self, samples: &[usize]) -> f64 {
        match self {
            Self::Right(all) => {
                let right = samples.iter().filter(|&&sample| all[sample]).count();
                100.0 * right as f64 / samples.len() as f64
            }
            Self::Values(all) => {
                let mut total = Sums::default();
                for &sample in samples {
                    total.error += all[sample].error;
                    total.sum += all[sample].sum;
                    total.power += all[sample].power;
                    total.count += all[sample].count;
                }
                let spread = total.power - total.sum * total.sum / total.count;
                100.0 * (1.0 - total.error / spread)
            }
            Self::Ranked(all) => area(samples.iter().map(|&sample| all[sample]).collect()),
        }
    }

    /// By how many points this is better than `other`, and the interval that holds 95 % of the
    /// differences when samples are drawn anew, with replacement, from those that there are.
    pub fn against(&self, other: &Self) -> (f64, [f64; 2]) {
        let mut random = Random(1);
        let mut differences: Vec<f64> = (0..RESAMPLINGS)
            .map(|_| {
                let drawn: Vec<usize> = (0..self.len()).map(|_| random.below(self.len())).collect();
                self.of(&drawn) - other.of(&drawn)
            })
            .filter(|difference| difference.is_finite())
            .collect();
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * differences.len() as f64) as usize;
            differences.get(index).copied().unwrap_or(0.0)
        };
        (self.value() - other.value(), [at(0.025), at(0.975)])
    }
}

/// The share of pairs, one that should have a high score and one that should not, in which it has;
/// equal ones count half.
fn area(mut ranked: Vec<(f64, bool)>) -> f64 {
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut low, mut pairs, mut high) = (0.0, 0.0, 0.0);
    for group in ranked.chunk_by(|a, b| a.0 == b.0) {
        let ours = group.iter().filter(|(_, positive)| *positive).count() as f64;
        let others = group.len() as f64 - ours;
        pairs += ours * (low + others / 2.0);
        low += others;
        high += ours;
    }
    100.0 * pairs / (low * high)
}

/// Numbers that are the same in every run: Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % end
    }
}

/// The first of the largest.
pub fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = index;
        }
    }
    best
}

/// The ratio of signal to noise in dB.
pub fn sqnr(reference: &[Vec<f64>], values: &[Vec<f64>]) -> f64 {
    let (reference, values) = (reference.iter().flatten(), values.iter().flatten());
    let (mut signal, mut noise) = (0.0, 0.0);
    for (reference, value) in reference.zip(values) {
        signal += reference * reference;
        noise += (reference - value).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// The largest error of values, in absolute terms and as a multiple of what is allowed: 1e-4 of the
/// value and 1e-5. Infinite where their counts differ.
pub fn largest_error(golden: &[f64], values: &[f64]) -> (f64, f64) {
    if golden.len() != values.len() {
        return (f64::INFINITY, f64::INFINITY);
    }
    let mut worst = (0.0_f64, 0.0_f64);
    for (golden, value) in golden.iter().zip(values) {
        let error = if golden == value { 0.0 } else { (golden - value).abs() };
        // A value that is no number is never near.
        let error = if error.is_nan() { f64::INFINITY } else { error };
        worst = (worst.0.max(error), worst.1.max(error / (golden.abs() * 1e-4).max(1e-5)));
    }
    worst
}

/// All elements as numbers.
pub fn numbers(array: &Array) -> Vec<f64> {
    let number = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let whole = i64::from_le_bytes(wide);
        match array.dtype {
            DType::I8 => f64::from(whole as i8),
            DType::I16 => f64::from(whole as i16),
            DType::I32 => f64::from(whole as i32),
            DType::F32 => f64::from(f32::from_bits(whole as u32)),
            DType::F64 => f64::from_le_bytes(wide),
            _ => whole as f64,
        }
    };
    array.bytes.chunks_exact(array.dtype.size()).map(number).collect()
}

/// The elements of each sample as numbers.
pub fn per_sample(array: &Array) -> Vec<Vec<f64>> {
    let samples = array.shape.first().copied().unwrap_or(0);
    let all = numbers(array);
    let size = all.len().checked_div(samples).unwrap_or(0).max(1);
    all.chunks(size).map(<[f64]>::to_vec).collect()
}

/// Arrays by their names.
pub fn by_name(arrays: Vec<Array>) -> HashMap<String, Array> {
    arrays.into_iter().map(|array| (array.name.clone(), array)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(name: &str, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Array {
        Array { name: name.into(), dtype, shape: shape.to_vec(), bytes }
    }

    fn floats(name: &str, shape: &[usize], values: &[f32]) -> Array {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        array(name, DType::F32, shape, bytes)
    }

    fn classes(values: &[i64]) -> Array {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        array("labels", DType::I64, &[values.len()], bytes)
    }

    #[test]
    fn classes_values_and_reconstructions_are_measured_by_what_their_labels_are() {
        let truth = Truth::new(&[classes(&[1, 0, 0, 1])], false).unwrap();
        let answers = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [2.0, 1.0]].map(|a| a.to_vec());
        assert_eq!((truth.metric, truth.scored(&answers).unwrap().value()), (Metric::Top1, 75.0));

        let truth = Truth::new(&[floats("labels", &[3], &[1.0, 2.0, 3.0])], false).unwrap();
        let scored = truth.scored(&[vec![1.0], vec![2.0], vec![4.0]]).unwrap();
        assert_eq!((truth.metric, scored.value()), (Metric::R2, 50.0));
        assert!(truth.scored(&[vec![1.0]]).is_err());

        // Errors 1 and 3 of what is normal, 2 and 4 of what is not: one pair of four is wrong.
        let inputs = floats("window", &[4, 1], &[0.0; 4]);
        let truth = Truth::new(&[inputs, classes(&[0, 0, 1, 1])], true).unwrap();
        let scored = truth.scored(&[vec![1.0], vec![3.0], vec![2.0], vec![4.0]]).unwrap();
        assert_eq!((truth.metric, scored.value()), (Metric::Auc, 75.0));
        assert!(Truth::new(&[], false).is_err());
    }

    #[test]
    fn intervals_hold_the_difference_and_are_narrow_where_nothing_differs() {
        let right = |all: &[bool]| Scored::Right(all.repeat(50));
        let one = right(&[true, true, true, true, false, true, true, true]);
        let other = right(&[true, true, true, false, false, true, true, true]);
        assert_eq!(one.against(&one), (0.0, [0.0, 0.0]));
        let (difference, [low, high]) = one.against(&other);
        assert_eq!(difference, 12.5);
        // 400 samples: a standard error of sqrt(0.125 * 0.875 / 400), 1.65 points.
        assert!(
            (12.5 - low - 3.24).abs() < 0.5 && (high - 12.5 - 3.24).abs() < 0.5,
            "{low} {high}"
        );
    }

    #[test]
    fn errors_are_multiples_of_what_is_allowed() {
        assert_eq!(largest_error(&[1.0, 0.0], &[1.0, 0.0]), (0.0, 0.0));
        let (absolute, share) = largest_error(&[10.0, 0.0], &[10.001, 5e-6]);
        assert!((absolute - 1e-3).abs() < 1e-9 && (share - 1.0).abs() < 1e-6);
        assert_eq!(largest_error(&[1.0], &[f64::NAN]).1, f64::INFINITY);
        assert_eq!(largest_error(&[1.0], &[]).1, f64::INFINITY);
        assert_eq!(largest_error(&[f64::INFINITY], &[f64::INFINITY]).1, 0.0);
    }

    #[test]
    fn noise_is_in_decibels() {
        assert_eq!(sqnr(&[vec![10.0, 0.0]], &[vec![10.0, 1.0]]), 20.0);
    }

    #[test]
    fn elements_of_all_types_become_numbers() {
        assert_eq!(numbers(&array("x", DType::I8, &[2], vec![255, 1])), [-1.0, 1.0]);
        assert_eq!(numbers(&array("x", DType::Bool, &[1], vec![1])), [1.0]);
        assert_eq!(per_sample(&floats("x", &[2, 2], &[1.0, 2.0, 3.0, 4.0]))[1], [3.0, 4.0]);
        assert_eq!(by_name(vec![classes(&[3])])["labels"].shape, [1]);
    }
}
