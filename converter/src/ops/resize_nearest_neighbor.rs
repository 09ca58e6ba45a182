//! RESIZE_NEAREST_NEIGHBOR.

use systole_core::{DType, Opcode, format::RoundingCode};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    resize::{Resize, size},
};
use crate::{error::Result, graph::NodeView, lower::Lowering, tflite::Importer};

/// Images scaled by copying the nearest pixel.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizeNearestNeighbor(pub Resize);

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_resize_nearest_neighbor_options();
    let resize = Resize {
        size: size(importer)?,
        align_corners: options.is_some_and(|options| options.align_corners()),
        half_pixel_centers: options.is_some_and(|options| options.half_pixel_centers()),
    };
    let x = importer.input_id(0)?;
    let op = Op::ResizeNearestNeighbor(ResizeNearestNeighbor(resize));
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for ResizeNearestNeighbor {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        use DType::{Bool, F32, I8, I16, I32, I64, U8};
        self.0.infer(node, &[I8, U8, Bool, I16, I32, I64, F32])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.0.params(node)?;
        let opcode = Opcode::ResizeNearestNeighbor;
        lowering.emit_unary(node, opcode, RoundingCode::None, &params, &[])
    }
}
