//! FULLY_CONNECTED of one row: one window, see [`super::product`].

use super::output::{CHANNELS, Stage};
use super::product::{Product, Start};
use crate::Mismatch;
use crate::dot::{Arithmetic, I8};
use crate::fully_connected::FullyConnectedI8;
use crate::requantize::Rescale;

/// [`crate::fully_connected::fully_connected_long_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state, or there is more
/// than one row.
pub(crate) fn fully_connected_long_i8<R: Rescale>(
    p: &FullyConnectedI8<'_, R>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let FullyConnectedI8 { inputs, outputs, weights_zero_point, .. } = *p;
    p.expect_row(x.len(), y.len())?;
    let stage = Stage::new(&p.requantize, p.output_stage, outputs);
    let offset = match weights_zero_point {
        0 => 0,
        zero_point => I8.sum(x).wrapping_mul(zero_point),
    };
    let mut sums = [0; CHANNELS];
    let mut weights = p.weights.chunks((CHANNELS * inputs).max(1));
    for (block, bias) in p.bias.chunks(CHANNELS).enumerate() {
        let sums = sums.get_mut(..bias.len()).ok_or(Mismatch)?;
        let weights = weights.next().ok_or(Mismatch)?;
        let product = Product { x, depth: inputs, weights, pitch: inputs };
        product.multiply(Start::Bias(bias), sums).ok_or(Mismatch)?;
        if offset != 0 {
            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_sub(offset));
        }
        stage.store(block * CHANNELS, bias.len(), sums, y, outputs).ok_or(Mismatch)?;
    }
    Ok(())
}
