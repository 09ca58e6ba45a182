//! FULLY_CONNECTED.

use systole::{DType, Opcode, format::RoundingCode, ops::fully_connected::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    weights::{channel_scales, folded_bias, weights_zero_point},
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    options::Match,
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
    importer.add(Op::FullyConnected(FullyConnected { keep_dims, activation }))
}

impl Operator for FullyConnected {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8])?;
        let weights = node.input(1)?;
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
        let (x, weights, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let zero_point = weights_zero_point(weights)?;
        let values: Vec<i8> = weights.values()?;
        let taps: Vec<Vec<i8>> = values.chunks(weights.shape[1]).map(<[i8]>::to_vec).collect();
        let bias = folded_bias(node, &taps, x.zero_point()?, zero_point)?;
        let (min, max) = self.activation.quantized_range(y)?;
        let rounding = match lowering.matching() {
            // LiteRT 2.3's reference kernel scales in double precision.
            Match::Litert => RoundingCode::Float64,
            Match::Tflm => RoundingCode::Double,
            Match::Native => RoundingCode::Single,
        };
        let mut constants = vec![
            lowering.constant(&weights.shape, &values),
            lowering.constant(&[bias.len()], &bias),
        ];
        constants.extend(lowering.scales(rounding, &channel_scales(x, weights, y, 0)?)?);
        let params = Params {
            weights_zero_point: zero_point as i16,
            activation_min: min,
            activation_max: max,
        };
        lowering.emit_unary(node, Opcode::FullyConnected, rounding, &params, &constants)
    }

    fn macs(&self, node: &NodeView<'_>) -> u64 {
        match (node.input(0), node.input(1)) {
            (Ok(x), Ok(weights)) => x.elements() as u64 * weights.shape[0] as u64,
            _ => 0,
        }
    }
}
