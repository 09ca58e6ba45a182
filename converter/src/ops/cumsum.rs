//! CUMSUM.

use systole_core::{DType, Opcode, format::RoundingCode, ops::cumsum::Params};
use tract_tflite::tflite;

use super::{Op, Operator, reduce::normalized_axis};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    scale::{FixedScale, type_range},
    tflite::Importer,
};

/// Bits by which TFLite Micro widens int8 elements before they are summed.
const LEFT_SHIFT: u8 = 20;

/// Running sums along an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct CumSum {
    /// The axis.
    pub axis: usize,
    /// Whether an element is left out of its own sum.
    pub exclusive: bool,
    /// Whether sums run from the end to the start.
    pub reverse: bool,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_cumsum_options();
    let exclusive = options.is_some_and(|options| options.exclusive());
    let reverse = options.is_some_and(|options| options.reverse());
    let axis = importer.input(1)?;
    let [axis] = axis.integers()?[..] else {
        bail!(InvalidShape, "{axis} must hold one axis");
    };
    let axis = normalized_axis(axis, importer.input(0)?.shape.len())?;
    let x = importer.input_id(0)?;
    let op = Op::CumSum(CumSum { axis, exclusive, reverse });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for CumSum {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let types = [DType::I8, DType::I32, DType::I64, DType::F32];
        let (x, y) = (node.expect_types(0, &types)?, node.output(0)?);
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let mut params = Params {
            axis: self.axis as u8,
            exclusive: self.exclusive.into(),
            reverse: self.reverse.into(),
            ..Params::default()
        };
        if x.dtype == DType::I8 {
            // Sums are in units of twice the input's scale.
            let unit = 2.0 * f64::from(x.scale()?);
            let input = FixedScale::new(f64::from(x.scale()?) / unit)?;
            let widened = f64::from(1 << LEFT_SHIFT);
            let output = FixedScale::new(unit / (widened * f64::from(y.scale()?)))?;
            (params.activation_min, params.activation_max) = type_range(y)?;
            params.left_shift = LEFT_SHIFT;
            (params.input_multiplier, params.input_shift) = (input.multiplier, input.shift);
            (params.output_multiplier, params.output_shift) = (output.multiplier, output.shift);
        }
        lowering.emit_unary(node, Opcode::CumSum, RoundingCode::None, &params, &[])
    }
}
