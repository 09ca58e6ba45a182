//! CONV_2D and FULLY_CONNECTED with weights in pairs ([`crate::pairs`]): the loops of [`super::lanes`] without
//! what widens weights.
//!
//! ```text
//! ldrd   r12, lr, [r1], #8        weights 0 2 and 1 3 of a row
//! ldm    r0!, {r8-r11}            elements 0 2 of positions 0 1 2 3
//! smlad  r4, r8, r12, r4          r4 to r7: sums of positions 0 1 2 3
//! …                               three more
//! ldm    r0!, {r8-r11}            elements 1 3
//! smlad  r4, r8, lr, r4
//! …                               three more
//! ```
//!
//! are 11 instructions for 16 products, instead of 13. One position by two rows, as of fully connected
//! layers, is 11 for 16 instead of 19. Rows have whole steps, so that none goes alone.

use super::conv2d::{Weights, pixels, windows};
use super::lanes::{self, Quad, STEP, widen};
use super::output::Stage;
use super::smlad;
use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::convolve::Plan;
use crate::fully_connected::FullyConnectedI8;
use crate::pairs::Paired;
use crate::requantize::Rescale;

/// Weights 0 and 2, weights 1 and 3.
type Step = [i16; STEP];

/// Inputs of a fully connected layer that are widened at once.
const INPUTS: usize = 128;

/// Outputs whose sums are held at once.
const OUTPUTS: usize = 32;

/// [`crate::pairs::conv2d_paired_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state.
pub(crate) fn conv2d_paired_i8<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    windows(&p.layer, &plan, x, y, &Rows::new(p.weights, &plan))
}

/// [`crate::pairs::conv2d_pointwise_paired_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the shapes state, or windows do not follow
/// each other in the image.
pub(crate) fn conv2d_pointwise_paired_i8<R: Rescale>(
    p: &Paired<'_, Conv2dI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let plan = p.plan()?;
    pixels(&p.layer, &plan, x, y, &Rows::new(p.weights, &plan))
}

/// [`crate::pairs::fully_connected_paired_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a slice does not have the length that the parameters state, or there is more
/// than one row.
pub(crate) fn fully_connected_paired_i8<R: Rescale>(
    p: &Paired<'_, FullyConnectedI8<'_, R>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let FullyConnectedI8 { inputs, outputs, weights_zero_point, bias, .. } = p.layer;
    let plan = p.as_convolution().plan()?;
    if p.layer.batches != 1 || x.len() != inputs || y.len() != outputs {
        return Err(Mismatch);
    }
    let weights = Rows::new(p.weights, &plan);
    let stage = Stage::new(bias, p.layer.requantize, p.layer.output_stage, inputs, false);
    let mut quads: [Quad<1>; INPUTS / STEP] = [[[0]; 2]; INPUTS / STEP];
    let mut accs = [0; OUTPUTS];
    // Inputs that are widened in one part are widened once.
    let mut widened = false;
    for first in (0..outputs).step_by(OUTPUTS) {
        let count = (outputs - first).min(OUTPUTS);
        let accs = accs.get_mut(..count).ok_or(Mismatch)?;
        accs.fill(0);
        let mut sums = [0];
        for (part, x) in x.chunks(INPUTS).enumerate() {
            let quads = quads.get_mut(..x.len().div_ceil(STEP)).ok_or(Mismatch)?;
            if !widened {
                widen(x, 0, quads);
                widened = inputs <= INPUTS;
            }
            weights.multiply_one(accs, quads, first, part * INPUTS).ok_or(Mismatch)?;
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

/// Rows of weights.
#[derive(Clone, Copy)]
struct Rows<'a> {
    steps: &'a [Step],
    /// Steps of a row.
    pitch: usize,
}

impl<'a> Rows<'a> {
    fn new(weights: &'a [i16], plan: &Plan) -> Self {
        Self { steps: weights.as_chunks().0, pitch: plan.filter.div_ceil(STEP) }
    }

    /// The weights of `rows` rows from `row` on that meet `steps` steps of activations, which begin with
    /// element `start`; up to the last that is read.
    #[inline(always)]
    fn part(&self, row: usize, rows: usize, start: usize, steps: usize) -> Option<&'a [Step]> {
        let needed = rows.checked_sub(1)?.checked_mul(self.pitch)?.checked_add(steps)?;
        self.steps.get(row.checked_mul(self.pitch)?.checked_add(start / STEP)?..)?.get(..needed)
    }

    /// Adds to `accs[r]` the product of row `row + r` with one position.
    #[inline(never)]
    fn multiply_one(
        &self,
        accs: &mut [i32],
        quads: &[Quad<1>],
        row: usize,
        start: usize,
    ) -> Option<()> {
        let weights = self.part(row, accs.len(), start, quads.len())?;
        let (pairs, single) = accs.as_chunks_mut::<2>();
        let rows = 2 * pairs.len();
        // Two steps at a time, then the last.
        let even = quads.len() - quads.len() % 2;
        if rows > 0 && even > 0 {
            pairs_of_rows(pairs, quads.get(..even)?, weights, self.pitch);
        }
        if even < quads.len() {
            let (quads, accs) = (quads.get(even..)?, pairs.as_flattened_mut());
            for (r, acc) in accs.iter_mut().enumerate() {
                [*acc] = one_row([*acc], quads, weights.get(r * self.pitch + even..)?);
            }
        }
        for acc in single {
            [*acc] = one_row([*acc], quads, weights.get(rows * self.pitch..)?);
        }
        Some(())
    }
}

impl Weights for Rows<'_> {
    #[inline(always)]
    fn multiply(
        &self,
        accs: &mut [[i32; 4]],
        quads: &[Quad<4>],
        row: usize,
        start: usize,
    ) -> Option<()> {
        let weights = self.part(row, accs.len(), start, quads.len())?;
        rows_by_four(accs, start == 0, quads, weights, self.pitch);
        Some(())
    }
}

