//! The inner loops of depthwise convolution: a window of a channel is one vector.
//!
//! Of eight channels, four rows of the image are held side by side: a column is four bytes of a channel,
//! one of each row, and the columns of a channel follow each other. So sixteen bytes are four columns of
//! four rows: all of a window of up to 4 by 4 taps, which one VMLADAV multiplies with its weights in the
//! same order. Those of taps that a smaller kernel does not have are 0.
//!
//! ```text
//! row 1   c0 c1 c2 …              channel 0:  column 0: 4 1 2 3   column 1: 4 1 2 3   …
//! row 2   c0 c1 c2 …              channel 1:  column 0: 4 1 2 3   column 1: 4 1 2 3   …
//! ```
//!
//! Rows are a ring: a row takes the place of the fourth before it, and the weights' bytes are rotated
//! with them. So a row is loaded and stored once, VSTRB to eight places at once, whatever the kernel.
//! Four positions of a channel are then finished together: bias, scale and shift are in registers.

use super::output::Rounded;

/// Channels that are done together.
pub(super) const CHANNELS: usize = 8;

/// Rows of a column, and columns of a window.
pub(super) const TAPS: usize = 4;

/// Columns that are held.
pub(super) const COLUMNS: usize = 32;

/// Columns of four rows, of each channel.
pub(super) type Columns = [[[i8; TAPS]; COLUMNS]; CHANNELS];

/// Bytes from a channel's columns to the next one's.
#[cfg(helium)]
const PITCH: usize = COLUMNS * TAPS;

/// What a channel is multiplied by.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Channel {
    /// A word for each column of taps, a byte for each row.
    pub weights: [u32; TAPS],
    pub bias: i32,
    pub multiplier: i32,
    pub shift: i32,
    pub unused: i32,
}

/// Positions whose windows are in the columns.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Positions {
    /// How many there are: at least one, and at most as many fours as there are columns for.
    pub count: usize,
    /// Bytes from a window to the next: 4, 8 or 16.
    pub step: usize,
    /// Bytes from an output to the next.
    pub pitch: usize,
    pub output_offset: i32,
    pub activation_min: i32,
    pub activation_max: i32,
}

/// A window, and how many follow it at which distance in an image: eight channels at each.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub x: &'a [i8],
    pub step: usize,
    pub count: usize,
}

impl Row<'_> {
    /// Stores the row to place `slot` of columns from `first` on. `None` where it, or there, is less.
    #[inline(always)]
    pub fn store(&self, columns: &mut Columns, first: usize, slot: usize) -> Option<()> {
        let Self { x, step, count } = *self;
        let last = count.checked_sub(1)?.checked_mul(step)?;
        if x.len() < last.checked_add(CHANNELS)?
            || first.checked_add(count)? > COLUMNS
            || slot >= TAPS
        {
            return None;
        }
        // SAFETY: `x` has eight bytes at each of `count` places, and columns have room for as many.
        unsafe { scatter(self, columns, first, slot) };
        Some(())
    }
}

/// Stores the outputs of eight channels, which are neighbours, at `positions`; `None` where `y` is too
/// short, or columns are.
#[inline(always)]
pub(super) fn multiply(
    rounded: Rounded,
    columns: &Columns,
    channels: &[Channel; CHANNELS],
    positions: &Positions,
    y: &mut [i8],
) -> Option<()> {
    let Positions { count, step, pitch, .. } = *positions;
    let needed = count.checked_sub(1)?.checked_mul(pitch)?.checked_add(CHANNELS)?;
    let last = count.checked_next_multiple_of(4)?.checked_sub(1)?.checked_mul(step)?;
    if needed > y.len() || last.checked_add(TAPS * TAPS)? > COLUMNS * TAPS {
        return None;
    }
    let windows = Windows {
        channels: channels.as_ptr_range(),
        columns,
        y: y.as_mut_ptr(),
        positions: *positions,
    };
    // SAFETY: there are columns for all windows, of whole fours, of each channel, and outputs of as many
    // positions.
    unsafe {
        match rounded {
            Rounded::Double => double::multiply(&raw const windows),
            Rounded::DoubleUp => double_up::multiply(&raw const windows),
            Rounded::Single => single::multiply(&raw const windows),
        }
    }
    Some(())
}

