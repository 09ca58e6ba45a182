//! The graph between import and lowering: operators over tensors with known shape, type and
//! quantization.

use std::{fmt, sync::Arc};

use systole_core::{DType, Element, MAX_RANK};
use zerocopy::IntoBytes;

use crate::{
    error::{Result, Within, bail, error},
    ops::{Op, Operator},
};

/// Index of a tensor in its [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Affine quantization: `real = scale × (q − zero_point)`, per tensor or along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantization {
    /// One scale, or one per index along `axis`.
    pub scales: Vec<f32>,
    /// As many zero points as scales.
    pub zero_points: Vec<i32>,
    /// The axis of per-channel quantization; 0 where there is one scale.
    pub axis: usize,
}

/// A tensor: an activation, or a constant where it has data.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Name in the source model; may be empty.
    pub name: String,
    /// Element type. Quantized uint8 has been rewritten to int8.
    pub dtype: DType,
    /// Dimensions, at most [`MAX_RANK`], none of them 0.
    pub shape: Vec<usize>,
    /// Quantization, where the tensor is quantized.
    pub quantization: Option<Quantization>,
    /// Little-endian elements, row-major, of a constant.
    pub data: Option<Arc<[u8]>>,
    /// Whether the tensor was uint8 before it was rewritten: users still see it so.
    pub unsigned: bool,
    /// Whether the tensor keeps its elements from one run to the next: the state of recurrent layers,
    /// which only the node whose output it is uses. Zero before the first run.
    pub persists: bool,
    /// For int8 weights that are to be stored in four bits.
    pub packing: Option<Packing>,
}

/// How int8 weights fit four bits: each is a step times a number in `[-8, 7]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    /// One step per output channel where those are innermost, as in 1HWC; else one for each of as many
    /// equal parts of the row-major weights as there are steps. Empty where all are 1.
    pub steps: Vec<i8>,
}

impl Tensor {
    /// An activation without quantization.
    pub fn new(name: impl Into<String>, dtype: DType, shape: Vec<usize>) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape,
            quantization: None,
            data: None,
            unsigned: false,
            persists: false,
            packing: None,
        }
    }

    /// A constant without quantization.
    pub fn constant<T: Element>(name: impl Into<String>, shape: Vec<usize>, data: &[T]) -> Self {
        let data = Some(Arc::from(data.as_bytes()));
        Self { data, ..Self::new(name, T::DTYPE, shape) }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        // Where one dimension is 0 the others may be anything.
        self.shape.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.elements().saturating_mul(self.dtype.size())
    }

    /// Whether there is data.
    pub fn is_constant(&self) -> bool {
        self.data.is_some()
    }

    /// The elements of a constant of type `T`.
    ///
    /// # Errors
    /// `UnsupportedFeature` for activations and for other types.
    pub fn values<T: Element>(&self) -> Result<Vec<T>> {
        let Some(data) = &self.data else {
            bail!(UnsupportedFeature, "{self} must be a constant");
        };
        if self.dtype != T::DTYPE {
            bail!(UnsupportedFeature, "{self} must be {}", T::DTYPE);
        }
        let elements = data.chunks_exact(size_of::<T>()).map(|bytes| {
            T::read_from_bytes(bytes).map_err(|_| error!(Corrupt, "{self} has uneven data"))
        });
        elements.collect()
    }

    /// The elements of a constant of any integer type.
    ///
    /// # Errors
    /// `UnsupportedFeature` for activations and floats.
    pub fn integers(&self) -> Result<Vec<i64>> {
        Ok(match self.dtype {
            DType::I32 => self.values::<i32>()?.into_iter().map(i64::from).collect(),
            DType::I64 => self.values::<i64>()?,
            DType::I16 => self.values::<i16>()?.into_iter().map(i64::from).collect(),
            DType::I8 => self.values::<i8>()?.into_iter().map(i64::from).collect(),
            DType::U8 | DType::U32 | DType::U16 | DType::Bool => {
                bail!(UnsupportedFeature, "{self} must be int32 or int64")
            }
            DType::F32 | DType::F16 | DType::F64 => {
                bail!(UnsupportedFeature, "{self} must be an integer constant")
            }
        })
    }

    /// The scale and zero point of a tensor that is quantized as a whole.
    ///
    /// # Errors
    /// `InvalidQuantization` where there are none, or one per channel.
    pub fn scale_and_zero_point(&self) -> Result<(f32, i32)> {
        match &self.quantization {
            Some(Quantization { scales, zero_points, .. }) => match (&scales[..], &zero_points[..])
            {
                (&[scale], &[zero_point]) => Ok((scale, zero_point)),
                _ => bail!(
                    InvalidQuantization,
                    "{self} has {} scales, but one for the whole tensor is needed here",
                    scales.len()
                ),
            },
            None => bail!(InvalidQuantization, "{self} needs a scale and has none"),
        }
    }

    /// As [`Tensor::scale_and_zero_point`], the scale alone.
    ///
    /// # Errors
    /// `InvalidQuantization`.
    pub fn scale(&self) -> Result<f32> {
        Ok(self.scale_and_zero_point()?.0)
    }

    /// As [`Tensor::scale_and_zero_point`], the zero point alone.
    ///
    /// # Errors
    /// `InvalidQuantization`.
    pub fn zero_point(&self) -> Result<i32> {
        Ok(self.scale_and_zero_point()?.1)
    }

    /// The dimensions, exactly `N` of them.
    ///
    /// # Errors
    /// `InvalidShape`.
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        <[usize; N]>::try_from(&self.shape[..])
            .map_err(|_| error!(InvalidShape, "{self} must have {N} dimensions"))
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "(unnamed)" } else { &self.name };
        let dtype = if self.unsigned { DType::U8 } else { self.dtype };
        write!(f, "tensor '{name}' ({dtype} {:?})", self.shape)
    }
}

