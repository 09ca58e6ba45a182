//! Operators beside the products of matrices, in safe Rust that compilers make vectors of. Each level
//! compiles them for its instructions, which is all that a level has to do about them.
//!
//! A definition is written to be read, and compiled for what every processor of an architecture has.
//! The forms here have blocks of constant length, no branch in inner loops, and as few bits as the
//! numbers need; they are equal to the definitions as all kernels are.

mod elementwise;
mod mean;
mod pool;
mod products;
mod softmax;

use super::Kernels;
// The types of arguments: only functions with features of their own are written out.
#[cfg(target_arch = "x86_64")]
use {
    super::MulI8,
    crate::Mismatch,
    crate::add_float32::AddFloat32,
    crate::average_pool_2d::AveragePool2d,
    crate::broadcast::{Operand, Walk},
    crate::max_pool_2d::MaxPool2d,
    crate::quantize::{Dequantize, Quantize},
    crate::reduce_quantized::SumQuantized,
    crate::requantize::Requantize,
    crate::softmax::SoftmaxI8,
};

/// The kernels of this folder as a table for each list of features, for a level to take over what it
/// has nothing better for.
macro_rules! compiled {
    ($($(#[$attribute:meta])* $table:ident $([$features:literal])? {$($kernels:tt)*})*) => {
        $($(#[$attribute])*
        pub(super) const $table: Kernels = compiled!(@table $([$features])? {$($kernels)*});)*
    };
    (@table {$($name:ident($($argument:ident: $type:ty),*) = $kernel:path;)*}) => {
        Kernels { $($name: $kernel,)* ..Kernels::PORTABLE }
    };
    (@table [$features:literal] {$(
        $name:ident($($argument:ident: $type:ty),*) = $kernel:path;
    )*}) => {{
        $(
            fn $name($($argument: $type),*) -> Result<(), Mismatch> {
                #[target_feature(enable = $features)]
                fn compiled($($argument: $type),*) -> Result<(), Mismatch> {
                    $kernel($($argument),*)
                }
                // SAFETY: the table goes to levels that have seen the instructions, and nothing else
                // leads here.
                unsafe { compiled($($argument),*) }
            }
        )*
        Kernels { $($name,)* ..Kernels::PORTABLE }
    }};
}

/// Hands the list of kernels to a macro.
macro_rules! kernels {
    ($($(#[$attribute:meta])* $table:ident $([$features:literal])?;)*) => {
        compiled! {
            $($(#[$attribute])* $table $([$features])? {
                add_float32(p: &AddFloat32, walk: &Walk<2>, x: [Operand<'_, i8>; 2], y: &mut [i8])
                    = elementwise::add_float32;
                mul_i8(p: &MulI8<'_>, walk: &Walk<2>, x: [Operand<'_, i8>; 2], y: &mut [i8])
                    = elementwise::mul_i8;
                quantize_i8(p: &Quantize, x: &[f32], y: &mut [i8]) = elementwise::quantize_i8;
                dequantize_i8(p: &Dequantize, x: &[i8], y: &mut [f32]) = elementwise::dequantize_i8;
                average_pool_2d_i8(p: &AveragePool2d, x: &[i8], y: &mut [i8]) = pool::average_pool_2d_i8;
                max_pool_2d_i8(p: &MaxPool2d<i8>, x: &[i8], y: &mut [i8]) = pool::max_pool_2d_i8;
                sum_groups_i8(p: &SumQuantized<Requantize<'_>>, x: &[i8], y: &mut [i8])
                    = mean::sum_groups_i8;
                softmax_i8(p: &SoftmaxI8, x: &[i8], y: &mut [i8]) = softmax::softmax_i8;
                dots_i16(x: [&[i16]; 2], w: [&[i8]; 2], sums: &mut [[i32; 2]; 2])
                    = products::dots_i16;
            })*
        }
    };
}

kernels! {
    /// For processors with AVX2.
    #[cfg(target_arch = "x86_64")]
    AVX2 ["avx2"];
    /// For processors with AVX-512 F, BW, DQ, VL, VBMI.
    #[cfg(target_arch = "x86_64")]
    AVX512 ["avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi"];
    /// Where all processors of the target have vectors.
    #[cfg(not(target_arch = "x86_64"))]
    PLAIN;
}
