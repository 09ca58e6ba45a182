//! SMMLA, which stable Rust has no intrinsic for, and the load of one of its operands.

use core::arch::aarch64::int8x16_t;
use core::arch::aarch64::int32x4_t;
use core::arch::asm;

/// Adds to `acc`, a matrix of 2 by 2, the product of `a`, 2 rows of 8 bytes, and `b`, 2 columns of 8.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(super) fn smmla(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes the registers that it names alone.
    unsafe {
        asm!(
            "smmla {acc:v}.4s, {a:v}.16b, {b:v}.16b",
            acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// Eight bytes at `first` and eight at `second`, as two rows; both then point behind them. Without an
/// instruction to move the second into its half, which the compiler would take.
///
/// # Safety
///
/// There are so many bytes at both.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn load_pair(first: &mut *const i8, second: &mut *const i8) -> int8x16_t {
    let rows: int8x16_t;
    // SAFETY: reads the bytes that the caller has, and writes the registers that it names.
    unsafe {
        asm!(
            "ldr {rows:d}, [{first}], #8",
            "ld1 {{{rows:v}.d}}[1], [{second}], #8",
            rows = out(vreg) rows, first = inout(reg) *first, second = inout(reg) *second,
            options(readonly, nostack, preserves_flags),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use core::mem::transmute;

    use proptest::prelude::*;

    use super::*;

    /// The instruction's definition.
    fn portable(mut acc: [i32; 4], a: [i8; 16], b: [i8; 16]) -> [i32; 4] {
        for (i, acc) in acc.iter_mut().enumerate() {
            let (row, column) = (&a[i / 2 * 8..][..8], &b[i % 2 * 8..][..8]);
            for (a, b) in row.iter().zip(column) {
                *acc = acc.wrapping_add(i32::from(*a) * i32::from(*b));
            }
        }
        acc
    }

    #[test]
    fn pairs_are_two_rows() {
        let bytes: [i8; 24] = core::array::from_fn(|i| i as i8);
        let (mut first, mut second) = (bytes[1..].as_ptr(), bytes[15..].as_ptr());
        // SAFETY: there are eight bytes from 1 and from 15 on; all levels of 64-bit Arm have vectors.
        let rows: [i8; 16] = unsafe { transmute(load_pair(&mut first, &mut second)) };
        assert_eq!(rows, [1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 18, 19, 20, 21, 22]);
        assert_eq!([first, second], [bytes[9..].as_ptr(), bytes[23..].as_ptr()]);
    }

    proptest! {
        #[test]
        fn smmla_is_its_definition(acc: [i32; 4], a: [i8; 16], b: [i8; 16]) {
            if super::super::kernels().is_none() {
                std::println!("SKIPPED: this processor has no SMMLA");
                return Ok(());
            }
            // SAFETY: the processor has it; vectors are arrays of as many bytes.
            let sums: [i32; 4] =
                unsafe { transmute(smmla(transmute(acc), transmute(a), transmute(b))) };
            prop_assert_eq!(sums, portable(acc, a, b));
        }
    }
}
