//! LUT: any function of one int8, as a table. No TFLite operator; ONNX's become it between quantized
//! tensors.

use systole_core::DType;

use super::{Op, Operator, unary::emit_table};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
};

/// A function of one stored value.
#[derive(Debug, Clone, PartialEq)]
pub struct Lut {
    /// 256 entries: of 0 to 127, then of −128 to −1.
    pub table: Vec<i8>,
}

impl From<Lut> for Op {
    fn from(lut: Lut) -> Self {
        Self::Lut(lut)
    }
}

impl Operator for Lut {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8])?;
        super::elementwise::expect_output(node, DType::I8)?;
        if self.table.len() != 256 {
            bail!(InvalidShape, "a table of {} entries; 256 are needed", self.table.len());
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        emit_table(node, lowering, &self.table)
    }
}
