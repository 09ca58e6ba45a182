//! First layers of networks, over images of few colours: `conv-i16i16-6x16c2/avx2`.
//!
//! Windows are rows of a product, [`super::pointwise`], with weights that are put in order once. So small
//! are they.

use core::mem::MaybeUninit;

use super::Avx;
use super::dot::Widened;
use super::pointwise::{Layer, Step};
use crate::Mismatch;
use crate::arch::output::OutputStage;
use crate::arch::padded::Padded;
use crate::arch::tiled::Element;
use crate::arch::windows::{Panel, Windows};
use crate::conv2d::Conv2dI8;
use crate::tiles::{Activations, OUTPUTS, STEP, Tiled};

/// Colours, at most.
const COLOURS: usize = 4;

/// Steps of all blocks of outputs, at most.
const STEPS: usize = 128;

/// Whether the layer could be done here.
///
/// # Safety
///
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn windows(
    p: &Tiled<'_, Conv2dI8<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<bool, Mismatch> {
    let Conv2dI8 { requantize, output_stage, bias, weights_zero_point, input_zero_point, .. } =
        p.layer;
    if p.layer.input[3] > COLOURS || p.weights.activations != Activations::Unsigned {
        return Ok(false);
    }
    let plan = p.plan()?;
    let stage = OutputStage::new(requantize, output_stage, bias, plan.filter);
    let Some(windows) = Windows::new::<Avx<Widened, 2>>(&plan, weights_zero_point == 0) else {
        return Ok(false);
    };
    let run = Padded::run(&plan, STEP);
    let depth = if windows.padded() { plan.kernel_h * run } else { plan.filter };
    let steps = depth.div_ceil(STEP) * bias.len().div_ceil(OUTPUTS);
    if !(stage.fits() && stage.ordinary)
        || i8::try_from(weights_zero_point).is_err()
        || depth == 0
        || steps > STEPS
    {
        return Ok(false);
    }
    let (image, out) = plan.volumes(x.len(), y.len())?;
    let mut padded = Padded::new();
    let tiles = match windows.padded() {
        true => padded.tiles(&plan, Activations::Unsigned, p.weights.tiles),
        false => p.weights.tiles,
    };
    let layer = Layer { p, stage, depth, tiles };
    let channels = stage.channels;
    let mut weights = [const { MaybeUninit::<Step>::uninit() }; STEPS];
    let weights = &mut weights[..steps];
    let outside = i16::new(i32::from(input_zero_point as i8) + Activations::Unsigned.offset());
    let (mut first, mut second) = (Panel::new(), Panel::new());
    // SAFETY: as the caller says; there are tiles of as many steps.
    let weights = unsafe {
        layer.arrange(tiles, weights);
        weights.assume_init_ref()
    };
    for (x, y) in x.chunks_exact(image.max(1)).zip(y.chunks_exact_mut(out.max(1))) {
        for band in windows.bands() {
            // SAFETY: as the caller says.
            unsafe {
                let image = windows.image::<Avx<Widened, 2>>(&band, x, outside, &mut first);
                if windows.copied() {
                    for part in windows.parts(&band) {
                        let (rows, position) = windows.gather(&band, part, image, &mut second);
                        layer.all_outputs(rows, weights, &mut y[position * channels..]);
                    }
                } else {
                    for row in 0..band.rows {
                        let (rows, position) = windows.row(&band, row, image);
                        layer.all_outputs(rows, weights, &mut y[position * channels..]);
                    }
                }
            }
        }
    }
    Ok(true)
}
