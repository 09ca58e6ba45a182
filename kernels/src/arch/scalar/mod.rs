//! Cores that do one product at a time: Cortex-M0 and M3, RISC-V without `V`.
//!
//! The kernels are those of [`super::dsp`], over words that hold one number instead of two: the
//! loops around convolution and depthwise convolution and the output stage are the same files, with
//! what this folder has in place of the instructions of a Cortex-M4, and other inner loops
//! ([`lanes`], [`columns`]). Those are assembly on Arm (`armv6m/`, `armv7m/`), because they use
//! every register; RISC-V has registers enough for what the compiler makes of them.

#[cfg(any(armv6m, armv7m))]
#[cfg_attr(armv6m, path = "armv6m/mod.rs")]
#[cfg_attr(armv7m, path = "armv7m/mod.rs")]
mod assembly;
mod columns;
#[path = "../dsp/conv2d.rs"]
#[allow(clippy::duplicate_mod, reason = "the same loops, over other lanes")]
mod conv2d;
#[path = "../dsp/depthwise_conv2d.rs"]
#[allow(clippy::duplicate_mod, reason = "the same loops, over other columns")]
mod depthwise_conv2d;
mod fully_connected;
mod lanes;
#[path = "../dsp/output.rs"]
#[allow(clippy::duplicate_mod, reason = "the same stage, over other instructions")]
mod output;
#[cfg_attr(armv6m, path = "armv6m/scales.rs")]
#[cfg_attr(armv7m, path = "armv7m/scales.rs")]
#[cfg_attr(not(any(armv6m, armv7m)), path = "../dsp/scales.rs")]
#[allow(clippy::duplicate_mod, reason = "what the loops of all of them compute")]
mod scales;
#[cfg(test)]
#[path = "../dsp/tests.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests, of other kernels")]
mod tests;

pub(crate) use conv2d::{conv2d_i8, conv2d_pointwise_i8};
pub(crate) use depthwise_conv2d::depthwise_conv2d_i8;
pub(crate) use fully_connected::fully_connected_long_i8;
use instructions::*;

/// What the kernels have instructions for on a Cortex-M4.
mod instructions {
    /// `x + 2·y`, wrapping.
    #[inline(always)]
    pub fn add_doubled(x: i32, y: i32) -> i32 {
        x.wrapping_add(y << 1)
    }

    /// The high half of the product.
    #[inline(always)]
    pub fn smmul(x: i32, y: i32) -> i32 {
        high_half(x, y, 0)
    }

    /// The high half of the product, rounded half up.
    #[inline(always)]
    pub fn smmulr(x: i32, y: i32) -> i32 {
        high_half(x, y, 1 << 15)
    }

    /// `x / 2`, the half cut off, brought into the range of int8.
    #[inline(always)]
    pub fn ssat8_asr_1(x: i32) -> i32 {
        (x >> 1).clamp(-128, 127)
    }

    /// The high half of `x·y + addend·2^16`, see [`high_half_of_halves`].
    #[inline(always)]
    fn high_half(x: i32, y: i32, addend: i32) -> i32 {
        // A Cortex-M0 has no product of 64 bits, and the function for it takes 30 instructions more.
        if cfg!(armv6m) {
            high_half_of_halves(x, y, addend)
        } else {
            ((i64::from(x) * i64::from(y) + (i64::from(addend) << 16)) >> 32) as i32
        }
    }

    /// The high half of `x·y + addend·2^16`, of products of halves. `x` is less than `2^31 − 2^15`, as all
    /// doubled sums are: a sum of a small filter is at most `128 × 255 × (2^14 − 1)`, its bias `2^29`.
    /// `y` is not negative, `addend` at most `2^15`.
    ///
    /// Lower halves have a sign, so that they and the upper ones are within `±2^15`, and the four
    /// products within `±2^30`. Two of them, with the third's upper half and the addend, fit 32 bits:
    /// `x`'s lower half is `2^15 − 1` at most, and `−2^15` makes a product that is not positive.
    #[inline(always)]
    fn high_half_of_halves(x: i32, y: i32, addend: i32) -> i32 {
        let (x_low, y_low) = (i32::from(x as i16), i32::from(y as i16));
        let x_high = x.wrapping_sub(x_low) >> 16;
        // This may be `2^31`, and is shifted down unsigned.
        let y_high = (y.wrapping_sub(y_low) as u32 >> 16) as i32;
        let middle = x_low
            .wrapping_mul(y_low)
            .wrapping_shr(16)
            .wrapping_add(x_low.wrapping_mul(y_high))
            .wrapping_add(x_high.wrapping_mul(y_low))
            .wrapping_add(addend);
        (middle >> 16).wrapping_add(x_high.wrapping_mul(y_high))
    }

    #[cfg(test)]
    mod tests {
        use std::vec;

        use proptest::prelude::*;

        use super::high_half_of_halves;

        /// Numbers at whose halves something happens, and any.
        fn numbers() -> impl Strategy<Value = i32> {
            let halves = prop::sample::select(vec![
                0,
                1,
                -1,
                0x7FFF,
                0x8000,
                0x8001,
                0xFFFF,
                0x7FFF_0000,
                0x7FFF_8000,
            ]);
            let near =
                (halves.clone(), halves).prop_map(|(a, b): (i32, i32)| a.wrapping_add(b << 15));
            prop_oneof![any::<i32>(), near, -(1 << 20)..1 << 20]
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(20_000))]
            #[test]
            fn halves_make_the_whole_product(
                x in numbers(), y in numbers(), addend in prop::sample::select(vec![0, 1 << 15]),
            ) {
                let (x, y) = (x.min(i32::MAX - (1 << 15)), y & i32::MAX);
                let whole = i64::from(x) * i64::from(y) + (i64::from(addend) << 16);
                prop_assert_eq!(high_half_of_halves(x, y, addend), (whole >> 32) as i32);
            }
        }
    }
}