/// Adds the products of a row of weights.
#[inline(always)]
fn one_row<const P: usize>(mut acc: [i32; P], quads: &[Quad<P>], row: &[Step]) -> [i32; P] {
    for ([even, odd], [w0, w2, w1, w3]) in quads.iter().zip(row) {
        let pair = |low: i16, high: i16| u32::from(low as u16) | u32::from(high as u16) << 16;
        let (w_even, w_odd) = (pair(*w0, *w2), pair(*w1, *w3));
        for ((acc, &even), &odd) in acc.iter_mut().zip(even).zip(odd) {
            *acc = smlad(odd, w_odd, smlad(even, w_even, *acc));
        }
    }
    acc
}

/// [`Weights::multiply`] of all weights that are needed.
#[cfg(not(dsp))]
fn rows_by_four(
    accs: &mut [[i32; 4]],
    first: bool,
    quads: &[Quad<4>],
    weights: &[Step],
    pitch: usize,
) {
    definition(accs, first, quads, weights, pitch);
}

/// Rows of weights by positions, one row at a time: where weights do not begin with a word, too.
#[cold]
#[inline(never)]
fn definition<const P: usize>(
    accs: &mut [[i32; P]],
    first: bool,
    quads: &[Quad<P>],
    weights: &[Step],
    pitch: usize,
) {
    for (r, acc) in accs.iter_mut().enumerate() {
        let row = weights.get(r * pitch..).unwrap_or_default();
        *acc = one_row(if first { [0; P] } else { *acc }, quads, row);
    }
}

/// Adds products of rows two by two, of an even number of steps. There are rows and steps.
#[cfg(not(dsp))]
fn pairs_of_rows(accs: &mut [[i32; 2]], quads: &[Quad<1>], weights: &[Step], pitch: usize) {
    definition(accs.as_flattened_mut().as_chunks_mut().0, false, quads, weights, pitch);
}

#[cfg(dsp)]
use assembly::{pairs_of_rows, rows_by_four};

#[cfg(dsp)]
mod assembly {
    use core::arch::naked_asm;

    use super::{Quad, Step, definition};

