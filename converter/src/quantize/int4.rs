//! Weights of four bits: which scale and which steps a layer gets.
//!
//! A weight is `scale × step × q`, `q` in [-7, 7] and `step` a whole number, so that `step × q` is an
//! int8 and kernels compute with it as with any other. There are two ways to choose:
//!
//! - a step per output channel, in [1, 18], and one scale for the layer. Less to store than a scale
//!   per channel, which is a multiplier, a shift and nothing else to gain where channels are alike;
//! - a scale per output channel, and steps for groups of its weights, where groups are asked for.
//!
//! Four bits leave little room, so scales are those of least squared error, which cut off what is
//! far out.

use super::{linear::Linear, recipe::Recipe, weights::Levels};
use crate::ops::Op;

/// The largest number of four bits that has a negative counterpart.
const LARGEST: f64 = 7.0;

/// The largest step: 18 × 7 fits an int8.
const LARGEST_STEP: f64 = 18.0;

/// Parts of the whole range that are tried as what four bits cover.
const TRIED: [f64; 13] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4];

/// One scale for a layer is taken where that makes the squared error of its weights, each filter's as
/// a part of it, no larger than by this factor.
const ALIKE: f64 = 1.25;

/// Whether a layer's weights can be packed: its operator has a kernel for that, and there are enough
/// of them to be worth it.
pub fn can_pack(op: &Op, layer: &Linear) -> bool {
    let kernel = matches!(op, Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::FullyConnected(_));
    // A depthwise convolution of one channel is computed as another operator.
    let single = matches!(op, Op::DepthwiseConv2d(_)) && layer.inputs == 1;
    kernel && !single && layer.outputs * layer.taps() * layer.depth >= 64
}

/// Scales and steps for a layer with these weights. `floors` are the smallest scales that the channels
/// may have.
pub fn levels(layer: &Linear, weights: &[f32], floors: &[f64], recipe: &Recipe) -> Levels {
    let filters: Vec<Vec<f64>> = layer
        .filters()
        .iter()
        .map(|filter| filter.iter().map(|&at| weights[at].into()).collect())
        .collect();
    let length = layer.taps() * layer.depth;
    let grouped = recipe.group > 0
        && recipe.group < length
        && length.is_multiple_of(recipe.group)
        && !layer.channels_last;
    if grouped {
        return in_groups(&filters, floors, recipe.group);
    }
    let best: Vec<(f64, f64)> = filters.iter().map(|filter| best_scale(filter)).collect();
    let separate: f64 =
        filters.iter().zip(&best).map(|(filter, (_, error))| part_of(*error, filter)).sum();
    match one_scale(&filters, &best, floors) {
        Some((levels, error)) if error <= ALIKE * separate || !recipe.per_channel => levels,
        _ => {
            let scales =
                best.iter().zip(floors).map(|((scale, _), floor)| scale.max(*floor) as f32);
            Levels { scales: scales.collect(), steps: Vec::new(), largest: LARGEST }
        }
    }
}

/// An error as a part of a filter's weights: small filters count as much as large ones.
fn part_of(error: f64, filter: &[f64]) -> f64 {
    let energy: f64 = filter.iter().map(|w| w * w).sum();
    if energy > 0.0 { error / energy } else { 0.0 }
}

/// The scale of least squared error, and that error.
fn best_scale(weights: &[f64]) -> (f64, f64) {
    let widest = weights.iter().fold(0.0, |widest: f64, w| widest.max(w.abs()));
    let mut best = (widest / LARGEST, f64::INFINITY);
    for part in TRIED {
        let scale = widest * part / LARGEST;
        let error = squared_error(weights, scale);
        if error < best.1 {
            best = (scale, error);
        }
    }
    best
}

fn squared_error(weights: &[f64], scale: f64) -> f64 {
    if scale <= 0.0 {
        return weights.iter().map(|w| w * w).sum();
    }
    let error = |w: &f64| (w - (w / scale).round().clamp(-LARGEST, LARGEST) * scale).powi(2);
    weights.iter().map(error).sum()
}

