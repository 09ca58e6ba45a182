//! FULLY_CONNECTED of one row: four rows of weights at a time share the activations.
//!
//! One load of an activation, four of weights and four products: 2.25 instructions each on a Cortex-M3, and
//! one more for the addition elsewhere. With one row of activations each weight is used once, so that
//! no kernel for these cores comes below 2 and 3.

#[cfg(any(armv6m, armv7m))]
use super::assembly;
use super::output::Stage;
use crate::Mismatch;
use crate::dot::{Arithmetic, I8};
use crate::fully_connected::FullyConnectedI8;
use crate::requantize::Rescale;

/// Rows of weights that share activations.
const ROWS: usize = 4;

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
    let FullyConnectedI8 { inputs, weights_zero_point, .. } = *p;
    p.expect_row(x.len(), y.len())?;
    let stage = Stage::new(p.bias, p.requantize, p.output_stage, inputs, false);
    let offset = match weights_zero_point {
        0 => 0,
        zero_point => I8.sum(x).wrapping_mul(zero_point),
    };
    let mut accs = [[0; ROWS]; OUTPUTS / ROWS];
    let mut rest = p.weights;
    for (block, y) in y.chunks_mut(OUTPUTS).enumerate() {
        for (accs, y) in accs.iter_mut().zip(y.chunks(ROWS)) {
            let (weights, behind) = rest.split_at_checked(y.len() * inputs).ok_or(Mismatch)?;
            rest = behind;
            *accs = rows(x, weights).map(|acc| acc.wrapping_sub(offset));
        }
        let accs = accs.as_flattened().get(..y.len()).ok_or(Mismatch)?;
        stage.position(block * OUTPUTS, accs, y);
    }
    Ok(())
}

/// The products of up to four rows of weights.
#[inline(never)]
fn rows(x: &[i8], weights: &[i8]) -> [i32; ROWS] {
    // Where there are fewer, the first stands in for the others.
    let mut rows = [weights.get(..x.len()).unwrap_or_default(); ROWS];
    for (row, weights) in rows.iter_mut().zip(weights.chunks_exact(x.len().max(1))) {
        *row = weights;
    }
    four_rows(x, rows)
}

/// `Σ x·w` of four rows of one length.
#[cfg(not(any(armv6m, armv7m)))]
#[inline(always)]
fn four_rows(x: &[i8], [w0, w1, w2, w3]: [&[i8]; ROWS]) -> [i32; ROWS] {
    let [mut acc0, mut acc1, mut acc2, mut acc3] = [0_i32; ROWS];
    for ((((&x, &w0), &w1), &w2), &w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        let product = |w: i8| i32::from(x) * i32::from(w);
        acc0 = acc0.wrapping_add(product(w0));
        acc1 = acc1.wrapping_add(product(w1));
        acc2 = acc2.wrapping_add(product(w2));
        acc3 = acc3.wrapping_add(product(w3));
    }
    [acc0, acc1, acc2, acc3]
}

/// `Σ x·w` of four rows of one length.
#[cfg(any(armv6m, armv7m))]
#[inline(always)]
fn four_rows(x: &[i8], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
    let mut accs = [0; ROWS];
    if x.is_empty() || rows.into_iter().any(|row| row.len() < x.len()) {
        return accs;
    }
    let rows = rows.map(<[i8]>::as_ptr);
    // SAFETY: there are that many elements, and as many weights of each row, as has been compared.
    unsafe { assembly::four_rows(x.as_ptr(), &raw const rows, x.len(), &raw mut accs) };
    accs
}
