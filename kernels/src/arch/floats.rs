//! The kernels for floats of an instruction set: what [`super::tiled_f32`] and
//! [`super::depthwise_f32`] are, compiled for it.

/// Makes a type an instruction set with vectors of f32, and its kernels functions: its name, its
/// vectors from the widest to one f32, how many sums its registers hold, and its features. What the functions are called by has
/// to have seen the features.
macro_rules! float_kernels {
    ($isa:ident: $v:ty, $half:ty, $one:ty, $sums:literal, $features:literal) => {
        impl $crate::arch::tiled_f32::Isa for $isa {
            type V = $v;
            type Half = $half;
            type One = $one;
            const SUMS: usize = $sums;

            #[inline(always)]
            unsafe fn products<
                W: $crate::arch::vector::Weight,
                const R: usize,
                const B: usize,
                const P: usize,
            >(
                rows: $crate::arch::tiled_f32::Rows<'_>,
                blocks: &$crate::arch::tiled_f32::Blocks<'_, W>,
                y: &mut [f32],
            ) {
                #[target_feature(enable = $features)]
                unsafe fn compiled<
                    W: $crate::arch::vector::Weight,
                    const R: usize,
                    const B: usize,
                    const P: usize,
                >(
                    rows: $crate::arch::tiled_f32::Rows<'_>,
                    blocks: &$crate::arch::tiled_f32::Blocks<'_, W>,
                    y: &mut [f32],
                ) {
                    // More than registers hold is never asked for.
                    if R * B * P <= $sums {
                        // SAFETY: as the caller says.
                        unsafe {
                            $crate::arch::tiled_f32::products::<$v, W, R, B, P>(rows, blocks, y)
                        }
                    }
                }
                // SAFETY: as the caller says.
                unsafe { compiled::<W, R, B, P>(rows, blocks, y) }
            }
        }

        $crate::arch::floats::float_kernels! {
            $isa, $features:
            conv2d_tiled_f32 $crate::tiles_f32::TiledF32<'_, f32>,
                $crate::arch::tiled_f32::conv2d_tiled::<$isa, f32>;
            conv2d_tiled_f16 $crate::tiles_f32::TiledF32<'_, u16>,
                $crate::arch::tiled_f32::conv2d_tiled::<$isa, u16>;
            depthwise_conv2d_f32 $crate::depthwise_conv2d::DepthwiseConv2dF32<'_>,
                $crate::arch::depthwise_f32::depthwise_conv2d::<$isa>;
        }
    };
    ($isa:ident, $features:literal: $($name:ident $layer:ty, $kernel:expr;)*) => {$(
        pub(in crate::arch) fn $name(
            p: &$layer,
            x: &[f32],
            y: &mut [f32],
        ) -> Result<(), $crate::Mismatch> {
            #[target_feature(enable = $features)]
            unsafe fn compiled(
                p: &$layer,
                x: &[f32],
                y: &mut [f32],
            ) -> Result<(), $crate::Mismatch> {
                // SAFETY: as the caller says.
                unsafe { $kernel(p, x, y) }
            }
            // SAFETY: the level's table has seen the instructions; nothing else leads here.
            unsafe { compiled(p, x, y) }
        }
    )*};
}

pub(super) use float_kernels;
