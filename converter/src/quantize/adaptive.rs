//! Adaptive rounding: weights up or down so that a layer's sums change least on the calibration
//! data, instead of each to the nearest level.
//!
//! With `d` the errors of one output channel's weights and `v` what the window sees, the sum changes
//! by `d · v`, and its mean square is `dᵀ E[v vᵀ] d`. Errors of weights that see alike values can
//! cancel, which rounding each by itself does not use. The mean of `d · v` costs nothing: the bias
//! takes it back. So `dᵀ C d` with the covariance `C` is what is made small: starting from the
//! nearest levels, weights go to the other of their two neighbours, one at a time, as long as that
//! helps.
//!
//! The objective is that of Nagel, Amjad, van Baalen, Louizos, Blankevoort, "Up or Down? Adaptive
//! Rounding for Post-Training Quantization", ICML 2020, section 3; the search is coordinate descent.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{
    linear::{Linear, window},
    weights::Levels,
};
use crate::{
    calibrate::{Probe, probe::reals},
    error::Result,
    graph::{Graph, Node, TensorId},
    npz::Array,
    ops::Op,
    options::Match,
};

/// Filters with more weights than this are rounded to the nearest: the covariance of what they see
/// has the square of that.
const LONGEST: usize = 2048;

/// The most windows of one sample that are looked at, evenly spread.
const WINDOWS: usize = 128;

/// What is added to each variance, as a part of their mean: with few samples covariances of many
/// values are not known exactly.
const DAMPING: f64 = 0.01;

/// The most times that all weights of a filter are gone through.
const SWEEPS: usize = 30;

/// Sums and products of what the filters of a group see.
#[derive(Debug, Clone)]
struct Moments {
    count: f64,
    sums: Vec<f64>,
    /// Products of all pairs, row by row; those with the second index below the first are not kept.
    products: Vec<f64>,
}

/// What the layers of a graph see on the calibration data.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// By node, and by group of input channels.
    layers: BTreeMap<usize, Vec<Moments>>,
}

impl Seen {
    /// Runs the float graph over all samples.
    ///
    /// # Errors
    /// `InvalidData` where the arrays do not fit the model.
    pub fn collect(graph: &Graph, inputs: &[Array]) -> Result<Self> {
        let probe = Probe::new(graph, Match::Native)?;
        let samples = probe.samples(inputs)?;
        let mut readers: BTreeMap<TensorId, Vec<(usize, Linear)>> = BTreeMap::new();
        let mut empty = Self::default();
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(layer) = Linear::of(graph, node) else { continue };
            let length = layer.taps() * layer.depth;
            if length > LONGEST || matches!(node.op, Op::TransposeConv2d(_)) {
                continue;
            }
            let groups = layer.inputs / layer.depth;
            let products = length * (length + 1) / 2;
            let none =
                Moments { count: 0.0, sums: vec![0.0; length], products: vec![0.0; products] };
            empty.layers.insert(index, vec![none; groups]);
            if let Some(x) = node.inputs[0] {
                readers.entry(x).or_default().push((index, layer));
            }
        }
        // Sums of floats depend on their grouping, so groups do not depend on the number of cores.
        let chunk = samples.div_ceil(4).max(1);
        let starts: Vec<usize> = (0..samples).step_by(chunk).collect();
        let parts: Vec<Result<Self>> = starts
            .into_par_iter()
            .map(|start| {
                let mut part = empty.clone();
                let look = |_, id, tensor: &systole_core::Tensor<'_, '_>| {
                    let (Some(layers), Some(x)) = (readers.get(&id), reals(tensor)) else {
                        return Ok(());
                    };
                    for (index, layer) in layers {
                        if let Some(moments) = part.layers.get_mut(index) {
                            windows(graph, &graph.nodes[*index], layer, &x, moments);
                        }
                    }
                    Ok(())
                };
                probe.run(inputs, start..(start + chunk).min(samples), look, || {})?;
                Ok(part)
            })
            .collect();
        let mut whole = empty.clone();
        for part in parts {
            let part = part?;
            let layers = whole.layers.values_mut().flatten();
            for (moments, more) in layers.zip(part.layers.values().flatten()) {
                moments.add(more);
            }
        }
        Ok(whole)
    }

    /// Rounds the weights of node `index`, from the nearest levels on, and
    /// gives each output channel's mean error, which the bias is to take back. `None` for layers that
    /// are not looked at.
    pub fn round(
        &self,
        index: usize,
        layer: &Linear,
        weights: &[f32],
        levels: &Levels,
        nearest: &[i8],
    ) -> Option<(Vec<i8>, Vec<f64>)> {
        let groups = self.layers.get(&index)?;
        let covariances: Vec<Covariance> = groups.par_iter().map(Covariance::new).collect();
        let filters = layer.filters();
        let rounded: Vec<(Vec<i8>, f64)> = filters
            .par_iter()
            .map(|filter| {
                let group = layer.place(filter[0]).input / layer.depth;
                let covariance = &covariances[group];
                let weight = |&at: &usize| {
                    let step = levels.step(layer, at);
                    Weight {
                        exact: f64::from(weights[at]) / levels.unit(layer, at),
                        rounded: f64::from(nearest[at] / step),
                        unit: levels.unit(layer, at),
                    }
                };
                let mut filter_weights: Vec<Weight> = filter.iter().map(weight).collect();
                covariance.descend(&mut filter_weights, levels.largest);
                let errors = filter_weights.iter().map(|w| (w.rounded - w.exact) * w.unit);
                let mean: f64 = errors.zip(&covariance.means).map(|(d, mean)| d * mean).sum();
                let step = |&at: &usize| levels.step(layer, at);
                let rounded = filter.iter().map(step).zip(&filter_weights);
                (rounded.map(|(step, w)| w.rounded as i8 * step).collect(), mean)
            })
            .collect();
        let mut all = nearest.to_vec();
        for (filter, (values, _)) in filters.iter().zip(&rounded) {
            filter.iter().zip(values).for_each(|(&at, &value)| all[at] = value);
        }
        Some((all, rounded.into_iter().map(|(_, mean)| mean).collect()))
    }
}

