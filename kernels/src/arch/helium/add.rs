//! ADD and SUB of operands of one shape, four elements at a time.
//!
//! VMLAS brings an operand's element, offset included, to the common scale's bits: times a power of two,
//! plus the shifted offset. Then it is scaled as sums are (see [`super::output`]), which is all that is
//! done, three times. Four elements under `double` take 22 instructions:
//!
//! ```text
//! vldrb          both operands       2
//! vmlas          times 2^n           2
//! vqrdmulh       by multipliers      2
//! vshr, vadd     less if negative    4
//! vrshl          by shifts           2
//! vmla           plus or minus       1
//! vqrdmulh, vshr, vadd, vrshl        4
//! vadd, vmin, vmax, vstrb, letp      5
//! ```
//!
//! Half away from zero as half up of one less wants a shift to the right. The operand of the larger
//! scale has none: its scale is 1/2, a multiplier of 2³⁰. It is shifted one more to the left, which is
//! exact, and one to the right. Operands that broadcast, scales of the output of 1/2 and more, and such
//! as no converter writes are left to the definition.

use crate::Mismatch;
use crate::add::{Add, InputScale, add, sub};
use crate::broadcast::{Operand, Walk};
use crate::requantize::{FixedScales, Requantize, Rounding};

use super::output::Rounded;

/// [`crate::add::add_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
#[inline(always)]
pub(crate) fn add_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    match whole::<R>(p, walk, [a, b], y, 1) {
        Some(()) => Ok(()),
        None => add::<R, i8>(p, walk, a, b, y),
    }
}

/// [`crate::add::sub_i8`].
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
#[inline(always)]
pub(crate) fn sub_i8<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    a: Operand<'_, i8>,
    b: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    match whole::<R>(p, walk, [a, b], y, -1) {
        Some(()) => Ok(()),
        None => sub::<R, i8>(p, walk, a, b, y),
    }
}

/// `a + sign × b`; `None`, and nothing is written, where that is left to the definition.
#[inline(always)]
fn whole<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
    sign: i32,
) -> Option<()> {
    let rounded = match R::of(FixedScales { multiplier: &[], shift: &[] }) {
        Requantize::Double(_) => Rounded::Double,
        Requantize::DoubleUp(_) => Rounded::DoubleUp,
        Requantize::Single(_) => Rounded::Single,
        Requantize::Float32(_) | Requantize::Float64(_) => return None,
    };
    let count = y.len();
    if count == 0 || !walk.is_whole(&operands, count) {
        return None;
    }
    let to = y.as_mut_ptr();
    let [a, b] = operands.map(|operand| match operand {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => to.cast_const(),
    });
    let sum = Sum::new(p, rounded, [a, b], to, count, sign)?;
    // SAFETY: both operands and the output have `count` elements, of which there are some.
    unsafe {
        match rounded {
            Rounded::Double => double::store(&raw const sum),
            Rounded::DoubleUp => double_up::store(&raw const sum),
            Rounded::Single => single::store(&raw const sum),
        }
    }
    Some(())
}

/// What the loop reads from memory, in the order of its registers.
#[repr(C)]
struct Sum {
    a: *const i8,
    b: *const i8,
    y: *mut i8,
    /// The operands' offsets, shifted to the left.
    offsets: [i32; 2],
    multipliers: [i32; 2],
    /// Not positive, as is the output's.
    shifts: [i32; 2],
    /// 1, or −1 where the second operand is taken off.
    sign: i32,
    multiplier: i32,
    shift: i32,
    offset: i32,
    /// What elements are multiplied by: powers of two.
    powers: [i32; 2],
    min: i32,
    max: i32,
    count: usize,
}

impl Sum {
    /// `None` where the scales are not those of the fast way.
    #[inline(never)]
    fn new(
        p: &Add,
        rounded: Rounded,
        [a, b]: [*const i8; 2],
        y: *mut i8,
        count: usize,
        sign: i32,
    ) -> Option<Self> {
        let int8 = |number: i32| (-128..=127).contains(&number);
        let [a_scale, b_scale] =
            [Common::new(&p.a, p.left_shift, rounded)?, Common::new(&p.b, p.left_shift, rounded)?];
        let fits = [p.output.output_offset, p.output.activation_min, p.output.activation_max]
            .into_iter()
            .all(int8)
            && p.output_multiplier >= 0
            && (-31..=-1).contains(&p.output_shift);
        fits.then_some(Self {
            a,
            b,
            y,
            offsets: [a_scale.offset, b_scale.offset],
            multipliers: [p.a.multiplier, p.b.multiplier],
            shifts: [a_scale.shift, b_scale.shift],
            sign,
            multiplier: p.output_multiplier,
            shift: p.output_shift,
            offset: p.output.output_offset,
            powers: [a_scale.power, b_scale.power],
            min: p.output.activation_min,
            max: p.output.activation_max,
            count,
        })
    }
}

/// How an operand is brought to the common scale.
struct Common {
    power: i32,
    offset: i32,
    shift: i32,
}

