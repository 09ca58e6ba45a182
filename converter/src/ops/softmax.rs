//! SOFTMAX.

use systole::{DType, Opcode, format::RoundingCode, ops::softmax::Params};
use tract_tflite::tflite;

use super::{Op, Operator};
use crate::{
    error::{Result, error},
    graph::NodeView,
    lower::Lowering,
    scale::FixedScale,
    tflite::Importer,
};

/// Integer bits of the scaled difference from the maximum: Q5.26.
const SCALED_DIFF_INTEGER_BITS: i32 = 5;

/// Exponentials of `beta × x` over the last axis, divided by their sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Softmax {
    /// The factor in the exponent.
    pub beta: f32,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_softmax_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    importer.add(Op::Softmax(Softmax { beta: options.beta() }))
}

impl Operator for Softmax {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        Ok(vec![node.expect_types(0, &[DType::I8])?.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let x = node.input(0)?;
        let beta = f64::from(self.beta) * f64::from(x.scale()?);
        let scale = (beta * f64::from(1 << (31 - SCALED_DIFF_INTEGER_BITS))).min(f64::from(i32::MAX));
        let fixed = FixedScale::new(scale)?;
        let max = f64::from((1 << SCALED_DIFF_INTEGER_BITS) - 1)
            * f64::from(1 << (31 - SCALED_DIFF_INTEGER_BITS))
            / f64::from(i32::from(fixed.shift)).exp2();
        let params = Params {
            input_multiplier: fixed.multiplier,
            input_left_shift: fixed.shift.max(0) as u8,
            diff_min: -(max.floor() as i32),
        };
        lowering.emit_unary(node, Opcode::Softmax, RoundingCode::None, &params, &[])
    }
}
