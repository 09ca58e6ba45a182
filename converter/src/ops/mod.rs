//! Operators: one module each, with its attributes, its import from TFLite, its shape rule and its
//! lowering to records of the file.
//!
//! The list at the end is the registry: a row per operator. `docs/adding-an-operator.md` says how
//! to add one.

mod constant_channels;
mod elementwise;
mod movement;
pub mod pack;
pub mod pool;
pub mod resize;
mod same_scale;
pub mod shape;
pub mod split;
mod tables;
mod weights;
pub mod window;

use crate::{error::Result, graph::NodeView, lower::Lowering};

/// What every operator of the graph can do.
pub trait Operator {
    /// Checks types and attributes and returns the shapes of the outputs.
    ///
    /// # Errors
    /// Says which input does not fit and what would.
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>>;

    /// Writes the records that compute the node.
    ///
    /// # Errors
    /// `InvalidQuantization` and `UnsupportedFeature`.
    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()>;
}

macro_rules! operators {
    ($($variant:ident $module:ident $name:literal,)*) => {
        $(pub mod $module;)*

        /// An operator with its attributes.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Op {
            $(
                #[doc = $name]
                $variant($module::$variant),
            )*
        }

        impl Op {
            /// The operator's name, as TFLite spells it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            fn operator(&self) -> &dyn Operator {
                match self {
                    $(Self::$variant(op) => op,)*
                }
            }
        }
    };
}

impl Operator for Op {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        self.operator().infer(node)
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        self.operator().lower(node, lowering)
    }
}

operators! {
    FullyConnected fully_connected "FULLY_CONNECTED",
    Conv2d conv2d "CONV_2D",
    DepthwiseConv2d depthwise_conv2d "DEPTHWISE_CONV_2D",
    TransposeConv2d transpose_conv2d "TRANSPOSE_CONV",
    BatchMatMul batch_matmul "BATCH_MATMUL",
    AveragePool2d average_pool_2d "AVERAGE_POOL_2D",
    Softmax softmax "SOFTMAX",
    Lstm lstm "UNIDIRECTIONAL_SEQUENCE_LSTM",
    Reshape reshape "RESHAPE",
    MaxPool2d max_pool_2d "MAX_POOL_2D",
    L2Pool2d l2_pool_2d "L2_POOL_2D",
    Reduce reduce "REDUCE",
    LogSoftmax log_softmax "LOG_SOFTMAX",
    L2Normalization l2_normalization "L2_NORMALIZATION",
    ArgMax arg_max "ARG_MAX",
    TopK top_k "TOPK_V2",
    CumSum cumsum "CUMSUM",
    ResizeBilinear resize_bilinear "RESIZE_BILINEAR",
    ResizeNearestNeighbor resize_nearest_neighbor "RESIZE_NEAREST_NEIGHBOR",
    Transpose transpose "TRANSPOSE",
    StridedSlice strided_slice "STRIDED_SLICE",
    Pad pad "PAD",
    MirrorPad mirror_pad "MIRROR_PAD",
    Concatenation concatenation "CONCATENATION",
    Gather gather "GATHER",
    GatherNd gather_nd "GATHER_ND",
    Tile tile "TILE",
    OneHot one_hot "ONE_HOT",
    DepthToSpace depth_to_space "DEPTH_TO_SPACE",
    SpaceToDepth space_to_depth "SPACE_TO_DEPTH",
    SpaceToBatchNd space_to_batch_nd "SPACE_TO_BATCH_ND",
    BatchToSpaceNd batch_to_space_nd "BATCH_TO_SPACE_ND",
    Binary binary "BINARY",
    AddN add_n "ADD_N",
    Compare compare "COMPARE",
    Logical logical "LOGICAL",
    Select select "SELECT_V2",
    Unary unary "UNARY",
    Prelu prelu "PRELU",
    Quantize quantize "QUANTIZE",
    Dequantize dequantize "DEQUANTIZE",
    Cast cast "CAST",
    Lut lut "LUT",
    MatMulInteger matmul_integer "MATMUL_INTEGER",
    ConvInteger conv_integer "CONV_INTEGER",
    DynamicQuantize dynamic_quantize "DYNAMIC_QUANTIZE",
    Delegate delegate "DELEGATE",
}
