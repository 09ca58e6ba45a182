//! MATMUL_INTEGER: ONNX's product of int8 matrices whose sums stay int32.

use systole_core::{DType, Opcode, format::RoundingCode, ops::matmul_integer::Params};

use super::{Operator, batch_matmul::product_shape};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
};

/// A product of int8 matrices whose leading dimensions broadcast. Inputs are the matrices and their
/// zero points, int8, which need not be constants: one, or of the second one per column.
#[derive(Debug, Clone, PartialEq)]
pub struct MatMulInteger {
    /// Whether the second matrix is stored transposed.
    pub adj_y: bool,
}

impl Operator for MatMulInteger {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8])?;
        let w = node.expect_types(1, &[DType::I8])?;
        let shape = product_shape(x, w, [false, self.adj_y])?;
        let columns = shape.last().copied().unwrap_or(1);
        for (matrix, index, most) in [(x, 2, 1), (w, 3, columns)] {
            let zero = node.expect_types(index, &[DType::I8])?;
            let fits = [1, most].contains(&zero.elements());
            if !fits || zero.unsigned != matrix.unsigned {
                bail!(UnsupportedFeature, "{zero} must be one number of the type of {matrix}");
            }
        }
        super::elementwise::expect_output(node, DType::I32)?;
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let mut operands = Vec::new();
        for index in 1..4 {
            operands.push(lowering.tensor(node.input_id(index)?));
        }
        let params = Params { adj_x: 0, adj_y: self.adj_y.into() };
        let none = RoundingCode::None;
        lowering.emit_unary(node, Opcode::MatMulInteger, none, &params, &operands)
    }
}
