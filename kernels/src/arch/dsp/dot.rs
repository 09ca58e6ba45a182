//! [`crate::dot`] with SMLAD, which adds two products of 16 bits to a sum.
//!
//! The plain loop loads an activation and a weight and multiplies them. This one
//!
//! 1. loads four int8 in a word;
//! 2. widens them in two steps, SXTB16 of the word and of the word rotated by a byte, to elements 0
//!    and 2 and elements 1 and 3: activations and weights are in the same order, so that neither has
//!    to be shuffled;
//! 3. passes over two runs of activations and two of weights at once, so that each widened pair is
//!    used twice.
//!
//! Four elements of two by two runs are 4 loads, 8 × SXTB16 and 8 × SMLAD for 16 products: 1.25
//! instructions a product, 1.31 with the loop. Thirteen registers hold it; the compiler, left to
//! place single instructions, runs out of them and takes 1.9:
//!
//! ```text
//!              w  → w0: elements 0 2 (a), 1 3 (w0)      x: one run after the other, each 0 2 (c),
//!              w0 + stride → w1: 0 2 (b), 1 3 (w1)         1 3 (x)
//!  x           ┌──────────┬──────────┐
//!              │ acc00    │ acc01    │
//!  x + stride  ├──────────┼──────────┤
//!              │ acc10    │ acc11    │
//!              └──────────┴──────────┘
//! ```

use core::arch::asm;

use super::{smlad, sxtb16, sxtb16_ror_8};
use crate::dot;

/// Elements of a short step, and short steps of a long one.
const STEP: usize = 4;
const LONG: usize = 4;

/// `acc[o] + Σ x·w[o]`; the runs have one length.
#[inline(always)]
pub fn dot_i8(acc: [i32; 2], x: &[i8], [w0, w1]: [&[i8]; 2]) -> [i32; 2] {
    let mut sums = OneByTwo { x: x.as_ptr(), w: w0.as_ptr(), stride: distance(w0, w1), acc };
    let len = x.len().min(w0.len()).min(w1.len());
    let (steps, rest) = (len / STEP, len % STEP);
    let end = x.as_ptr().wrapping_add(steps / LONG * LONG * STEP);
    while sums.x != end {
        // SAFETY: from `x` on there are `STEP * LONG` elements of the run before `end`, and as many
        // of each weights' run, which are not shorter and advance with it.
        unsafe { sums.add_long() };
    }
    let end = x.as_ptr().wrapping_add(steps * STEP);
    while sums.x != end {
        // SAFETY: as above, `STEP` elements.
        unsafe { sums.add_short() };
    }
    if rest == 0 { sums.acc } else { add_rest(sums.acc, rest, x, [w0, w1]) }
}

/// `acc[p][o] + Σ x[p]·w[o]`; the runs have one length.
#[inline(never)]
pub fn dots_i8(acc: [[i32; 2]; 2], [x0, x1]: [&[i8]; 2], [w0, w1]: [&[i8]; 2]) -> [[i32; 2]; 2] {
    let stride = distance(x0, x1);
    // The runs of a convolution lie behind each other, but for the last of an odd number of filters.
    if distance(w0, w1) != stride {
        return apart(acc, [x0, x1], [w0, w1]);
    }
    let (x, w) = (x0.as_ptr(), w0.as_ptr());
    let mut sums = TwoByTwo { x, w, stride, acc };
    let len = x0.len().min(x1.len()).min(w0.len()).min(w1.len());
    let (steps, rest) = (len / STEP, len % STEP);
    let end = x.wrapping_add(steps / LONG * LONG * STEP);
    while sums.x != end {
        // SAFETY: from `x` on there are `STEP * LONG` elements of the first run before `end`, and as
        // many of the second, which begins `stride` behind it and is not shorter; of the weights
        // likewise, which advance with them.
        unsafe { sums.add_long() };
    }
    let end = x.wrapping_add(steps * STEP);
    while sums.x != end {
        // SAFETY: as above, `STEP` elements.
        unsafe { sums.add_short() };
    }
    if rest == 0 {
        return sums.acc;
    }
    let [acc0, acc1] = sums.acc;
    [add_rest(acc0, rest, x0, [w0, w1]), add_rest(acc1, rest, x1, [w0, w1])]
}

