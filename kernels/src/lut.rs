//! Functions of one quantized value as tables: 256 entries for int8, 513 for int16.
//!
//! The tables are computed offline, by whatever arithmetic the model's origin uses.
//!
//! Source: `LUTLookup` of TFLite's `internal/common.h`.

use crate::arch;
use crate::broadcast::{Operand, unary_in_place};
use crate::error::Mismatch;

/// Entries of a table over int8.
pub const LUT_I8_LENGTH: usize = 256;

/// Entries of a table over int16: every 128th value, and the one past the end.
pub const LUT_I16_LENGTH: usize = 513;

/// `y = table[x]`. The table is indexed by `x` as an unsigned byte: `f(0)` to `f(127)`, then
/// `f(-128)` to `f(-1)`. The operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline(never)]
pub fn lut_i8(
    table: &[i8; LUT_I8_LENGTH],
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    arch::lut_i8(table, x, y)
}

/// The definition of [`lut_i8`].
#[inline(always)]
pub(crate) fn portable(
    table: &[i8; LUT_I8_LENGTH],
    x: Operand<'_, i8>,
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // A byte cannot be out of range, so this is no check.
    unary_in_place(x, y, |x| table.get(usize::from(x as u8)).copied().unwrap_or(0))
}

/// `y = f(x)` by linear interpolation in a table of `f(-32768)`, `f(-32640)`, …, `f(32768)`. The
/// operand may be in place.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
pub fn lut_i16(
    table: &[i16; LUT_I16_LENGTH],
    x: Operand<'_, i16>,
    y: &mut [i16],
) -> Result<(), Mismatch> {
    unary_in_place(x, y, |x| interpolate(table, x))
}

/// Linear interpolation in a table over all of int16, 128 apart, rounded half up. A table that is
/// too short gives 0 beyond its end.
///
/// The slope is kept in 16 bits and wraps, as TFLite's does: between entries that are more than
/// 32767 apart the interpolation goes the wrong way round.
#[inline(always)]
pub fn interpolate(table: &[i16], x: i16) -> i16 {
    let index = (256 + (i32::from(x) >> 7)) as usize;
    let offset = i32::from(x & 0x7f);
    let base = table.get(index).copied().unwrap_or(0);
    let slope = table.get(index + 1).copied().unwrap_or(0).wrapping_sub(base);
    base.wrapping_add(((i32::from(slope) * offset + 64) >> 7) as i16)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::{Kernels, LutI8};
    use crate::testing::{Values, check};
    use proptest::prelude::*;

    /// Holds a level's kernel against the definition.
    pub(crate) fn holds(kernels: &Kernels, cases: u32) {
        let strategy = (1..600_usize, any::<bool>(), any::<u64>());
        check(kernels.level, cases, strategy, |(len, in_place, seed)| {
            let mut values = Values::new(seed);
            let table = core::array::from_fn(|_| values.next() as i8);
            let x = values.i8s(len);
            let run = |kernel: LutI8| {
                let mut y = if in_place { x.clone() } else { std::vec![99; len] };
                let x = if in_place { Operand::Output } else { Operand::Buffer(&x[..]) };
                kernel(&table, x, &mut y).map(|()| y)
            };
            prop_assert_eq!(run(kernels.lut_i8), run(portable), "{:?}", table);
            Ok(())
        });
    }

    #[test]
    fn every_int8_finds_its_entry() {
        let mut table = [0; LUT_I8_LENGTH];
        for x in i8::MIN..=i8::MAX {
            table[usize::from(x as u8)] = x.wrapping_mul(3);
        }
        let x: [i8; 256] = core::array::from_fn(|i| i as u8 as i8);
        let mut y = [0; 256];
        lut_i8(&table, Operand::Buffer(&x), &mut y).unwrap();
        assert_eq!(y, x.map(|x| x.wrapping_mul(3)));
        let mut y = x;
        lut_i8(&table, Operand::Output, &mut y).unwrap();
        assert_eq!(y, x.map(|x| x.wrapping_mul(3)));
    }

    #[test]
    fn a_straight_line_is_interpolated_exactly() {
        let table: [i16; LUT_I16_LENGTH] =
            core::array::from_fn(|i| ((i as i32 - 256) * 64).clamp(-32768, 32767) as i16);
        let mut y = [-32768, -1, 0, 1, 127, 128, 32767];
        lut_i16(&table, Operand::Output, &mut y).unwrap();
        // x / 2, half up.
        assert_eq!(y, [-16384, 0, 0, 1, 64, 64, 16384]);
    }

    proptest! {
        #[test]
        fn any_table_is_safe(seed: i16, x: i16, length in 0_usize..600) {
            let table: std::vec::Vec<i16> =
                (0..length).map(|i| seed.wrapping_mul(i as i16)).collect();
            interpolate(&table, x);
        }
    }
}
