//! Tiles whose rows of taps are whole steps: for the first layers of networks.
//!
//! The taps of a row of a kernel are often no whole steps of a product, 9 activations of 3 columns of 3
//! colours. With zeros behind each row of taps they are, and windows can be read where the image is.

use crate::convolve::Plan;
use crate::tiles::{Activations, OUTPUTS};

/// Weights that are put together anew on each call, at most.
const MOST: usize = 1 << 12;

/// Outputs of an image from which on that pays.
const POSITIONS: usize = 128;

/// Memory for such tiles.
pub(super) struct Padded([i8; MOST]);

impl Padded {
    pub fn new() -> Self {
        Self([0; MOST])
    }

    /// Whether a layer is small enough, and its image large enough.
    pub fn fits(plan: &Plan, step: usize) -> bool {
        let Plan { kernel_h, output: [_, height, width, channels], .. } = *plan;
        let rows = channels.next_multiple_of(OUTPUTS).saturating_mul(kernel_h);
        rows.saturating_mul(Self::run(plan, step)) <= MOST
            && height.saturating_mul(width) >= POSITIONS
    }

    /// Weights of a row of taps, in whole steps.
    pub fn run(plan: &Plan, step: usize) -> usize {
        (plan.kernel_w * plan.depth).next_multiple_of(step)
    }

    /// The tiles of a layer that [`Padded::fits`], from those that have zeros behind a filter alone.
    pub fn tiles(&mut self, plan: &Plan, activations: Activations, tiles: &[i8]) -> &[i8] {
        let step = activations.step();
        let Plan { kernel_h, kernel_w, depth, filter, .. } = *plan;
        let (taps, run) = (kernel_w * depth, Self::run(plan, step));
        let blocks = tiles.chunks_exact(filter.next_multiple_of(step) * OUTPUTS);
        let block_bytes = kernel_h * run * OUTPUTS;
        for (to, from) in self.0.chunks_exact_mut(block_bytes).zip(blocks.clone()) {
            for row in 0..kernel_h {
                for tap in 0..taps {
                    let (column, padded) = (row * taps + tap, row * run + tap);
                    let from = from[column / step * step * OUTPUTS + column % step..].iter();
                    let to = &mut to[padded / step * step * OUTPUTS + padded % step..];
                    for (to, from) in
                        to.iter_mut().step_by(step).zip(from.step_by(step)).take(OUTPUTS)
                    {
                        *to = *from;
                    }
                }
            }
        }
        &self.0[..blocks.len() * block_bytes]
    }
}
