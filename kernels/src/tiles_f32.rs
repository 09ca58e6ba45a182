//! CONV_2D and FULLY_CONNECTED in f32 with weights in tiles: packed once, for processors with
//! vectors.
//!
//! The filters of a layer, one a row of `depth` weights (OHWI flattened), are cut into blocks of
//! [`OUTPUTS`] rows. A tile is one column of a block, a weight of each of its outputs; tiles follow
//! each other along the depth, blocks along the outputs:
//!
//! ```text
//!            ── depth ──►
//!            w00 │ w01 │ …          block 0, tile 0: w00 w10 … wF0
//!  outputs   w10 │ w11 │ …                   tile 1: w01 w11 … wF1
//!     │       …  │  …  │                      …
//!     ▼      wF0 │ wF1 │ …          block 1, tile 0: …
//! ```
//!
//! A tile is one vector of 512 bits, two of 256, four of 128. An activation is multiplied with all of
//! it and added to as many sums, so that each output's sum has one accumulator, to which products
//! are added in the order of the weights: the order of [`crate::conv2d::conv2d_f32`]. Rows behind the
//! last are zero. Weights are f32 or f16, which every processor here widens as it loads them.

use half::f16;

use crate::Mismatch;
use crate::arch;
use crate::conv2d::Conv2dF32;
use crate::convolve::{Geometry, Plan};
use crate::depthwise::{F32, Multiply};
use crate::tiles::OUTPUTS;
use crate::window::Window;

/// What a weight is stored as.
pub trait Weight: Copy + Default {
    /// The weight.
    fn widen(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The bits of an f16.
impl Weight for u16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f16::from_bits(self).to_f32_const()
    }
}

/// A layer whose weights are in tiles.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct TiledF32<'a, W> {
    /// The weights, as many as [`len`] says.
    pub tiles: &'a [W],
    /// All else; its own weights are empty.
    pub layer: Conv2dF32<'a>,
}

/// Weights in the tiles of `outputs` filters of `depth` weights; `None` where they exceed memory.
pub fn len(outputs: usize, depth: usize) -> Option<usize> {
    outputs.div_ceil(OUTPUTS).checked_mul(depth)?.checked_mul(OUTPUTS)
}

/// Puts `weights`, rows of `depth`, into tiles.
///
/// # Errors
///
/// [`Mismatch`] where the weights are no whole rows, or `tiles` does not have the [`len`] of them.
pub fn pack<W: Weight>(weights: &[W], depth: usize, tiles: &mut [W]) -> Result<(), Mismatch> {
    let outputs = weights.len().checked_div(depth).ok_or(Mismatch)?;
    if outputs.checked_mul(depth) != Some(weights.len()) || len(outputs, depth) != Some(tiles.len())
    {
        return Err(Mismatch);
    }
    tiles.fill(W::default());
    let rows = weights.chunks(depth * OUTPUTS);
    for (rows, block) in rows.zip(tiles.chunks_exact_mut((depth * OUTPUTS).max(1))) {
        for (o, row) in rows.chunks_exact(depth.max(1)).enumerate() {
            for (to, from) in block.iter_mut().skip(o).step_by(OUTPUTS).zip(row) {
                *to = *from;
            }
        }
    }
    Ok(())
}

