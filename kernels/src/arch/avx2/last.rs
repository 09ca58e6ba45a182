//! The end of the output stage: scaled sums to bytes, in the order of channels, and where they are stored.

use core::arch::x86_64::*;

use super::requantize::{DOUBLE, DOUBLE_ANY, DOUBLE_UP, DOUBLE_UP_ANY, FLOAT32, FLOAT64, FOLDED};
use crate::requantize::Output;

/// Sums that become a vector of bytes.
pub(in crate::arch) const BYTES: usize = 32;

/// The offset and the clamp.
pub(in crate::arch) struct Last {
    offset: __m256i,
    min: __m256i,
    max: __m256i,
}

impl Last {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn new(output: &Output) -> Self {
        Self {
            offset: _mm256_set1_epi16(output.output_offset as i16),
            min: _mm256_set1_epi8(output.activation_min as i8),
            max: _mm256_set1_epi8(output.activation_max as i8),
        }
    }

    /// Scaled sums as bytes: in each 128 bits, a dword of each vector.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn packed<const ROUNDING: u8>(&self, [a, b, c, d]: [__m256i; 4]) -> __m256i {
        let ab = narrow::<ROUNDING>(_mm256_packs_epi32(a, b), self.offset);
        let cd = narrow::<ROUNDING>(_mm256_packs_epi32(c, d), self.offset);
        let bytes = _mm256_packs_epi16(ab, cd);
        let bytes = _mm256_max_epi8(_mm256_min_epi8(bytes, self.max), self.min);
        match ROUNDING {
            FLOAT32 | FLOAT64 => bytes,
            _ => {
                // Even channels are in front of odd ones.
                let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                    0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15,
                ));
                _mm256_shuffle_epi8(bytes, order)
            }
        }
    }
}

/// 16-bit results of the rounding's last step, and the offset.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow<const ROUNDING: u8>(sums: __m256i, offset: __m256i) -> __m256i {
    let sums = match ROUNDING {
        // The offset is there.
        FOLDED => return sums,
        // They are twice the result, to be halved, half up.
        DOUBLE | DOUBLE_UP | DOUBLE_ANY | DOUBLE_UP_ANY => {
            _mm256_srai_epi16::<1>(_mm256_adds_epi16(sums, _mm256_set1_epi16(1)))
        }
        _ => sums,
    };
    _mm256_adds_epi16(sums, offset)
}

/// Stores the first `count` of every `from` bytes to `channel` of the positions of `y`.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::arch) fn put(
    bytes: __m256i,
    from: usize,
    y: &mut [i8],
    channels: usize,
    channel: usize,
    count: usize,
) {
    // All bytes follow each other in one position, or in positions that have no others.
    let whole = count == BYTES || (from == channels && count == channels);
    if let (true, Some(y)) = (whole, y[channel..].first_chunk_mut::<BYTES>()) {
        // SAFETY: 32 bytes.
        unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes) };
        return;
    }
    let mut all = [0; BYTES];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), bytes) };
    for (y, bytes) in y.chunks_exact_mut(channels).zip(all.chunks_exact(from)) {
        copy_few(&mut y[channel..][..count], &bytes[..count]);
    }
}

/// Copies up to 32 bytes, in two moves that may overlap.
#[inline(always)]
pub(in crate::arch) fn copy_few(to: &mut [i8], from: &[i8]) {
    macro_rules! twice {
        ($($size:literal),*) => {
            $(if let (Some(first), Some(last)) = (from.first_chunk::<$size>(), from.last_chunk()) {
                if let Some(to) = to.first_chunk_mut() {
                    *to = *first;
                }
                if let Some(to) = to.last_chunk_mut::<$size>() {
                    *to = *last;
                }
                return;
            })*
        };
    }
    twice!(16, 8, 4, 2, 1);
}

/// Dwords of packed sums in the order of channels, where vectors have eight neighbours.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::arch) fn in_order(bytes: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}
