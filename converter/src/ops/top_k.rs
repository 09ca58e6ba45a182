//! TOPK_V2.

use systole_core::{DType, Opcode, format::RoundingCode, ops::top_k::Params};
use tract_tflite::tflite;

use super::{Op, Operator, same_scale::same_scale};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// The largest values along the last axis, in descending order, and their indices.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    /// How many.
    pub k: usize,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let k = importer.input(1)?;
    let [k] = k.integers()?[..] else {
        bail!(InvalidShape, "{k} must hold one number");
    };
    let Some(k) = usize::try_from(k).ok().filter(|&k| k > 0) else {
        bail!(InvalidShape, "the {k} largest values are asked for; at least one is needed");
    };
    let x = importer.input_id(0)?;
    importer.add_node(Op::TopK(TopK { k }), vec![Some(x)], importer.outputs().to_vec())
}

impl Operator for TopK {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let types = [DType::I8, DType::I16, DType::I32, DType::I64, DType::F32];
        let x = node.expect_types(0, &types)?;
        let (values, indices) = (node.output(0)?, node.output(1)?);
        if values.dtype != x.dtype {
            bail!(UnsupportedFeature, "{values} must be of the type of {x}");
        }
        if indices.dtype != DType::I32 {
            bail!(UnsupportedFeature, "{indices} holds indices, which must be int32");
        }
        let mut shape = x.shape.clone();
        match shape.last_mut() {
            Some(last) if self.k <= *last => *last = self.k,
            _ => bail!(InvalidShape, "{x} has fewer than {} values per row", self.k),
        }
        Ok(vec![shape.clone(), shape])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        same_scale(node.input(0)?, node.output(0)?)?;
        let x = lowering.tensor(node.input_id(0)?);
        let outputs = node.node.outputs.iter().map(|&id| lowering.tensor(id)).collect();
        let params = Params { k: self.k as u32 };
        lowering.emit(Opcode::TopK, RoundingCode::None, &params, vec![Some(x)], outputs);
        Ok(())
    }
}
