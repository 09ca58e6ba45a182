//! AVERAGE_POOL_2D.

use systole_core::{DType, Opcode, format::RoundingCode, ops::average_pool_float32};
use tract_tflite::tflite;

use super::{Op, Operator, pool::Pooling};
use crate::{
    error::Result,
    graph::NodeView,
    lower::Lowering,
    options::Match,
    tflite::Importer,
};

/// The mean of each window.
#[derive(Debug, Clone, PartialEq)]
pub struct AveragePool2d(pub Pooling);

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let pooling = Pooling::import(importer, operator)?;
    importer.add(Op::AveragePool2d(AveragePool2d(pooling)))
}

impl Operator for AveragePool2d {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        self.0.infer(node, &[DType::I8, DType::I16, DType::F32])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if lowering.matching() == Match::Ort && x.dtype == DType::I8 {
            let pool = self.0.rescaling_params(node)?;
            let params = average_pool_float32::Params {
                stride: pool.stride,
                kernel: pool.kernel,
                padding: pool.padding,
                offset: lowering.ort_offset(&[x, y])? as u8,
                activation_min: pool.activation_min,
                activation_max: pool.activation_max,
            };
            let none = RoundingCode::None;
            return lowering.emit_unary(node, Opcode::AveragePoolFloat32, none, &params, &[]);
        }
        let mut params = self.0.params(node)?;
        // uint8 kernels round half up among values that are all positive.
        params.half_up = u8::from(node.input(0)?.unsigned);
        lowering.emit_unary(node, Opcode::AveragePool2d, RoundingCode::None, &params, &[])
    }
}