impl<W> TiledF32<'_, W> {
    /// Weights of a filter: the layer's own are empty.
    #[cfg(feature = "std")]
    pub(crate) fn depth(&self) -> usize {
        let Conv2dF32 { input: [.., depth], kernel: [h, w], .. } = self.layer;
        depth.saturating_mul(h).saturating_mul(w)
    }

    /// Rows, depth and outputs of the product of matrices that the layer is, where its kernel is one
    /// pixel that visits every pixel.
    #[cfg_attr(not(simd), expect(dead_code, reason = "for kernels with vectors"))]
    pub(crate) fn matrices(&self) -> Option<[usize; 3]> {
        let Conv2dF32 { input, output, kernel, window, .. } = self.layer;
        let [batches, height, width, depth] = input;
        // One by one: as arrays they are put together first, and small layers wait for that.
        let [out_batches, out_height, out_width, channels] = output;
        let same = batches == out_batches && height == out_height && width == out_width;
        let count = batches.checked_mul(height)?.checked_mul(width)?;
        (same && kernel == [1, 1] && window == Window::UNIT).then_some([count, depth, channels])
    }

    /// The layer's shapes, if they fit each other and the tiles. There is one group.
    pub(crate) fn plan(&self) -> Result<Plan, Mismatch> {
        let Conv2dF32 { input, output, kernel, window, bias, .. } = self.layer;
        let ([.., depth], [.., channels], [kernel_h, kernel_w]) = (input, output, kernel);
        let filter = kernel_h.checked_mul(kernel_w).and_then(|taps| taps.checked_mul(depth));
        let filter = filter.ok_or(Mismatch)?;
        let weights = filter.checked_mul(channels).ok_or(Mismatch)?;
        if len(channels, filter) != Some(self.tiles.len()) || bias.len() != channels {
            return Err(Mismatch);
        }
        Plan::new(Geometry { input, output, kernel, window }, weights)
    }
}

/// [`crate::conv2d::conv2d_f32`] with weights in tiles, of one group.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_tiled_f32(p: &TiledF32<'_, f32>, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    arch::conv2d_tiled_f32(p, x, y)
}

/// [`conv2d_tiled_f32`] with the bits of f16 as weights.
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
#[inline(never)]
pub fn conv2d_tiled_f16(p: &TiledF32<'_, u16>, x: &[f32], y: &mut [f32]) -> Result<(), Mismatch> {
    arch::conv2d_tiled_f16(p, x, y)
}

/// The definition of [`conv2d_tiled_f32`] and [`conv2d_tiled_f16`].
#[inline(never)]
pub(crate) fn portable<W: Weight>(
    p: &TiledF32<'_, W>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    definition(F32, p, x, y)
}

/// [`portable`], with products and sums that are rounded as `arithmetic` says.
#[inline(always)]
fn definition<W: Weight>(
    arithmetic: impl Multiply<X = f32, W = f32, Acc = f32>,
    p: &TiledF32<'_, W>,
    x: &[f32],
    y: &mut [f32],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    let [_, height, width, channels] = p.layer.output;
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut images = x.chunks_exact(image.max(1));
    for y in y.chunks_exact_mut(out.max(1)) {
        let x = images.next().ok_or(Mismatch)?;
        let pixels = (0..height).flat_map(|out_y| (0..width).map(move |out_x| [out_y, out_x]));
        for (y, position) in y.chunks_exact_mut(channels.max(1)).zip(pixels) {
            for (block, y) in y.chunks_mut(OUTPUTS).enumerate() {
                let accs = sums(arithmetic, p, &plan, block, x, position)?;
                let bias = p.layer.bias.get(block * OUTPUTS..).ok_or(Mismatch)?;
                for ((y, acc), bias) in y.iter_mut().zip(accs).zip(bias) {
                    *y = p.layer.activation.clamp(acc + bias);
                }
            }
        }
    }
    Ok(())
}

