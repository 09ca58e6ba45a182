//! FULLY_CONNECTED of one row: two rows of weights at a time, see [`lanes`].

use super::lanes::{self, Quad, STEP, widen};
use super::output::Stage;
use crate::Mismatch;
use crate::fully_connected::FullyConnectedI8;
use crate::requantize::Rescale;

/// Inputs that are widened at once.
const DEPTH: usize = 128;

/// Outputs whose sums are held at once.
const OUTPUTS: usize = 32;

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
    let stage = Stage::new(p.bias, p.requantize, p.output_stage, inputs, false);
    let mut quads: [Quad<1>; DEPTH / STEP] = [[[0]; 2]; DEPTH / STEP];
    let mut accs = [0; OUTPUTS];
    // Inputs that are widened in one part are widened once.
    let mut widened = false;
    for first in (0..outputs).step_by(OUTPUTS) {
        let count = (outputs - first).min(OUTPUTS);
        let accs = accs.get_mut(..count).ok_or(Mismatch)?;
        let mut sums = [0];
        for (part, x) in x.chunks(DEPTH).enumerate() {
            let quads = quads.get_mut(..x.len().div_ceil(STEP)).ok_or(Mismatch)?;
            if !widened {
                widen(x, 0, quads);
                widened = inputs <= DEPTH;
            }
            let weights = p.weights.get(first * inputs + part * DEPTH..).ok_or(Mismatch)?;
            lanes::multiply_one(accs, part == 0, quads, weights, inputs);
            if weights_zero_point != 0 {
                lanes::sums(quads, &mut sums);
            }
        }
        if weights_zero_point != 0 {
            let [sum] = sums;
            for acc in &mut *accs {
                *acc = acc.wrapping_sub(sum.wrapping_mul(weights_zero_point));
            }
        }
        stage.position(first, accs, y.get_mut(first..).ok_or(Mismatch)?);
    }
    Ok(())
}
