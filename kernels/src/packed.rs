//! Weights of four bits: CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED whose int8 weights are
//! multiples of a step that groups of them share.
//!
//! A weight is `step × q` with `q` in `[-8, 7]`, stored as two's complement in half a byte: of a byte
//! the low half comes first. A step is a whole number, so a weight is an int8, and what is computed
//! with it is what the int8 kernels compute; only how it is stored differs. They are unpacked into
//! scratch memory when the kernel begins.

use crate::Mismatch;
use crate::conv2d::{Conv2dI8, Windows, conv2d_i8, conv2d_large_i8, conv2d_pointwise_i8};
use crate::depthwise_conv2d::{
    DepthwiseConv2dI8, depthwise_conv2d_i8, depthwise_conv2d_multiplied_i8,
};
use crate::fully_connected::{FullyConnectedI8, fully_connected_i8, fully_connected_vector_i8};
use crate::requantize::Rescale;

/// Weights in four bits each.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Int4<'a> {
    /// Two weights in a byte, the first in the low half; where their number is odd, the last high
    /// half is not read.
    pub halves: &'a [u8],
    /// What groups of weights are multiplied with. Empty where that is 1.
    pub steps: &'a [i8],
    /// Weights in a row that share a step. Behind the last step the first comes again.
    pub run: usize,
}

impl Int4<'_> {
    /// Writes all weights as int8.
    ///
    /// # Errors
    ///
    /// [`Mismatch`] where there are not half as many bytes as weights, or the weights are no whole
    /// number of runs.
    // One copy for all kernels: it runs once per layer.
    #[inline(never)]
    pub fn unpack(&self, weights: &mut [i8]) -> Result<(), Mismatch> {
        if self.halves.len() != weights.len().div_ceil(2) {
            return Err(Mismatch);
        }
        for (pair, &byte) in weights.chunks_mut(2).zip(self.halves) {
            // Shifted up and down again, a half keeps its sign.
            let halves = [(byte << 4) as i8 >> 4, byte as i8 >> 4];
            for (weight, half) in pair.iter_mut().zip(halves) {
                *weight = half;
            }
        }
        if self.steps.is_empty() {
            return Ok(());
        }
        let runs = weights.chunks_exact_mut(self.run.max(1));
        for (run, &step) in runs.zip(self.steps.iter().cycle()) {
            for weight in run {
                *weight = weight.wrapping_mul(step);
            }
        }
        if weights.len().is_multiple_of(self.run.max(1)) { Ok(()) } else { Err(Mismatch) }
    }
}

/// A layer whose weights are packed.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Packed<'a, K> {
    /// The weights.
    pub weights: Int4<'a>,
    /// All else; its own weights are empty.
    pub layer: K,
}

macro_rules! packed {
    ($($(#[$doc:meta])* $name:ident $layer:ident $kernel:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// `scratch` holds as many int8 as there are weights.
        ///
        /// # Errors
        ///
        /// [`Mismatch`] where a slice does not have the length that the parameters state.
        #[inline(never)]
        pub fn $name<R: Rescale>(
            p: &Packed<'_, $layer<'_, R>>,
            x: &[i8],
            y: &mut [i8],
            scratch: &mut [i8],
        ) -> Result<(), Mismatch> {
            p.weights.unpack(scratch)?;
            $kernel(&$layer { weights: scratch, ..p.layer }, x, y)
        }
    )*};
}

packed! {
    /// [`conv2d_pointwise_i8`] with packed weights.
    conv2d_pointwise_i4 Conv2dI8 conv2d_pointwise_i8;
    /// [`conv2d_i8`] with packed weights, for windows of any size.
    conv2d_i4 Conv2dI8 |p: &Conv2dI8<'_, R>, x, y| match p.windows() {
        Some(Windows::Small) => conv2d_i8(p, x, y),
        _ => conv2d_large_i8(p, x, y),
    };
    /// [`depthwise_conv2d_i8`] with packed weights.
    depthwise_conv2d_i4 DepthwiseConv2dI8 depthwise_conv2d_i8;
    /// [`depthwise_conv2d_multiplied_i8`] with packed weights.
    depthwise_conv2d_multiplied_i4 DepthwiseConv2dI8 depthwise_conv2d_multiplied_i8;
    /// [`fully_connected_i8`] with packed weights.
    fully_connected_i4 FullyConnectedI8 fully_connected_i8;
    /// [`fully_connected_vector_i8`] with packed weights.
    fully_connected_vector_i4 FullyConnectedI8 fully_connected_vector_i8;
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        requantize::{Output, Requantize},
        testing::Values,
    };

    proptest! {
        #[test]
        fn weights_come_back_as_steps_times_halves(
            steps in prop::collection::vec(1_i8..=15, 0..4), run in 1..6_usize, repeats in 1..4_usize,
            seed: u64,
        ) {
            let count = run * steps.len().max(1) * repeats;
            let mut values = Values::new(seed);
            let halves: Vec<i32> = values.i32s(count, -8, 7);
            let bytes: Vec<u8> = halves
                .chunks(2)
                .map(|pair| (pair[0] & 15) as u8 | (pair.get(1).map_or(0, |&q| q & 15) << 4) as u8)
                .collect();
            let packed = Int4 { halves: &bytes, steps: &steps, run };
            let mut weights = vec![0; count];
            packed.unpack(&mut weights).unwrap();
            for (i, (&w, &q)) in weights.iter().zip(&halves).enumerate() {
                let step = if steps.is_empty() { 1 } else { steps[i / run % steps.len()] };
                prop_assert_eq!(i32::from(w), (q * i32::from(step)) as i8 as i32);
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let unpack = |halves: &[u8], steps: &[i8], run, count| {
            Int4 { halves, steps, run }.unpack(&mut vec![0; count])
        };
        assert_eq!(unpack(&[1, 2], &[], 0, 3), Ok(()));
        assert_eq!(unpack(&[1, 2], &[], 0, 5), Err(Mismatch));
        assert_eq!(unpack(&[1, 2], &[3], 0, 4), Ok(()));
        assert_eq!(unpack(&[1, 2], &[3], 3, 4), Err(Mismatch));
    }

    #[test]
    fn a_packed_layer_gives_what_its_int8_weights_give() {
        let layer = FullyConnectedI8 {
            batches: 1,
            inputs: 3,
            outputs: 2,
            weights: &[],
            weights_zero_point: 0,
            bias: &[5, -5],
            requantize: Requantize::Float32(&[0.5]),
            output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
        };
        // 2 × [1, −3, 7] and 5 × [−8, 0, 2].
        let weights = Int4 { halves: &[0xD1, 0x87, 0x20], steps: &[2, 5], run: 3 };
        let plain = FullyConnectedI8 { weights: &[2, -6, 14, -40, 0, 10], ..layer };
        let (mut y, mut expected, mut scratch) = ([0; 2], [0; 2], [0; 6]);
        let x = [3, 4, -5];
        fully_connected_vector_i4(&Packed { weights, layer }, &x, &mut y, &mut scratch).unwrap();
        fully_connected_vector_i8(&plain, &x, &mut expected).unwrap();
        assert_eq!(y, expected);
    }
}
