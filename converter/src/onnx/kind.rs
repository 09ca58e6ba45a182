//! What tensors hold: a type and how it is quantized; and what operators pass on of that.

use systole_core::DType;

use super::super::{
    error::{Result, bail},
    graph::{Graph, Quantization, Tensor, TensorId},
    ops::{Op, binary::Arithmetic, reduce::Kind as Reduction},
};

/// The type of a tensor and its quantization.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// Element type; uint8 that is quantized is int8 here.
    pub dtype: DType,
    /// Scales and zero points, as they are stored.
    pub quantization: Option<Quantization>,
    /// Whether the tensor is uint8 in the model.
    pub unsigned: bool,
}

impl From<DType> for Kind {
    fn from(dtype: DType) -> Self {
        Self { dtype, quantization: None, unsigned: false }
    }
}

impl Kind {
    /// The kind of a tensor.
    pub fn of(tensor: &Tensor) -> Self {
        let quantization = tensor.quantization.clone();
        Self { dtype: tensor.dtype, quantization, unsigned: tensor.unsigned }
    }

    /// A tensor of this kind.
    pub fn tensor(self, shape: Vec<usize>) -> Tensor {
        let Self { dtype, quantization, unsigned } = self;
        Tensor { quantization, unsigned, ..Tensor::new("", dtype, shape) }
    }
}

/// Whether an operator's output has elements of its inputs, as they are.
fn copies(op: &Op) -> bool {
    match op {
        Op::Reshape(_)
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
        | Op::MaxPool2d(_)
        | Op::ResizeNearestNeighbor(_)
        | Op::Select(_)
        | Op::TopK(_) => true,
        Op::Reduce(reduce) => matches!(reduce.kind, Reduction::Max | Reduction::Min),
        Op::Binary(binary) => {
            matches!(binary.operation, Arithmetic::Maximum | Arithmetic::Minimum)
        }
        _ => false,
    }
}

/// Gives an int8 output that nothing is said of the quantization of its int8 inputs, where the
/// operator copies.
///
/// # Errors
/// `UnsupportedFeature` where inputs are quantized differently, or numbers that were uint8 would be
/// computed with as int8.
pub(super) fn inherited(
    graph: &Graph,
    op: &Op,
    inputs: &[Option<TensorId>],
    kind: &mut Kind,
) -> Result<()> {
    if kind.dtype != DType::I8 || kind.quantization.is_some() || kind.unsigned {
        return Ok(());
    }
    let mut sources =
        inputs.iter().flatten().map(|&id| &graph[id]).filter(|tensor| tensor.dtype == DType::I8);
    let Some(first) = sources.next() else { return Ok(()) };
    if !copies(op) {
        if first.unsigned || sources.any(|source| source.unsigned) {
            bail!(UnsupportedFeature, "{first} is quantized: it has to be dequantized first");
        }
        return Ok(());
    }
    if let Some(other) = sources.find(|other| {
        (&other.quantization, other.unsigned) != (&first.quantization, first.unsigned)
    }) {
        bail!(UnsupportedFeature, "{first} and {other} are quantized differently");
    }
    *kind = Kind::of(first);
    if let (Op::Transpose(transpose), Some(quantization)) = (op, &mut kind.quantization) {
        let moved = transpose.permutation.iter().position(|&from| from == quantization.axis);
        quantization.axis = moved.unwrap_or(0);
    }
    Ok(())
}
