//! What a core can do at most: the instructions that multiply, and nothing else.

use super::Level;

/// Multiply-accumulates of int8 by the instructions that a level's products are made of: `rounds` times
/// ten, of registers, none of which waits for another. Returns how many that are, for a caller that
/// measures how long it takes; `None` where the processor does not have them or they are not known.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "which instructions to count is not known elsewhere")
)]
pub fn int8_products(level: Level, rounds: u32) -> Option<u64> {
    super::of(level)?;
    #[cfg(target_arch = "x86_64")]
    return x86_64::int8(level, rounds.max(1));
    #[cfg(not(target_arch = "x86_64"))]
    None
}

/// The same of f32.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "which instructions to count is not known elsewhere")
)]
pub fn f32_products(level: Level, rounds: u32) -> Option<u64> {
    super::of(level)?;
    #[cfg(target_arch = "x86_64")]
    return x86_64::float(level, rounds.max(1));
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::asm;

    use crate::arch::Level;

    /// Instructions of a round that do not depend on each other.
    const CHAINS: u64 = 10;

    /// A loop over instructions, of registers alone.
    macro_rules! repeat {
        ($rounds:expr, $($instruction:literal),+) => {
            // SAFETY: registers alone are read and written, all of which are named, and the processor
            // has the instructions, as the callers have seen.
            unsafe {
                asm!(
                    // Numbers may take longer than zeros do where they are subnormal.
                    "vpxor xmm14, xmm14, xmm14",
                    "vpxor xmm15, xmm15, xmm15",
                    "2:",
                    $($instruction,)+
                    "dec {rounds:e}",
                    "jnz 2b",
                    rounds = inout(reg) $rounds => _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _,
                    out("xmm5") _, out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _,
                    out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _,
                    out("xmm15") _,
                    options(nomem, nostack),
                );
            }
        };
    }

    pub(super) fn int8(level: Level, rounds: u32) -> Option<u64> {
        let each = match level {
            Level::Avx2 => {
                repeat!(
                    rounds,
                    "vpmaddwd ymm10, ymm15, ymm14",
                    "vpaddd ymm0, ymm0, ymm10",
                    "vpmaddwd ymm11, ymm15, ymm14",
                    "vpaddd ymm1, ymm1, ymm11",
                    "vpmaddwd ymm12, ymm15, ymm14",
                    "vpaddd ymm2, ymm2, ymm12",
                    "vpmaddwd ymm13, ymm15, ymm14",
                    "vpaddd ymm3, ymm3, ymm13",
                    "vpmaddwd ymm10, ymm15, ymm14",
                    "vpaddd ymm4, ymm4, ymm10",
                    "vpmaddwd ymm11, ymm15, ymm14",
                    "vpaddd ymm5, ymm5, ymm11",
                    "vpmaddwd ymm12, ymm15, ymm14",
                    "vpaddd ymm6, ymm6, ymm12",
                    "vpmaddwd ymm13, ymm15, ymm14",
                    "vpaddd ymm7, ymm7, ymm13",
                    "vpmaddwd ymm10, ymm15, ymm14",
                    "vpaddd ymm8, ymm8, ymm10",
                    "vpmaddwd ymm11, ymm15, ymm14",
                    "vpaddd ymm9, ymm9, ymm11"
                );
                16
            }
            Level::AvxVnni => {
                repeat!(
                    rounds,
                    "{{vex}} vpdpbusd ymm0, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm1, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm2, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm3, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm4, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm5, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm6, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm7, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm8, ymm15, ymm14",
                    "{{vex}} vpdpbusd ymm9, ymm15, ymm14"
                );
                32
            }
            Level::Avx512Vnni => {
                repeat!(
                    rounds,
                    "vpdpbusd zmm0, zmm15, zmm14",
                    "vpdpbusd zmm1, zmm15, zmm14",
                    "vpdpbusd zmm2, zmm15, zmm14",
                    "vpdpbusd zmm3, zmm15, zmm14",
                    "vpdpbusd zmm4, zmm15, zmm14",
                    "vpdpbusd zmm5, zmm15, zmm14",
                    "vpdpbusd zmm6, zmm15, zmm14",
                    "vpdpbusd zmm7, zmm15, zmm14",
                    "vpdpbusd zmm8, zmm15, zmm14",
                    "vpdpbusd zmm9, zmm15, zmm14"
                );
                64
            }
            _ => return None,
        };
        Some(u64::from(rounds) * CHAINS * each)
    }

    pub(super) fn float(level: Level, rounds: u32) -> Option<u64> {
        let each = match level {
            Level::Avx2 | Level::AvxVnni if std::is_x86_feature_detected!("fma") => {
                repeat!(
                    rounds,
                    "vfmadd231ps ymm0, ymm15, ymm14",
                    "vfmadd231ps ymm1, ymm15, ymm14",
                    "vfmadd231ps ymm2, ymm15, ymm14",
                    "vfmadd231ps ymm3, ymm15, ymm14",
                    "vfmadd231ps ymm4, ymm15, ymm14",
                    "vfmadd231ps ymm5, ymm15, ymm14",
                    "vfmadd231ps ymm6, ymm15, ymm14",
                    "vfmadd231ps ymm7, ymm15, ymm14",
                    "vfmadd231ps ymm8, ymm15, ymm14",
                    "vfmadd231ps ymm9, ymm15, ymm14"
                );
                8
            }
            Level::Avx512Vnni => {
                repeat!(
                    rounds,
                    "vfmadd231ps zmm0, zmm15, zmm14",
                    "vfmadd231ps zmm1, zmm15, zmm14",
                    "vfmadd231ps zmm2, zmm15, zmm14",
                    "vfmadd231ps zmm3, zmm15, zmm14",
                    "vfmadd231ps zmm4, zmm15, zmm14",
                    "vfmadd231ps zmm5, zmm15, zmm14",
                    "vfmadd231ps zmm6, zmm15, zmm14",
                    "vfmadd231ps zmm7, zmm15, zmm14",
                    "vfmadd231ps zmm8, zmm15, zmm14",
                    "vfmadd231ps zmm9, zmm15, zmm14"
                );
                16
            }
            _ => return None,
        };
        Some(u64::from(rounds) * CHAINS * each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_with_vectors_of_their_own_count_their_products() {
        assert_eq!(int8_products(Level::Portable, 3), None);
        for kernels in crate::arch::available() {
            let level = kernels.level;
            if let Some(products) = int8_products(level, 3) {
                // The more the wider: at least as many as float has.
                assert!(products > 0 && Some(products) >= f32_products(level, 3), "{level:?}");
                assert_eq!(int8_products(level, 6), Some(2 * products));
            }
        }
    }
}
