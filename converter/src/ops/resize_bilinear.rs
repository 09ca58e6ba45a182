//! RESIZE_BILINEAR.

use systole_core::{DType, Opcode, format::RoundingCode};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    resize::{Resize, size},
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// Images scaled by interpolation between four pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct ResizeBilinear(pub Resize);

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_resize_bilinear_options();
    let resize = Resize {
        size: size(importer)?,
        align_corners: options.is_some_and(|options| options.align_corners()),
        half_pixel_centers: options.is_some_and(|options| options.half_pixel_centers()),
    };
    if resize.align_corners && resize.half_pixel_centers {
        bail!(UnsupportedFeature, "align_corners and half_pixel_centers exclude each other");
    }
    let x = importer.input_id(0)?;
    let op = Op::ResizeBilinear(ResizeBilinear(resize));
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for ResizeBilinear {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        self.0.infer(node, &[DType::I8, DType::I16, DType::F32])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let mut params = self.0.params(node)?;
        params.unsigned = u8::from(node.input(0)?.unsigned);
        lowering.emit_unary(node, Opcode::ResizeBilinear, RoundingCode::None, &params, &[])
    }
}
