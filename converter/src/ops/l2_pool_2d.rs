//! L2_POOL_2D.

use systole_core::{DType, Opcode, format::RoundingCode};
use tract_tflite::tflite;

use super::{Op, Operator, pool::Pooling};
use crate::{error::Result, graph::NodeView, lower::Lowering, tflite::Importer};

/// The root of the mean of squares of each window.
#[derive(Debug, Clone, PartialEq)]
pub struct L2Pool2d(pub Pooling);

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let pooling = Pooling::import(importer, operator)?;
    importer.add(Op::L2Pool2d(L2Pool2d(pooling)))
}

impl Operator for L2Pool2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        self.0.infer(node, &[DType::F32])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(node)?;
        lowering.emit_unary(node, Opcode::L2Pool2d, RoundingCode::None, &params, &[])
    }
}