/// One scale for all filters, with a step for each: of several scales the one with the least error.
/// `None` where a channel needs a larger scale than that.
fn one_scale(filters: &[Vec<f64>], best: &[(f64, f64)], floors: &[f64]) -> Option<(Levels, f64)> {
    let widest = best.iter().map(|(scale, _)| *scale).fold(0.0, f64::max);
    let floor = floors.iter().copied().fold(0.0, f64::max);
    let mut found: Option<(Levels, f64)> = None;
    for largest_step in 4..=LARGEST_STEP as u32 {
        let scale = widest / f64::from(largest_step);
        if scale < floor || scale <= 0.0 {
            continue;
        }
        let (mut steps, mut error) = (Vec::new(), 0.0);
        for filter in filters {
            let (step, least) = (1..=LARGEST_STEP as i8)
                .map(|step| (step, squared_error(filter, scale * f64::from(step))))
                .min_by(|a, b| a.1.total_cmp(&b.1))?;
            steps.push(step);
            error += part_of(least, filter);
        }
        if found.as_ref().is_none_or(|(_, least)| error < *least) {
            let scales = vec![scale as f32; filters.len()];
            found = Some((Levels { scales, steps, largest: LARGEST }, error));
        }
    }
    found
}

/// A scale per filter, and steps for its groups.
fn in_groups(filters: &[Vec<f64>], floors: &[f64], group: usize) -> Levels {
    let (mut scales, mut steps) = (Vec::new(), Vec::new());
    for (filter, floor) in filters.iter().zip(floors) {
        let groups = filter.chunks(group).map(best_scale);
        let widest = groups.map(|(scale, _)| scale).fold(0.0, f64::max);
        let scale = (widest / LARGEST_STEP).max(*floor);
        scales.push(scale as f32);
        steps.extend(filter.chunks(group).map(|group| {
            let errors = (1..=LARGEST_STEP as i8)
                .map(|step| (step, squared_error(group, scale * f64::from(step))));
            errors.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1, |(step, _)| step)
        }));
    }
    Levels { scales, steps, largest: LARGEST }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorId;

    fn layer(outputs: usize, depth: usize) -> Linear {
        let weights = TensorId(0);
        Linear {
            weights,
            bias: None,
            outputs,
            inputs: depth,
            kernel: [1, 1],
            depth,
            channels_last: false,
        }
    }

    fn noise(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * i) as f32 * 0.37).sin()).collect()
    }

    #[test]
    fn alike_channels_share_a_scale_and_others_do_not() {
        let alike = levels(&layer(4, 32), &noise(128), &[0.0; 4], &Recipe::default());
        assert_eq!(alike.steps.len(), 4);
        assert!(alike.scales.windows(2).all(|pair| pair[0] == pair[1]));
        let different: Vec<f32> =
            noise(128).iter().enumerate().map(|(i, w)| w * 100_f32.powi(i as i32 / 32)).collect();
        let different = levels(&layer(4, 32), &different, &[0.0; 4], &Recipe::default());
        assert!(different.steps.is_empty() && different.scales[3] > 1e5 * different.scales[0]);
    }

    #[test]
    fn groups_have_steps_of_their_own() {
        let mut weights = noise(64);
        weights[..32].iter_mut().for_each(|w| *w /= 9.0);
        let recipe = Recipe { group: 32, ..Recipe::default() };
        let levels = levels(&layer(1, 64), &weights, &[0.0], &recipe);
        assert_eq!((levels.scales.len(), levels.steps.len()), (1, 2));
        assert!(levels.steps[0] * 5 < levels.steps[1], "{:?}", levels.steps);
    }

    #[test]
    fn floors_hold() {
        let levels = levels(&layer(2, 32), &[0.0; 64], &[0.5, 0.25], &Recipe::default());
        assert_eq!(levels.scales, [0.5, 0.25]);
    }
}
