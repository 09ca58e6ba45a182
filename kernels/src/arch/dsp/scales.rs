//! The loops of the output stage ([`super::output`]), one for each rounding. They are assembly, because the
//! compiler keeps less in registers than there is room for.

/// The two loops under a rounding: how it multiplies, and what it does to a negative product.
#[cfg(dsp)]
macro_rules! loops {
    ($rounding:ident, $multiply:literal, [$($away:literal)?]) => {
        pub mod $rounding {
            use core::arch::naked_asm;

            use super::super::output::{FourPositions, TwoChannels};

            macro_rules! scale {
                ($acc:literal, $doubled:literal, $multiplier:literal, $right:literal, $half:literal) => {
                    concat!(
                        "add ", $acc, ", ", $doubled, ", ", $acc, ", lsl #1\n",
                        $multiply, " ", $acc, ", ", $acc, ", ", $multiplier, "\n",
                        $("add ", $acc, ", ", $acc, ", ", $acc, $away, "\n",)?
                        "asr ", $acc, ", ", $acc, ", ", $right, "\n",
                        "add ", $acc, ", ", $half, "\n",
                        "ssat ", $acc, ", #8, ", $acc, ", asr #1",
                    )
                };
            }

            /// # Safety
            ///
            /// There are the channels that [`FourPositions`] says.
            #[unsafe(naked)]
            pub unsafe extern "C" fn four_positions(channels: *const FourPositions) {
                naked_asm!(
                    core!(),
                    "push {{r4-r11, lr}}",
                    "ldr r12, [r0, #20]",
                    "ldr lr, [r0, #24]",
                    "ldr r5, [r0, #28]",
                    "push {{r5}}",
                    "ldm r0, {{r0-r4}}",
                    "1:",
                    "ldm r0!, {{r5-r8}}",
                    "ldr r9, [r2], #4",
                    "ldr r10, [r3], #4",
                    "ldrsb r11, [r4], #1",
                    "lsl r9, r9, #1",
                    "mvn r11, r11",
                    scale!("r5", "r9", "r10", "r11", "r12"),
                    scale!("r6", "r9", "r10", "r11", "r12"),
                    scale!("r7", "r9", "r10", "r11", "r12"),
                    scale!("r8", "r9", "r10", "r11", "r12"),
                    "add r10, r1, lr",
                    "strb r6, [r10]",
                    "strb r7, [r10, lr]",
                    "strb r8, [r10, lr, lsl #1]",
                    "strb r5, [r1], #1",
                    "ldr r9, [sp]",
                    "cmp r0, r9",
                    "bne 1b",
                    "add sp, #4",
                    "pop {{r4-r11, pc}}",
                )
            }

            /// # Safety
            ///
            /// There are the positions that [`TwoChannels`] says.
            #[unsafe(naked)]
            pub unsafe extern "C" fn two_channels(channels: *const TwoChannels) {
                naked_asm!(
                    core!(),
                    "push {{r4-r11, lr}}",
                    "ldm r0, {{r0-r10}}",
                    "1:",
                    "ldrd r11, r12, [r0], #16",
                    scale!("r11", "r2", "r4", "r6", "r8"),
                    scale!("r12", "r3", "r5", "r7", "r8"),
                    "bfi r11, r12, #8, #8",
                    "strh r11, [r1]",
                    "add r1, r9",
                    "cmp r0, r10",
                    "bne 1b",
                    "pop {{r4-r11, pc}}",
                )
            }
        }
    };
}

/// The same, of what the instructions compute.
#[cfg(not(dsp))]
macro_rules! loops {
    ($rounding:ident, $multiply:ident, $away:literal) => {
        pub mod $rounding {
            use super::super::output::{FourPositions, Scale, TwoChannels};
            use super::super::{add_doubled, ssat8_asr_1};

            fn scale(acc: i32, Scale { doubled, multiplier, right }: Scale, half: i32) -> i8 {
                let mut high = super::super::$multiply(add_doubled(doubled, acc), multiplier);
                if $away {
                    high = high.wrapping_add(high >> 31);
                }
                ssat8_asr_1((high >> right).wrapping_add(half)) as i8
            }

            /// # Safety
            ///
            /// There are the channels that [`FourPositions`] says.
            pub unsafe fn four_positions(channels: *const FourPositions) {
                // SAFETY: the caller's.
                unsafe {
                    let FourPositions { accs, y, bias, multiplier, shift, half, pitch, end } =
                        channels.read();
                    for c in 0..end.offset_from(accs) as usize {
                        let scale_of = Scale {
                            doubled: *bias.add(c) << 1,
                            multiplier: *multiplier.add(c),
                            right: (-1 - i32::from(*shift.add(c))) as u32,
                        };
                        for p in 0..4 {
                            *y.add(p * pitch + c) = scale((*accs.add(c))[p], scale_of, half);
                        }
                    }
                }
            }

            /// # Safety
            ///
            /// There are the positions that [`TwoChannels`] says.
            pub unsafe fn two_channels(channels: *const TwoChannels) {
                // SAFETY: the caller's; the end is behind the last position.
                unsafe {
                    let TwoChannels { accs, y, doubled, multiplier, right, half, pitch, end } =
                        channels.read();
                    for p in 0..(end as usize - accs as usize) / 16 {
                        for c in 0..2 {
                            let scale_of = Scale {
                                doubled: doubled[c],
                                multiplier: multiplier[c],
                                right: right[c],
                            };
                            *y.add(p * pitch + c) = scale(*accs.add(4 * p + c), scale_of, half);
                        }
                    }
                }
            }
        }
    };
}

#[cfg(dsp)]
loops!(double, "smmulr", [", asr #31"]);
#[cfg(dsp)]
loops!(double_up, "smmulr", []);
#[cfg(dsp)]
loops!(single, "smmul", []);
#[cfg(not(dsp))]
loops!(double, smmulr, true);
#[cfg(not(dsp))]
loops!(double_up, smmulr, false);
#[cfg(not(dsp))]
loops!(single, smmul, false);
