//! Which function imports which ONNX operator: a row per operator.

use std::collections::HashSet;

use tract_onnx::pb::ModelProto;

use super::{
    importer::{Importer, NodeOf},
    ops::{
        activation, arithmetic, comparison, constant, convolution, gather, integer, matrix,
        normalization, pad, pooling, qlinear, quantized, rearrange, reduction, resize, selection,
        shape, slice, softmax, unary,
    },
    order::origin,
    value::Value,
};
use crate::error::{Error, Result, error};

/// Imports one node: adds operators to the graph and returns the values of its outputs.
pub(super) type Import = fn(&mut Importer, &NodeOf<'_>) -> Result<Vec<Value>>;

macro_rules! registry {
    ($($name:literal => $import:path,)*) => {
        /// The ONNX operators that can be imported.
        pub const SUPPORTED: &[&str] = &["Constant", $($name,)*];

        /// The import of an operator, `None` where it is not supported.
        pub(super) fn import(domain: &str, name: &str) -> Option<Import> {
            match (domain, name) {
                $(("" | "ai.onnx", $name) => Some($import),)*
                (MICROSOFT, name) => contributed(name),
                _ => None,
            }
        }
    };
}

registry! {
    "Abs" => unary::abs,
    "Add" => arithmetic::add,
    "And" => comparison::and,
    "ArgMax" => selection::arg_max,
    "ArgMin" => selection::arg_min,
    "AveragePool" => pooling::average,
    "BatchNormalization" => normalization::batch,
    "Cast" => unary::cast,
    "CastLike" => unary::cast_like,
    "Ceil" => unary::ceil,
    "Celu" => activation::celu,
    "Clip" => arithmetic::clip,
    "Concat" => slice::concat,
    "ConstantOfShape" => constant::of_shape,
    "Conv" => convolution::conv,
    "ConvInteger" => integer::conv,
    "ConvTranspose" => convolution::conv_transpose,
    "Cos" => unary::cos,
    "CumSum" => selection::cum_sum,
    "DepthToSpace" => rearrange::depth_to_space,
    "DequantizeLinear" => quantized::dequantize,
    "Div" => arithmetic::div,
    "Dropout" => unary::identity,
    "DynamicQuantizeLinear" => quantized::dynamic,
    "Einsum" => matrix::einsum,
    "Elu" => activation::elu,
    "Equal" => comparison::equal,
    "Erf" => unary::erf,
    "Exp" => unary::exp,
    "Expand" => shape::expand,
    "Flatten" => rearrange::flatten,
    "Floor" => unary::floor,
    "Gather" => gather::gather,
    "GatherElements" => gather::gather_elements,
    "GatherND" => gather::gather_nd,
    "Gelu" => activation::gelu,
    "Gemm" => matrix::gemm,
    "GlobalAveragePool" => pooling::global_average,
    "GlobalMaxPool" => pooling::global_max,
    "Greater" => comparison::greater,
    "GreaterOrEqual" => comparison::greater_or_equal,
    "GroupNormalization" => normalization::group,
    "HardSigmoid" => activation::hard_sigmoid,
    "HardSwish" => unary::hard_swish,
    "Identity" => unary::identity,
    "InstanceNormalization" => normalization::instance,
    "LayerNormalization" => normalization::layer,
    "LeakyRelu" => activation::leaky_relu,
    "Less" => comparison::less,
    "LessOrEqual" => comparison::less_or_equal,
    "Log" => unary::log,
    "LogSoftmax" => softmax::log_softmax,
    "LpNormalization" => normalization::lp,
    "LpPool" => pooling::lp,
    "LRN" => pooling::local_response,
    "MatMul" => matrix::matmul,
    "MatMulInteger" => integer::matmul,
    "Max" => arithmetic::max,
    "MaxPool" => pooling::max,
    "Mean" => arithmetic::mean,
    "MeanVarianceNormalization" => normalization::mean_variance,
    "Min" => arithmetic::min,
    "Mish" => activation::mish,
    "Mod" => arithmetic::modulo,
    "Mul" => arithmetic::mul,
    "Neg" => unary::neg,
    "Not" => comparison::not,
    "OneHot" => selection::one_hot,
    "Or" => comparison::or,
    "PRelu" => activation::prelu,
    "Pad" => pad::pad,
    "Pow" => arithmetic::pow,
    "QLinearConv" => qlinear::conv,
    "QLinearMatMul" => qlinear::matmul,
    "QuantizeLinear" => quantized::quantize,
    "RMSNormalization" => normalization::rms,
    "Range" => constant::range,
    "Reciprocal" => unary::reciprocal,
    "ReduceL1" => reduction::l1,
    "ReduceL2" => reduction::l2,
    "ReduceLogSum" => reduction::log_sum,
    "ReduceLogSumExp" => reduction::log_sum_exp,
    "ReduceMax" => reduction::max,
    "ReduceMean" => reduction::mean,
    "ReduceMin" => reduction::min,
    "ReduceProd" => reduction::prod,
    "ReduceSum" => reduction::sum,
    "ReduceSumSquare" => reduction::sum_square,
    "Relu" => unary::relu,
    "Reshape" => rearrange::reshape,
    "Resize" => resize::resize,
    "Round" => unary::round,
    "ScatterElements" => gather::scatter_elements,
    "Scatter" => gather::scatter_elements,
    "ScatterND" => gather::scatter_nd,
    "Selu" => activation::selu,
    "Shape" => shape::shape,
    "Shrink" => activation::shrink,
    "Sigmoid" => unary::sigmoid,
    "Sign" => unary::sign,
    "Sin" => unary::sin,
    "Size" => shape::elements,
    "Slice" => slice::slice,
    "Softmax" => softmax::softmax,
    "Softplus" => activation::softplus,
    "Softsign" => activation::softsign,
    "SpaceToDepth" => rearrange::space_to_depth,
    "Split" => slice::split,
    "Sqrt" => unary::sqrt,
    "Squeeze" => rearrange::squeeze,
    "Sub" => arithmetic::sub,
    "Sum" => arithmetic::sum,
    "Swish" => activation::swish,
    "Tanh" => unary::tanh,
    "ThresholdedRelu" => activation::thresholded_relu,
    "Tile" => shape::tile,
    "TopK" => selection::top_k,
    "Transpose" => rearrange::transpose,
    "Trilu" => gather::trilu,
    "Unsqueeze" => rearrange::unsqueeze,
    "Upsample" => resize::upsample,
    "Where" => comparison::select,
    "Xor" => comparison::xor,
}

/// The domain of ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// The domain of what `qdq.rs` makes, which no file may use.
pub(super) const FUSED: &str = "systole.fused";

/// ONNX Runtime's own operators that can be imported.
pub const CONTRIBUTED: &[&str] = &[
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
];

/// The import of one of them.
fn contributed(name: &str) -> Option<Import> {
    Some(match name {
        "DequantizeLinear" => quantized::dequantize,
        "DynamicQuantizeMatMul" => integer::dynamic_matmul,
        "MatMulIntegerToFloat" => integer::matmul_to_float,
        "QGemm" => qlinear::gemm,
        "QLinearAdd" => qlinear::add,
        "QLinearAveragePool" => qlinear::average_pool,
        "QLinearConcat" => qlinear::concat,
        "QLinearGlobalAveragePool" => qlinear::global_average_pool,
        "QLinearLeakyRelu" => qlinear::leaky_relu,
        "QLinearMul" => qlinear::mul,
        "QLinearSigmoid" => qlinear::sigmoid,
        "QLinearSoftmax" => qlinear::softmax,
        "QuantizeLinear" => quantized::quantize,
        _ => return None,
    })
}

/// As [`import`], for nodes that `qdq.rs` has made, too.
pub(super) fn import_fused(domain: &str, name: &str) -> Option<Import> {
    match domain {
        FUSED if name == "Label" => Some(qlinear::label),
        FUSED => Some(qlinear::fused_function),
        _ => import(domain, name),
    }
}

/// The nodes of a model that cannot be imported, each operator once.
pub(super) fn unsupported(model: &ModelProto) -> Vec<Error> {
    let mut named: HashSet<(&str, &str)> = HashSet::new();
    let mut problems = Vec::new();
    let nodes = model.graph.iter().flat_map(|graph| &graph.node).enumerate();
    for (index, node) in nodes {
        let key = (&*node.domain, &*node.op_type);
        let known = import(&node.domain, &node.op_type).is_some() || node.op_type == "Constant";
        if known || !named.insert(key) {
            continue;
        }
        let domain = match &*node.domain {
            "" | "ai.onnx" => String::new(),
            domain => format!(" (of domain {domain})"),
        };
        problems.push(
            error!(UnsupportedOperator, "operator {} is not supported{domain}", node.op_type)
                .within(origin(index, node)),
        );
    }
    problems
}
