//! SMMLA, which stable Rust has no intrinsic for.

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
