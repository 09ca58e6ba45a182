//! DYNAMIC_QUANTIZE: ONNX's DynamicQuantizeLinear: float32 to uint8, scale and zero point from the range
//! of the values.

use systole_core::{
    DType, Opcode,
    format::RoundingCode,
    ops::{dynamic_quantize, dynamic_scale},
};

use super::Operator;
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
};

/// Quantization by the range of the values. Outputs are the values (int8 that was uint8), one float32,
/// the scale, and one int8 that was uint8, the zero point.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicQuantize;

impl Operator for DynamicQuantize {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::F32])?;
        let types = [(0, DType::I8), (1, DType::F32), (2, DType::I8)];
        for (index, dtype) in types {
            let y = node.output(index)?;
            if y.dtype != dtype || y.unsigned != (dtype == DType::I8) {
                bail!(UnsupportedFeature, "{y} is not of the type of output {index}");
            }
        }
        Ok(vec![x.shape.clone(), vec![], vec![]])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let x = lowering.tensor(node.input_id(0)?);
        let [y, scale, zero] = node.node.outputs[..] else {
            bail!(InvalidGraph, "must have 3 outputs");
        };
        let [y, scale, zero] = [y, scale, zero].map(|id| lowering.tensor(id));
        let none = RoundingCode::None;
        let params = dynamic_scale::Params {};
        lowering.emit(Opcode::DynamicScale, none, &params, vec![Some(x)], vec![scale, zero]);
        let params = dynamic_quantize::Params {};
        let inputs = [x, scale, zero].map(Some).to_vec();
        lowering.emit(Opcode::DynamicQuantize, none, &params, inputs, vec![y]);
        Ok(())
    }
}
