//! CONV_2D and FULLY_CONNECTED with weights widened to 16 bits and put in the order in which Cortex-M4, M7
//! and M33 multiply: twice the bytes, and nothing to widen while the kernel runs.
//!
//! The filters of a layer, one a row of `depth` weights (OHWI flattened), are cut into steps of [`STEP`]
//! weights, each an `i16`; behind the last weight of a row there are zeros. A step is two pairs, of the
//! elements that SXTB16 takes out of a word of activations, and out of the word rotated by a byte:
//!
//! ```text
//! w0 w1 w2 w3 │ w4 w5 w6 w7 │ …        w0 w2 w1 w3 │ w4 w6 w5 w7 │ …
//! ```
//!
//! Rows follow each other. A layer has one group.

use crate::Mismatch;
use crate::arch;
use crate::conv2d::Conv2dI8;
use crate::convolve::{Geometry, Plan};
use crate::fully_connected::FullyConnectedI8;
use crate::requantize::Rescale;

/// Weights of a step.
pub const STEP: usize = 4;

/// Where each weight of a step is; the same the other way round.
const PLACES: [usize; STEP] = [0, 2, 1, 3];

/// A layer whose weights are in pairs.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Paired<'a, K> {
    /// [`len`] of them.
    pub weights: &'a [i16],
    /// All else; its own weights are empty.
    pub layer: K,
}

/// How many `i16` the pairs of `outputs` filters of `depth` weights are; `None` where they exceed memory.
pub fn len(outputs: usize, depth: usize) -> Option<usize> {
    depth.checked_next_multiple_of(STEP)?.checked_mul(outputs)
}

/// Puts `weights`, rows of `depth`, into pairs.
///
/// # Errors
///
/// [`Mismatch`] where the weights are no whole rows, or `pairs` does not have the [`len`] of them.
pub fn pack(weights: &[i8], depth: usize, pairs: &mut [i16]) -> Result<(), Mismatch> {
    let outputs = weights.len().checked_div(depth).ok_or(Mismatch)?;
    if outputs.checked_mul(depth) != Some(weights.len()) || len(outputs, depth) != Some(pairs.len())
    {
        return Err(Mismatch);
    }
    pairs.fill(0);
    let rows = pairs.chunks_exact_mut(depth.next_multiple_of(STEP).max(1));
    for (row, to) in weights.chunks_exact(depth.max(1)).zip(rows) {
        for (step, to) in row.chunks(STEP).zip(to.chunks_exact_mut(STEP)) {
            for (&weight, place) in step.iter().zip(PLACES) {
                *to.get_mut(place).ok_or(Mismatch)? = weight.into();
            }
        }
    }
    Ok(())
}

impl<R: Rescale> Paired<'_, Conv2dI8<'_, R>> {
    /// The layer's shapes, if they fit each other and the pairs.
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let Conv2dI8 { input, output, kernel, window, .. } = self.layer;
        let ([.., depth], [.., channels], [kernel_h, kernel_w]) = (input, output, kernel);
        let filter = kernel_h.checked_mul(kernel_w).and_then(|taps| taps.checked_mul(depth));
        let filter = filter.ok_or(Mismatch)?;
        if len(channels, filter) != Some(self.weights.len()) || self.layer.bias.len() != channels {
            return Err(Mismatch);
        }
        let weights = filter.checked_mul(channels).ok_or(Mismatch)?;
        Plan::new(Geometry { input, output, kernel, window }, weights)
    }
}

impl<'a, R: Rescale> Paired<'a, FullyConnectedI8<'a, R>> {
    /// The same as a convolution, see [`FullyConnectedI8::as_convolution`].
    #[inline(always)]
    pub fn as_convolution(&self) -> Paired<'a, Conv2dI8<'a, R>> {
        Paired { weights: self.weights, layer: self.layer.as_convolution() }
    }
}

/// [`crate::conv2d::conv2d_i8`] with weights in pairs, for windows of any size.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_paired_i8<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_paired_i8(p, x, y)
}

/// [`crate::conv2d::conv2d_pointwise_i8`] with weights in pairs.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or windows do not follow
/// each other in the image.
#[inline(never)]
pub fn conv2d_pointwise_paired_i8<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::conv2d_pointwise_paired_i8(p, x, y)
}

/// [`crate::fully_connected::fully_connected_i8`] of a single row with weights in pairs.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state, or there is more
/// than one row.
#[inline(never)]
pub fn fully_connected_paired_i8<R: Rescale>(
    p: &Paired<'_, FullyConnectedI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::fully_connected_paired_i8(p, x, y)
}

/// The definition of [`conv2d_paired_i8`].
#[cfg(any(not(dsp), test))]
#[inline(never)]
pub(crate) fn portable<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let [_, height, width, channels] = plan.output;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let pitch = plan.filter.next_multiple_of(STEP).max(1);
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        let pixels = (0..height).flat_map(|out_y| (0..width).map(move |out_x| [out_y, out_x]));
        for (y, position) in y.chunks_exact_mut(channels.max(1)).zip(pixels) {
            let rows = p.weights.chunks_exact(pitch).zip(p.layer.bias);
            for (channel, (y, (row, &bias))) in y.iter_mut().zip(rows).enumerate() {
                let acc = sum(p, &plan, row, x, position)?.wrapping_add(bias);
                let scaled = p.layer.requantize.rescale(acc, channel);
                *y = p.layer.output_stage.apply(scaled) as i8;
            }
        }
    }
    Ok(())
}