    /// What the loops read from memory.
    #[repr(C)]
    struct Product {
        weights: *const Step,
        accs: *mut i32,
        x_end: *const u32,
        x: *const u32,
        /// Bytes from the end of what is read of a row, or of two, to the beginning of the next.
        skip: isize,
        accs_end: *mut i32,
        /// Bytes from a row to the next.
        pitch: usize,
        /// Whether sums begin with 0.
        first: u32,
    }

    fn words(weights: &[Step]) -> bool {
        (weights.as_ptr() as usize).is_multiple_of(align_of::<u32>())
    }

    /// See [`super::Weights::multiply`].
    #[inline(always)]
    pub fn rows_by_four(
        accs: &mut [[i32; 4]],
        first: bool,
        quads: &[Quad<4>],
        weights: &[Step],
        pitch: usize,
    ) {
        if accs.is_empty() || quads.is_empty() || !words(weights) {
            return definition(accs, first, quads, weights, pitch);
        }
        let accs = accs.as_flattened_mut().as_mut_ptr_range();
        let x = quads.as_flattened().as_flattened().as_ptr_range();
        let product = Product {
            weights: weights.as_ptr(),
            accs: accs.start,
            x_end: x.end,
            x: x.start,
            skip: (pitch.wrapping_sub(quads.len()) * size_of::<Step>()) as isize,
            accs_end: accs.end,
            pitch: 0,
            first: first.into(),
        };
        // SAFETY: there are sums, of which the loop reads and writes the ones between the pointers,
        // and quads, of which it reads all for each; of weights, which begin with a word, it reads a step
        // for each quad, row by row, which the caller says there are.
        unsafe { by_four(&raw const product) }
    }

    /// See [`super::Rows::multiply_one`].
    #[inline(always)]
    pub fn pairs_of_rows(accs: &mut [[i32; 2]], quads: &[Quad<1>], weights: &[Step], pitch: usize) {
        if !words(weights) {
            let accs = accs.as_flattened_mut().as_chunks_mut().0;
            return definition(accs, false, quads, weights, pitch);
        }
        let accs = accs.as_flattened_mut().as_mut_ptr_range();
        let x = quads.as_flattened().as_flattened().as_ptr_range();
        let bytes = size_of::<Step>();
        let product = Product {
            weights: weights.as_ptr(),
            accs: accs.start,
            x_end: x.end,
            x: x.start,
            skip: (pitch.wrapping_mul(2).wrapping_sub(quads.len()) * bytes) as isize,
            accs_end: accs.end,
            pitch: pitch * bytes,
            first: 0,
        };
        // SAFETY: as in `rows_by_four`, with two rows for each two sums, of an even number of quads.
        unsafe { two_rows(&raw const product) }
    }

    /// r0 activations, r1 weights, r2 sums, r3 end of the activations; r4-r7 sums, r8-r11 activations,
    /// r12 and lr weights. On the stack: where the loop is entered, the first activations, what is
    /// skipped, the end of the sums.
    ///
    /// # Safety
    ///
    /// The pointers are those of a [`Product`] with at least one sum and one activation.
    #[unsafe(naked)]
    unsafe extern "C" fn by_four(product: *const Product) {
        naked_asm!(
            core!(),
            "push {{r4-r11, lr}}",
            "ldr r7, [r0, #28]",
            "ldm r0, {{r1-r6}}",
            "cbz r7, 5f",
            // Sums that begin are 0.
            "movs r7, #0",
            "mov r8, r7",
            "mov r9, r7",
            "mov r10, r7",
            "mov r11, r2",
            "4:",
            "stm r11!, {{r7-r10}}",
            "cmp r11, r6",
            "bne 4b",
            "5:",
            // Of eight steps in the loop, 44 bytes each, the first turn does the odd ones.
            "subs r7, r3, r4",
            "subs r7, #32",
            "ubfx r7, r7, #5, #3",
            "adds r7, #1",
            "mov r8, #44",
            "mul r7, r7, r8",
            "adr r0, 3f",
            "subs r0, r0, r7",
            "orr r0, r0, #1",
            "push {{r0, r4, r5, r6}}",
            "1:",
            "ldr r0, [sp, #4]",
            "ldm r2, {{r4-r7}}",
            "ldr pc, [sp]",
            ".p2align 2",
            "2:",
            ".rept 8",
            "ldrd r12, lr, [r1], #8",
            "ldm.w r0!, {{r8-r11}}",
            "smlad r4, r8, r12, r4",
            "smlad r5, r9, r12, r5",
            "smlad r6, r10, r12, r6",
            "smlad r7, r11, r12, r7",
            "ldm.w r0!, {{r8-r11}}",
            "smlad r4, r8, lr, r4",
            "smlad r5, r9, lr, r5",
            "smlad r6, r10, lr, r6",
            "smlad r7, r11, lr, r7",
            ".endr",
            "3:",
            "cmp r0, r3",
            "bne 2b",
            "stm r2!, {{r4-r7}}",
            "ldrd r8, r9, [sp, #8]",
            "add r1, r8",
            "cmp r2, r9",
            "bne 1b",
            "add sp, #16",
            "pop {{r4-r11, pc}}",
        )
    }