impl Common {
    /// `None` where the scale is not one of the fast way.
    fn new(scale: &InputScale, left_shift: u32, rounded: Rounded) -> Option<Self> {
        let InputScale { offset, multiplier, shift } = *scale;
        // An element has 9 bits with its offset, and is shifted by one more than asked for.
        let fits = left_shift <= 20
            && (-128..=128).contains(&offset)
            && (-30..=0).contains(&shift)
            && multiplier >= 0;
        // The one rounding is behind VQDMULH, which cuts off, and so has to shift. Half of an even
        // number is the same under every rounding.
        let half = multiplier == 1 << 30 && left_shift > 0;
        let more = match rounded {
            Rounded::Double if shift == 0 && !half => return None,
            Rounded::Double => u32::from(shift == 0),
            Rounded::DoubleUp => 0,
            Rounded::Single => 1,
        };
        let left_shift = left_shift.wrapping_add(more);
        fits.then_some(Self {
            power: 1_i32.wrapping_shl(left_shift),
            offset: offset.wrapping_shl(left_shift),
            shift: shift.wrapping_sub(more as i32),
        })
    }
}

/// The loop under a rounding: how it multiplies, and what it does to negative products of the operands
/// and of the output.
#[cfg(helium)]
macro_rules! rounding {
    ($rounding:ident, $multiply:literal, [$($operands:literal),*], [$($output:literal),*]) => {
        mod $rounding {
            use core::arch::naked_asm;

            use super::Sum;

            /// r0, r1 operands, r2 outputs, r3, r4 offsets of operands, r5, r6 their multipliers, r7, r8
            /// shifts, r9 the sign, r10 to r12 multiplier, shift and zero point of the output; q3, q4
            /// powers of two, q5, q6 the range.
            ///
            /// # Safety
            ///
            /// There are as many elements of both operands and of the output as [`Sum`] says, and one.
            #[unsafe(naked)]
            pub unsafe extern "C" fn store(sum: *const Sum) {
                naked_asm!(
                    ".cpu cortex-m55",
                    "push {{r4-r11, lr}}",
                    "vpush {{d8-d13}}",
                    "add r1, r0, #52",
                    "ldm r1, {{r1-r4, lr}}",
                    "vdup.32 q3, r1",
                    "vdup.32 q4, r2",
                    "vdup.32 q5, r3",
                    "vdup.32 q6, r4",
                    "ldm r0, {{r0-r12}}",
                    "dlstp.32 lr, lr",
                    "2:",
                    "vldrb.s32 q0, [r0], #4",
                    "vldrb.s32 q1, [r1], #4",
                    "vmlas.s32 q0, q3, r3",
                    "vmlas.s32 q1, q4, r4",
                    concat!($multiply, " q0, q0, r5"),
                    concat!($multiply, " q1, q1, r6"),
                    $($operands,)*
                    "vrshl.s32 q0, r7",
                    "vrshl.s32 q1, r8",
                    "vmla.s32 q0, q1, r9",
                    concat!($multiply, " q0, q0, r10"),
                    $($output,)*
                    "vrshl.s32 q0, r11",
                    "vadd.i32 q0, q0, r12",
                    "vmin.s32 q0, q0, q6",
                    "vmax.s32 q0, q0, q5",
                    "vstrb.32 q0, [r2], #4",
                    "letp lr, 2b",
                    "vpop {{d8-d13}}",
                    "pop {{r4-r11, pc}}",
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
            use super::super::output::$rounding::scale;
            use super::Sum;

            /// # Safety
            ///
            /// There are as many elements of both operands and of the output as [`Sum`] says.
            pub unsafe fn store(sum: *const Sum) {
                // SAFETY: the caller's.
                let sum = unsafe { &*sum };
                let Sum { a, b, y, offsets, multipliers, shifts, powers, sign, .. } = *sum;
                let Sum { multiplier, shift, offset, min, max, count, .. } = *sum;
                let common = |x: i8, i: usize| {
                    let x = i32::from(x).wrapping_mul(powers[i]).wrapping_add(offsets[i]);
                    scale(x, multipliers[i], shifts[i] as i8)
                };
                for i in 0..count {
                    // SAFETY: the caller's.
                    let (a, b) = unsafe { (*a.add(i), *b.add(i)) };
                    let acc = common(a, 0).wrapping_add(common(b, 1).wrapping_mul(sign));
                    let output = scale(acc, multiplier, shift as i8);
                    let output = output.wrapping_add(offset).min(max).max(min);
                    // SAFETY: the caller's.
                    unsafe { *y.add(i) = output as i8 };
                }
            }
        }
    };
}

#[cfg(helium)]
rounding!(
    double,
    "vqrdmulh.s32",
    ["vshr.s32 q2, q0, #31", "vadd.i32 q0, q0, q2", "vshr.s32 q2, q1, #31", "vadd.i32 q1, q1, q2"],
    ["vshr.s32 q2, q0, #31", "vadd.i32 q0, q0, q2"]
);
#[cfg(helium)]
rounding!(double_up, "vqrdmulh.s32", [], []);
#[cfg(helium)]
rounding!(single, "vqdmulh.s32", [], []);
#[cfg(not(helium))]
rounding!(double);
#[cfg(not(helium))]
rounding!(double_up);
#[cfg(not(helium))]
rounding!(single);
