//! What is counted of one layer.

use serde_json::{Value, json};
use systole_core::{DType, Model, TensorInfo};

use super::finite;

/// Bins of a histogram.
pub(super) const BINS: usize = 64;

/// A factor per channel is believed where it is farther from 1 than noise would have it.
const FACTOR: std::ops::Range<f64> = 0.8..1.25;

/// What is known of a tensor that both models have.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The tensor's name.
    pub name: String,
    /// The operator that writes it in the quantized model; "input" where none does.
    pub operator: String,
    /// Its type there.
    pub dtype: DType,
    /// What its integers can stand for; `None` of float tensors.
    pub range: Option<[f64; 2]>,
    /// Elements that were compared.
    pub elements: usize,
    /// Smallest and largest float value.
    pub float: [f64; 2],
    /// Smallest and largest value of the quantized model.
    pub quantized: [f64; 2],
    /// Elements whose float value is beyond what the integers can stand for.
    pub saturated: usize,
    /// By channel: sums of `float²`, `quantized²` and `float × quantized`.
    sums: Vec<[f64; 3]>,
    /// How often values fall into each part of the range: of the float model, of the quantized one.
    pub histograms: [Vec<u64>; 2],
}

/// The tensors that an operator writes.
pub(super) fn written(model: &Model<'_>, operator: u16) -> Vec<u16> {
    let Some(operator) = model.operator(operator) else { return Vec::new() };
    let record = operator.record();
    let inputs = record.input_count();
    (inputs..inputs + record.output_count()).filter_map(|i| record.operand(i)).collect()
}

