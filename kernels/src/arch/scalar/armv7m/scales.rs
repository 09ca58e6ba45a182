//! The loops of the output stage for Cortex-M3: as those of [`super::super::dsp`], but that the product's
//! high half is rounded by two instructions more, which need a register.

/// The two loops under a rounding: how the high half is rounded, and what is done to a negative product.
macro_rules! loops {
    ($rounding:ident, [$($round:literal)?], [$($away:literal)?]) => {
        pub mod $rounding {
            use core::arch::naked_asm;

            use super::super::output::{FourPositions, TwoChannels};

            macro_rules! scale {
                ($acc:literal, $doubled:literal, $multiplier:literal, $right:literal, $half:literal) => {
                    concat!(
                        "add ", $acc, ", ", $doubled, ", ", $acc, ", lsl #1\n",
                        "smull lr, ", $acc, ", ", $acc, ", ", $multiplier, "\n",
                        $("lsls lr, lr, #1\nadc ", $acc, ", ", $acc, $round, "\n",)?
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
                    "push {{r4-r11, lr}}",
                    "ldr r12, [r0, #20]",
                    "ldrd r5, r6, [r0, #24]",
                    // The pitch, and the end of the sums.
                    "push {{r5, r6}}",
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
                    "ldrd r9, lr, [sp]",
                    "add r10, r1, r9",
                    "strb r6, [r10]",
                    "strb r7, [r10, r9]",
                    "strb r8, [r10, r9, lsl #1]",
                    "strb r5, [r1], #1",
                    "cmp r0, lr",
                    "bne 1b",
                    "add sp, #8",
                    "pop {{r4-r11, pc}}",
                )
            }

            /// # Safety
            ///
            /// There are the positions that [`TwoChannels`] says.
            #[unsafe(naked)]
            pub unsafe extern "C" fn two_channels(channels: *const TwoChannels) {
                naked_asm!(
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

loops!(double, [", #0"], [", asr #31"]);
loops!(double_up, [", #0"], []);
loops!(single, [], []);