/// [`dots_i8`] wherever the runs lie.
#[cold]
#[inline(never)]
fn apart([acc0, acc1]: [[i32; 2]; 2], [x0, x1]: [&[i8]; 2], w: [&[i8]; 2]) -> [[i32; 2]; 2] {
    #[inline(never)]
    fn one(acc: [i32; 2], x: &[i8], w: [&[i8]; 2]) -> [i32; 2] {
        dot_i8(acc, x, w)
    }
    [one(acc0, x0, w), one(acc1, x1, w)]
}

/// `acc[o] + Σ x·w[o]` of the last `rest` elements, of which there are 1 to 3: the upper bytes of the
/// runs' last words, where they are as long as a word.
#[inline(always)]
fn add_rest(acc: [i32; 2], rest: usize, x: &[i8], [w0, w1]: [&[i8]; 2]) -> [i32; 2] {
    let word = |run: &[i8]| {
        let word = u32::from_le_bytes(run.last_chunk::<STEP>()?.map(|byte| byte as u8));
        // Of the smaller elements nothing is left, zeros follow the others.
        Some(word.wrapping_shr(32_u32.wrapping_sub(8 * rest as u32)))
    };
    let (Some(x_word), Some(w0_word), Some(w1_word)) = (word(x), word(w0), word(w1)) else {
        return dot::dot_i8(acc, x, [w0, w1]);
    };
    let [acc0, acc1] = acc;
    let (even, odd) = (sxtb16(x_word), sxtb16_ror_8(x_word));
    [
        smlad(odd, sxtb16_ror_8(w0_word), smlad(even, sxtb16(w0_word), acc0)),
        smlad(odd, sxtb16_ror_8(w1_word), smlad(even, sxtb16(w1_word), acc1)),
    ]
}

/// Bytes from one run to another, which may lie before it.
#[inline(always)]
fn distance(from: &[i8], to: &[i8]) -> usize {
    to.as_ptr().expose_provenance().wrapping_sub(from.as_ptr().expose_provenance())
}

/// A step's instructions, four times. Written out rather than repeated by the assembler: the
/// compiler takes the lines for the code's length.
macro_rules! four_times {
    ($step:expr) => {
        concat!($step, "\n", $step, "\n", $step, "\n", $step)
    };
}

/// [`OneByTwo`]'s step.
macro_rules! one_by_two {
    () => {
        "ldr {w1}, [{w}, {stride}]
         ldr {w0}, [{w}], #4
         ldr {x0}, [{x}], #4
         sxtb16 {a}, {w0}
         sxtb16 {w0}, {w0}, ror #8
         sxtb16 {c}, {x0}
         sxtb16 {x0}, {x0}, ror #8
         smlad {acc0}, {c}, {a}, {acc0}
         sxtb16 {a}, {w1}
         sxtb16 {w1}, {w1}, ror #8
         smlad {acc1}, {c}, {a}, {acc1}
         smlad {acc0}, {x0}, {w0}, {acc0}
         smlad {acc1}, {x0}, {w1}, {acc1}"
    };
}

