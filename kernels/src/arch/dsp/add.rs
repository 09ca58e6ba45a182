//! ADD of operands of one shape.
//!
//! The common scale is twice the larger of the two, so that one operand is halved: a shift, with the sum,
//! and no product. The other is scaled as sums are, see [`super::output`], and so is the sum.
//!
//! SUB, operands that broadcast, scales of the output of 1/2 and more, and such as no converter writes are
//! left to the definition.

use super::output::Rounded;
use super::{smmul, smmulr, ssat8_asr_1};
use crate::Mismatch;
use crate::add::{Add, InputScale, add};
use crate::broadcast::{Operand, Walk};
use crate::requantize::{FixedScales, Requantize, Rounding};

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
    match whole::<R>(p, walk, [a, b], y) {
        Some(()) => Ok(()),
        None => add::<R, i8>(p, walk, a, b, y),
    }
}

/// The sum; `None`, and nothing is written, where it is left to the definition.
#[inline(always)]
fn whole<R: Rounding>(
    p: &Add,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Option<()> {
    if !walk.is_whole(&operands, y.len()) {
        return None;
    }
    match R::of(FixedScales { multiplier: &[], shift: &[] }) {
        Requantize::Double(_) => sum(p, Rounded::Double, operands, y),
        Requantize::DoubleUp(_) => sum(p, Rounded::DoubleUp, operands, y),
        Requantize::Single(_) => sum(p, Rounded::Single, operands, y),
        Requantize::Float32(_) | Requantize::Float64(_) => None,
    }
}

/// The sum of operands that are as long as `y`, or in its place. Compiled once for each rounding that
/// there is.
#[inline(always)]
fn sum(p: &Add, rounded: Rounded, operands: [Operand<'_, i8>; 2], y: &mut [i8]) -> Option<()> {
    let (count, to) = (y.len(), y.as_mut_ptr());
    let [mut a, mut b] = operands.map(|operand| match operand {
        Operand::Buffer(x) => x.as_ptr(),
        // Read before the same element is written.
        Operand::Output => to.cast_const(),
    });
    let scales = match (is_half(&p.a, p.left_shift), is_half(&p.b, p.left_shift)) {
        (true, _) => Scales::new(p, &p.a, &p.b, rounded)?,
        (false, true) => {
            core::mem::swap(&mut a, &mut b);
            Scales::new(p, &p.b, &p.a, rounded)?
        }
        (false, false) => return None,
    };
    let high = |doubled: i32, multiplier: i32| match rounded {
        Rounded::Double => {
            let high = smmulr(doubled, multiplier);
            high.wrapping_add(high >> 31)
        }
        Rounded::DoubleUp => smmulr(doubled, multiplier),
        Rounded::Single => smmul(doubled, multiplier),
    };
    let Scales { bits, offset, left, start, multiplier, half, right, .. } = scales;
    for i in 0..count {
        // SAFETY: both operands have `count` elements.
        let (x, w) = unsafe { (i32::from(*a.wrapping_add(i)), i32::from(*b.wrapping_add(i))) };
        let scaled = high(offset.wrapping_add(w << left), multiplier);
        let scaled = scaled.wrapping_add(half) >> right;
        // Half of the one operand, doubled, and the other.
        let doubled = start.wrapping_add(x << bits).wrapping_add(scaled << 1);
        let high = high(doubled, scales.output_multiplier) >> scales.output_right;
        let output = ssat8_asr_1(high.wrapping_add(scales.output_half)) as i8;
        // SAFETY: `y` has `count` elements.
        unsafe { *to.wrapping_add(i) = output };
    }
    let (min, max) = (p.output.activation_min as i8, p.output.activation_max as i8);
    if (min, max) != (i8::MIN, i8::MAX) {
        y.iter_mut().for_each(|y| *y = (*y).min(max).max(min));
    }
    Some(())
}

/// Whether a scale halves, so that nothing is left to round.
#[inline(always)]
fn is_half(scale: &InputScale, left_shift: u32) -> bool {
    scale.multiplier == 1 << 30 && scale.shift == 0 && left_shift > 0
}

/// How operands are scaled, of which one is halved.
#[derive(Clone, Copy)]
struct Scales {
    /// Bits that the halved one is shifted by, and its offset: doubled, so that its half is whole.
    bits: u32,
    start: i32,
    /// The same of the other, with a bit more for SMMULR.
    left: u32,
    offset: i32,
    multiplier: i32,
    /// Bits by which its product is shifted to the right, at least one, and half of what is cut off.
    right: u32,
    half: i32,
    output_multiplier: i32,
    /// One less than the sum is shifted to the right.
    output_right: u32,
    /// Twice the sum of 1/2 and the zero point.
    output_half: i32,
}

impl Scales {
    /// `None` where the scales are not those of the fast way.
    #[inline(never)]
    fn new(p: &Add, halved: &InputScale, other: &InputScale, rounded: Rounded) -> Option<Self> {
        let int8 = |number: i32| (-128..=127).contains(&number);
        let offsets = [halved.offset, other.offset];
        let fits = p.left_shift <= 20
            && offsets.iter().all(|offset| (-128..=128).contains(offset))
            && [p.output.output_offset, p.output.activation_min, p.output.activation_max]
                .into_iter()
                .all(int8)
            && (-29..=0).contains(&other.shift)
            && other.multiplier >= 0
            && (-31..=-1).contains(&p.output_shift)
            && p.output_multiplier >= 0;
        // The one rounding is behind SMMUL, which cuts off, and so has to shift. Half of an even number is
        // the same under every rounding.
        let more = match rounded {
            Rounded::Single => 1,
            _ if other.shift < 0 => 0,
            _ if is_half(other, p.left_shift) => 1,
            _ => return None,
        };
        let left = p.left_shift.wrapping_add(1).wrapping_add(more);
        let right = (other.shift.wrapping_neg() as u32).wrapping_add(more);
        fits.then_some(Self {
            bits: p.left_shift,
            start: halved.offset.wrapping_shl(p.left_shift),
            left,
            offset: other.offset.wrapping_shl(left),
            multiplier: other.multiplier,
            right,
            half: 1_i32.wrapping_shl(right.wrapping_sub(1)),
            output_multiplier: p.output_multiplier,
            output_right: (-1_i32).wrapping_sub(p.output_shift) as u32,
            output_half: p.output.output_offset.wrapping_mul(2).wrapping_add(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::add_i8;
    use crate::add::sub_i8;
    use crate::arch::layers::sums_hold;

    sums_hold!(add_i8, sub_i8);
}
