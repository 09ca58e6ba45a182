//! ADD and SUB of int8: `sum-i8-c16/neon`.
//!
//! Operands of one shape, sixteen elements at once; others are left to the definition. An operand at
//! the common scale has at most 28 bits, so that it can be doubled once more: then even a shift of 0
//! is one to the right.

use core::arch::aarch64::*;

use super::requantize::{DOUBLE, DOUBLE_UP, Last, SINGLE, SIXTEEN, Scales, halve_away, store};
use crate::Mismatch;
use crate::add::InputScale;
use crate::arch::SumI8;
use crate::broadcast::{Operand, Walk};
use crate::requantize::Requantize;

pub(in crate::arch) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // An operand of 9 bits shifted by one more than asked for has 30.
    let stage =
        p.whole(walk, &operands, y.len(), 0..=20).filter(|_| p.scales.output_multiplier >= 0);
    let Some(stage) = stage else {
        return super::super::kernels::sum_i8(p, walk, operands, y);
    };
    // SAFETY: the target has the instructions.
    unsafe {
        match (p.requantize, stage.below_half()) {
            (Requantize::Double(_), true) => whole_sum::<DOUBLE, true>(p, operands, y),
            (Requantize::Double(_), false) => whole_sum::<DOUBLE, false>(p, operands, y),
            (Requantize::DoubleUp(_), true) => whole_sum::<DOUBLE_UP, true>(p, operands, y),
            (Requantize::DoubleUp(_), false) => whole_sum::<DOUBLE_UP, false>(p, operands, y),
            (_, true) => whole_sum::<SINGLE, true>(p, operands, y),
            (_, false) => whole_sum::<SINGLE, false>(p, operands, y),
        }
    }
    Ok(())
}

/// Operands and output of one length.
#[target_feature(enable = "neon")]
fn whole_sum<const ROUNDING: u8, const BELOW_HALF: bool>(
    p: &SumI8<'_>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) {
    let sum = Sum {
        a: Common::new::<ROUNDING>(&p.scales.a, p.scales.left_shift),
        b: Common::new::<ROUNDING>(&p.scales.b, p.scales.left_shift),
        // −b = (b ^ −1) + 1.
        sign: vdupq_n_s32(if p.subtract { -1 } else { 0 }),
        output: Scales::fixed(&[p.scales.output_multiplier; 4], &[p.scales.output_shift; 4]),
        last: Last::new(&p.scales.output),
    };
    let (count, y) = (y.len(), y.as_mut_ptr());
    let [a, b] = operands.map(|operand| match operand {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same elements are written.
        Operand::Output => y.cast_const(),
    });
    let mut i = 0;
    while i + SIXTEEN <= count {
        // SAFETY: there are `count` elements in each, of which sixteen from `i` on.
        unsafe {
            let bytes = sum.of::<ROUNDING, BELOW_HALF>(vld1q_s8(a.add(i)), vld1q_s8(b.add(i)));
            vst1q_s8(y.add(i), bytes);
        }
        i += SIXTEEN;
    }
    let left = count - i;
    if left > 0 {
        let mut rest = [[0; SIXTEEN]; 2];
        let [rest_a, rest_b] = &mut rest;
        // SAFETY: there are `left` elements from `i` on in each.
        unsafe {
            rest_a.as_mut_ptr().copy_from_nonoverlapping(a.add(i), left);
            rest_b.as_mut_ptr().copy_from_nonoverlapping(b.add(i), left);
            let (a, b) = (vld1q_s8(rest_a.as_ptr()), vld1q_s8(rest_b.as_ptr()));
            store(sum.of::<ROUNDING, BELOW_HALF>(a, b), y.add(i), left);
        }
    }
}

/// A sum's parameters.
struct Sum {
    a: Common,
    b: Common,
    /// −1 where the second operand is taken off.
    sign: int32x4_t,
    output: Scales,
    last: Last,
}

impl Sum {
    /// Sixteen elements.
    #[inline]
    #[target_feature(enable = "neon")]
    fn of<const ROUNDING: u8, const BELOW_HALF: bool>(
        &self,
        a: int8x16_t,
        b: int8x16_t,
    ) -> int8x16_t {
        let (a, b) = (self.a.quarters(a), self.b.quarters(b));
        let mut sums = [vdupq_n_s32(0); 4];
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let (a, b) = (self.a.apply::<ROUNDING>(a), self.b.apply::<ROUNDING>(b));
            let acc = vaddq_s32(a, vsubq_s32(veorq_s32(b, self.sign), self.sign));
            *sum = match BELOW_HALF {
                true => self.output.apply::<ROUNDING>(acc),
                false => self.output.apply_any::<ROUNDING>(acc),
            };
        }
        self.last.packed(sums)
    }
}

/// How an operand is brought to the common scale.
struct Common {
    offset: int16x8_t,
    /// One more than asked for under `single`.
    left_shift: int32x4_t,
    multiplier: int32x4_t,
    /// Not positive; one less under `single`.
    shift: int32x4_t,
}

impl Common {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new<const ROUNDING: u8>(scale: &InputScale, left_shift: u32) -> Self {
        let more = i32::from(ROUNDING == SINGLE);
        Self {
            offset: vdupq_n_s16(scale.offset as i16),
            left_shift: vdupq_n_s32(left_shift as i32 + more),
            multiplier: vdupq_n_s32(scale.multiplier),
            shift: vdupq_n_s32(scale.shift - more),
        }
    }

    /// Sixteen elements with the offset, shifted to the left.
    #[inline]
    #[target_feature(enable = "neon")]
    fn quarters(&self, x: int8x16_t) -> [int32x4_t; 4] {
        let low = vaddw_s8(self.offset, vget_low_s8(x));
        let high = vaddw_high_s8(self.offset, x);
        [
            vshlq_s32(vmovl_s16(vget_low_s16(low)), self.left_shift),
            vshlq_s32(vmovl_high_s16(low), self.left_shift),
            vshlq_s32(vmovl_s16(vget_low_s16(high)), self.left_shift),
            vshlq_s32(vmovl_high_s16(high), self.left_shift),
        ]
    }

    /// Four of them at the common scale.
    #[inline]
    #[target_feature(enable = "neon")]
    fn apply<const ROUNDING: u8>(&self, x: int32x4_t) -> int32x4_t {
        match ROUNDING {
            SINGLE => vrshlq_s32(vqdmulhq_s32(x, self.multiplier), self.shift),
            DOUBLE_UP => vrshlq_s32(vqrdmulhq_s32(x, self.multiplier), self.shift),
            _ => halve_away(vqrdmulhq_s32(x, self.multiplier), self.shift),
        }
    }
}
