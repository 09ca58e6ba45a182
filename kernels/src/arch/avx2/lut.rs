//! A table of 256 bytes: `lut-i8-c128/avx2`.
//!
//! `vpshufb` looks up 16 bytes, by the low half of an index that is not negative; a negative one
//! gives 0. So a step with table `k` is right for indices in `16k ..`, and those below are taken back
//! to what they were by storing in table `k` what differs from table `k − 1`:
//!
//! ```text
//! y = shuffle(t0, x) ^ shuffle(t1 ^ t0, x − 16) ^ shuffle(t2 ^ t1, x − 32) ^ …
//! ```
//!
//! where the subtraction saturates. Eight steps serve `x` from 0 on, and eight `x + 128` below.

use core::arch::x86_64::*;

use crate::Mismatch;
use crate::broadcast::Operand;
use crate::lut::{self, LUT_I8_LENGTH};

/// Vectors at once: each table is loaded for all of them.
const VECTORS: usize = 4;

/// Bytes at once.
const BLOCK: usize = 32 * VECTORS;

pub(in crate::arch) fn lut_i8(
    table: &[i8; LUT_I8_LENGTH],
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let count = y.len();
    let fits = match x {
        Operand::Buffer(x) => x.len() == count,
        Operand::Output => true,
    };
    // Below this the differences cost more than they save.
    if !fits || count < BLOCK {
        return lut::portable(table, x, y);
    }
    // SAFETY: the table that this function is reached through is given out where the processor has
    // the instructions.
    unsafe { whole(table, x, y) }
    Ok(())
}

/// At least one block; an operand in a buffer has the length of `y`.
#[target_feature(enable = "avx2")]
fn whole(table: &[i8; LUT_I8_LENGTH], x: Operand<'_, i8>, y: &mut [i8]) {
    let mut steps = [[0_i8; 16]; 16];
    let (tables, _) = table.as_chunks::<16>();
    for (k, step) in steps.iter_mut().enumerate() {
        // 8 begins anew.
        let before = if k % 8 == 0 { [0; 16] } else { tables[k - 1] };
        for (i, to) in step.iter_mut().enumerate() {
            *to = tables[k][i] ^ before[i];
        }
    }
    let (count, to) = (y.len(), y.as_mut_ptr());
    let from = match x {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => to.cast_const(),
    };
    let mut i = 0;
    while i + BLOCK <= count {
        // SAFETY: there are `BLOCK` elements from `i` on in both.
        unsafe { block(&steps, from.add(i), to.add(i)) }
        i += BLOCK;
    }
    // What is left one by one, as an operand in place must not be read twice.
    while i < count {
        // SAFETY: `i` is below the number of elements of both.
        unsafe {
            let index = usize::from(*from.add(i) as u8);
            *to.add(i) = table[index];
        }
        i += 1;
    }
}

/// One block.
///
/// # Safety
///
/// `from` and `to` are `BLOCK` elements each.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn block(steps: &[[i8; 16]; 16], from: *const i8, to: *mut i8) {
    let sixteen = _mm256_set1_epi8(16);
    let sign = _mm256_set1_epi8(i8::MIN);
    let mut low = [_mm256_setzero_si256(); VECTORS];
    for (v, low) in low.iter_mut().enumerate() {
        // SAFETY: as the caller says.
        *low = unsafe { _mm256_loadu_si256(from.add(32 * v).cast()) };
    }
    let mut high = low.map(|x| _mm256_xor_si256(x, sign));
    let mut y = [_mm256_setzero_si256(); VECTORS];
    let (low_steps, high_steps) = steps.split_at(8);
    for (low_step, high_step) in low_steps.iter().zip(high_steps) {
        let [low_step, high_step] = [low_step, high_step].map(|step| {
            // SAFETY: 16 bytes.
            _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(step.as_ptr().cast()) })
        });
        for ((y, low), high) in y.iter_mut().zip(&mut low).zip(&mut high) {
            *y = _mm256_xor_si256(*y, _mm256_shuffle_epi8(low_step, *low));
            *y = _mm256_xor_si256(*y, _mm256_shuffle_epi8(high_step, *high));
            *low = _mm256_subs_epi8(*low, sixteen);
            *high = _mm256_subs_epi8(*high, sixteen);
        }
    }
    for (v, y) in y.into_iter().enumerate() {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_si256(to.add(32 * v).cast(), y) }
    }
}
