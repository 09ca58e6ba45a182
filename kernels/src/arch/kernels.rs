//! The kernels of a level: one table each, chosen once.

use crate::Mismatch;
use crate::add::{Add, add, sub};
use crate::add_float32::{self, AddFloat32};
use crate::average_pool_2d::{self, AveragePool2d};
use crate::broadcast::{Operand, Walk};
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::{self, DepthwiseConv2dF32, DepthwiseConv2dI8, DepthwiseConv2dI16};
use crate::dot;
use crate::lut::{self, LUT_I8_LENGTH};
use crate::max_pool_2d::{self, MaxPool2d};
use crate::mul::{Mul, mul};
use crate::quantize::{self, Dequantize, Quantize};
use crate::reduce_quantized::{self, SumQuantized};
use crate::requantize::{Double, DoubleUp, Requantize, Rounding, Single};
use crate::softmax::{self, SoftmaxI8};
use crate::tiles::{self, Activations, Tiled};
use crate::tiles_f32::{self, TiledF32};
use crate::winograd::{self, Winograd};

use super::Level;

/// See [`tiles::conv2d_tiled_i8`].
pub type Conv2dTiledI8 = fn(&Tiled<'_, Conv2dI8<'_>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`winograd::conv2d_winograd_i8`].
pub type Conv2dWinogradI8 =
    fn(&Winograd<'_, Conv2dI8<'_>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`depthwise_conv2d::depthwise_conv2d_i8`].