#[cfg(any(not(dsp), test))]
/// `Σ x·(w − weights_zero_point)` of a row of weights at one position of the image `x`.
fn sum<R>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    plan: &Plan,
    row: &[i16],
    x: &[i8],
    position: [usize; 2],
) -> Result<i32, Mismatch> {
    let outside = p.layer.input_zero_point as i8;
    let steps = row.as_chunks::<STEP>().0;
    let mut weights = steps.iter().flat_map(|step| PLACES.map(|place| step.get(place).copied()));
    let mut acc = 0_i32;
    for tap_y in 0..plan.kernel_h {
        for tap_x in 0..plan.kernel_w {
            let run = plan.tap(position, [tap_y, tap_x]).and_then(|start| x.get(start..));
            for channel in 0..plan.depth {
                let x = run.map_or(Some(&outside), |run| run.get(channel)).ok_or(Mismatch)?;
                let weight = weights.next().flatten().ok_or(Mismatch)?;
                let weight = i32::from(weight).wrapping_sub(p.layer.weights_zero_point);
                acc = acc.wrapping_add(i32::from(*x).wrapping_mul(weight));
            }
        }
    }
    Ok(acc)
}

/// The definition of [`conv2d_pointwise_paired_i8`].
#[cfg(any(not(dsp), test))]
pub(crate) fn portable_pointwise<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if p.plan()?.is_product() { portable(p, x, y) } else { Err(Mismatch) }
}

