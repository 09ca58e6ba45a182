//! The output stage: sums to int8, four channels at a time.
//!
//! Under a rounding of fixed-point scales below 1/2 four sums, biases included, take
//!
//! | `double` | `double_up` | `single` |
//! | --- | --- | --- |
//! | VQRDMULH by the multipliers | VQRDMULH | VQDMULH |
//! | VSHR, VADD: one less if negative | | |
//! | VRSHL by the shifts | VRSHL | VRSHL |
//! | VADD of the zero point | VADD | VADD |
//! | VMIN, VMAX | VMIN, VMAX | VMIN, VMAX |
//!
//! and loads and stores. VQRDMULH is gemmlowp's doubling high multiply. VRSHL rounds half up with all
//! bits of the sum, so that nothing overflows; half away from zero is half up of one less where it is
//! negative. VQDMULH cuts the product's lowest 31 bits off, which the one rounding behind them may do
//! without. Where a layer clamps negative numbers away, as RELU does, `double` is `double_up`: they
//! differ in negative numbers alone. Layers that have other scales go the way of the definition.

use crate::requantize::{FixedScales, Output, Requantize, Rescale};

/// Channels whose sums are finished together, at most.
pub(super) const CHANNELS: usize = 64;

/// From sums, which have begun with the biases, to outputs.
pub(super) struct Stage<'a, R> {
    requantize: R,
    output: Output,
    fast: Option<Fast<'a>>,
}

/// A rounding of fixed-point scales below 1/2.
#[derive(Clone, Copy)]
pub(super) struct Fast<'a> {
    pub rounded: Rounded,
    scales: FixedScales<'a>,
}

/// How a product is rounded.
#[derive(Clone, Copy)]
pub(super) enum Rounded {
    Double,
    DoubleUp,
    Single,
}

impl<'a, R: Rescale> Stage<'a, R> {
    /// For `channels` channels.
    #[inline(never)]
    pub fn new(requantize: &'a R, output: Output, channels: usize) -> Self {
        let fast = Fast::new(requantize.any(), &output, channels);
        Self { requantize: *requantize, output, fast }
    }

    /// The scales, if they are what the fast way is for.
    pub fn fast(&self) -> Option<Fast<'a>> {
        self.fast
    }

    /// Stores the outputs of channels from `first` on, of which `sums[position][channel]` has the sums of
    /// `count`. The channels of a position follow each other in `y`, which begins with the first
    /// position's first channel, and positions are `pitch` apart. `None` where `y` is too short.
    #[inline(never)]
    pub fn store(
        &self,
        first: usize,
        count: usize,
        sums: &[i32],
        y: &mut [i8],
        pitch: usize,
    ) -> Option<()> {
        let positions = sums.len().checked_div(count)?;
        let last = positions.checked_sub(1)?.checked_mul(pitch)?.checked_add(first)?;
        let y = y.get_mut(first..last.checked_add(count)?)?;
        let Some(Fast { rounded, scales: FixedScales { multiplier, shift } }) = self.fast else {
            return self.slow(first, count, sums, y, pitch);
        };
        if let (&[multiplier], &[shift]) = (multiplier, shift) {
            return self.shared(rounded, (multiplier, shift), count, sums, y, pitch);
        }
        let scales = FixedScales {
            multiplier: multiplier.get(first..)?.get(..count)?,
            shift: shift.get(first..)?.get(..count)?,
        };
        self.with_scales(rounded, scales, sums, y, pitch)
    }

    /// [`Stage::store`] of channels that share a scale.
    #[inline(never)]
    fn shared(
        &self,
        rounded: Rounded,
        (multiplier, shift): (i32, i8),
        count: usize,
        sums: &[i32],
        y: &mut [i8],
        pitch: usize,
    ) -> Option<()> {
        let (multiplier, shift) = ([multiplier; CHANNELS], [shift; CHANNELS]);
        let scales =
            FixedScales { multiplier: multiplier.get(..count)?, shift: shift.get(..count)? };
        self.with_scales(rounded, scales, sums, y, pitch)
    }

    /// [`Stage::store`] with the scales of the channels. `y` begins with the first.
    #[inline(always)]
    fn with_scales(
        &self,
        rounded: Rounded,
        FixedScales { multiplier, shift }: FixedScales<'_>,
        sums: &[i32],
        y: &mut [i8],
        pitch: usize,
    ) -> Option<()> {
        let count = multiplier.len().min(shift.len());
        let positions = sums.len().checked_div(count)?;
        let last = positions.checked_sub(1)?.checked_mul(pitch)?;
        let y = y.get_mut(..last.checked_add(count)?)?;
        let mut outputs = Outputs {
            sums: sums.as_ptr(),
            y: y.as_mut_ptr(),
            multiplier: multiplier.as_ptr(),
            shift: shift.as_ptr(),
            count,
            positions,
            pitch,
            offset: self.output.output_offset,
            min: self.output.activation_min,
            max: self.output.activation_max,
        };
        // SAFETY: for each position there are sums of `count` channels, which is not 0, and room in `y`; for
        // each channel a scale.
        unsafe {
            match rounded {
                Rounded::Double => double::store(&raw mut outputs),
                Rounded::DoubleUp => double_up::store(&raw mut outputs),
                Rounded::Single => single::store(&raw mut outputs),
            }
        }
        Some(())
    }

    /// [`Stage::store`] by the definition.
    #[cold]
    #[inline(never)]
    fn slow(
        &self,
        first: usize,
        count: usize,
        sums: &[i32],
        y: &mut [i8],
        pitch: usize,
    ) -> Option<()> {
        for (position, sums) in sums.chunks_exact(count.max(1)).enumerate() {
            let y = y.get_mut(position * pitch..)?;
            for (channel, (y, &sum)) in y.iter_mut().zip(sums).enumerate() {
                let scaled = self.requantize.rescale(sum, first + channel);
                *y = self.output.apply(scaled) as i8;
            }
        }
        Some(())
    }
}

