//! QUANTIZE: from real numbers to quantized ones, and from one scale or type to another.

use systole_core::{
    DType, Opcode,
    format::RoundingCode,
    ops::quantize::Params,
};
use systole_kernels::{
    quantize::Requantization,
    requantize::{Double, Rounding, Single},
};
use tract_tflite::tflite;

use super::{
    Op, Operator, tables,
    unary::{emit_requantization, emit_table, requantization},
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    options::Match,
    tflite::Importer,
};

/// From float32 to a quantized type, or from one scale or type to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantize;

/// Reads QUANTIZE from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    importer.add(Op::Quantize(Quantize))
}

impl Operator for Quantize {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::F32, DType::I8, DType::I16, DType::I32])?;
        let y = node.output(0)?;
        let fits = match y.dtype {
            DType::I8 | DType::I16 => true,
            DType::I32 => x.dtype != DType::F32,
            _ => false,
        };
        if !fits {
            bail!(UnsupportedFeature, "{x} cannot be quantized to {y}");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        y.scale()?;
        if x.dtype == DType::F32 {
            let params = Params { ties_to_even: (lowering.matching() == Match::Ort).into() };
            return lowering.emit_unary(node, Opcode::Quantize, RoundingCode::None, &params, &[]);
        }
        if x.dtype == y.dtype && x.quantization == y.quantization {
            lowering.view(node.node.outputs[0], node.input_id(0)?);
            return Ok(());
        }
        if lowering.matching() == Match::Ort && (x.dtype, y.dtype) == (DType::I8, DType::I8) {
            let (from, to) = (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
            return emit_table(node, lowering, &tables::of_reals_to_even(from, to, |x| x));
        }
        let p = requantization(f64::from(x.scale()?) / f64::from(y.scale()?), x, y)?;
        if (x.dtype, y.dtype) != (DType::I8, DType::I8) {
            return emit_requantization(node, lowering, &p, 0);
        }
        let table = match lowering.matching() {
            Match::Native => table::<Single>(&p),
            _ => table::<Double>(&p),
        };
        emit_table(node, lowering, &table)
    }
}

fn table<R: Rounding>(p: &Requantization) -> Vec<i8> {
    tables::of_integers(|x| p.of::<R>(x.into()).clamp(i8::MIN.into(), i8::MAX.into()) as i8)
}
