//! MAX_POOL_2D.

use systole_core::{DType, Opcode, format::RoundingCode};
use tract_tflite::tflite;

use super::{Op, Operator, pool::Pooling};
use crate::{error::Result, graph::NodeView, lower::Lowering, tflite::Importer};

/// The largest value of each window.
#[derive(Debug, Clone, PartialEq)]
pub struct MaxPool2d(pub Pooling);

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let pooling = Pooling::import(importer, operator)?;
    importer.add(Op::MaxPool2d(MaxPool2d(pooling)))
}

impl Operator for MaxPool2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        self.0.infer(node, &[DType::I8, DType::I16, DType::F32])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(node)?;
        lowering.emit_unary(node, Opcode::MaxPool2d, RoundingCode::None, &params, &[])
    }
}
