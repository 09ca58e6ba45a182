//! LOG_SOFTMAX.

use systole_core::{DType, Opcode, format::RoundingCode, ops::log_softmax::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    softmax::{ScaledDiff, expect_output},
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    scale::FixedScale,
    tflite::Importer,
};

/// The logarithm of the softmax over the last axis.
#[derive(Debug, Clone, PartialEq)]
pub struct LogSoftmax;

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::LogSoftmax(LogSoftmax))
}

impl Operator for LogSoftmax {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let (x, y) = (node.expect_types(0, &[DType::I8, DType::F32])?, node.output(0)?);
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        if x.shape.is_empty() {
            bail!(InvalidShape, "{x} needs at least one dimension");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let mut params = Params::default();
        if x.dtype == DType::I8 {
            expect_output(y, 1.0 / 16.0, 127)?;
            let ScaledDiff { fixed, min } = ScaledDiff::new(x.scale()?.into())?;
            // The fixed-point scale's own inverse, not that of the real scale.
            let inverse = f64::from(31 - i32::from(fixed.shift)).exp2() / f64::from(fixed.multiplier);
            let reverse = FixedScale::new(inverse)?;
            if reverse.shift > 0 {
                bail!(InvalidQuantization, "the scale of {x} is too small for its softmax");
            }
            params = Params {
                input_multiplier: fixed.multiplier,
                input_left_shift: fixed.shift as u8,
                reverse_multiplier: reverse.multiplier,
                reverse_shift: reverse.shift,
                diff_min: min,
            };
        }
        lowering.emit_unary(node, Opcode::LogSoftmax, RoundingCode::None, &params, &[])
    }
}