impl Layer {
    /// The tensors that both models name, in the order of the quantized one, each once.
    pub(super) fn all(float: &Model<'_>, quantized: &Model<'_>) -> Vec<Self> {
        let named = |model: &Model<'_>, name: &str| {
            let mut infos = (0..model.tensor_count() as u16).filter_map(|i| model.tensor(i));
            infos.any(|info| !info.is_constant() && info.name() == Some(name))
        };
        let mut layers: Vec<Self> = Vec::new();
        let mut add = |info: TensorInfo<'_>, operator: &str| {
            let Some(name) = info.name() else { return };
            // Of a tensor that is stored twice, as float and quantized, the last counts.
            layers.retain(|layer| layer.name != name);
            if named(float, name) {
                layers.push(Self::new(&info, name, operator));
            }
        };
        quantized.inputs().for_each(|info| add(info, "input"));
        for index in 0..quantized.operator_count() as u16 {
            let name = quantized.operator(index).map(|operator| operator.opcode().name());
            for tensor in written(quantized, index) {
                if let (Some(info), Some(name)) = (quantized.tensor(tensor), name) {
                    add(info, name);
                }
            }
        }
        layers
    }

    fn new(info: &TensorInfo<'_>, name: &str, operator: &str) -> Self {
        let dtype = info.dtype();
        let bounds = match info.stored_dtype() {
            DType::I8 => Some([-128.0, 127.0]),
            DType::I16 => Some([-32768.0, 32767.0]),
            _ => None,
        };
        let (scale, zero_point) = (f64::from(info.scale()), f64::from(info.stored_zero_point()));
        let range = bounds
            .filter(|_| scale > 0.0)
            .map(|bounds| bounds.map(|stored| (stored - zero_point) * scale));
        let channels = if info.rank() > 1 { info.shape().last() } else { 1 };
        Self {
            name: name.to_owned(),
            operator: operator.to_owned(),
            dtype,
            range,
            elements: 0,
            float: [f64::INFINITY, f64::NEG_INFINITY],
            quantized: [f64::INFINITY, f64::NEG_INFINITY],
            saturated: 0,
            sums: vec![[0.0; 3]; channels.max(1)],
            histograms: [vec![0; BINS], vec![0; BINS]],
        }
    }

    /// Takes in the values of one sample.
    pub(super) fn add(&mut self, float: &[f32], quantized: &[f32]) {
        if float.len() != quantized.len() {
            return;
        }
        let channels = self.sums.len();
        for (place, (&float, &quantized)) in float.iter().zip(quantized).enumerate() {
            let (float, quantized) = (f64::from(float), f64::from(quantized));
            let [ff, qq, fq] = &mut self.sums[place % channels];
            *ff += float * float;
            *qq += quantized * quantized;
            *fq += float * quantized;
            self.float = [self.float[0].min(float), self.float[1].max(float)];
            self.quantized = [self.quantized[0].min(quantized), self.quantized[1].max(quantized)];
            if let Some([low, high]) = self.range {
                let half = (high - low) / 510.0;
                self.saturated += usize::from(float < low - half || float > high + half);
                for (histogram, value) in self.histograms.iter_mut().zip([float, quantized]) {
                    let place = (value - low) / (high - low) * BINS as f64;
                    histogram[(place.max(0.0) as usize).min(BINS - 1)] += 1;
                }
            }
        }
        self.elements += float.len();
    }

    /// Takes in what was counted elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        self.elements += other.elements;
        self.saturated += other.saturated;
        let wider = |a: [f64; 2], b: [f64; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        self.float = wider(self.float, other.float);
        self.quantized = wider(self.quantized, other.quantized);
        for (sums, others) in self.sums.iter_mut().zip(&other.sums) {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        for (histogram, others) in self.histograms.iter_mut().zip(&other.histograms) {
            histogram.iter_mut().zip(others).for_each(|(count, other)| *count += other);
        }
    }

    /// Whether channels are those of the float model times factors: they were equalized.
    pub fn equalized(&self) -> bool {
        let factor = |&[_, qq, fq]: &[f64; 3]| if qq > 0.0 { fq / qq } else { 1.0 };
        // A layer that is merely wrong has no factor that makes it right.
        let believed = |sums: &[f64; 3]| {
            let [ff, qq, fq] = *sums;
            !FACTOR.contains(&factor(sums)) && fq * fq > 0.9 * ff * qq
        };
        self.sums.iter().any(believed)
    }

    /// The ratio of the signal to the noise that quantization adds, dB; factors of equalized
    /// channels taken out.
    pub fn sqnr(&self) -> f64 {
        let equalized = self.equalized();
        let (mut signal, mut noise) = (0.0, 0.0);
        for &[ff, qq, fq] in &self.sums {
            signal += ff;
            noise += match equalized && qq > 0.0 {
                true => ff - fq * fq / qq,
                false => ff - 2.0 * fq + qq,
            };
        }
        // Below what the sums are exact to, there is none.
        if noise <= signal * 1e-12 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
    }

    /// How much of what the integers can stand for is used, percent; `None` of float tensors.
    pub fn range_use(&self) -> Option<f64> {
        self.range.map(|[low, high]| {
            100.0 * ((self.quantized[1] - self.quantized[0]) / (high - low)).clamp(0.0, 1.0)
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "operator": self.operator,
            "dtype": self.dtype.name(),
            "sqnr_db": finite(self.sqnr()),
            "equalized": self.equalized(),
            "range": self.range,
            "range_use_percent": self.range_use(),
            "saturated": self.saturated,
            "elements": self.elements,
            "float_min": finite(self.float[0]),
            "float_max": finite(self.float[1]),
            "quantized_min": finite(self.quantized[0]),
            "quantized_max": finite(self.quantized[1]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Noise;

    /// A layer of two channels of int8 with this scale and zero point 0.
    fn layer(scale: f64) -> Layer {
        Layer {
            name: "layer".to_owned(),
            operator: "conv2d".to_owned(),
            dtype: DType::I8,
            range: Some([-128.0 * scale, 127.0 * scale]),
            elements: 0,
            float: [f64::INFINITY, f64::NEG_INFINITY],
            quantized: [f64::INFINITY, f64::NEG_INFINITY],
            saturated: 0,
            sums: vec![[0.0; 3]; 2],
            histograms: [vec![0; BINS], vec![0; BINS]],
        }
    }

    #[test]
    fn noise_is_that_of_the_definition_however_samples_are_split() {
        let float: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin()).collect();
        let rounded: Vec<f32> = float.iter().map(|x| (x * 50.0).round() / 50.0).collect();
        let mut noise = Noise::default();
        noise.add(&float, &rounded);
        let (mut first, mut second) = (layer(0.02), layer(0.02));
        first.add(&float[..14], &rounded[..14]);
        second.add(&float[14..], &rounded[14..]);
        first.merge(&second);
        assert_eq!(first.elements, 40);
        assert!((first.sqnr() - noise.sqnr()).abs() < 1e-6);
        assert!(!first.equalized());
        let sums = first.histograms.each_ref().map(|histogram| histogram.iter().sum::<u64>());
        assert_eq!(sums, [40, 40]);
    }

    #[test]
    fn factors_of_equalized_channels_are_taken_out() {
        let float: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin()).collect();
        let scaled: Vec<f32> =
            float.iter().enumerate().map(|(i, x)| if i % 2 == 0 { x * 4.0 } else { *x }).collect();
        let mut equalized = layer(0.1);
        equalized.add(&float, &scaled);
        assert!(equalized.equalized());
        assert!(equalized.sqnr() > 100.0);
        // What has nothing to do with the float values is noise, not a factor.
        let other: Vec<f32> = (0..40).map(|i| (i as f32 * 1.9).cos() * 0.1).collect();
        let mut wrong = layer(0.1);
        wrong.add(&float, &other);
        assert!(!wrong.equalized());
        assert!(wrong.sqnr() < 3.0);
    }

    #[test]
    fn values_beyond_the_range_are_counted() {
        let mut layer = layer(0.01);
        layer.add(&[1.0, 1.27, 1.5, -2.0], &[1.0, 1.27, 1.27, -1.28]);
        assert_eq!(layer.saturated, 2);
        assert!(layer.range_use().is_some_and(|percent| (percent - 100.0).abs() < 1e-3));
    }
}
