//! ADD_N: the sum of any number of tensors.

use systole_core::{
    DType, Opcode,
    ops::add_n::{MAX_INPUTS, Params},
};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    binary::{Arithmetic, Binary},
    elementwise::expect_output,
};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::Lowering,
    scale::{Activation, FixedScale},
    tflite::Importer,
};

/// Bits by which operands are shifted to the left before they are scaled.
const LEFT_SHIFT: u8 = 20;

/// The sum of quantized tensors of one shape, scale and zero point.
#[derive(Debug, Clone, PartialEq)]
pub struct AddN;

/// Reads ADD_N from TFLite: numbers that are not quantized become a chain of sums.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (first, y) = (importer.input(0)?, importer.output(0)?);
    if first.dtype == DType::I8 {
        return importer.add(Op::AddN(AddN));
    }
    let (dtype, shape) = (y.dtype, y.shape.clone());
    let inputs = importer.inputs().to_vec();
    let Some((&last, rest)) = inputs.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        bail!(InvalidGraph, "has {} inputs, but needs at least two", inputs.len());
    };
    let sum = || {
        let activation = Activation::None;
        Op::Binary(Binary { operation: Arithmetic::Add, activation, power_of_two: false })
    };
    let mut acc = rest[0];
    for &term in &rest[1..] {
        let partial = importer.add_tensor(Tensor::new("", dtype, shape.clone()));
        importer.add_node(sum(), vec![acc, term], vec![partial])?;
        acc = Some(partial);
    }
    importer.add_node(sum(), vec![acc, last], importer.outputs().to_vec())
}

impl Operator for AddN {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let first = node.expect_types(0, &[DType::I8])?;
        expect_output(node, DType::I8)?;
        let count = node.node.inputs.len();
        if count > MAX_INPUTS {
            bail!(UnsupportedFeature, "{count} inputs; at most {MAX_INPUTS} are supported");
        }
        for index in 1..count {
            let x = node.input(index)?;
            if (x.dtype, &x.shape) != (first.dtype, &first.shape) {
                bail!(InvalidShape, "{x} and {first} must be of one type and shape");
            }
            if x.quantization != first.quantization {
                bail!(InvalidQuantization, "{x} and {first} must have one scale and zero point");
            }
        }
        Ok(vec![first.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let twice = 2.0 * f64::from(x.scale()?);
        let input = FixedScale::new(f64::from(x.scale()?) / twice)?;
        let output =
            FixedScale::new(twice / (f64::from(1 << LEFT_SHIFT) * f64::from(y.scale()?)))?;
        let (activation_min, activation_max) = Activation::None.quantized_range(y)?;
        let params = Params {
            left_shift: LEFT_SHIFT,
            input_multiplier: input.multiplier,
            input_shift: input.shift,
            output_multiplier: output.multiplier,
            output_shift: output.shift,
            activation_min,
            activation_max,
        };
        let count = node.node.inputs.len();
        let rest: Vec<_> = (1..count)
            .map(|index| Ok(lowering.tensor(node.input_id(index)?)))
            .collect::<Result<_>>()?;
        lowering.emit_unary(node, Opcode::AddN, lowering.rounding(), &params, &rest)
    }
}