/// What the loop reads from memory.
#[repr(C)]
struct Windows {
    channels: core::ops::Range<*const Channel>,
    columns: *const Columns,
    y: *mut i8,
    positions: Positions,
}

/// See [`Row::store`].
///
/// # Safety
///
/// There are `count` columns from `first` on, and eight bytes at as many places of `x`.
#[cfg(helium)]
#[inline(always)]
unsafe fn scatter(row: &Row<'_>, columns: &mut Columns, first: usize, slot: usize) {
    let to = columns.as_mut_ptr().cast::<i8>().wrapping_add(first * TAPS + slot);
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            // From a channel to the next.
            "vidup.u16 q1, r0, #8",
            "vshl.i16 q1, q1, #{pitch}",
            "dls lr, {count}",
            "2:",
            "vldrb.u16 q0, [{x}]",
            "add {x}, {step}",
            "vstrb.16 q0, [{to}, q1]",
            "add {to}, #4",
            "le lr, 2b",
            inout("r0") 0 => _,
            x = inout(reg) row.x.as_ptr() => _,
            step = in(reg) row.step,
            to = inout(reg) to => _,
            count = in(reg) row.count,
            pitch = const (PITCH / 8).ilog2(),
            out("lr") _,
            out("q0") _,
            out("q1") _,
            options(nostack),
        );
    }
}

/// See [`Row::store`].
///
/// # Safety
///
/// None: what there is not is not stored.
#[cfg(not(helium))]
unsafe fn scatter(row: &Row<'_>, columns: &mut Columns, first: usize, slot: usize) {
    for i in 0..row.count {
        for (channel, x) in columns.iter_mut().zip(&row.x[i * row.step..]) {
            channel[first + i][slot] = *x;
        }
    }
}

/// The loop under a rounding: how it multiplies, and what it does to a negative product.
#[cfg(helium)]
macro_rules! rounding {
    ($rounding:ident, $multiply:literal, [$($away:literal),*]) => {
        mod $rounding {
            use core::arch::naked_asm;

            use super::{PITCH, Windows};

            /// r0 the channel, r1 its bias, r2 multiplier, r3 shift; r4, r6, r8, r10 sums; r5 window, r7
            /// from one to the next, r9 positions that are left; r11 outputs, r12 from four to the next;
            /// lr zero point; q0 weights, q1 a window, q2 outputs, q3 where they go, q4 and q5 the range.
            /// On the stack: columns and outputs of the channel, the end of channels, positions.
            ///
            /// # Safety
            ///
            /// There is what [`super::multiply`] has looked at.
            #[unsafe(naked)]
            pub unsafe extern "C" fn multiply(windows: *const Windows) {
                naked_asm!(
                    ".cpu cortex-m55",
                    "push {{r4-r11, lr}}",
                    "vpush {{d8-d11}}",
                    "ldrd r1, r2, [r0, #32]",
                    "vdup.32 q4, r1",
                    "vdup.32 q5, r2",
                    "ldrd r12, lr, [r0, #24]",
                    "ldrd r9, r7, [r0, #16]",
                    "movs r4, #0",
                    "vidup.u32 q3, r4, #1",
                    "vmul.i32 q3, q3, r12",
                    "lsl r12, r12, #2",
                    "ldrd r1, r2, [r0, #8]",
                    "ldrd r0, r3, [r0]",
                    "push {{r1-r3, r9}}",
                    "1:",
                    "vldrw.u32 q0, [r0], #16",
                    "ldm r0!, {{r1-r4}}",
                    "ldrd r5, r11, [sp]",
                    "add r4, r5, #{pitch}",
                    "add r6, r11, #1",
                    "strd r4, r6, [sp]",
                    "ldr r9, [sp, #12]",
                    "2:",
                    "vldrb.u8 q1, [r5]",
                    "add r5, r7",
                    "vmladav.s8 r4, q0, q1",
                    "vldrb.u8 q1, [r5]",
                    "add r5, r7",
                    "vmladav.s8 r6, q0, q1",
                    "vldrb.u8 q1, [r5]",
                    "add r5, r7",
                    "vmladav.s8 r8, q0, q1",
                    "vldrb.u8 q1, [r5]",
                    "add r5, r7",
                    "vmladav.s8 r10, q0, q1",
                    "vmov q2[2], q2[0], r4, r8",
                    "vmov q2[3], q2[1], r6, r10",
                    "vadd.i32 q2, q2, r1",
                    concat!($multiply, " q2, q2, r2"),
                    $($away,)*
                    "vrshl.s32 q2, r3",
                    "vadd.i32 q2, q2, lr",
                    "vmin.s32 q2, q2, q5",
                    "vmax.s32 q2, q2, q4",
                    "vctp.32 r9",
                    "vpst",
                    "vstrbt.32 q2, [r11, q3]",
                    "add r11, r12",
                    "subs r9, #4",
                    "bgt 2b",
                    "ldr r4, [sp, #8]",
                    "cmp r0, r4",
                    "bne 1b",
                    "add sp, #16",
                    "vpop {{d8-d11}}",
                    "pop {{r4-r11, pc}}",
                    pitch = const PITCH,
                )
            }
        }
    };
}

