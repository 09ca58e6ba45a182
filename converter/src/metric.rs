//! How good a model's answers are: against labels, or against the answers of another model.

use rayon::prelude::*;
use systole_core::{AlignedBytes, DType, Model, Session, TensorInfo};
use zerocopy::FromBytes;

use crate::{
    error::{Result, bail, error},
    npz::Array,
    run,
};

/// The name of the array that holds labels.
pub const LABELS: &str = "labels";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Percent of the samples whose largest output is the one that the label counts.
    Top1,
    /// Percent of the samples of which one of the five largest outputs is the one that the label
    /// counts.
    Top5,
    /// The coefficient of determination of predicted numbers, in percent.
    R2,
    /// The root of the mean squared error of predicted numbers.
    Rmse,
}

impl Metric {
    /// What labels of this type are measured with: integers are classes, floats are values.
    pub fn of(labels: &Array) -> Self {
        if labels.dtype == DType::F32 || labels.dtype == DType::F64 { Self::R2 } else { Self::Top1 }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top1 => "top-1 %",
            Self::Top5 => "top-5 %",
            Self::R2 => "R² × 100",
            Self::Rmse => "RMSE",
        }
    }

    /// Measures the outputs of a model with one output.
    ///
    /// # Errors
    /// `InvalidData` where there is not one label per sample, or not one value per output, for labels
    /// that are no class of the model, and values that are all the same or not finite.
    pub fn measure(self, outputs: &[Vec<f32>], labels: &Array) -> Result<f64> {
        let shape = &labels.shape;
        let labels = numbers(labels)?;
        if shape.first() != Some(&outputs.len()) || labels.is_empty() {
            bail!(
                InvalidData,
                "array '{LABELS}' has shape {shape:?}, but there are {} samples",
                outputs.len()
            );
        }
        if matches!(self, Self::R2 | Self::Rmse) {
            return self.of_values(outputs, &labels);
        }
        if labels.len() != outputs.len() {
            bail!(
                InvalidData,
                "array '{LABELS}' has shape {shape:?}; one class per sample is needed, or floats"
            );
        }
        let classes = |output: &Vec<f32>| if output.len() == 1 { 2 } else { output.len() };
        let pairs = outputs.iter().zip(&labels);
        let beyond =
            |(output, &label): (&Vec<f32>, &f64)| !(0.0..classes(output) as f64).contains(&label);
        if let Some(sample) = pairs.clone().position(beyond) {
            bail!(
                InvalidData,
                "array '{LABELS}' holds class {} of sample {sample}, but the model has classes 0 to {}",
                labels[sample],
                classes(&outputs[sample]).saturating_sub(1)
            );
        }
        match self {
            Self::Top1 => {
                let right = pairs.filter(|(output, label)| class(output) as f64 == **label);
                Ok(100.0 * right.count() as f64 / labels.len() as f64)
            }
            Self::Top5 => {
                let right = pairs.filter(|(output, label)| {
                    let own = output.get(**label as usize).copied();
                    own.is_some_and(|own| output.iter().filter(|&&other| other > own).count() < 5)
                });
                Ok(100.0 * right.count() as f64 / labels.len() as f64)
            }
            Self::R2 | Self::Rmse => self.of_values(outputs, &labels),
        }
    }

    /// R² or RMSE of all values that the model gives, images for one.
    fn of_values(self, outputs: &[Vec<f32>], labels: &[f64]) -> Result<f64> {
        let values: Vec<f64> = outputs.iter().flatten().map(|&y| y.into()).collect();
        if values.len() != labels.len() {
            bail!(
                InvalidData,
                "array '{LABELS}' holds {} values, but the model gives {} for {} samples",
                labels.len(),
                values.len(),
                outputs.len()
            );
        }
        if let Some(label) = labels.iter().find(|label| !label.is_finite()) {
            bail!(InvalidData, "array '{LABELS}' holds {label}; values must be finite");
        }
        let mean = labels.iter().sum::<f64>() / labels.len() as f64;
        let left: f64 = values.iter().zip(labels).map(|(y, label)| (y - label).powi(2)).sum();
        if self == Self::Rmse {
            return Ok((left / labels.len() as f64).sqrt());
        }
        let whole: f64 = labels.iter().map(|label| (label - mean).powi(2)).sum();
        if whole == 0.0 {
            bail!(InvalidData, "array '{LABELS}' holds {mean} alone; R² is of values that differ");
        }
        Ok(100.0 * (1.0 - left / whole))
    }
}

/// The class that outputs stand for: the first of the largest; of a single one, whether it is above
/// one half.
pub fn class(outputs: &[f32]) -> usize {
    if let [probability] = outputs {
        return usize::from(*probability > 0.5);
    }
    let mut best = 0;
    for (index, &output) in outputs.iter().enumerate() {
        if output > outputs[best] {
            best = index;
        }
    }
    best
}

/// The ratio of signal to noise in dB: of the power of `reference` to that of the difference.
/// Infinite where there is none.
pub fn sqnr(reference: &[Vec<f32>], outputs: &[Vec<f32>]) -> f64 {
    let mut noise = Noise::default();
    reference.iter().zip(outputs).for_each(|(reference, outputs)| noise.add(reference, outputs));
    noise.sqnr()
}

/// Powers of a signal and of what is added to it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Noise {
    /// The sum of squares of the signal.
    pub signal: f64,
    /// The sum of squares of the difference.
    pub noise: f64,
}

impl Noise {
    /// Takes in one tensor.
    pub fn add(&mut self, reference: &[f32], values: &[f32]) {
        for (&reference, &value) in reference.iter().zip(values) {
            self.signal += f64::from(reference) * f64::from(reference);
            self.noise += (f64::from(reference) - f64::from(value)).powi(2);
        }
    }