/// The sums of a block of outputs at one position of the image `x`.
fn sums<W: Weight>(
    arithmetic: impl Multiply<X = f32, W = f32, Acc = f32>,
    p: &TiledF32<'_, W>,
    plan: &Plan,
    block: usize,
    x: &[f32],
    position: [usize; 2],
) -> Result<[f32; OUTPUTS], Mismatch> {
    let ([kernel_h, kernel_w], [.., depth]) = (p.layer.kernel, p.layer.input);
    let tiles = p.tiles.get(block * plan.filter * OUTPUTS..).ok_or(Mismatch)?;
    let mut tiles = tiles.as_chunks::<OUTPUTS>().0.iter();
    let mut accs = [0.0; OUTPUTS];
    for tap_y in 0..kernel_h {
        for tap_x in 0..kernel_w {
            let run = plan.tap(position, [tap_y, tap_x]).and_then(|start| x.get(start..));
            for channel in 0..depth {
                let x = run.map_or(Some(&0.0), |run| run.get(channel)).ok_or(Mismatch)?;
                for (acc, w) in accs.iter_mut().zip(tiles.next().ok_or(Mismatch)?) {
                    *acc = arithmetic.multiply_add(*acc, *x, w.widen());
                }
            }
        }
    }
    Ok(accs)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::arch::Kernels;
    use crate::conv2d::conv2d_f32;
    use crate::pool::ActivationRange;
    use crate::testing::shapes::convolution;
    use crate::testing::{Fused, Values, check, same_or_fused};

    /// A level's kernel.
    type Kernel<W> = fn(&TiledF32<'_, W>, &[f32], &mut [f32]) -> Result<(), Mismatch>;

    /// Holds a level's kernel for f32 against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        check(kernels.level, cases, (convolution(), any::<u64>()), |(g, seed)| {
            tiled(kernels, kernels.conv2d_tiled_f32, Values::floats, g, seed)
        });
    }

    /// Holds a level's kernel for f16 against the definition.
    pub(crate) fn holds_f16(kernels: &Kernels, cases: u32) {
        check(kernels.level, cases, (convolution(), any::<u64>()), |(g, seed)| {
            tiled(kernels, kernels.conv2d_tiled_f16, Values::halves, g, seed)
        });
    }

    fn tiled<W: Weight>(
        kernels: &Kernels,
        kernel: Kernel<W>,
        weights: impl Fn(&mut Values, usize) -> Vec<W>,
        g: Geometry,
        seed: u64,
    ) -> Result<(), TestCaseError> {
        let values = &mut Values::new(seed);
        let ([.., depth], [.., channels]) = (g.input, g.output);
        let filter = g.kernel[0] * g.kernel[1] * depth;
        let weights = weights(values, filter * channels);
        let mut tiles = vec![W::default(); len(channels, filter).unwrap()];
        pack(&weights, filter, &mut tiles).unwrap();
        let weights: Vec<f32> = weights.into_iter().map(W::widen).collect();
        let (x, bias) = (values.floats(g.input.iter().product()), values.floats(channels));
        let activation = values.activation();
        let layer = Conv2dF32 {
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            window: g.window,
            weights: &[],
            bias: &bias,
            activation,
        };
        let len = g.output.iter().product();
        let (mut y, mut expected) = (vec![1.0; len], vec![2.0; len]);
        prop_assert_eq!(kernel(&TiledF32 { tiles: &tiles, layer }, &x, &mut y), Ok(()));
        conv2d_f32(&Conv2dF32 { weights: &weights, ..layer }, &x, &mut expected).unwrap();
        same_or_fused(kernels.level, &y, &expected, |y| {
            definition(Fused, &TiledF32 { tiles: &tiles, layer }, &x, y)
        })
    }

    proptest! {
        #[test]
        fn tiles_hold_each_weight_where_the_picture_says(
            outputs in 1..40_usize, depth in 1..20_usize, seed: u64,
        ) {
            let weights = Values::new(seed).f32s(outputs * depth);
            let mut tiles = vec![1.0; len(outputs, depth).unwrap()];
            pack(&weights, depth, &mut tiles).unwrap();
            for (i, &w) in tiles.iter().enumerate() {
                let (row, column) = (i / (depth * 16) * 16 + i % 16, i / 16 % depth);
                prop_assert_eq!(w, if row < outputs { weights[row * depth + column] } else { 0.0 });
            }
        }
    }

    /// `(1 + ε)² − (1 + 2ε)` is `ε²`, unless the square is rounded.
    #[test]
    fn products_are_rounded_with_their_sums_where_the_level_says() {
        let e = f32::EPSILON;
        let layer = Conv2dF32 {
            input: [1, 1, 1, 2],
            output: [1, 1, 1, 1],
            kernel: [1, 1],
            window: Window::UNIT,
            weights: &[],
            bias: &[0.0],
            activation: ActivationRange { min: -1.0, max: 1.0 },
        };
        let mut tiles = [0.0_f32; 32];
        pack(&[1.0, 1.0 + e], 2, &mut tiles).unwrap();
        for kernels in arch::available() {
            let mut y = [1.0];
            let p = TiledF32 { tiles: &tiles, layer };
            (kernels.conv2d_tiled_f32)(&p, &[-(1.0 + 2.0 * e), 1.0 + e], &mut y).unwrap();
            let expected = if kernels.level.fuses() { e * e } else { 0.0 };
            assert_eq!(y, [expected], "{:?}", kernels.level);
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert_eq!(pack(&[0.0; 6], 4, &mut [0.0; 64]), Err(Mismatch));
        assert_eq!(pack(&[0.0; 8], 4, &mut [0.0; 63]), Err(Mismatch));
        assert_eq!(pack::<f32>(&[], 0, &mut []), Err(Mismatch));
        let layer = Conv2dF32 {
            input: [1, 2, 2, 3],
            output: [1, 2, 2, 5],
            kernel: [1, 1],
            window: Window::UNIT,
            weights: &[],
            bias: &[0.0; 5],
            activation: ActivationRange { min: -1.0, max: 1.0 },
        };
        let tiles = [0.5_f32; 48];
        for kernels in arch::available() {
            let run = |p: TiledF32<'_, f32>, x, y| {
                (kernels.conv2d_tiled_f32)(&p, &vec![0.5; x], &mut vec![0.0; y])
            };
            let p = TiledF32 { tiles: &tiles, layer };
            assert_eq!(run(p, 12, 20), Ok(()));
            assert_eq!(run(p, 11, 20), Err(Mismatch));
            assert_eq!(run(p, 12, 19), Err(Mismatch));
            assert_eq!(run(TiledF32 { tiles: &tiles[1..], ..p }, 12, 20), Err(Mismatch));
            let changed = |layer| run(TiledF32 { layer, ..p }, 12, 20);
            assert_eq!(changed(Conv2dF32 { bias: &[0.0; 4], ..layer }), Err(Mismatch));
            assert_eq!(changed(Conv2dF32 { kernel: [usize::MAX, 2], ..layer }), Err(Mismatch));
            assert_eq!(changed(Conv2dF32 { input: [1, usize::MAX, 2, 3], ..layer }), Err(Mismatch));
        }
    }

    #[test]
    fn hostile_windows_give_some_answer() {
        let m = usize::MAX;
        let windows = [
            Window {
                stride_h: m,
                stride_w: m / 2,
                dilation_h: 0,
                dilation_w: m,
                pad_top: m,
                pad_left: 1,
            },
            Window { stride_h: 0, stride_w: 0, ..Window::UNIT },
            Window { pad_top: m, pad_left: m, ..Window::UNIT },
            Window { dilation_h: m, dilation_w: m / 2, ..Window::UNIT },
        ];
        for kernels in arch::available() {
            for window in windows {
                let layer = Conv2dF32 {
                    input: [1, 3, 3, 1],
                    output: [1, 3, 3, 1],
                    kernel: [3, 2],
                    window,
                    weights: &[],
                    bias: &[0.0],
                    activation: ActivationRange { min: -1.0, max: 1.0 },
                };
                let p = TiledF32 { tiles: &[0.5; 96], layer };
                assert_eq!((kernels.conv2d_tiled_f32)(&p, &[0.5; 9], &mut [0.0; 9]), Ok(()));
            }
        }
    }
}
