//! A TFLite model as the rules look at it, every index checked.

use flatbuffers::{ForwardsUOffset, Vector};
use tract_tflite::tflite::{self, BuiltinOperator, TensorType};

use crate::error::{Result, error};

/// A model's first subgraph.
pub(super) struct View<'m> {
    model: &'m tflite::Model<'m>,
    tensors: Vector<'m, ForwardsUOffset<tflite::Tensor<'m>>>,
    pub(super) operators: Vector<'m, ForwardsUOffset<tflite::Operator<'m>>>,
}

/// An operator with its tensors.
pub(super) struct OperatorView<'m> {
    pub(super) code: BuiltinOperator,
    pub(super) name: String,
    pub(super) options: tflite::Operator<'m>,
    /// `None` for those not given.
    pub(super) inputs: Vec<Option<TensorView<'m>>>,
    pub(super) outputs: Vec<TensorView<'m>>,
}

/// A tensor.
#[derive(Clone)]
pub(super) struct TensorView<'m> {
    pub(super) tensor: tflite::Tensor<'m>,
    pub(super) shape: Vec<i32>,
    /// The bytes of a constant.
    pub(super) data: Option<&'m [u8]>,
}

impl<'m> View<'m> {
    pub(super) fn new(model: &'m tflite::Model<'m>) -> Result<Self> {
        let subgraph = model.subgraphs().unwrap_or_default().iter().next();
        let subgraph = subgraph.ok_or_else(|| error!(InvalidGraph, "the model has no subgraph"))?;
        let (tensors, operators) = (subgraph.tensors(), subgraph.operators());
        Ok(Self {
            model,
            tensors: tensors.unwrap_or_default(),
            operators: operators.unwrap_or_default(),
        })
    }

    pub(super) fn operator(&self, index: usize) -> Result<OperatorView<'m>> {
        let options = self.operators.get(index);
        let codes = self.model.operator_codes().unwrap_or_default();
        let at = options.opcode_index() as usize;
        if at >= codes.len() {
            return Err(error!(InvalidGraph, "operator {index} has the code {at}"));
        }
        let code = codes.get(at);
        let number = code.builtin_code().0.max(code.deprecated_builtin_code().into());
        let name = match code.custom_code() {
            Some(name) => name.to_owned(),
            None => BuiltinOperator(number)
                .variant_name()
                .map_or_else(|| format!("operator {number}"), str::to_owned),
        };
        let inputs = options.inputs().unwrap_or_default();
        let inputs = inputs.iter().map(|input| match input {
            -1 => Ok(None),
            input => self.tensor(index, input).map(Some),
        });
        let outputs = options.outputs().unwrap_or_default();
        let outputs = outputs.iter().map(|output| self.tensor(index, output));
        Ok(OperatorView {
            code: BuiltinOperator(number),
            name,
            options,
            inputs: inputs.collect::<Result<_>>()?,
            outputs: outputs.collect::<Result<_>>()?,
        })
    }

    fn tensor(&self, operator: usize, index: i32) -> Result<TensorView<'m>> {
        let at = usize::try_from(index).ok().filter(|&at| at < self.tensors.len());
        let at = at.ok_or_else(|| {
            error!(InvalidGraph, "operator {operator} names tensor {index}, which is not there")
        })?;
        let tensor = self.tensors.get(at);
        let buffers = self.model.buffers().unwrap_or_default();
        let buffer = tensor.buffer() as usize;
        let data = if buffer < buffers.len() { buffers.get(buffer).data() } else { None };
        let data = data.map(|data| data.bytes()).filter(|data| !data.is_empty());
        let shape = tensor.shape().unwrap_or_default().iter().collect();
        Ok(TensorView { tensor, shape, data })
    }
}

impl<'m> OperatorView<'m> {
    pub(super) fn output_name(&self) -> String {
        let name = self.outputs.first().map(TensorView::name);
        name.unwrap_or_default().to_owned()
    }

    /// An input that is given.
    pub(super) fn input(&self, index: usize) -> Option<&TensorView<'m>> {
        self.inputs.get(index)?.as_ref()
    }

    /// Inputs that are results of other operators or of the model's caller.
    pub(super) fn activations(&self) -> impl Iterator<Item = &TensorView<'m>> {
        self.inputs.iter().flatten().filter(|tensor| tensor.data.is_none())
    }
}

impl TensorView<'_> {
    pub(super) fn name(&self) -> &str {
        self.tensor.name().unwrap_or_default()
    }

    pub(super) fn kind(&self) -> TensorType {
        self.tensor.type_()
    }

    /// The type's name, as NumPy spells it.
    pub(super) fn kind_name(&self) -> String {
        let name = self.kind().variant_name();
        name.map_or_else(|| format!("type {}", self.kind().0), str::to_lowercase)
    }

    /// How many scales it has.
    pub(super) fn scales(&self) -> usize {
        let quantization = self.tensor.quantization();
        quantization.and_then(|stated| stated.scale()).map_or(0, |scale| scale.len())
    }

    /// The elements of a constant of int32 or int64; those of int64 that do not fit are the nearest that do.
    pub(super) fn integers(&self) -> Option<Vec<i32>> {
        let data = self.data?;
        match self.kind() {
            TensorType::INT32 => {
                Some(data.as_chunks::<4>().0.iter().map(|&four| i32::from_le_bytes(four)).collect())
            }
            TensorType::INT64 => {
                let nearest = |eight| {
                    let number = i64::from_le_bytes(eight);
                    i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX })
                };
                Some(data.as_chunks::<8>().0.iter().map(|&eight| nearest(eight)).collect())
            }
            _ => None,
        }
    }
}
