//! Depthwise layers and products by one or two vectors of eight channels: what is loaded, and sums of
//! neighbouring positions to bytes.

use core::arch::x86_64::*;

use super::requantize::{BYTES, Block, Last, Scales, copy_few, in_order, with_rounding};
use crate::arch::output::OutputStage;

/// Channels of a vector of sums.
pub(super) const EIGHT: usize = 8;

/// Some channels of a layer, of which a position has `V` vectors of sums.
pub(super) struct Positions<'a, const V: usize> {
    pub stage: &'a OutputStage<'a>,
    /// Scales of these channels in their natural order, which are [ordinary](OutputStage::ordinary).
    pub scales: &'a Block,
    /// Channels that there are, of `V` times eight.
    pub count: usize,
}

impl<const V: usize> Positions<'_, V> {
    /// Requantizes the sums of neighbouring positions, to `y` from the first one's channels on.
    ///
    /// # Safety
    ///
    /// The processor has AVX2; there are scales of `V` vectors.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub unsafe fn store(&self, sums: &[[__m256i; V]], y: &mut [i8]) {
        if let Some(rounding) = self.scales.rounding {
            // SAFETY: they were made for it.
            with_rounding!(rounding, R => unsafe { self.store_with::<R>(sums, y) });
        }
    }

    /// [`Positions::store`] under a rounding.
    ///
    /// # Safety
    ///
    /// As there; it is the rounding that the scales were made for.
    #[target_feature(enable = "avx2")]
    unsafe fn store_with<const ROUNDING: u8>(&self, sums: &[[__m256i; V]], y: &mut [i8]) {
        let last = Last::new(&self.stage.output);
        let Some(scales) = self.scales.scales().first_chunk::<V>() else { return };
        let (together, channels) = (4 / V, self.stage.channels);
        let whole = self.count == V * EIGHT;
        let mut chunks = sums.chunks_exact(together);
        let mut at = 0;
        for sums in &mut chunks {
            // SAFETY: as the caller says.
            let bytes = unsafe { scaled::<ROUNDING, V>(scales, &last, sums) };
            let y = &mut y[at..];
            if whole && channels == V * EIGHT {
                let y = &mut y[..BYTES];
                // SAFETY: 32 bytes.
                unsafe { _mm256_storeu_si256(y.as_mut_ptr().cast(), bytes) };
            } else if whole {
                put::<V>(bytes, y, channels);
            } else {
                put_few::<V>(bytes, y, channels, together, self.count);
            }
            at += together * channels;
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            // SAFETY: as the caller says.
            let bytes = unsafe { scaled::<ROUNDING, V>(scales, &last, rest) };
            put_few::<V>(bytes, &mut y[at..], channels, rest.len(), self.count);
        }
    }
}

/// As many positions as four vectors have, or fewer, to bytes.
///
/// # Safety
///
/// The scales were made for the rounding.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn scaled<const ROUNDING: u8, const V: usize>(
    scales: &[Scales; V],
    last: &Last,
    sums: &[[__m256i; V]],
) -> __m256i {
    let mut scaled = [_mm256_setzero_si256(); 4];
    for (scaled, sums) in scaled.chunks_exact_mut(V).zip(sums) {
        for ((scaled, sum), scales) in scaled.iter_mut().zip(sums).zip(scales) {
            // SAFETY: as the caller says.
            *scaled = unsafe { scales.apply::<ROUNDING>(*sum) };
        }
    }
    in_order(last.packed::<ROUNDING>(scaled))
}

/// Stores `V` times eight channels of as many positions as there are bytes of.
#[inline]
#[target_feature(enable = "avx2")]
fn put<const V: usize>(bytes: __m256i, y: &mut [i8], channels: usize) {
    let y = &mut y[..(4 / V - 1) * channels + V * EIGHT];
    let y = y.as_mut_ptr();
    let to = |position: usize| y.wrapping_add(position * channels);
    let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
    // SAFETY: the last position's channels are in `y`.
    unsafe {
        if V == 2 {
            _mm_storeu_si128(to(0).cast(), low);
            _mm_storeu_si128(to(1).cast(), high);
        } else {
            for (i, half) in [low, high].into_iter().enumerate() {
                _mm_storel_epi64(to(2 * i).cast(), half);
                _mm_storeh_pd(to(2 * i + 1).cast(), _mm_castsi128_pd(half));
            }
        }
    }
}

/// Stores the first `count` channels of some positions.
#[inline]
#[target_feature(enable = "avx2")]
fn put_few<const V: usize>(
    bytes: __m256i,
    y: &mut [i8],
    channels: usize,
    positions: usize,
    count: usize,
) {
    let mut all = [0; BYTES];
    // SAFETY: 32 bytes.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), bytes) };
    for (position, bytes) in all.chunks_exact(V * EIGHT).enumerate().take(positions) {
        copy_few(&mut y[position * channels..][..count], &bytes[..count]);
    }
}

/// `V` times eight channels.
///
/// # Safety
///
/// There are as many.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load<const V: usize>(from: *const i8) -> __m128i {
    // SAFETY: as the caller says.
    unsafe {
        match V {
            1 => _mm_loadl_epi64(from.cast()),
            _ => _mm_loadu_si128(from.cast()),
        }
    }
}

/// The `v`-th eight channels of two taps, side by side.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn unpack(v: usize, a: __m128i, b: __m128i) -> __m256i {
    _mm256_cvtepi8_epi16(match v {
        0 => _mm_unpacklo_epi8(a, b),
        _ => _mm_unpackhi_epi8(a, b),
    })
}

/// The first `V` times eight biases.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn bias<const V: usize>(bias: &[i32]) -> [__m256i; V] {
    let eights = bias.as_chunks::<EIGHT>().0;
    // SAFETY: eight int32.
    core::array::from_fn(|v| unsafe { _mm256_loadu_si256(eights[v].as_ptr().cast()) })
}
