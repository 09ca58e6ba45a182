//! SDOT, which stable Rust has no intrinsic for.

use core::arch::aarch64::int8x16_t;
use core::arch::aarch64::int32x4_t;
use core::arch::asm;

/// Adds to each lane of `acc` the products of its four bytes of `a` by those of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sdot(mut acc: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes the registers that it names alone.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {b:v}.16b",
            acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// [`sdot`] where the four bytes of `b` at `LANE` are those of all lanes.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn sdot_lane<const LANE: i32>(
    mut acc: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    // SAFETY: as above.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            acc = inout(vreg) acc, a = in(vreg) a, b = in(vreg) b, lane = const LANE,
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
        for (acc, (a, b)) in acc.iter_mut().zip(a.chunks(4).zip(b.chunks(4))) {
            for (a, b) in a.iter().zip(b) {
                *acc = acc.wrapping_add(i32::from(*a) * i32::from(*b));
            }
        }
        acc
    }

    proptest! {
        #[test]
        fn sdot_is_its_definition(acc: [i32; 4], a: [i8; 16], b: [i8; 16]) {
            if super::super::kernels().is_none() {
                std::println!("SKIPPED: this processor has no SDOT");
                return Ok(());
            }
            // SAFETY: the processor has it; vectors are arrays of as many bytes.
            unsafe {
                let run = |sum: int32x4_t| transmute::<int32x4_t, [i32; 4]>(sum);
                let (acc_v, a_v, b_v) = (transmute(acc), transmute(a), transmute(b));
                prop_assert_eq!(run(sdot(acc_v, a_v, b_v)), portable(acc, a, b));
                let lane = |l: usize| core::array::from_fn(|i| b[l * 4 + i % 4]);
                prop_assert_eq!(run(sdot_lane::<0>(acc_v, a_v, b_v)), portable(acc, a, lane(0)));
                prop_assert_eq!(run(sdot_lane::<1>(acc_v, a_v, b_v)), portable(acc, a, lane(1)));
                prop_assert_eq!(run(sdot_lane::<2>(acc_v, a_v, b_v)), portable(acc, a, lane(2)));
                prop_assert_eq!(run(sdot_lane::<3>(acc_v, a_v, b_v)), portable(acc, a, lane(3)));
            }
        }
    }
}
