//! The loops of the output stage for Cortex-M0.
//!
//! There is no product of 64 bits: the high half is made of four products of halves, as
//! [`super::high_half_of_halves`] defines it, in 15 instructions.

use super::output::{FourPositions, TwoChannels};

/// What a channel of some positions is read from and stored to. There is at least one position.
#[repr(C)]
struct OneChannel {
    /// The first of four, which is followed by three of other channels.
    accs: *const i32,
    y: *mut i8,
    doubled: i32,
    multiplier: i32,
    right: u32,
    half: i32,
    pitch: usize,
    /// Behind the last of the sums that is read.
    end: *const i32,
}

impl OneChannel {
    /// The channels of [`TwoChannels`], by `one_channel`.
    ///
    /// # Safety
    ///
    /// There are the positions that [`TwoChannels`] says, and it is a loop over [`OneChannel`].
    #[inline(always)]
    unsafe fn of_two(channels: *const TwoChannels, one_channel: unsafe extern "C" fn(*const Self)) {
        // SAFETY: the caller's; both channels have as many positions.
        unsafe {
            let TwoChannels { accs, y, doubled, multiplier, right, half, pitch, end } =
                channels.read();
            for c in 0..2 {
                let channel = Self {
                    accs: accs.wrapping_add(c),
                    y: y.wrapping_add(c),
                    doubled: doubled[c],
                    multiplier: multiplier[c],
                    right: right[c],
                    half,
                    pitch,
                    end: end.wrapping_add(c),
                };
                one_channel(&raw const channel);
            }
        }
    }
}

/// The two loops under a rounding: how the high half is rounded, and what is done to a negative product.
macro_rules! loops {
    ($rounding:ident, [$($round:literal)?], [$($away:literal)?]) => {
        pub mod $rounding {
            use core::arch::naked_asm;

            use super::{FourPositions, OneChannel, TwoChannels};

            /// The sum in r0 to an int8, under the scale of which r5 has the multiplier's lower half, r6
            /// the upper, r7 the shift, r8 the doubled bias; r9 is 2^15, r10 the half. Takes r1 and r2.
            macro_rules! scale {
                () => {
                    concat!(
                        "lsls r0, r0, #1\n",
                        "add r0, r8\n",
                        "sxth r1, r0\n",
                        "subs r0, r0, r1\n",
                        "asrs r0, r0, #16\n",
                        "mov r2, r1\n",
                        "muls r2, r5, r2\n",
                        "asrs r2, r2, #16\n",
                        "muls r1, r6, r1\n",
                        "adds r2, r2, r1\n",
                        "mov r1, r0\n",
                        "muls r1, r5, r1\n",
                        "adds r2, r2, r1\n",
                        $($round, "\n",)?
                        "asrs r2, r2, #16\n",
                        "muls r0, r6, r0\n",
                        "adds r0, r0, r2\n",
                        $($away, "\n",)?
                        "asrs r0, r7\n",
                        "add r0, r10\n",
                        "asrs r0, r0, #1\n",
                        "sxtb r1, r0\n",
                        "cmp r0, r1\n",
                        "beq 7f\n",
                        // The extreme of its sign.
                        "asrs r0, r0, #31\n",
                        "movs r1, #127\n",
                        "eors r0, r1\n",
                        "7:",
                    )
                };
            }

            /// r3 sums, r4 outputs; r11 pitch, r12 end of the sums. On the stack: outputs, and where biases,
            /// multipliers and shifts are.
            ///
            /// # Safety
            ///
            /// There are the channels that [`FourPositions`] says.
            #[unsafe(naked)]
            pub unsafe extern "C" fn four_positions(channels: *const FourPositions) {
                naked_asm!(
                    "push {{r4-r7, lr}}",
                    "mov r4, r8",
                    "mov r5, r9",
                    "mov r6, r10",
                    "mov r7, r11",
                    "push {{r4-r7}}",
                    "ldm r0!, {{r3-r7}}",
                    "push {{r4-r7}}",
                    "ldm r0!, {{r4-r6}}",
                    "mov r10, r4",
                    "mov r11, r5",
                    "mov r12, r6",
                    "movs r0, #1",
                    "lsls r0, r0, #15",
                    "mov r9, r0",
                    "1:",
                    "mov r0, sp",
                    "ldm r0!, {{r4-r7}}",
                    "ldm r5!, {{r1}}",
                    "lsls r1, r1, #1",
                    "mov r8, r1",
                    "ldm r6!, {{r1}}",
                    "movs r2, #0",
                    "ldrsb r2, [r7, r2]",
                    "adds r4, #1",
                    "adds r7, #1",
                    "subs r0, #16",
                    "stm r0!, {{r4-r7}}",
                    "subs r4, #1",
                    "mvns r7, r2",
                    "sxth r5, r1",
                    "subs r6, r1, r5",
                    "lsrs r6, r6, #16",
                    "ldm r3!, {{r0}}",
                    scale!(),
                    "strb r0, [r4]",
                    "ldm r3!, {{r0}}",
                    "add r4, r11",
                    scale!(),
                    "strb r0, [r4]",
                    "ldm r3!, {{r0}}",
                    "add r4, r11",
                    scale!(),
                    "strb r0, [r4]",
                    "ldm r3!, {{r0}}",
                    "add r4, r11",
                    scale!(),
                    "strb r0, [r4]",
                    "cmp r3, r12",
                    "beq 2f",
                    "b 1b",
                    "2:",
                    "add sp, #16",
                    "pop {{r4-r7}}",
                    "mov r8, r4",
                    "mov r9, r5",
                    "mov r10, r6",
                    "mov r11, r7",
                    "pop {{r4-r7, pc}}",
                )
            }

            /// # Safety
            ///
            /// There are the positions that [`TwoChannels`] says.
            pub unsafe fn two_channels(channels: *const TwoChannels) {
                // SAFETY: the caller's.
                unsafe { OneChannel::of_two(channels, one_channel) }
            }

            /// r3 sums, r4 outputs; r11 pitch, r12 end of the sums.
            ///
            /// # Safety
            ///
            /// There are the positions that [`OneChannel`] says.
            #[unsafe(naked)]
            unsafe extern "C" fn one_channel(channel: *const OneChannel) {
                naked_asm!(
                    "push {{r4-r7, lr}}",
                    "mov r4, r8",
                    "mov r5, r9",
                    "mov r6, r10",
                    "mov r7, r11",
                    "push {{r4-r7}}",
                    "ldm r0!, {{r3-r7}}",
                    "mov r8, r5",
                    "sxth r5, r6",
                    "subs r6, r6, r5",
                    "lsrs r6, r6, #16",
                    "ldm r0!, {{r1, r2}}",
                    "mov r10, r1",
                    "mov r11, r2",
                    "ldr r1, [r0]",
                    "mov r12, r1",
                    "movs r0, #1",
                    "lsls r0, r0, #15",
                    "mov r9, r0",
                    "1:",
                    "ldr r0, [r3]",
                    "adds r3, #16",
                    scale!(),
                    "strb r0, [r4]",
                    "add r4, r11",
                    "cmp r3, r12",
                    "bne 1b",
                    "pop {{r4-r7}}",
                    "mov r8, r4",
                    "mov r9, r5",
                    "mov r10, r6",
                    "mov r11, r7",
                    "pop {{r4-r7, pc}}",
                )
            }
        }
    };
}

loops!(double, ["add r2, r9"], ["asrs r1, r0, #31\nadds r0, r0, r1"]);
loops!(double_up, ["add r2, r9"], []);
loops!(single, [], []);