/// An operator with its operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operator and its attributes.
    pub op: Op,
    /// Inputs; `None` for optional ones that are not given.
    pub inputs: Vec<Option<TensorId>>,
    /// Outputs.
    pub outputs: Vec<TensorId>,
    /// Where the node is from, for messages: "operator 3 (CONV_2D)".
    pub origin: String,
}

/// What a model was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A TFLite flatbuffer.
    #[default]
    Tflite,
    /// ONNX.
    Onnx,
    /// ONNX, of operators between DequantizeLinear and QuantizeLinear. ONNX Runtime on x86-64 makes
    /// what is int8 in such models uint8, which shows where zero points are added before rounding.
    Qdq,
}

/// A network: nodes in an order in which they can be executed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// What it was read from.
    pub format: Format,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All nodes, each after those whose outputs it reads.
    pub nodes: Vec<Node>,
    /// The network's inputs.
    pub inputs: Vec<TensorId>,
    /// The network's outputs.
    pub outputs: Vec<TensorId>,
}

impl std::ops::Index<TensorId> for Graph {
    type Output = Tensor;

    fn index(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }
}

impl std::ops::IndexMut<TensorId> for Graph {
    fn index_mut(&mut self, id: TensorId) -> &mut Tensor {
        &mut self.tensors[id.0]
    }
}

