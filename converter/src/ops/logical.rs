//! LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT.

use systole_core::{DType, Opcode, format::RoundingCode, ops::logical::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    elementwise::{broadcast, expect_output, expect_pair},
};
use crate::{error::Result, graph::NodeView, lower::Lowering, tflite::Importer};

/// A logical operation. The discriminants are the runtime's codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    /// Both.
    And = 0,
    /// At least one.
    Or = 1,
    /// Not the one input.
    Not = 2,
}

/// Reads LOGICAL_AND from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_and(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Logical(Logical::And))
}

/// Reads LOGICAL_OR from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_or(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Logical(Logical::Or))
}

/// Reads LOGICAL_NOT from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_not(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Logical(Logical::Not))
}

impl Operator for Logical {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        expect_output(node, DType::Bool)?;
        if *self == Self::Not {
            return Ok(vec![node.expect_types(0, &[DType::Bool])?.shape.clone()]);
        }
        let (a, b) = expect_pair(node, &[DType::Bool])?;
        Ok(vec![broadcast(&a.shape, &b.shape)?])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = Params { operation: *self as u8 };
        let mut rest = Vec::new();
        if *self != Self::Not {
            rest.push(lowering.tensor(node.input_id(1)?));
        }
        lowering.emit_unary(node, Opcode::Logical, RoundingCode::None, &params, &rest)
    }
}