    /// The ratio in dB.
    pub fn sqnr(&self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }
}

/// The outputs of `model` for every sample, as real numbers, one behind the other; computed on all
/// cores. Integers that stand for no real numbers, such as indices, are left out.
///
/// # Errors
/// `InvalidData` where the arrays do not fit; `UnsupportedFeature` for models without real outputs.
pub fn outputs(model: &Model<'_>, inputs: &[Array]) -> Result<Vec<Vec<f32>>> {
    let real = |info: &TensorInfo<'_>| info.dtype() == DType::F32 || info.scale() > 0.0;
    if !model.outputs().any(|info| real(&info)) {
        bail!(UnsupportedFeature, "no output of the model is real numbers");
    }
    let matched = run::match_inputs(model, inputs)?;
    let samples = matched.first().map_or(0, |array| array.shape[0]);
    let chunk = samples.div_ceil(4 * rayon::current_num_threads()).max(1);
    let starts: Vec<usize> = (0..samples).step_by(chunk).collect();
    let parts = starts.into_par_iter().map(|start| {
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(model, arena.as_mut_slice())
            .map_err(|problem| error!(TooLarge, "{problem}"))?;
        let failed = |problem: &dyn std::fmt::Display| error!(InvalidGraph, "{problem}");
        let mut part = Vec::new();
        for sample in start..(start + chunk).min(samples) {
            session.reset();
            run::load_sample(&mut session, inputs, sample)?;
            session.run().map_err(|problem| failed(&problem))?;
            let mut all = Vec::new();
            for index in 0..model.output_count() {
                let tensor = session.output(index).map_err(|problem| failed(&problem))?;
                if real(tensor.info()) {
                    let mut values = vec![0.0; tensor.info().len()];
                    tensor.dequantize_into(&mut values).map_err(|problem| failed(&problem))?;
                    all.extend(values);
                }
            }
            part.push(all);
        }
        Ok(part)
    });
    let parts: Vec<Vec<Vec<f32>>> = parts.collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// The arrays that are inputs, and the labels, where there are any.
pub fn split_labels(arrays: Vec<Array>) -> (Vec<Array>, Option<Array>) {
    let (labels, inputs): (Vec<Array>, Vec<Array>) =
        arrays.into_iter().partition(|array| array.name == LABELS);
    (inputs, labels.into_iter().next())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).filter_map(|bytes| f32::read_from_bytes(bytes).ok()).collect()
}

/// Labels as numbers.
fn numbers(labels: &Array) -> Result<Vec<f64>> {
    let bytes = &labels.bytes[..];
    let sized = |size: usize| bytes.chunks_exact(size);
    let fits = |_| error!(InvalidData, "labels of type {}", labels.dtype);
    Ok(match labels.dtype {
        DType::F32 => floats(bytes).into_iter().map(f64::from).collect(),
        DType::F64 => sized(8).filter_map(|b| f64::read_from_bytes(b).ok()).collect(),
        DType::I64 => {
            sized(8).filter_map(|b| i64::read_from_bytes(b).ok()).map(|x| x as f64).collect()
        }
        DType::I32 => {
            sized(4).filter_map(|b| i32::read_from_bytes(b).ok()).map(f64::from).collect()
        }
        DType::I16 => {
            sized(2).filter_map(|b| i16::read_from_bytes(b).ok()).map(f64::from).collect()
        }
        DType::I8 => bytes.iter().map(|&b| f64::from(b as i8)).collect(),
        DType::U8 | DType::Bool => bytes.iter().map(|&b| f64::from(b)).collect(),
        DType::U16 | DType::U32 | DType::F16 => return Err(fits(())),
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    fn labels<T: systole_core::Element>(values: &[T]) -> Array {
        let (name, shape) = (LABELS.to_owned(), vec![values.len()]);
        Array { name, dtype: T::DTYPE, shape, bytes: values.as_bytes().to_vec() }
    }

    #[test]
    fn classes_are_counted() {
        let outputs = vec![vec![0.1, 0.9], vec![0.8, 0.2], vec![0.5, 0.5]];
        let labels = labels(&[1_i64, 1, 0]);
        assert_eq!(Metric::of(&labels), Metric::Top1);
        let percent = Metric::Top1.measure(&outputs, &labels).unwrap();
        assert!((percent - 200.0 / 3.0).abs() < 1e-9);
        assert_eq!([class(&[0.4]), class(&[0.6])], [0, 1]);
    }

    #[test]
    fn values_are_compared_with_their_spread() {
        let outputs = vec![vec![1.0], vec![2.0], vec![4.0]];
        let labels = labels(&[1.0_f32, 2.0, 3.0]);
        assert_eq!(Metric::of(&labels), Metric::R2);
        assert_eq!(Metric::R2.measure(&outputs, &labels).unwrap(), 50.0);
        assert!(Metric::R2.measure(&outputs[..2], &labels).is_err());
        // Images are values too.
        let pairs = [vec![1.0, 2.0], vec![4.0, 5.0]];
        let labels = Array { shape: vec![2, 2], ..self::labels(&[1.0_f32, 2.0, 3.0, 6.0]) };
        assert_eq!(Metric::R2.measure(&pairs, &labels).unwrap(), 100.0 * (1.0 - 2.0 / 14.0));
    }

    #[test]
    fn noise_is_in_decibels() {
        assert!((sqnr(&[vec![10.0, 0.0]], &[vec![10.0, 1.0]]) - 20.0).abs() < 1e-12);
        assert_eq!(sqnr(&[vec![1.0]], &[vec![1.0]]), f64::INFINITY);
    }
}