impl<'a> Fast<'a> {
    /// The scales, if they are what the fast way is for.
    fn new(requantize: Requantize<'a>, output: &Output, channels: usize) -> Option<Self> {
        let Output { output_offset, activation_min, activation_max } = *output;
        let int8 = |number: i32| (-128..=127).contains(&number);
        let positive = activation_min >= output_offset;
        let (rounded, scales) = match requantize {
            Requantize::Double(scales) if positive => (Rounded::DoubleUp, scales),
            Requantize::Double(scales) => (Rounded::Double, scales),
            Requantize::DoubleUp(scales) => (Rounded::DoubleUp, scales),
            Requantize::Single(scales) => (Rounded::Single, scales),
            Requantize::Float32(_) | Requantize::Float64(_) => return None,
        };
        let FixedScales { multiplier, shift } = scales;
        let enough = |len: usize| len == 1 || len >= channels;
        let fits = [output_offset, activation_min, activation_max].into_iter().all(int8)
            && multiplier.len() == shift.len()
            && enough(shift.len())
            && shift.iter().all(|shift| (-31..=-1).contains(shift))
            && multiplier.iter().all(|&multiplier| multiplier >= 0);
        fits.then_some(Self { rounded, scales })
    }

    /// The multiplier and the shift of a channel.
    pub fn scale(&self, channel: usize) -> Option<(i32, i32)> {
        let FixedScales { multiplier, shift } = self.scales;
        let channel = if shift.len() == 1 { 0 } else { channel };
        Some((*multiplier.get(channel)?, i32::from(*shift.get(channel)?)))
    }
}

/// What outputs are made of and stored to. There is at least one position and one channel.
#[repr(C)]
pub(super) struct Outputs {
    sums: *const i32,
    y: *mut i8,
    multiplier: *const i32,
    shift: *const i8,
    /// Channels, whose sums follow each other.
    count: usize,
    positions: usize,
    /// Bytes from a position's outputs to the next.
    pitch: usize,
    offset: i32,
    min: i32,
    max: i32,
}