impl Moments {
    fn see(&mut self, window: &[f32]) {
        self.count += 1.0;
        let mut products = self.products.iter_mut();
        for (i, &a) in window.iter().enumerate() {
            let a = f64::from(a);
            self.sums[i] += a;
            for (&b, product) in window[i..].iter().zip(products.by_ref()) {
                *product += a * f64::from(b);
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.count += other.count;
        let sums = self.sums.iter_mut().zip(&other.sums);
        let products = self.products.iter_mut().zip(&other.products);
        sums.chain(products).for_each(|(sum, more)| *sum += more);
    }
}

/// The covariance of what a filter sees.
#[derive(Debug)]
struct Covariance {
    means: Vec<f64>,
    /// The whole symmetric matrix, row by row.
    matrix: Vec<f64>,
}

impl Covariance {
    fn new(moments: &Moments) -> Self {
        let length = moments.sums.len();
        let count = moments.count.max(1.0);
        let means: Vec<f64> = moments.sums.iter().map(|sum| sum / count).collect();
        let mut matrix = vec![0.0; length * length];
        let mut products = moments.products.iter();
        for i in 0..length {
            for (j, product) in (i..length).zip(products.by_ref()) {
                let value = product / count - means[i] * means[j];
                matrix[i * length + j] = value;
                matrix[j * length + i] = value;
            }
        }
        let trace: f64 = (0..length).map(|i| matrix[i * length + i]).sum();
        let damping = DAMPING * trace / length.max(1) as f64;
        (0..length).for_each(|i| matrix[i * length + i] += damping);
        Self { means, matrix }
    }

    /// Moves weights to the other neighbour of their exact values, within `largest`, while the error
    /// falls.
    fn descend(&self, weights: &mut [Weight], largest: f64) {
        let length = weights.len();
        let row = |i: usize| &self.matrix[i * length..(i + 1) * length];
        // The gradient of half the error: covariance times errors.
        let mut gradient = vec![0.0; length];
        for (i, w) in weights.iter().enumerate() {
            let error = (w.rounded - w.exact) * w.unit;
            gradient.iter_mut().zip(row(i)).for_each(|(sum, c)| *sum += error * c);
        }
        for _ in 0..SWEEPS {
            let mut changed = false;
            for (i, w) in weights.iter_mut().enumerate() {
                let (low, high) = (w.exact.floor(), w.exact.ceil());
                let other = if w.rounded == low { high } else { low };
                let valid = other.abs() <= largest && (other - w.rounded).abs() == 1.0;
                let step = (other - w.rounded) * w.unit;
                let own = step * step * row(i)[i];
                if valid && 2.0 * step * gradient[i] + own < -1e-12 * own {
                    w.rounded = other;
                    gradient.iter_mut().zip(row(i)).for_each(|(sum, c)| *sum += step * c);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
    }
}

/// A weight while it is rounded.
#[derive(Debug, Clone, Copy)]
struct Weight {
    /// The float weight in units.
    exact: f64,
    /// A whole number.
    rounded: f64,
    /// What one is worth.
    unit: f64,
}

/// Shows each group's moments what its filters see in the input `x`.
fn windows(graph: &Graph, node: &Node, layer: &Linear, x: &[f32], moments: &mut [Moments]) {
    let Some(window) = window(&node.op) else {
        let rows = x.chunks_exact(layer.depth);
        let step = rows.len().div_ceil(WINDOWS).max(1);
        rows.step_by(step).for_each(|row| moments[0].see(row));
        return;
    };
    let Some(input) = node.inputs[0] else { return };
    let (input, output) = (&graph[input].shape, &graph[node.outputs[0]].shape);
    let [height, width, channels] = [input[1], input[2], input[3]];
    let positions = output[0] * output[1] * output[2];
    let step = positions.div_ceil(WINDOWS).max(1);
    let mut seen = vec![0.0; layer.taps() * layer.depth];
    for position in (0..positions).step_by(step) {
        let (image, within) =
            (position / (output[1] * output[2]), position % (output[1] * output[2]));
        let corner = [within / output[2] * window.stride[0], within % output[2] * window.stride[1]];
        for (group, moments) in moments.iter_mut().enumerate() {
            for (tap, values) in seen.chunks_exact_mut(layer.depth).enumerate() {
                let row = corner[0] + tap / layer.kernel[1] * window.dilation[0];
                let column = corner[1] + tap % layer.kernel[1] * window.dilation[1];
                let row = row.checked_sub(window.padding.rows[0]).filter(|&row| row < height);
                let column =
                    column.checked_sub(window.padding.columns[0]).filter(|&column| column < width);
                match (row, column) {
                    (Some(row), Some(column)) => {
                        let pixel = (image * height + row) * width + column;
                        let start = pixel * channels + group * layer.depth;
                        values.copy_from_slice(&x[start..start + layer.depth]);
                    }
                    _ => values.fill(0.0),
                }
            }
            moments.see(&seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the nearest levels on.
    fn descend(covariance: &Covariance, exact: &[f64]) -> Vec<f64> {
        let weight = |&exact: &f64| Weight { exact, rounded: exact.round(), unit: 1.0 };
        let mut weights: Vec<Weight> = exact.iter().map(weight).collect();
        covariance.descend(&mut weights, 127.0);
        weights.into_iter().map(|weight| weight.rounded).collect()
    }

    #[test]
    fn errors_of_weights_that_see_the_same_cancel() {
        // Two inputs that are always equal: 0.4 + 0.4 is nearer to 1 than to 0.
        let mut moments = Moments { count: 0.0, sums: vec![0.0; 2], products: vec![0.0; 3] };
        for x in [-1.0, 2.0, 0.5, -1.5] {
            moments.see(&[x, x]);
        }
        let covariance = Covariance::new(&moments);
        let rounded = descend(&covariance, &[0.4, 0.4]);
        assert_eq!(rounded.iter().sum::<f64>(), 1.0);
    }

    #[test]
    fn weights_that_see_unrelated_values_stay_at_the_nearest() {
        let mut moments = Moments { count: 0.0, sums: vec![0.0; 2], products: vec![0.0; 3] };
        for window in [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] {
            moments.see(&window);
        }
        let covariance = Covariance::new(&moments);
        assert_eq!(descend(&covariance, &[0.4, -3.7]), [0.0, -4.0]);
    }

    #[test]
    fn the_search_never_makes_the_error_larger() {
        let mut moments = Moments { count: 0.0, sums: vec![0.0; 5], products: vec![0.0; 15] };
        for k in 0..50 {
            let window: Vec<f32> = (0..5)
                .map(|i| ((k * (i + 3)) as f32 * 0.61).sin() + (k as f32 * 0.2).cos())
                .collect();
            moments.see(&window);
        }
        let covariance = Covariance::new(&moments);
        let exact = [1.37, -2.52, 126.8, -0.44, 3.49];
        let nearest = exact.map(f64::round).to_vec();
        let error = |q: &[f64]| -> f64 {
            let d: Vec<f64> = q.iter().zip(exact).map(|(q, w)| q - w).collect();
            (0..25).map(|at| d[at / 5] * covariance.matrix[at] * d[at % 5]).sum()
        };
        let rounded = descend(&covariance, &exact);
        assert!(error(&rounded) < error(&nearest));
        assert!(rounded.iter().zip(exact).all(|(q, w)| (q - w).abs() < 1.0 && q.abs() <= 127.0));
    }
}
