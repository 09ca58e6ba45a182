//! ADD and SUB of int8: `sum-i8-c16/simd128`.
//!
//! Operands of one shape, sixteen elements at once; others are left to the definition. An operand at
//! the common scale has at most 28 bits, so that it can be doubled, and of a doubled product the high
//! half is what is asked for, whatever the shift.

use core::arch::wasm32::*;

use super::requantize::{DOUBLE, DOUBLE_UP, Last, SINGLE, high_halves};
use crate::Mismatch;
use crate::arch::SumI8;
use crate::broadcast::{Operand, Walk};
use crate::requantize::Requantize;

pub(super) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // The sum of two numbers of 28 bits has 29.
    let stage = p
        .whole(walk, &operands, y.len(), 0..=20)
        .filter(|stage| p.scales.output_multiplier >= 0 && stage.below_half());
    if stage.is_none() {
        return super::super::kernels::sum_i8(p, walk, operands, y);
    }
    match p.requantize {
        Requantize::Double(_) => whole_sum::<DOUBLE>(p, operands, y),
        Requantize::DoubleUp(_) => whole_sum::<DOUBLE_UP>(p, operands, y),
        _ => whole_sum::<SINGLE>(p, operands, y),
    }
    Ok(())
}

/// Operands and output of one length.
fn whole_sum<const ROUNDING: u8>(p: &SumI8<'_>, operands: [Operand<'_, i8>; 2], y: &mut [i8]) {
    let output = Scale::new::<ROUNDING>(p.scales.output_multiplier, p.scales.output_shift);
    let inputs = [&p.scales.a, &p.scales.b].map(|input| {
        let scale = Scale::new::<ROUNDING>(input.multiplier, input.shift);
        // One more than asked for: sums are doubled.
        Common { offset: i16x8_splat(input.offset as i16), left: p.scales.left_shift + 1, scale }
    });
    let sum = Sum { inputs, subtract: p.subtract, output, last: Last::new(&p.scales.output) };
    let (count, y) = (y.len(), y.as_mut_ptr());
    let [a, b] = operands.map(|operand| match operand {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => y.cast_const(),
    });
    let mut i = 0;
    while count - i >= 16 {
        // SAFETY: there are sixteen elements from `i` on.
        unsafe {
            let operands = [v128_load(a.add(i).cast()), v128_load(b.add(i).cast())];
            let bytes = sum.of::<ROUNDING>(operands);
            v128_store(y.add(i).cast(), bytes);
        }
        i += 16;
    }
    let left = count - i;
    if left > 0 {
        let (mut x, mut bytes) = ([[0_i8; 16]; 2], [0_i8; 16]);
        // SAFETY: fewer than sixteen elements are left in each.
        unsafe {
            for (x, from) in x.iter_mut().zip([a, b]) {
                x.as_mut_ptr().copy_from_nonoverlapping(from.add(i), left);
            }
            let sums = sum.of::<ROUNDING>(x.map(|x| v128_load(x.as_ptr().cast())));
            v128_store(bytes.as_mut_ptr().cast(), sums);
            y.add(i).copy_from_nonoverlapping(bytes.as_ptr(), left);
        }
    }
}

/// A sum or a difference.
struct Sum {
    inputs: [Common; 2],
    subtract: bool,
    output: Scale,
    last: Last,
}

impl Sum {
    /// Of sixteen elements each.
    #[inline(always)]
    fn of<const ROUNDING: u8>(&self, [a, b]: [v128; 2]) -> v128 {
        let [a_input, b_input] = &self.inputs;
        let (a, b) = (a_input.quarters::<ROUNDING>(a), b_input.quarters::<ROUNDING>(b));
        let mut sums = [i32x4_splat(0); 4];
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let acc = if self.subtract { i32x4_sub(a, b) } else { i32x4_add(a, b) };
            *sum = self.output.apply::<ROUNDING>(i32x4_shl(acc, 1));
        }
        self.last.packed(sums)
    }
}

/// How an operand is brought to the common scale.
struct Common {
    offset: v128,
    left: u32,
    scale: Scale,
}

impl Common {
    /// Sixteen elements at the common scale.
    #[inline(always)]
    fn quarters<const ROUNDING: u8>(&self, x: v128) -> [v128; 4] {
        let (low, high) = (i16x8_extend_low_i8x16(x), i16x8_extend_high_i8x16(x));
        let (low, high) = (i16x8_add(low, self.offset), i16x8_add(high, self.offset));
        let mut quarters = [
            i32x4_extend_low_i16x8(low),
            i32x4_extend_high_i16x8(low),
            i32x4_extend_low_i16x8(high),
            i32x4_extend_high_i16x8(high),
        ];
        for x in &mut quarters {
            *x = self.scale.apply::<ROUNDING>(i32x4_shl(*x, self.left));
        }
        quarters
    }
}

/// One fixed-point scale, of 1 or less.
struct Scale {
    multiplier: v128,
    /// What rounds the product.
    round: v128,
    right: u32,
    /// What rounds the shift, and which sign bits count in it.
    half: v128,
    signs: v128,
}

impl Scale {
    /// `shift` is in `[-31, 0]`.
    fn new<const ROUNDING: u8>(multiplier: i32, shift: i32) -> Self {
        let right = shift.wrapping_neg() as u32 % 32;
        let twice = ROUNDING != SINGLE && right > 0;
        Self {
            multiplier: i32x4_splat(multiplier),
            round: i64x2_splat(if ROUNDING == SINGLE { 1 << (31 + right) } else { 1 << 31 }),
            right,
            half: i32x4_splat(if twice { 1 << (right - 1) } else { 0 }),
            // Half away from zero is half up after one less for negative numbers.
            signs: i32x4_splat(if ROUNDING == DOUBLE && twice { -1 } else { 0 }),
        }
    }

    /// Four numbers, of which these are the doubles, scaled.
    #[inline(always)]
    fn apply<const ROUNDING: u8>(&self, twice: v128) -> v128 {
        let high = high_halves(twice, self.multiplier, self.round);
        if ROUNDING == SINGLE {
            return i32x4_shr(high, self.right);
        }
        let sign = match ROUNDING {
            DOUBLE => v128_and(i32x4_shr(high, 31), self.signs),
            _ => i32x4_splat(0),
        };
        i32x4_shr(i32x4_add(i32x4_add(high, sign), self.half), self.right)
    }
}