/// The same, of what the instructions compute.
#[cfg(not(helium))]
macro_rules! rounding {
    ($rounding:ident) => {
        mod $rounding {
            use super::{COLUMNS, Positions, TAPS, Windows};

            /// # Safety
            ///
            /// There is what [`super::multiply`] has looked at.
            pub unsafe fn multiply(windows: *const Windows) {
                // SAFETY: the caller's.
                let Windows { channels, columns, y, positions } = unsafe { windows.read() };
                let Positions { count, step, pitch, output_offset, .. } = positions;
                // SAFETY: the caller's.
                let columns = unsafe { &*columns };
                for (c, columns) in columns.iter().enumerate() {
                    // SAFETY: there are as many channels.
                    let channel = unsafe { *channels.start.add(c) };
                    let bytes: &[i8; COLUMNS * TAPS] = columns.as_flattened().try_into().unwrap();
                    for position in 0..count {
                        let window = &bytes[position * step..];
                        let weights = channel.weights.iter().flat_map(|word| word.to_le_bytes());
                        let products = window
                            .iter()
                            .zip(weights)
                            .map(|(&x, w)| i32::from(x) * i32::from(w as i8));
                        let sum = channel.bias.wrapping_add(products.sum());
                        let scaled = super::super::output::$rounding::scale(
                            sum,
                            channel.multiplier,
                            channel.shift as i8,
                        );
                        let output = scaled
                            .wrapping_add(output_offset)
                            .min(positions.activation_max)
                            .max(positions.activation_min);
                        // SAFETY: there are as many outputs.
                        unsafe { *y.add(position * pitch + c) = output as i8 };
                    }
                }
            }
        }
    };
}

#[cfg(helium)]
rounding!(double, "vqrdmulh.s32", ["vshr.s32 q1, q2, #31", "vadd.i32 q2, q2, q1"]);
#[cfg(helium)]
rounding!(double_up, "vqrdmulh.s32", []);
#[cfg(helium)]
rounding!(single, "vqdmulh.s32", []);
#[cfg(not(helium))]
rounding!(double);
#[cfg(not(helium))]
rounding!(double_up);
#[cfg(not(helium))]
rounding!(single);
