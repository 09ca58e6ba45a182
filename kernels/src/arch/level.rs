//! What a processor can do.

/// Instructions that there are kernels for. Each level has all that those before it in its family
/// have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Whatever the compiler makes of the definitions.
    Portable,
    /// x86-64 with AVX2, FMA and conversions of float16.
    Avx2,
    /// x86-64 with AVX2 and dot products of bytes in 256 bits.
    AvxVnni,
    /// x86-64 with AVX-512 (F, BW, DQ, VL, VBMI) and dot products of bytes.
    Avx512Vnni,
    /// 64-bit Arm.
    Neon,
    /// 64-bit Arm with SDOT, dot products of bytes.
    NeonDot,
    /// 64-bit Arm with SMMLA, products of small matrices of bytes.
    NeonI8mm,
    /// WebAssembly with vectors of 128 bits.
    Simd128,
}

impl Level {
    /// All levels, each family from the least to the most.
    pub const ALL: [Self; 8] = [
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Neon,
        Self::NeonDot,
        Self::NeonI8mm,
        Self::Simd128,
    ];

    /// The name in `SYSTOLE_ISA` and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx_vnni",
            Self::Avx512Vnni => "avx512_vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon_dot",
            Self::NeonI8mm => "neon_i8mm",
            Self::Simd128 => "simd128",
        }
    }

    /// Whether kernels for f32 round a product and the sum that it is added to once, as IEEE 754's
    /// fusedMultiplyAdd, where the definitions round each: in convolutions, depthwise ones, and fully
    /// connected layers. Their order is the same, so that all levels that do have the same bits. Layers
    /// that a level leaves to the definition are as there.
    pub const fn fuses(self) -> bool {
        !matches!(self, Self::Portable | Self::Simd128)
    }

    /// The level with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}
