//! ADD and SUB of int8 with the scales that converters choose, in 16 bits: what of it is not vectors.
//!
//! The larger operand's scale is half the common one, which is a shift. The other's product is put together
//! from those of the multiplier's halves, which 32 bits have room for: an operand `x` has nine bits, and with
//! `multiplier = h × 2^16 + l`
//!
//! ```text
//! (x × 2^20 × multiplier + 2^30) >> 31  =  (x × h << 5) + ((x × l + 2^10) >> 11)
//! ```
//!
//! Elements stay side by side in 16 bits: an instruction that multiplies pairs and adds them meets a zero with
//! one of the two, so that even and odd ones become vectors of their own without being moved.

use super::SumI8;
use super::output::OutputStage;
use crate::add::InputScale;
use crate::requantize::Requantize;

/// How far operands are shifted to the left.
pub(super) const LEFT_SHIFT: u32 = 20;

/// How an operand is brought to the common scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// By 1/2, so that nothing is rounded.
    Half,
    /// By less than 1/2, rounded twice.
    Split,
}

/// How both operands are; `None` where a sum is not of this kind.
pub(super) fn scales(p: &SumI8<'_>, stage: &OutputStage<'_>) -> Option<[Scale; 2]> {
    let double = matches!(p.requantize, Requantize::Double(_)) && stage.below_half();
    if !double || p.scales.left_shift != LEFT_SHIFT {
        return None;
    }
    let [a, b] = [&p.scales.a, &p.scales.b].map(scale);
    let both = [a?, b?];
    // Converters make one of them 1/2.
    both.contains(&Scale::Half).then_some(both)
}

fn scale(scale: &InputScale) -> Option<Scale> {
    let [high, _] = halves(scale.multiplier);
    match (scale.multiplier, scale.shift) {
        (0x4000_0000, 0) => Some(Scale::Half),
        (_, shift) if shift < 0 && i16::try_from(high).is_ok() => Some(Scale::Split),
        _ => None,
    }
}

/// `h` and `l` of `multiplier = h × 2^16 + l`, the latter in 16 bits with its sign.
pub(super) fn halves(multiplier: i32) -> [i32; 2] {
    let low = i32::from(multiplier as i16);
    [((i64::from(multiplier) - i64::from(low)) >> 16) as i32, low]
}
