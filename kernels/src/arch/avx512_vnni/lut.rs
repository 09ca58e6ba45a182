//! A table of 256 bytes: `lut-i8-c64/avx512_vnni`.
//!
//! `vpermi2b` looks up 128 bytes, by seven bits of the index: one for each half of the table, of which
//! the index's sign bit chooses.

use core::arch::x86_64::*;

use crate::Mismatch;
use crate::broadcast::Operand;
use crate::lut::{self, LUT_I8_LENGTH};

pub(super) fn lut_i8(
    table: &[i8; LUT_I8_LENGTH],
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let fits = match x {
        Operand::Buffer(x) => x.len() == y.len(),
        Operand::Output => true,
    };
    if !fits {
        return lut::portable(table, x, y);
    }
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe { whole(table, x, y) }
    Ok(())
}

/// An operand in a buffer has the length of `y`.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn whole(table: &[i8; LUT_I8_LENGTH], x: Operand<'_, i8>, y: &mut [i8]) {
    let (tables, _) = table.as_chunks::<64>();
    let load = |part: usize| {
        // SAFETY: 64 bytes.
        unsafe { _mm512_loadu_si512(tables[part].as_ptr().cast()) }
    };
    let [t0, t1, t2, t3] = [load(0), load(1), load(2), load(3)];
    let (count, to) = (y.len(), y.as_mut_ptr());
    let from = match x {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => to.cast_const(),
    };
    let mut i = 0;
    while i < count {
        let mask = u64::MAX >> (64 - (count - i).min(64));
        // SAFETY: there are `count` elements in each, of which the mask has those from `i` on.
        let x = unsafe { _mm512_maskz_loadu_epi8(mask, from.add(i)) };
        let low = _mm512_permutex2var_epi8(t0, x, t1);
        let high = _mm512_permutex2var_epi8(t2, x, t3);
        let y = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_epi8(to.add(i), mask, y) };
        i += 64;
    }
}
