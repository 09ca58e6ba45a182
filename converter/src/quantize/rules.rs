//! How each operator is quantized: TFLite's quantization specification, and which operators have
//! integer kernels at all.
//!
//! Source: "TensorFlow Lite 8-bit quantization specification"; for 16x8 the operators that this
//! runtime computes in int16.

use systole_core::{DType, ops::reduce::Kind};

use super::recipe::Precision;
use crate::{
    graph::{Graph, Node, TensorId},
    ops::{Op, binary::Arithmetic, unary::Unary},
};

/// What the specification asks of an operator's operands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Constant weights, symmetric, and a bias of the sums' scale; the output has a range of its
    /// own.
    Weights,
    /// The output has a range of its own.
    Own,
    /// All inputs and outputs have one range: stored values are moved or compared.
    Shared,
    /// The output's scale and zero point are fixed.
    Fixed {
        /// The output's scale.
        scale: f32,
        /// The output's zero point.
        zero_point: i32,
    },
    /// No integer kernel, or none that is precise enough: stays float.
    Float,
}

/// The rule for `op` in `precision`.
pub fn rule(op: &Op, precision: Precision) -> Rule {
    match precision {
        Precision::Int8 => int8(op),
        Precision::Int16 => int16(op),
        Precision::Float => Rule::Float,
    }
}

fn int8(op: &Op) -> Rule {
    let fixed = |scale, zero_point| Rule::Fixed { scale, zero_point };
    match op {
        Op::Softmax(_) | Op::Unary(Unary::Logistic) => fixed(1.0 / 256.0, -128),
        Op::Unary(Unary::Tanh) | Op::L2Normalization(_) => fixed(1.0 / 128.0, 0),
        Op::LogSoftmax(_) => fixed(1.0 / 16.0, 127),
        Op::Compare(_) => Rule::Own,
        _ => either(op),
    }
}

fn int16(op: &Op) -> Rule {
    let fixed = Rule::Fixed { scale: 1.0 / 32768.0, zero_point: 0 };
    match op {
        Op::Softmax(_) | Op::Unary(Unary::Logistic | Unary::Tanh) => fixed,
        // These have kernels for int8 and float32 alone.
        Op::LogSoftmax(_) | Op::L2Normalization(_) | Op::CumSum(_) => Rule::Float,
        _ => either(op),
    }
}

/// The rule of operators for which int8 and int16 do not differ.
fn either(op: &Op) -> Rule {
    match op {
        Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::TransposeConv2d(_) | Op::FullyConnected(_) => {
            Rule::Weights
        }
        Op::BatchMatMul(_) | Op::Prelu(_) | Op::CumSum(_) | Op::ArgMax(_) => Rule::Own,
        Op::Binary(binary) => match binary.operation {
            Arithmetic::Add | Arithmetic::Sub | Arithmetic::Mul | Arithmetic::SquaredDifference => {
                Rule::Own
            }
            Arithmetic::Maximum | Arithmetic::Minimum => Rule::Shared,
            // A quotient by a number that 8 bits round to zero has no bound.
            Arithmetic::Div | Arithmetic::FloorDiv | Arithmetic::FloorMod | Arithmetic::Pow => {
                Rule::Float
            }
        },
        // Steep near zero, steep for large arguments, steps, or periods: what 8 bits cannot tell apart
        // makes a difference.
        Op::Unary(
            Unary::Rsqrt
            | Unary::Log
            | Unary::Exp
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Sin
            | Unary::Cos,
        ) => Rule::Float,
        Op::Unary(_) => Rule::Own,
        Op::Reduce(reduce) => match reduce.kind {
            Kind::Sum | Kind::Mean => Rule::Own,
            Kind::Max | Kind::Min => Rule::Shared,
            Kind::Prod | Kind::Any | Kind::All => Rule::Float,
        },
        Op::Reshape(_)
        | Op::AveragePool2d(_)
        | Op::MaxPool2d(_)
        | Op::Transpose(_)
        | Op::StridedSlice(_)
        | Op::Pad(_)
        | Op::MirrorPad(_)
        | Op::Concatenation(_)
        | Op::Gather(_)
        | Op::GatherNd(_)
        | Op::Tile(_)
        | Op::DepthToSpace(_)
        | Op::SpaceToDepth(_)
        | Op::SpaceToBatchNd(_)
        | Op::BatchToSpaceNd(_)
        | Op::ResizeBilinear(_)
        | Op::ResizeNearestNeighbor(_)
        | Op::Select(_)
        | Op::TopK(_) => Rule::Shared,
        _ => Rule::Float,
    }
}

/// The operands of a node that are real numbers: float32 in the float graph.
pub fn real_inputs<'g>(graph: &'g Graph, node: &'g Node) -> impl Iterator<Item = TensorId> + 'g {
    node.inputs.iter().flatten().copied().filter(|&id| graph[id].dtype == DType::F32)
}

/// The results of a node that are real numbers.
pub fn real_outputs<'g>(graph: &'g Graph, node: &'g Node) -> impl Iterator<Item = TensorId> + 'g {
    node.outputs.iter().copied().filter(|&id| graph[id].dtype == DType::F32)
}
