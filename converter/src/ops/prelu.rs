//! PRELU: negative numbers times slopes that broadcast.

use systole_core::{DType, Opcode, format::RoundingCode, ops::prelu::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    elementwise::{broadcast, expect_output},
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    options::Match,
    scale::{Activation, FixedScale},
    tflite::Importer,
};

/// `x`, or `x × alpha` below zero, with slopes as the second input.
#[derive(Debug, Clone, PartialEq)]
pub struct Prelu;

/// Reads PRELU from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Prelu(Prelu))
}

impl Operator for Prelu {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8, DType::I16, DType::F32])?;
        let alpha = node.input(1)?;
        let fits =
            alpha.dtype == x.dtype || (x.dtype, alpha.dtype) == (DType::I16, DType::I8);
        if !fits {
            bail!(UnsupportedFeature, "{alpha} does not have the type of {x}");
        }
        expect_output(node, x.dtype)?;
        if broadcast(&x.shape, &alpha.shape)? != x.shape {
            bail!(InvalidShape, "{alpha} does not broadcast to the shape of {x}");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, alpha, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let slopes = lowering.tensor(node.input_id(1)?);
        if x.dtype == DType::F32 {
            let params = Params::default();
            return lowering.emit_unary(node, Opcode::Prelu, RoundingCode::None, &params, &[slopes]);
        }
        let (x, alpha, y_scale) = (x.scale()?, alpha.scale()?, y.scale()?);
        let (identity, product) = if lowering.matching() == Match::Litert {
            (f64::from(x / y_scale), f64::from(x * alpha / y_scale))
        } else {
            let identity = f64::from(x) / f64::from(y_scale);
            (identity, f64::from(x) * f64::from(alpha) / f64::from(y_scale))
        };
        let (identity, product) = (FixedScale::new(identity)?, FixedScale::new(product)?);
        let (activation_min, activation_max) = Activation::None.quantized_range(y)?;
        let params = Params {
            identity_multiplier: identity.multiplier,
            identity_shift: identity.shift,
            product_multiplier: product.multiplier,
            product_shift: product.shift,
            activation_min,
            activation_max,
        };
        let rounding = lowering.rounding();
        lowering.emit_unary(node, Opcode::Prelu, rounding, &params, &[slopes])
    }
}