pub type DepthwiseConv2dI8Kernel =
    fn(&DepthwiseConv2dI8<'_>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`depthwise_conv2d::depthwise_conv2d_i16`].
pub type DepthwiseConv2dI16Kernel =
    fn(&DepthwiseConv2dI16<'_>, &[i16], &mut [i16]) -> Result<(), Mismatch>;

/// See [`tiles_f32::conv2d_tiled_f32`].
pub type Conv2dTiledF32 = fn(&TiledF32<'_, f32>, &[f32], &mut [f32]) -> Result<(), Mismatch>;

/// See [`tiles_f32::conv2d_tiled_f16`].
pub type Conv2dTiledF16 = fn(&TiledF32<'_, u16>, &[f32], &mut [f32]) -> Result<(), Mismatch>;

/// See [`depthwise_conv2d::depthwise_conv2d_f32`].
pub type DepthwiseConv2dF32Kernel =
    fn(&DepthwiseConv2dF32<'_>, &[f32], &mut [f32]) -> Result<(), Mismatch>;
/// See [`average_pool_2d::average_pool_2d_i8`].
pub type AveragePool2dI8 = fn(&AveragePool2d, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`max_pool_2d::max_pool_2d_i8`].
pub type MaxPool2dI8 = fn(&MaxPool2d<i8>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`reduce_quantized::sum_i8`].
pub type SumGroupsI8 = fn(&SumQuantized<Requantize<'_>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// Writes `Σ x[p]·w[o]` to `[p][o]`, in 32 bits that wrap: the inner loop of int16 layers.
pub type DotsI16 = fn([&[i16]; 2], [&[i8]; 2], &mut [[i32; 2]; 2]) -> Result<(), Mismatch>;

/// See [`softmax::softmax_i8`].
pub type SoftmaxI8Kernel = fn(&SoftmaxI8, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// A sum or a difference of int8.
#[derive(Debug, Clone, Copy)]
pub struct SumI8<'a> {
    /// How operands are scaled, and the output's offset and range.
    pub scales: &'a Add,
    /// How the sum is scaled: one scale, of which `scales` has the numbers, too. Operands are rounded
    /// in the same way.
    pub requantize: Requantize<'a>,
    /// Whether the second operand is taken off the first.
    pub subtract: bool,
}

/// See [`crate::add::add_i8`].
pub type SumI8Kernel =
    fn(&SumI8<'_>, &Walk<2>, [Operand<'_, i8>; 2], &mut [i8]) -> Result<(), Mismatch>;

/// A product of int8.
#[derive(Debug, Clone, Copy)]
pub struct MulI8<'a> {
    /// The operands' offsets, and the output's offset and range.
    pub scales: &'a Mul,
    /// How the product is scaled: one scale, of which `scales` has the numbers, too.
    pub requantize: Requantize<'a>,
}

/// See [`crate::mul::mul_i8`].
pub type MulI8Kernel =
    fn(&MulI8<'_>, &Walk<2>, [Operand<'_, i8>; 2], &mut [i8]) -> Result<(), Mismatch>;

/// The definition of [`Kernels::mul_i8`].
pub(crate) fn mul_i8_definition(
    p: &MulI8<'_>,
    walk: &Walk<2>,
    [a, b]: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    match p.requantize {
        Requantize::Double(_) => mul::<Double, i8>(p.scales, walk, a, b, y),
        Requantize::DoubleUp(_) => mul::<DoubleUp, i8>(p.scales, walk, a, b, y),
        Requantize::Single(_) => mul::<Single, i8>(p.scales, walk, a, b, y),
        Requantize::Float32(_) | Requantize::Float64(_) => Err(Mismatch),
    }
}

/// See [`add_float32::add_float32`].
pub type AddFloat32Kernel =
    fn(&AddFloat32, &Walk<2>, [Operand<'_, i8>; 2], &mut [i8]) -> Result<(), Mismatch>;

/// See [`lut::lut_i8`].
pub type LutI8 = fn(&[i8; LUT_I8_LENGTH], Operand<'_, i8>, &mut [i8]) -> Result<(), Mismatch>;

/// See [`quantize::quantize_i8`].
pub type QuantizeI8 = fn(&Quantize, &[f32], &mut [i8]) -> Result<(), Mismatch>;

/// See [`quantize::dequantize_i8`].
pub type DequantizeI8 = fn(&Dequantize, &[i8], &mut [f32]) -> Result<(), Mismatch>;

/// The definition of [`Kernels::sum_i8`].
pub(crate) fn sum_i8(
    p: &SumI8<'_>,
    walk: &Walk<2>,
    [a, b]: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    fn of<R: Rounding>(
        p: &SumI8<'_>,
        walk: &Walk<2>,
        [a, b]: [Operand<'_, i8>; 2],
        y: &mut [i8],
    ) -> Result<(), Mismatch> {
        if p.subtract {
            sub::<R, i8>(p.scales, walk, a, b, y)
        } else {
            add::<R, i8>(p.scales, walk, a, b, y)
        }
    }
    match p.requantize {
        Requantize::Double(_) => of::<Double>(p, walk, [a, b], y),
        Requantize::DoubleUp(_) => of::<DoubleUp>(p, walk, [a, b], y),
        Requantize::Single(_) => of::<Single>(p, walk, [a, b], y),
        Requantize::Float32(_) | Requantize::Float64(_) => Err(Mismatch),
    }
}

/// Declares the table: a name, a type, the portable kernel, and the test that holds any level's
/// kernel against it. So there is no kernel without a test.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $portable:expr, $test:path;)*) => {
        /// The kernels of a level. What it has nothing better for is portable.
        pub struct Kernels {
            /// The level.
            pub level: Level,
            /// How weights have to be packed for it; `None` where it does best with plain ones.
            pub tiles: Option<Activations>,
            /// Whether weights of floats have to be packed for it.
            pub float_tiles: bool,
            /// Which convolutions take less time with transformed weights, if any.
            pub winograd: Option<winograd::Limits>,
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Kernels {
            /// The definitions.
            pub const PORTABLE: Self =
                Self {
                    level: Level::Portable,
                    tiles: None,
                    float_tiles: false,
                    winograd: None,
                    $($name: $portable,)*
                };
        }

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $name() {
                for kernels in super::available() {
                    let cases = crate::testing::cases();
                    // Most of these are the definitions themselves.
                    let portable = kernels.level == super::Level::Portable;
                    $test(kernels, if portable { cases.min(200) } else { cases });
                }
            })*
        }
    };
}

table! {
    /// CONV_2D and FULLY_CONNECTED, weights in tiles.
    conv2d_tiled_i8: Conv2dTiledI8 = |p, x, y| tiles::portable(p, x, y), crate::tiles::tests::holds;
    /// CONV_2D of 3×3, weights transformed.
    conv2d_winograd_i8: Conv2dWinogradI8 =
        |p, x, y| winograd::portable(p, x, y), crate::winograd::tests::holds;
    /// DEPTHWISE_CONV_2D, an output for each channel, symmetric weights.
    depthwise_conv2d_i8: DepthwiseConv2dI8Kernel =
        |p, x, y| depthwise_conv2d::portable(p, x, y), crate::depthwise_conv2d::tests::holds;
    /// DEPTHWISE_CONV_2D, any weights.
    depthwise_conv2d_asymmetric_i8: DepthwiseConv2dI8Kernel =
        |p, x, y| depthwise_conv2d::portable_asymmetric(p, x, y),
        crate::depthwise_conv2d::tests::holds_asymmetric;
    /// DEPTHWISE_CONV_2D of int16 by int8.
    depthwise_conv2d_i16: DepthwiseConv2dI16Kernel =
        |p, x, y| depthwise_conv2d::portable_i16(p, x, y),
        crate::depthwise_conv2d::tests::holds_i16;
    /// CONV_2D and FULLY_CONNECTED in f32, weights in tiles.
    conv2d_tiled_f32: Conv2dTiledF32 =
        |p, x, y| tiles_f32::portable(p, x, y), crate::tiles_f32::tests::holds;
    /// The same with weights of f16.
    conv2d_tiled_f16: Conv2dTiledF16 =
        |p, x, y| tiles_f32::portable(p, x, y), crate::tiles_f32::tests::holds_f16;
    /// DEPTHWISE_CONV_2D in f32.
    depthwise_conv2d_f32: DepthwiseConv2dF32Kernel =
        |p, x, y| depthwise_conv2d::portable_f32(p, x, y),
        crate::depthwise_conv2d::tests::holds_f32;
    /// ADD and SUB.
    sum_i8: SumI8Kernel = sum_i8, crate::add::tests::holds;
    /// ADD of int8 in single precision.
    add_float32: AddFloat32Kernel =
        |p, walk, [a, b], y| add_float32::portable(p, walk, a, b, y),
        crate::add_float32::tests::holds;
    /// MUL.
    mul_i8: MulI8Kernel = mul_i8_definition, crate::mul::tests::holds;
    /// Any function of an int8, as a table.
    lut_i8: LutI8 = |table, x, y| lut::portable(table, x, y), crate::lut::tests::holds;
    /// QUANTIZE of f32.
    quantize_i8: QuantizeI8 =
        |p, x, y| quantize::quantize(p, x, y), crate::quantize::tests::holds;
    /// DEQUANTIZE.
    dequantize_i8: DequantizeI8 =
        |p, x, y| quantize::dequantize(p, x, y), crate::quantize::tests::holds_back;
    /// AVERAGE_POOL_2D.
    average_pool_2d_i8: AveragePool2dI8 =
        |p, x, y| average_pool_2d::portable(p, x, y), crate::average_pool_2d::tests::holds;
    /// MAX_POOL_2D.
    max_pool_2d_i8: MaxPool2dI8 =
        |p, x, y| max_pool_2d::portable(p, x, y), crate::max_pool_2d::tests::holds;
    /// SUM and MEAN.
    sum_groups_i8: SumGroupsI8 =
        |p, x, y| reduce_quantized::portable(p, x, y), crate::reduce_quantized::tests::holds;
    /// SOFTMAX.
    softmax_i8: SoftmaxI8Kernel =
        |p, x, y| softmax::portable(p, x, y), crate::softmax::tests::holds;
    /// Products of int16 by int8: two rows of activations by two of weights.
    dots_i16: DotsI16 = dot::dots_i16_definition, crate::dot::tests::holds;
}

/// The definitions as a table.
pub static PORTABLE: Kernels = Kernels::PORTABLE;

/// The kernels of a level, if this processor has its instructions.
#[cfg(feature = "std")]
pub fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Portable => Some(&PORTABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::avx2::kernels(),
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => super::avx_vnni::kernels(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => super::avx512_vnni::kernels(),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::Neon => super::neon::kernels(),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::NeonDot => super::neon_dot::kernels(),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::NeonI8mm => super::neon_i8mm::kernels(),
        #[cfg(all(target_arch = "wasm32", simd))]
        Level::Simd128 => Some(super::simd128::kernels()),
        _ => None,
    }
}

/// The kernels of a level, if this program is compiled for its instructions.
#[cfg(not(feature = "std"))]
pub fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Portable => Some(&PORTABLE),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::Neon => super::neon::kernels(),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::NeonDot => super::neon_dot::kernels(),
        #[cfg(all(target_arch = "aarch64", simd))]
        Level::NeonI8mm => super::neon_i8mm::kernels(),
        #[cfg(all(target_arch = "wasm32", simd))]
        Level::Simd128 => Some(super::simd128::kernels()),
        _ => None,
    }
}

/// The tables that this processor can use, from the portable one to the best.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    Level::ALL.into_iter().filter_map(of)
}

/// The kernels that operators call: those that `SYSTOLE_ISA` names, else the best. A name that is
/// unknown or that this processor does not have counts as none; [`requested`] tells.
#[cfg(feature = "std")]
#[inline]
pub fn kernels() -> &'static Kernels {
    static CHOSEN: std::sync::OnceLock<&'static Kernels> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| {
        let named = requested().and_then(|name| of(Level::from_name(&name)?));
        named.or_else(|| available().last()).unwrap_or(&PORTABLE)
    })
}

/// The kernels that operators call: the best that the target is sure to have.
#[cfg(not(feature = "std"))]
#[inline]
pub fn kernels() -> &'static Kernels {
    available().last().unwrap_or(&PORTABLE)
}

/// What `SYSTOLE_ISA` says.
#[cfg(feature = "std")]
pub fn requested() -> Option<std::string::String> {
    std::env::var("SYSTOLE_ISA").ok().filter(|name| !name.is_empty())
}
