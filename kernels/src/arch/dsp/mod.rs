//! Cortex-M with the DSP extension: M4, M7, most M33. Two products of 16 bits an instruction.
//!
//! `core::arch` has these instructions on nightly compilers only; each is wrapped once here, beside
//! what it computes: kernels are tested on other processors, too. Two inner loops are functions of
//! assembly as a whole, because they use every register: [`lanes`] and [`columns`].

/// What the assembly of a whole function begins with. Compilers read it by the target alone, without
/// the features of the core that they compile for, and Armv8-M leaves the extension open.
#[cfg(all(dsp, armv8m))]
macro_rules! core {
    () => {
        ".cpu cortex-m33"
    };
}
/// What the assembly of a whole function begins with: nothing, as all of Armv7E-M has the extension.
#[cfg(all(dsp, not(armv8m)))]
macro_rules! core {
    () => {
        ""
    };
}

mod add;
mod columns;
mod conv2d;
mod depthwise_conv2d;
#[cfg(dsp)]
pub mod dot;
mod fully_connected;
mod lanes;
mod output;
mod pairs;
mod scales;
#[cfg(test)]
mod tests;

#[cfg(dsp)]
pub(crate) use add::add_i8;
pub(crate) use conv2d::{conv2d_i8, conv2d_pointwise_i8};
pub(crate) use depthwise_conv2d::depthwise_conv2d_i8;
pub(crate) use fully_connected::fully_connected_long_i8;
#[cfg(dsp)]
pub(crate) use pairs::{conv2d_paired_i8, conv2d_pointwise_paired_i8, fully_connected_paired_i8};

/// An instruction of two or three operands, and what it computes where there is none.
macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($operand:ident: $type:ty),*) -> $result:ty,
     $text:literal, $twin:expr) => {
        $(#[$doc])*
        #[cfg(dsp)]
        #[inline(always)]
        pub fn $name($($operand: $type),*) -> $result {
            let result;
            // SAFETY: reads and writes nothing but the operands; the crate is built with this for
            // cores that have the instruction. The flag Q that it may set is nobody's.
            unsafe {
                core::arch::asm!(
                    $text,
                    result = lateout(reg) result,
                    $($operand = in(reg) $operand,)*
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            result
        }

        $(#[$doc])*
        #[cfg(not(dsp))]
        #[inline(always)]
        pub fn $name($($operand: $type),*) -> $result {
            $twin
        }
    };
}

instruction! {
    /// SMLAD: `acc + x₀·y₀ + x₁·y₁` of the signed halves of `x` and `y`, wrapping.
    smlad(x: u32, y: u32, acc: i32) -> i32,
    "smlad {result}, {x}, {y}, {acc}",
    {
        let low = i32::from(x as i16).wrapping_mul((y as i16).into());
        let high = ((x as i32) >> 16).wrapping_mul((y as i32) >> 16);
        acc.wrapping_add(low).wrapping_add(high)
    }
}

instruction! {
    /// SXTB16: bytes 0 and 2, each widened to 16 bits with its sign.
    sxtb16(x: u32) -> u32,
    "sxtb16 {result}, {x}",
    {
        let [a, _, c, _] = x.to_le_bytes();
        u32::from(a as i8 as u16) | u32::from(c as i8 as u16) << 16
    }
}

instruction! {
    /// SXTB16 of `x` rotated by a byte: bytes 1 and 3, each widened to 16 bits with its sign.
    sxtb16_ror_8(x: u32) -> u32,
    "sxtb16 {result}, {x}, ror #8",
    sxtb16(x.rotate_right(8))
}

instruction! {
    /// ADD of a shifted operand: `x + 2·y`.
    add_doubled(x: i32, y: i32) -> i32,
    "add {result}, {x}, {y}, lsl #1",
    x.wrapping_add(y << 1)
}

instruction! {
    /// SMMUL: the high half of the product.
    smmul(x: i32, y: i32) -> i32,
    "smmul {result}, {x}, {y}",
    ((i64::from(x) * i64::from(y)) >> 32) as i32
}

instruction! {
    /// SMMULR: the high half of the product, rounded half up.
    smmulr(x: i32, y: i32) -> i32,
    "smmulr {result}, {x}, {y}",
    ((i64::from(x) * i64::from(y) + (1 << 31)) >> 32) as i32
}

instruction! {
    /// SSAT of `x / 2` to int8, the half cut off.
    ssat8_asr_1(x: i32) -> i32,
    "ssat {result}, #8, {x}, asr #1",
    (x >> 1).clamp(-128, 127)
}

/// PKHBT: the lower halves of `low` and `high`.
#[inline(always)]
fn lower_halves(low: u32, high: u32) -> u32 {
    low & 0xFFFF | high << 16
}

/// PKHTB: the upper halves of `low` and `high`.
#[inline(always)]
fn upper_halves(low: u32, high: u32) -> u32 {
    low >> 16 | high & 0xFFFF_0000
}
