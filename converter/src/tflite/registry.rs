//! Which function imports which TFLite operator: a row per operator.

use tract_tflite::tflite::{BuiltinOperator, Operator};

use super::Importer;
use crate::{error::Result, ops};

/// Imports one operator: reads its options and adds nodes to the graph.
pub type Import = fn(&mut Importer, &Operator<'_>) -> Result<()>;

macro_rules! registry {
    ($($code:ident => $import:path,)*) => {
        /// The TFLite operators that can be imported.
        pub const SUPPORTED: &[&str] = &[$(stringify!($code),)*];

        /// The import of an operator, `None` where it is not supported.
        pub(super) fn import(code: BuiltinOperator) -> Option<Import> {
            match code {
                $(BuiltinOperator::$code => Some($import),)*
                _ => None,
            }
        }
    };
}

registry! {
    CONV_2D => ops::conv2d::import,
    DEPTHWISE_CONV_2D => ops::depthwise_conv2d::import,
    FULLY_CONNECTED => ops::fully_connected::import,
    TRANSPOSE_CONV => ops::transpose_conv2d::import,
    BATCH_MATMUL => ops::batch_matmul::import,
    AVERAGE_POOL_2D => ops::average_pool_2d::import,
    RESHAPE => ops::reshape::import,
    SOFTMAX => ops::softmax::import,
    MAX_POOL_2D => ops::max_pool_2d::import,
    L2_POOL_2D => ops::l2_pool_2d::import,
    SUM => ops::reduce::import_sum,
    MEAN => ops::reduce::import_mean,
    REDUCE_PROD => ops::reduce::import_prod,
    REDUCE_MAX => ops::reduce::import_max,
    REDUCE_MIN => ops::reduce::import_min,
    REDUCE_ANY => ops::reduce::import_any,
    REDUCE_ALL => ops::reduce::import_all,
    LOG_SOFTMAX => ops::log_softmax::import,
    L2_NORMALIZATION => ops::l2_normalization::import,
    ARG_MAX => ops::arg_max::import_max,
    ARG_MIN => ops::arg_max::import_min,
    TOPK_V2 => ops::top_k::import,
    CUMSUM => ops::cumsum::import,
    RESIZE_BILINEAR => ops::resize_bilinear::import,
    RESIZE_NEAREST_NEIGHBOR => ops::resize_nearest_neighbor::import,
    SQUEEZE => ops::reshape::import,
    EXPAND_DIMS => ops::reshape::import,
    TRANSPOSE => ops::transpose::import,
    STRIDED_SLICE => ops::strided_slice::import,
    SLICE => ops::strided_slice::import_slice,
    REVERSE_V2 => ops::strided_slice::import_reverse,
    SPLIT => ops::split::import,
    SPLIT_V => ops::split::import_v,
    UNPACK => ops::split::import_unpack,
    PAD => ops::pad::import,
    PADV2 => ops::pad::import,
    MIRROR_PAD => ops::mirror_pad::import,
    CONCATENATION => ops::concatenation::import,
    PACK => ops::pack::import,
    GATHER => ops::gather::import,
    GATHER_ND => ops::gather_nd::import,
    TILE => ops::tile::import,
    BROADCAST_TO => ops::tile::import_broadcast_to,
    FILL => ops::tile::import_fill,
    ONE_HOT => ops::one_hot::import,
    SHAPE => ops::shape::import,
    RANK => ops::shape::import_rank,
    RANGE => ops::shape::import_range,
    DEPTH_TO_SPACE => ops::depth_to_space::import,
    SPACE_TO_DEPTH => ops::space_to_depth::import,
    SPACE_TO_BATCH_ND => ops::space_to_batch_nd::import,
    BATCH_TO_SPACE_ND => ops::batch_to_space_nd::import,
}