/// The loop under a rounding: how it multiplies, and what it does to a negative product.
#[cfg(helium)]
macro_rules! rounding {
    ($rounding:ident, $multiply:literal, [$($away:literal),*]) => {
        mod $rounding {
            use core::arch::naked_asm;

            use super::Outputs;

            /// r0 sums, r1 outputs, r2 multipliers, r3 shifts, r4 channels, r5 positions, r6 and r7 from
            /// where a position's outputs and sums have been read and stored to, whole vectors, to the
            /// next; r8 the zero point, q2 and q3 the range.
            ///
            /// # Safety
            ///
            /// There is what [`Outputs`] says.
            #[unsafe(naked)]
            pub unsafe extern "C" fn store(outputs: *mut Outputs) {
                naked_asm!(
                    ".cpu cortex-m55",
                    "push {{r4-r8, lr}}",
                    "mov r12, r0",
                    "ldrd r4, r5, [r12, #16]",
                    "ldrd r6, r8, [r12, #24]",
                    "ldrd r0, r1, [r12, #32]",
                    "vdup.32 q2, r0",
                    "vdup.32 q3, r1",
                    "adds r7, r4, #3",
                    "bic r7, r7, #3",
                    "sub r6, r6, r7",
                    "subs r7, r4, r7",
                    "lsls r7, r7, #2",
                    "ldrd r0, r1, [r12]",
                    "1:",
                    "ldrd r2, r3, [r12, #8]",
                    "dlstp.32 lr, r4",
                    "2:",
                    "vldrw.u32 q0, [r0], #16",
                    "vldrw.u32 q1, [r2], #16",
                    concat!($multiply, " q0, q0, q1"),
                    $($away,)*
                    "vldrb.s32 q1, [r3], #4",
                    "vrshl.s32 q0, q0, q1",
                    "vadd.i32 q0, q0, r8",
                    "vmin.s32 q0, q0, q3",
                    "vmax.s32 q0, q0, q2",
                    "vstrb.32 q0, [r1], #4",
                    "letp lr, 2b",
                    "add r0, r7",
                    "add r1, r6",
                    "subs r5, #1",
                    "bne 1b",
                    "pop {{r4-r8, pc}}",
                )
            }
        }
    };
}

/// The same, of what the instructions compute.
#[cfg(not(helium))]
macro_rules! rounding {
    ($rounding:ident, $multiply:path, $away:literal) => {
        pub(super) mod $rounding {
            use super::Outputs;

            /// A sum, scaled.
            pub fn scale(sum: i32, multiplier: i32, shift: i8) -> i32 {
                let mut high = $multiply(sum, multiplier);
                if $away {
                    high = high.wrapping_add(high >> 31);
                }
                super::vrshl(high, shift)
            }

            /// # Safety
            ///
            /// There is what [`Outputs`] says.
            pub unsafe fn store(outputs: *mut Outputs) {
                // SAFETY: the caller's.
                unsafe {
                    let Outputs { sums, y, multiplier, shift, count, positions, .. } = *outputs;
                    let Outputs { pitch, offset, min, max, .. } = *outputs;
                    for position in 0..positions {
                        for c in 0..count {
                            let sum = *sums.add(position * count + c);
                            let scaled = scale(sum, *multiplier.add(c), *shift.add(c));
                            let output = scaled.wrapping_add(offset).min(max).max(min);
                            *y.add(position * pitch + c) = output as i8;
                        }
                    }
                }
            }
        }
    };
}

/// VQDMULH: the high half of the doubled product.
#[cfg(not(helium))]
fn vqdmulh(x: i32, y: i32) -> i32 {
    let doubled = i128::from(x) * i128::from(y) * 2;
    (doubled >> 32).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// VQRDMULH: the same, rounded half up.
#[cfg(not(helium))]
fn vqrdmulh(x: i32, y: i32) -> i32 {
    let doubled = i128::from(x) * i128::from(y) * 2;
    ((doubled + (1 << 31)) >> 32).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// VRSHL by a negative count: a shift to the right, rounded half up.
#[cfg(not(helium))]
fn vrshl(x: i32, shift: i8) -> i32 {
    let right = -i32::from(shift);
    ((i64::from(x) + (1_i64 << right >> 1)) >> right) as i32
}

#[cfg(helium)]
rounding!(double, "vqrdmulh.s32", ["vshr.s32 q1, q0, #31", "vadd.i32 q0, q0, q1"]);
#[cfg(helium)]
rounding!(double_up, "vqrdmulh.s32", []);
#[cfg(helium)]
rounding!(single, "vqdmulh.s32", []);
#[cfg(not(helium))]
rounding!(double, super::vqrdmulh, true);
#[cfg(not(helium))]
rounding!(double_up, super::vqrdmulh, false);
#[cfg(not(helium))]
rounding!(single, super::vqdmulh, false);
