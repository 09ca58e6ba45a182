//! CONCATENATION.

use systole_core::{DType, Opcode, format::RoundingCode, ops::{concatenation::Params, lut}};
use tract_tflite::tflite;

use super::{Op, Operator, reduce::normalized_axis, tables::of_integers};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor},
    lower::Lowering,
    scale::Activation,
    tflite::{Importer, activation},
};

/// Tensors beside each other along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Concatenation {
    /// The axis.
    pub axis: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_concatenation_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    if activation(options.fused_activation_function())? != Activation::None {
        bail!(UnsupportedFeature, "a fused activation; none is supported, as in TFLite");
    }
    let axis = normalized_axis(options.axis().into(), importer.input(0)?.shape.len())?;
    importer.add(Op::Concatenation(Concatenation { axis }))
}

impl Operator for Concatenation {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let y = node.output(0)?;
        let mut shape = node.input(0)?.shape.clone();
        shape[self.axis] = 0;
        for index in 0..node.node.inputs.len() {
            let x = node.input(index)?;
            if x.dtype != y.dtype || x.unsigned != y.unsigned {
                bail!(UnsupportedFeature, "{x} and {y} must be of one type");
            }
            let mut axes = x.shape.iter().zip(&shape).enumerate();
            if x.shape.len() != shape.len() || !axes.all(|(i, (x, y))| i == self.axis || x == y) {
                bail!(InvalidShape, "{x} does not fit the others along axis {}", self.axis);
            }
            shape[self.axis] += x.shape[self.axis];
        }
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let output = node.output(0)?;
        let mut inputs = Vec::new();
        for index in 0..node.node.inputs.len() {
            let x = node.input(index)?;
            let mut slot = lowering.tensor(node.input_id(index)?);
            if let Some(table) = rescaling(x, output)? {
                let (scale, zero_point) = output.scale_and_zero_point()?;
                let rescaled = lowering.temporary(x.dtype, &x.shape, scale, zero_point);
                let table = lowering.constant(&[table.len()], &table);
                let (params, operands) = (lut::Params {}, vec![Some(slot), Some(table)]);
                let none = RoundingCode::None;
                lowering.emit(Opcode::Lut, none, &params, operands, vec![rescaled]);
                slot = rescaled;
            }
            inputs.push(Some(slot));
        }
        let y = lowering.tensor(node.node.outputs[0]);
        let params = Params { axis: self.axis as u8 };
        lowering.emit(Opcode::Concatenation, RoundingCode::None, &params, inputs, vec![y]);
        Ok(())
    }
}

/// A table from the stored values of `x` to those of `y`, where their scales or zero points differ:
/// LiteRT's uint8 rule, in single precision step by step. int8 follows the same rule, although both
/// runtimes refuse it; int16 is copied whatever its scale, as in both.
fn rescaling(x: &Tensor, y: &Tensor) -> Result<Option<Vec<i8>>> {
    if x.dtype != DType::I8 || x.quantization.is_none() || y.quantization.is_none() {
        return Ok(None);
    }
    let ((x_scale, x_zero_point), (y_scale, y_zero_point)) =
        (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
    if (x_scale, x_zero_point) == (y_scale, y_zero_point) {
        return Ok(None);
    }
    // The values that the rule is about: uint8 where that is what the model had.
    let shift = if x.unsigned { 128 } else { 0 };
    let inverse_scale = 1.0 / y_scale;
    let scale = x_scale * inverse_scale;
    let bias = -(x_zero_point + shift) as f32 * scale;
    Ok(Some(of_integers(|q| {
        let rescaled = ((i32::from(q) + shift) as f32 * scale + bias).round() as i32;
        let rescaled = rescaled.saturating_add(y_zero_point);
        rescaled.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Quantization;

    fn tensor(scale: f32, zero_point: i32, unsigned: bool) -> Tensor {
        let quantization = Quantization {
            scales: vec![scale],
            zero_points: vec![zero_point],
            axis: 0,
        };
        Tensor {
            quantization: Some(quantization),
            unsigned,
            ..Tensor::new("t", DType::I8, vec![1])
        }
    }

    #[test]
    fn equal_scales_are_copied_and_others_rescaled() {
        let x = tensor(0.5, -3, false);
        assert_eq!(rescaling(&x, &x).unwrap(), None);
        let table = rescaling(&x, &tensor(0.25, 10, false)).unwrap().unwrap();
        // 0.5 × (q + 3) is 0.25 × (2 q + 16 − 10).
        let at = |q: i8| table[usize::from(q as u8)];
        assert_eq!((at(-3), at(0), at(20), at(127), at(-128)), (10, 16, 56, 127, -128));
    }

    #[test]
    fn uint8_is_rescaled_by_its_own_values() {
        let (x, y) = (tensor(0.5, -8, true), tensor(1.0, 0, true));
        let table = rescaling(&x, &y).unwrap().unwrap();
        // Stored −7 is uint8 121, half a unit above the zero point: ties go away from zero.
        assert_eq!((table[0], table[249], table[247]), (4, 1, -1));
    }
}