    /// r0 activations, r1 and r2 weights of two rows, r3 end of the activations; r4 and r5 sums, r6-r9
    /// activations, r10-r12 and lr weights. On the stack: where the loop is entered, the sums, the first
    /// activations, what is skipped, the end of the sums.
    ///
    /// # Safety
    ///
    /// As [`by_four`], with an even number of quads.
    #[unsafe(naked)]
    unsafe extern "C" fn two_rows(product: *const Product) {
        naked_asm!(
            core!(),
            "push {{r4-r11, lr}}",
            "ldr r9, [r0, #24]",
            "ldm r0, {{r1-r6}}",
            "mov r8, r6",
            "mov r7, r5",
            "mov r6, r4",
            "mov r5, r2",
            "add r2, r1, r9",
            // Of four steps in the loop, 44 bytes each, the first turn does the odd ones.
            "subs r4, r3, r6",
            "subs r4, #16",
            "ubfx r4, r4, #4, #2",
            "adds r4, #1",
            "mov r9, #44",
            "mul r4, r4, r9",
            "adr r0, 3f",
            "subs r4, r0, r4",
            "orr r4, r4, #1",
            "push {{r4-r8}}",
            "1:",
            "ldr r0, [sp, #8]",
            "ldr r6, [sp, #4]",
            "ldrd r4, r5, [r6]",
            "ldr pc, [sp]",
            ".p2align 2",
            "2:",
            ".rept 4",
            "ldm.w r0!, {{r6-r9}}",
            "ldm.w r1!, {{r10-r12, lr}}",
            "smlad r4, r6, r10, r4",
            "smlad r4, r7, r11, r4",
            "smlad r4, r8, r12, r4",
            "smlad r4, r9, lr, r4",
            "ldm.w r2!, {{r10-r12, lr}}",
            "smlad r5, r6, r10, r5",
            "smlad r5, r7, r11, r5",
            "smlad r5, r8, r12, r5",
            "smlad r5, r9, lr, r5",
            ".endr",
            "3:",
            "cmp r0, r3",
            "bne 2b",
            "ldr r6, [sp, #4]",
            "strd r4, r5, [r6], #8",
            "str r6, [sp, #4]",
            "ldrd r7, r8, [sp, #12]",
            "add r1, r7",
            "add r2, r7",
            "cmp r6, r8",
            "bne 1b",
            "add sp, #20",
            "pop {{r4-r11, pc}}",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{conv2d_paired_i8, conv2d_pointwise_paired_i8, fully_connected_paired_i8};
    use crate::pairs::tests::Kernels;

    #[test]
    fn layers_in_pairs_are_their_definitions() {
        let kernels = Kernels {
            conv2d: |p, x, y| conv2d_paired_i8(p, x, y),
            conv2d_pointwise: |p, x, y| conv2d_pointwise_paired_i8(p, x, y),
            fully_connected: |p, x, y| fully_connected_paired_i8(p, x, y),
        };
        kernels.hold();
    }
}
