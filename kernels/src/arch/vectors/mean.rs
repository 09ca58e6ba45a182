//! SUM and MEAN of int8 over the outer axes of a run of channels, or over the innermost axes.
//!
//! Channels are summed 64 or 16 at a time, as in `pool.rs`, and so are outputs scaled: the rounding is
//! looked up once for all of them. Reductions of other axes are left to the definition.

use crate::MAX_RANK;
use crate::Mismatch;
use crate::reduce_quantized::{self, SumQuantized};
use crate::reduction::Reduction;
use crate::requantize::{Requantize, Rescale, with_rescale};

/// [`reduce_quantized::sum_i8`].
#[inline(always)]
pub(super) fn sum_groups_i8(
    p: &SumQuantized<Requantize<'_>>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let (count, outputs) =
        (p.reduction.count().ok_or(Mismatch)?, p.reduction.outputs().ok_or(Mismatch)?);
    if y.len() != outputs || outputs.checked_mul(count) != Some(x.len()) {
        return Err(Mismatch);
    }
    let Reduction { dims, reduced } = p.reduction.merged();
    let [.., images, _, channels] = dims;
    let [.., outer_is_reduced, _, inner_is_reduced] = reduced;
    // Only the innermost axes have more than one element.
    let of_two = dims[..MAX_RANK - 2].iter().all(|&dim| dim == 1);
    let of_three = dims[..MAX_RANK - 3].iter().all(|&dim| dim == 1);
    if x.is_empty() {
        return reduce_quantized::portable(p, x, y);
    }
    // [outputs, count].
    if of_two && inner_is_reduced {
        for (x, y) in x.chunks(count * 16).zip(y.chunks_mut(16)) {
            let mut accs = [0; 16];
            for (acc, x) in accs.iter_mut().zip(x.chunks_exact(count)) {
                *acc = x.iter().fold(0_i32, |acc, &x| acc.wrapping_add(x.into()));
            }
            store(p, accs, y);
        }
        return Ok(());
    }
    // [images, count, channels].
    let is_outer = |is_reduced: bool, dim: usize| !is_reduced || dim == 1;
    if of_three && !inner_is_reduced && is_outer(outer_is_reduced, images) {
        for (x, y) in x.chunks_exact(count * channels).zip(y.chunks_exact_mut(channels)) {
            let mut first = 0;
            while channels - first >= 64 {
                block::<64>(p, x, first, y);
                first += 64;
            }
            while first < channels {
                block::<16>(p, x, first.min(channels.saturating_sub(16)), y);
                first += 16;
            }
        }
        return Ok(());
    }
    reduce_quantized::portable(p, x, y)
}

/// `C` channels of an image from `first` on, or as many as there are.
#[inline(always)]
fn block<const C: usize>(p: &SumQuantized<Requantize<'_>>, x: &[i8], first: usize, y: &mut [i8]) {
    let channels = y.len();
    let mut accs = [0_i32; C];
    let mut rows = &x[first..];
    // 16 bits hold the sum of 255 rows.
    while !rows.is_empty() {
        let mut part = [0_i16; C];
        for _ in 0..255 {
            match rows.first_chunk::<C>() {
                Some(row) => {
                    for (acc, &x) in part.iter_mut().zip(row) {
                        *acc = acc.wrapping_add(x.into());
                    }
                }
                // The last rows of fewer channels than are read.
                None => {
                    for (acc, &x) in part.iter_mut().zip(rows) {
                        *acc = acc.wrapping_add(x.into());
                    }
                }
            }
            rows = rows.get(channels..).unwrap_or_default();
            if rows.is_empty() {
                break;
            }
        }
        for (acc, part) in accs.iter_mut().zip(part) {
            *acc = acc.wrapping_add(part.into());
        }
    }
    store(p, accs, &mut y[first..]);
}

/// Scales sums and stores as many as there are outputs.
#[inline(always)]
fn store<const C: usize>(p: &SumQuantized<Requantize<'_>>, accs: [i32; C], y: &mut [i8]) {
    let accs = accs.map(|acc| acc.wrapping_add(p.acc_offset));
    let scaled = with_rescale!(p.requantize, |rescale| scale(rescale, accs));
    let results = scaled.map(|scaled| p.output.apply(scaled).clamp(-128, 127) as i8);
    match y.first_chunk_mut() {
        Some(y) => *y = results,
        None => {
            for (y, result) in y.iter_mut().zip(results) {
                *y = result;
            }
        }
    }
}

/// All sums by the one scale.
#[inline(always)]
fn scale<R: Rescale, const C: usize>(rescale: R, accs: [i32; C]) -> [i32; C] {
    accs.map(|acc| rescale.rescale(acc, 0))
}
