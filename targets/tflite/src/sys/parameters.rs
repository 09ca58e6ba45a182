//! The parameters of builtin operators: what `builtin_data` of a node points at.
//!
//! These are the layouts of `tensorflow/lite/core/c/builtin_op_data.h`, which only ever grow at the
//! end. Fields that hosts before TFLite 2.6 lack are marked with the version of the operator from
//! which on they are there: a node of an earlier version may lie in an older host's structure.

use std::ffi::c_int;

/// A type of `TfLite…Params`: plain numbers and truth values.
///
/// # Safety
/// The layout is that of TFLite's structure of that name.
pub unsafe trait Parameters: Copy {}

macro_rules! parameters {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* }
    )*) => {$(
        $(#[$about])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            $($(#[$field_about])* pub $field: $kind,)*
        }

        // SAFETY: the fields are those of the header, in its order and with its types.
        unsafe impl Parameters for $name {}
    )*};
}

/// `TfLitePadding`.
pub type Padding = c_int;
/// The output is as large as the input over the stride, rounded up.
pub const PADDING_SAME: Padding = 1;
/// The window stays inside of the input.
pub const PADDING_VALID: Padding = 2;

/// `TfLiteFusedActivation`, whose numbers are those of the file's schema.
pub type Activation = c_int;

parameters! {
    /// `TfLiteConvParams` of CONV_2D.
    Conv {
        /// How the input is padded.
        padding: Padding,
        /// Step along the width.
        stride_width: c_int,
        /// Step along the height.
        stride_height: c_int,
        /// Fused activation.
        activation: Activation,
        /// Distance of weights along the width.
        dilation_width: c_int,
        /// Distance of weights along the height.
        dilation_height: c_int,
    }

    /// `TfLiteDepthwiseConvParams` of DEPTHWISE_CONV_2D.
    DepthwiseConv {
        /// How the input is padded.
        padding: Padding,
        /// Step along the width.
        stride_width: c_int,
        /// Step along the height.
        stride_height: c_int,
        /// Output channels per input channel; follows from the shapes, too.
        depth_multiplier: c_int,
        /// Fused activation.
        activation: Activation,
        /// Distance of weights along the width.
        dilation_width: c_int,
        /// Distance of weights along the height.
        dilation_height: c_int,
    }

    /// `TfLitePoolParams` of AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D.
    Pool {
        /// How the input is padded.
        padding: Padding,
        /// Step along the width.
        stride_width: c_int,
        /// Step along the height.
        stride_height: c_int,
        /// Width of the window.
        filter_width: c_int,
        /// Height of the window.
        filter_height: c_int,
        /// Fused activation.
        activation: Activation,
    }

    /// `TfLiteFullyConnectedParams`.
    FullyConnected {
        /// Fused activation.
        activation: Activation,
        /// 0: rows as they are, 1: shuffled.
        weights_format: c_int,
        /// Whether the output has the input's outer dimensions.
        keep_num_dims: bool,
        /// Whether float inputs of int8 weights are quantized with a zero point.
        asymmetric_quantize_inputs: bool,
    }

    /// `TfLiteSoftmaxParams`.
    Softmax {
        /// Factor of the inputs.
        beta: f32,
    }

    /// `TfLiteConcatenationParams`.
    Concatenation {
        /// The axis along which inputs follow each other.
        axis: c_int,
        /// Fused activation.
        activation: Activation,
    }

    /// `TfLiteAddParams` and `TfLiteSubParams`.
    Add {
        /// Fused activation.
        activation: Activation,
        /// Whether int16 scales that are powers of two are applied as shifts.
        pot_scale_int16: bool,
    }

    /// `TfLiteMulParams`, `TfLiteDivParams` and `TfLiteL2NormParams`.
    Activated {
        /// Fused activation.
        activation: Activation,
    }

    /// `TfLiteBatchMatMulParams`.
    BatchMatMul {
        /// Whether the first matrix is transposed.
        adj_x: bool,
        /// Whether the second matrix is transposed.
        adj_y: bool,
        /// Whether float inputs of int8 weights are quantized with a zero point.
        asymmetric_quantize_inputs: bool,
    }

    /// `TfLiteResizeBilinearParams` and `TfLiteResizeNearestNeighborParams`.
    Resize {
        /// Whether the corner pixels of input and output are at the same place.
        align_corners: bool,
        /// Whether a pixel's place is its centre.
        half_pixel_centers: bool,
    }

    /// `TfLiteSpaceToDepthParams` and `TfLiteDepthToSpaceParams`.
    Block {
        /// Side of a block.
        block_size: c_int,
    }

    /// `TfLiteGatherParams`.
    Gather {
        /// The axis along which entries are taken.
        axis: c_int,
        /// How many leading axes both inputs share.
        batch_dims: c_int,
    }

    /// `TfLiteReducerParams`.
    Reducer {
        /// Whether reduced axes stay, with extent 1.
        keep_dims: bool,
    }

    /// `TfLiteStridedSliceParams`.
    StridedSlice {
        /// Axes whose beginning is ignored, a bit each.
        begin_mask: c_int,
        /// Axes whose end is ignored.
        end_mask: c_int,
        /// Where axes are left out.
        ellipsis_mask: c_int,
        /// New axes.
        new_axis_mask: c_int,
        /// Axes that are removed.
        shrink_axis_mask: c_int,
    }

    /// `TfLiteStridedSliceParams` of version 8 and later.
    StridedSliceFrom8 {
        /// What earlier versions have.
        common: StridedSlice,
        /// Whether ends are counted from the beginnings.
        offset: bool,
    }

    /// `TfLiteTransposeConvParams`.
    TransposeConv {
        /// How the output is padded.
        padding: Padding,
        /// Step along the width.
        stride_width: c_int,
        /// Step along the height.
        stride_height: c_int,
    }

    /// `TfLiteTransposeConvParams` of version 4 and later.
    TransposeConvFrom4 {
        /// What earlier versions have.
        common: TransposeConv,
        /// Fused activation.
        activation: Activation,
    }

    /// `TfLitePackParams` and `TfLiteUnpackParams`.
    Pack {
        /// How many tensors there are.
        count: c_int,
        /// The axis that they lie along.
        axis: c_int,
    }

    /// `TfLiteOneHotParams`.
    OneHot {
        /// The new axis.
        axis: c_int,
    }

    /// `TfLiteSqueezeParams`.
    Squeeze {
        /// Axes that are removed.
        axes: [i32; 8],
        /// How many of them are stated; none: all of extent 1.
        count: c_int,
    }

    /// `TfLiteReshapeParams`: the shape where it is no input.
    Reshape {
        /// Dimensions.
        shape: [i32; 8],
        /// How many of them are stated.
        count: c_int,
    }

    /// `TfLiteLeakyReluParams`.
    LeakyRelu {
        /// Slope below 0.
        alpha: f32,
    }

    /// `TfLiteCumsumParams`.
    Cumsum {
        /// Whether an element is left out of its own sum.
        exclusive: bool,
        /// Whether it is summed from the end.
        reverse: bool,
    }

    /// `TfLiteGeluParams`.
    Gelu {
        /// Whether it is computed by tanh.
        approximate: bool,
    }

    /// `TfLiteMirrorPaddingParams`.
    MirrorPadding {
        /// 1: without the border, 2: with it.
        mode: c_int,
    }
}
