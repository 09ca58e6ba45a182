//! Weights of float16: CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED in f32 whose weights are stored
//! in half the space. They are widened into scratch memory when the kernel begins; every f16 is an
//! f32, so what is computed is what the f32 kernels compute.

use half::f16;

use crate::Mismatch;
use crate::conv2d::{Conv2dF32, conv2d_f32};
use crate::depthwise_conv2d::{DepthwiseConv2dF32, depthwise_conv2d_f32};
use crate::fully_connected::{FullyConnectedF32, fully_connected_f32};

/// A layer whose weights are f16.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Halved<'a, K> {
    /// The bits of the weights.
    pub weights: &'a [u16],
    /// All else; its own weights are empty.
    pub layer: K,
}

/// Writes all weights as f32.
///
/// # Errors
///
/// [`Mismatch`] where the lengths differ.
#[inline(never)]
fn widen(weights: &[u16], scratch: &mut [f32]) -> Result<(), Mismatch> {
    if weights.len() != scratch.len() {
        return Err(Mismatch);
    }
    for (wide, &bits) in scratch.iter_mut().zip(weights) {
        *wide = f16::from_bits(bits).to_f32_const();
    }
    Ok(())
}

macro_rules! halved {
    ($($name:ident $layer:ident $kernel:ident $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// `scratch` holds as many f32 as there are weights.
        ///
        /// # Errors
        ///
        /// [`Mismatch`] where a slice does not have the length that the parameters state.
        #[inline(never)]
        pub fn $name(
            p: &Halved<'_, $layer<'_>>,
            x: &[f32],
            y: &mut [f32],
            scratch: &mut [f32],
        ) -> Result<(), Mismatch> {
            widen(p.weights, scratch)?;
            $kernel(&$layer { weights: scratch, ..p.layer }, x, y)
        }
    )*};
}

halved! {
    conv2d_f16 Conv2dF32 conv2d_f32 "[`conv2d_f32`] with weights of float16.";
    depthwise_conv2d_f16 DepthwiseConv2dF32 depthwise_conv2d_f32
        "[`depthwise_conv2d_f32`] with weights of float16.";
    fully_connected_f16 FullyConnectedF32 fully_connected_f32
        "[`fully_connected_f32`] with weights of float16.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ActivationRange;

    #[test]
    fn halved_weights_give_what_they_are_as_f32() {
        let layer = FullyConnectedF32 {
            batches: 1,
            inputs: 2,
            outputs: 2,
            weights: &[],
            bias: &[0.5, -1.0],
            activation: ActivationRange { min: -10.0, max: 10.0 },
        };
        // 1.5, −0.25, 65504 and the smallest subnormal.
        let p = Halved { weights: &[0x3E00, 0xB400, 0x7BFF, 0x0001], layer };
        let (mut y, mut scratch) = ([0.0; 2], [0.0; 4]);
        fully_connected_f16(&p, &[2.0, 4.0], &mut y, &mut scratch).unwrap();
        assert_eq!(scratch, [1.5, -0.25, 65504.0, 5.960_464_5e-8]);
        assert_eq!(y, [2.5, 10.0]);
        let short = fully_connected_f16(&p, &[2.0, 4.0], &mut y, &mut [0.0; 3]);
        assert_eq!(short, Err(Mismatch));
    }
}