/// The definition of [`fully_connected_paired_i8`].
#[cfg(any(not(dsp), test))]
pub(crate) fn portable_row<R: Rescale>(
    p: &Paired<'_, FullyConnectedI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    if p.layer.batches == 1 { portable(&p.as_convolution(), x, y) } else { Err(Mismatch) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::arch::Level;
    use crate::conv2d::conv2d_large_i8;
    use crate::requantize::Requantize;
    use crate::testing::shapes::{convolution, sizes};
    use crate::testing::{Scales, Values, cases, check, output_stage};
    use crate::window::Window;

    /// A kernel, of a layer that says its rounding while it runs.
    type Convolution = for<'a> fn(
        &Paired<'a, Conv2dI8<'a, Requantize<'a>>>,
        &[i8],
        &mut [i8],
    ) -> Result<(), Mismatch>;
    type FullyConnected = for<'a> fn(
        &Paired<'a, FullyConnectedI8<'a, Requantize<'a>>>,
        &[i8],
        &mut [i8],
    ) -> Result<(), Mismatch>;

    /// Kernels of layers in pairs.
    pub(crate) struct Kernels {
        pub conv2d: Convolution,
        pub conv2d_pointwise: Convolution,
        pub fully_connected: FullyConnected,
    }

    const PORTABLE: Kernels = Kernels {
        conv2d: |p, x, y| portable(p, x, y),
        conv2d_pointwise: |p, x, y| portable_pointwise(p, x, y),
        fully_connected: |p, x, y| portable_row(p, x, y),
    };

    /// Numbers of a random layer, its weights plain and in pairs.
    struct Numbers {
        x: Vec<i8>,
        weights: Vec<i8>,
        pairs: Vec<i16>,
        weights_zero_point: i32,
        input_zero_point: i32,
        bias: Vec<i32>,
        scales: Scales,
        output_stage: crate::requantize::Output,
    }

    impl Numbers {
        fn new(seed: u64, x: usize, outputs: usize, depth: usize) -> Self {
            let mut values = Values::new(seed);
            let weights = values.i8s(outputs * depth);
            let mut pairs = vec![3; len(outputs, depth).unwrap()];
            pack(&weights, depth, &mut pairs).unwrap();
            let symmetric = !values.next().is_multiple_of(4);
            // One in eight as large as they get, so that sums wrap.
            let bias = match values.next() % 8 {
                0 => values.i32s(outputs, i32::MIN.into(), i32::MAX.into()),
                _ => values.i32s(outputs, -100_000, 100_000),
            };
            Self {
                x: values.i8s(x),
                weights,
                pairs,
                weights_zero_point: if symmetric { 0 } else { values.i32s(1, -128, 127)[0] },
                input_zero_point: values.i32s(1, -128, 127)[0],
                bias,
                scales: Scales::new(&mut values, outputs),
                output_stage: output_stage(&mut values),
            }
        }
    }

    impl Kernels {
        /// Holds the kernels of an instruction set against the definitions of layers with plain weights.
        pub fn hold(&self) {
            let strategy = (convolution(), any::<u64>());
            check(Level::Portable, cases(), strategy, |(g, seed)| self.convolution(&g, seed));
            // Kernels of one pixel, fully connected layers among them.
            let strategy = (sizes::<3>(20_000), any::<bool>(), any::<u64>());
            check(Level::Portable, cases(), strategy, |([rows, depth, outputs], one, seed)| {
                let rows = if one { 1 } else { rows };
                let g = Geometry {
                    input: [1, 1, rows, depth],
                    output: [1, 1, rows, outputs],
                    kernel: [1, 1],
                    window: Window::UNIT,
                };
                self.convolution(&g, seed)
            });
            // Inputs that are widened in several parts.
            let strategy = (1..600_usize, 1..70_usize, any::<u64>());
            check(Level::Portable, cases(), strategy, |(inputs, outputs, seed)| {
                self.row(inputs, outputs, seed)
            });
        }

        fn convolution(&self, g: &Geometry, seed: u64) -> Result<(), TestCaseError> {
            let ([.., depth], [.., channels]) = (g.input, g.output);
            let filter = g.kernel[0] * g.kernel[1] * depth;
            let numbers = Numbers::new(seed, g.input.iter().product(), channels, filter);
            for requantize in numbers.scales.all() {
                let layer = Conv2dI8 {
                    input: g.input,
                    output: g.output,
                    kernel: g.kernel,
                    window: g.window,
                    weights: &numbers.weights,
                    weights_zero_point: numbers.weights_zero_point,
                    input_zero_point: numbers.input_zero_point,
                    bias: &numbers.bias,
                    requantize,
                    output_stage: numbers.output_stage,
                };
                let len = g.output.iter().product();
                let (mut y, mut expected) = (vec![1; len], vec![2; len]);
                conv2d_large_i8(&layer, &numbers.x, &mut expected).unwrap();
                let plain = Conv2dI8 { weights: &[], ..layer };
                let p = Paired { weights: &numbers.pairs, layer: plain };
                prop_assert_eq!((self.conv2d)(&p, &numbers.x, &mut y), Ok(()));
                prop_assert_eq!(&y, &expected, "{:?}", requantize);
                y.fill(3);
                let adjacent = (self.conv2d_pointwise)(&p, &numbers.x, &mut y);
                if layer.is_product() {
                    prop_assert_eq!(adjacent, Ok(()));
                    prop_assert_eq!(&y, &expected, "{:?}", requantize);
                } else {
                    prop_assert_eq!(adjacent, Err(Mismatch));
                }
                let fewer = Paired { weights: &numbers.pairs[1..], layer: plain };
                prop_assert_eq!((self.conv2d)(&fewer, &numbers.x, &mut y), Err(Mismatch));
            }
            Ok(())
        }

        fn row(&self, inputs: usize, outputs: usize, seed: u64) -> Result<(), TestCaseError> {
            let numbers = Numbers::new(seed, inputs, outputs, inputs);
            for requantize in numbers.scales.all() {
                let layer = FullyConnectedI8 {
                    batches: 1,
                    inputs,
                    outputs,
                    weights: &numbers.weights,
                    weights_zero_point: numbers.weights_zero_point,
                    bias: &numbers.bias,
                    requantize,
                    output_stage: numbers.output_stage,
                };
                let (mut y, mut expected) = (vec![1; outputs], vec![2; outputs]);
                crate::fully_connected::portable_vector(&layer, &numbers.x, &mut expected).unwrap();
                let plain = FullyConnectedI8 { weights: &[], ..layer };
                let p = Paired { weights: &numbers.pairs, layer: plain };
                prop_assert_eq!((self.fully_connected)(&p, &numbers.x, &mut y), Ok(()));
                prop_assert_eq!(&y, &expected, "{:?}", requantize);
                let two = FullyConnectedI8 { batches: 2, ..plain };
                let p = Paired { layer: two, ..p };
                prop_assert_eq!((self.fully_connected)(&p, &numbers.x, &mut y), Err(Mismatch));
            }
            Ok(())
        }
    }

    #[test]
    fn a_layer_in_pairs_gives_what_its_weights_give() {
        PORTABLE.hold();
    }

    proptest! {
        #[test]
        fn pairs_are_the_weights_in_another_order(
            outputs in 1..9_usize, depth in 1..40_usize, seed: u64,
        ) {
            let weights = Values::new(seed).i8s(outputs * depth);
            let mut pairs = vec![7; len(outputs, depth).unwrap()];
            pack(&weights, depth, &mut pairs).unwrap();
            let pitch = depth.next_multiple_of(4);
            for (o, row) in pairs.chunks(pitch).enumerate() {
                for (k, place) in (0..pitch).map(|k| (k, k / 4 * 4 + [0, 2, 1, 3][k % 4])) {
                    let weight = if k < depth { i16::from(weights[o * depth + k]) } else { 0 };
                    prop_assert_eq!(row[place], weight);
                }
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let pack = |weights: usize, depth, pairs: usize| {
            pack(&vec![1; weights], depth, &mut vec![0; pairs])
        };
        assert_eq!(pack(6, 3, 8), Ok(()));
        assert_eq!(pack(6, 3, 6), Err(Mismatch));
        assert_eq!(pack(7, 3, 8), Err(Mismatch));
        assert_eq!(pack(6, 0, 8), Err(Mismatch));
        assert_eq!(len(usize::MAX, 5), None);
    }
}
