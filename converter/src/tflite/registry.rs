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
    UNIDIRECTIONAL_SEQUENCE_LSTM => ops::lstm::import,
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
    SQUEEZE => ops::reshape::import_squeeze,
    EXPAND_DIMS => ops::reshape::import_expand_dims,
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
    ADD => ops::binary::import_add,
    SUB => ops::binary::import_sub,
    MUL => ops::binary::import_mul,
    DIV => ops::binary::import_div,
    SQUARED_DIFFERENCE => ops::binary::import_squared_difference,
    FLOOR_DIV => ops::binary::import_floor_div,
    FLOOR_MOD => ops::binary::import_floor_mod,
    POW => ops::binary::import_pow,
    MAXIMUM => ops::binary::import_maximum,
    MINIMUM => ops::binary::import_minimum,
    ADD_N => ops::add_n::import,
    EQUAL => ops::compare::import_equal,
    NOT_EQUAL => ops::compare::import_not_equal,
    LESS => ops::compare::import_less,
    LESS_EQUAL => ops::compare::import_less_equal,
    GREATER => ops::compare::import_greater,
    GREATER_EQUAL => ops::compare::import_greater_equal,
    LOGICAL_AND => ops::logical::import_and,
    LOGICAL_OR => ops::logical::import_or,
    LOGICAL_NOT => ops::logical::import_not,
    SELECT => ops::select::import,
    SELECT_V2 => ops::select::import_v2,
    NEG => ops::unary::import_neg,
    ABS => ops::unary::import_abs,
    SIGN => ops::unary::import_sign,
    RELU => ops::unary::import_relu,
    RELU6 => ops::unary::import_relu6,
    RELU_N1_TO_1 => ops::unary::import_relu_n1_to_1,
    RELU_0_TO_1 => ops::unary::import_relu_0_to_1,
    LEAKY_RELU => ops::unary::import_leaky_relu,
    PRELU => ops::prelu::import,
    LOGISTIC => ops::unary::import_logistic,
    TANH => ops::unary::import_tanh,
    ELU => ops::unary::import_elu,
    GELU => ops::unary::import_gelu,
    HARD_SWISH => ops::unary::import_hard_swish,
    EXP => ops::unary::import_exp,
    LOG => ops::unary::import_log,
    SQRT => ops::unary::import_sqrt,
    RSQRT => ops::unary::import_rsqrt,
    SIN => ops::unary::import_sin,
    COS => ops::unary::import_cos,
    SQUARE => ops::unary::import_square,
    FLOOR => ops::unary::import_floor,
    CEIL => ops::unary::import_ceil,
    ROUND => ops::unary::import_round,
    CAST => ops::cast::import,
    QUANTIZE => ops::quantize::import,
    DEQUANTIZE => ops::dequantize::import,
}
