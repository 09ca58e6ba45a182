//! MIRROR_PAD.

use systole_core::{Opcode, format::RoundingCode, ops::mirror_pad::Params};
use tract_tflite::tflite::{self, MirrorPadMode};

use super::{
    Op, Operator,
    movement::{pairs, per_axis, same_type},
};
use crate::{
    error::{Result, bail, error},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// A border that reflects the tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorPad {
    /// Elements in front of and behind each axis.
    pub padding: Vec<[usize; 2]>,
    /// Whether the border element is repeated.
    pub symmetric: bool,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_mirror_pad_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let symmetric = match options.mode() {
        MirrorPadMode::REFLECT => false,
        MirrorPadMode::SYMMETRIC => true,
        MirrorPadMode(mode) => bail!(UnsupportedFeature, "mode {mode}; 0 and 1 are known"),
    };
    let x = importer.input_id(0)?;
    let padding = pairs(importer, 1, importer.tensor(x).shape.len())?;
    let op = Op::MirrorPad(MirrorPad { padding, symmetric });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for MirrorPad {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let mut shape = Vec::new();
        for (&dim, &[before, after]) in x.shape.iter().zip(&self.padding) {
            let longest = dim - usize::from(!self.symmetric);
            if before > longest || after > longest {
                bail!(
                    InvalidShape,
                    "a reflection of {before} and {after} of an axis of {dim}; at most {longest}"
                );
            }
            shape.push(dim + before + after);
        }
        Ok(vec![shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let before: Vec<usize> = self.padding.iter().map(|pair| pair[0]).collect();
        let params = Params { before: per_axis(&before)?, symmetric: self.symmetric.into() };
        lowering.emit_unary(node, Opcode::MirrorPad, RoundingCode::None, &params, &[])
    }
}