/// [`TwoByTwo`]'s step.
macro_rules! two_by_two {
    () => {
        "ldr {w1}, [{w}, {stride}]
         ldr {w0}, [{w}], #4
         ldr {x0}, [{x}, {stride}]
         sxtb16 {a}, {w0}
         sxtb16 {b}, {w1}
         sxtb16 {w0}, {w0}, ror #8
         sxtb16 {w1}, {w1}, ror #8
         sxtb16 {c}, {x0}
         sxtb16 {x0}, {x0}, ror #8
         smlad {acc10}, {c}, {a}, {acc10}
         smlad {acc11}, {c}, {b}, {acc11}
         smlad {acc10}, {x0}, {w0}, {acc10}
         smlad {acc11}, {x0}, {w1}, {acc11}
         ldr {x0}, [{x}], #4
         sxtb16 {c}, {x0}
         sxtb16 {x0}, {x0}, ror #8
         smlad {acc00}, {c}, {a}, {acc00}
         smlad {acc01}, {c}, {b}, {acc01}
         smlad {acc00}, {x0}, {w0}, {acc00}
         smlad {acc01}, {x0}, {w1}, {acc01}"
    };
}

/// Executes steps on `$sums`: reads memory, and changes what is named.
macro_rules! execute {
    ($sums:ident, $steps:expr, [$($acc:ident),*], [$($scratch:ident),*]) => {
        // SAFETY: reads the elements that the caller says there are; loads of words need no
        // alignment on these cores.
        unsafe {
            asm!(
                $steps,
                x = inout(reg) $sums.x,
                w = inout(reg) $sums.w,
                stride = in(reg) $sums.stride,
                $($acc = inout(reg) $acc,)*
                $($scratch = out(reg) _,)*
                options(pure, readonly, nostack, preserves_flags),
            )
        }
    };
}

/// Where a run of activations and the first of two of weights have been read to, and the sums.
struct OneByTwo {
    x: *const i8,
    w: *const i8,
    /// Bytes from the first run of weights to the second.
    stride: usize,
    acc: [i32; 2],
}

impl OneByTwo {
    /// Adds the next `STEP * LONG` elements of each run.
    ///
    /// # Safety
    ///
    /// There are as many, and the provenance of the second run of weights is exposed.
    #[inline(always)]
    unsafe fn add_long(&mut self) {
        let [mut acc0, mut acc1] = self.acc;
        execute!(self, four_times!(one_by_two!()), [acc0, acc1], [a, c, w0, w1, x0]);
        self.acc = [acc0, acc1];
    }

    /// Adds the next `STEP` elements of each run.
    ///
    /// # Safety
    ///
    /// As [`OneByTwo::add_long`].
    #[inline(always)]
    unsafe fn add_short(&mut self) {
        let [mut acc0, mut acc1] = self.acc;
        execute!(self, one_by_two!(), [acc0, acc1], [a, c, w0, w1, x0]);
        self.acc = [acc0, acc1];
    }
}

/// Where the first of two runs of activations and of weights have been read to, and the sums.
struct TwoByTwo {
    x: *const i8,
    w: *const i8,
    /// Bytes from the first run to the second, of both.
    stride: usize,
    acc: [[i32; 2]; 2],
}

impl TwoByTwo {
    /// Adds the next `STEP * LONG` elements of each run.
    ///
    /// # Safety
    ///
    /// There are as many, and the provenance of the second runs is exposed.
    #[inline(always)]
    unsafe fn add_long(&mut self) {
        let [[mut acc00, mut acc01], [mut acc10, mut acc11]] = self.acc;
        execute!(
            self,
            four_times!(two_by_two!()),
            [acc00, acc01, acc10, acc11],
            [a, b, c, w0, w1, x0]
        );
        self.acc = [[acc00, acc01], [acc10, acc11]];
    }

    /// Adds the next `STEP` elements of each run.
    ///
    /// # Safety
    ///
    /// As [`TwoByTwo::add_long`].
    #[inline(always)]
    unsafe fn add_short(&mut self) {
        let [[mut acc00, mut acc01], [mut acc10, mut acc11]] = self.acc;
        execute!(self, two_by_two!(), [acc00, acc01, acc10, acc11], [a, b, c, w0, w1, x0]);
        self.acc = [[acc00, acc01], [acc10, acc11]];
    }
}
