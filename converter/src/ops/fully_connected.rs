//! FULLY_CONNECTED.

use systole_core::{Opcode, ops::fully_connected::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    weights::{self, Channels, Rules},
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// A matrix product with weights `[out, in]`, and a bias that may be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct FullyConnected {
    /// Whether the output keeps the input's outer dimensions; else it is `[batches, out]`.
    pub keep_dims: bool,
    /// The fused activation.
    pub activation: Activation,
    /// Whether float activations beside int8 weights are quantized with a zero point.
    pub asymmetric: bool,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_fully_connected_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    if options.weights_format() != tflite::FullyConnectedOptionsWeightsFormat::DEFAULT {
        bail!(UnsupportedFeature, "shuffled weights; only the default layout is supported");
    }
    let activation = activation(options.fused_activation_function())?;
    let keep_dims = options.keep_num_dims();
    let asymmetric = options.asymmetric_quantize_inputs();
    importer.add(Op::FullyConnected(FullyConnected { keep_dims, activation, asymmetric }))
}

impl Operator for FullyConnected {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        weights::expect_types(node, true)?;
        let (x, weights) = (node.input(0)?, node.input(1)?);
        let [outputs, inputs] = weights.dims()?;
        if !x.elements().is_multiple_of(inputs) {
            bail!(InvalidShape, "{weights} takes {inputs} values, but {x} has {}", x.elements());
        }
        let shape = match x.shape.split_last() {
            Some((&last, outer)) if self.keep_dims => {
                if last != inputs {
                    bail!(InvalidShape, "{weights} takes {inputs} values, but rows have {last}");
                }
                outer.iter().copied().chain([outputs]).collect()
            }
            _ => vec![x.elements() / inputs, outputs],
        };
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (weights, y) = (node.input(1)?, node.output(0)?);
        let rules = Rules {
            channels: Channels::First,
            fold: true,
            litert_float64: true,
            weights_zero_point: true,
            asymmetric: self.asymmetric,
            as_filters: false,
        };
        let operands = weights::operands(node, lowering, rules)?;
        let (activation_min, activation_max) = self.activation.integer_range(y)?;
        let (real_min, real_max) = self.activation.real_range();
        let params = Params {
            weights_zero_point: operands.weights_zero_point,
            activation_min,
            activation_max,
            real_min,
            real_max,
            asymmetric: self.asymmetric.into(),
        };
        let row = weights.shape[1];
        weights::emit(node, lowering, Opcode::FullyConnected, &params, operands, row)
    }
}