impl Graph {
    /// Adds a tensor.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        TensorId(self.tensors.len() - 1)
    }

    /// Adds a node behind the others, after checking that its outputs have the shapes and types
    /// that follow from its inputs.
    ///
    /// # Errors
    /// Whatever [`Operator::infer`] finds, and `InvalidShape` for outputs that state another shape.
    pub fn add_node(&mut self, node: Node) -> Result<()> {
        self.check(&node)?;
        self.nodes.push(node);
        Ok(())
    }

    /// Checks a node against its operands.
    ///
    /// # Errors
    /// As [`Graph::add_node`].
    pub fn check(&self, node: &Node) -> Result<()> {
        let view = NodeView { graph: self, node };
        let inferred = node.op.infer(&view).within(|| node.origin.clone())?;
        if inferred.len() != node.outputs.len() {
            return Err(error!(
                InvalidGraph,
                "has {} outputs, but the operator gives {}",
                node.outputs.len(),
                inferred.len()
            )
            .within(&node.origin));
        }
        for (&output, shape) in node.outputs.iter().zip(inferred) {
            let tensor = &self[output];
            if tensor.shape != shape {
                return Err(error!(
                    InvalidShape,
                    "output {tensor} states another shape than results from the inputs, {shape:?}"
                )
                .within(&node.origin));
            }
        }
        Ok(())
    }

    /// The nodes that read `tensor`.
    pub fn readers(&self, tensor: TensorId) -> impl Iterator<Item = usize> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(move |(i, node)| node.inputs.contains(&Some(tensor)).then_some(i))
    }

    /// The node that writes `tensor`.
    pub fn writer(&self, tensor: TensorId) -> Option<usize> {
        self.nodes.iter().position(|node| node.outputs.contains(&tensor))
    }

    /// Replaces every read of `from`, by nodes and as an output of the graph, by `to`.
    pub fn replace_uses(&mut self, from: TensorId, to: TensorId) {
        for node in &mut self.nodes {
            for input in &mut node.inputs {
                if *input == Some(from) {
                    *input = Some(to);
                }
            }
        }
        for output in &mut self.outputs {
            if *output == from {
                *output = to;
            }
        }
    }

    /// The view of a node by its index.
    pub fn view(&self, node: usize) -> NodeView<'_> {
        NodeView { graph: self, node: &self.nodes[node] }
    }
}

/// A node with its graph: what operators look at.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'g> {
    /// The graph.
    pub graph: &'g Graph,
    /// The node.
    pub node: &'g Node,
}

impl<'g> NodeView<'g> {
    /// The tensor index of an input that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn input_id(&self, index: usize) -> Result<TensorId> {
        self.node.inputs.get(index).copied().flatten().ok_or_else(|| {
            error!(
                InvalidGraph,
                "input {index} is missing; {} of {} inputs are given",
                self.node.inputs.iter().flatten().count(),
                self.node.inputs.len()
            )
        })
    }

    /// An input that has to be there.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn input(&self, index: usize) -> Result<&'g Tensor> {
        self.input_id(index).map(|id| &self.graph[id])
    }

    /// An input that may be left out.
    pub fn optional_input(&self, index: usize) -> Option<&'g Tensor> {
        self.node.inputs.get(index).copied().flatten().map(|id| &self.graph[id])
    }

    /// An output.
    ///
    /// # Errors
    /// `InvalidGraph`.
    pub fn output(&self, index: usize) -> Result<&'g Tensor> {
        let id = self.node.outputs.get(index);
        id.map(|&id| &self.graph[id])
            .ok_or_else(|| error!(InvalidGraph, "output {index} is missing"))
    }

    /// Fails unless the first input is of one of `types`.
    ///
    /// # Errors
    /// `UnsupportedFeature`, naming the types.
    pub fn expect_types(&self, index: usize, types: &[DType]) -> Result<&'g Tensor> {
        let tensor = self.input(index)?;
        if types.contains(&tensor.dtype) {
            return Ok(tensor);
        }
        let names: Vec<_> = types.iter().map(|dtype| dtype.name()).collect();
        bail!(UnsupportedFeature, "{tensor} is not of a type supported here: {}", names.join(", "))
    }
}

/// Checks dimensions: at most [`MAX_RANK`], none 0, and no more than 2³¹ − 1 bytes.
///
/// # Errors
/// `UnsupportedFeature`, `InvalidShape`, `TooLarge`.
pub fn check_shape(shape: &[usize], dtype: DType) -> Result<()> {
    if shape.len() > MAX_RANK {
        bail!(UnsupportedFeature, "{} dimensions; at most {MAX_RANK} are supported", shape.len());
    }
    if shape.contains(&0) {
        bail!(InvalidShape, "shape {shape:?} has a dimension of 0");
    }
    let bytes = shape.iter().try_fold(dtype.size(), |product, &dim| product.checked_mul(dim));
    if bytes.is_none_or(|bytes| bytes > i32::MAX as usize) {
        bail!(TooLarge, "shape {shape:?} of {dtype} takes more than 2 GiB");
    }
    Ok(())
}
