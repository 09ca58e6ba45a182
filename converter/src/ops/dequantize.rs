//! DEQUANTIZE: from quantized values, or from float16, to float32.

use systole_core::{DType, Opcode, format::RoundingCode, ops::dequantize::Params};
use tract_tflite::tflite;
use zerocopy::IntoBytes;

use super::{Op, Operator, cast::Cast, elementwise::expect_output};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Quantization, Tensor},
    lower::Lowering,
    tflite::Importer,
};

/// From a quantized type to float32.
#[derive(Debug, Clone, PartialEq)]
pub struct Dequantize;

/// Reads DEQUANTIZE from TFLite. Weights with a scale per channel become float32 at once.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let x = importer.input(0)?;
    if x.dtype == DType::F16 {
        return importer.add(Op::Cast(Cast));
    }
    let reals = match &x.quantization {
        Some(quantization) if quantization.scales.len() > 1 => per_channel(x, quantization)?,
        _ => return importer.add(Op::Dequantize(Dequantize)),
    };
    let y = importer.output(0)?;
    if (y.dtype, y.elements()) != (DType::F32, reals.len()) {
        bail!(InvalidShape, "{y} must be float32 and have the input's shape");
    }
    let y = importer.outputs()[0];
    importer.set_constant(y, reals.as_bytes().to_vec())
}

/// The real numbers of a constant with a scale per channel.
fn per_channel(x: &Tensor, quantization: &Quantization) -> Result<Vec<f32>> {
    let values = x.integers()?;
    let inner: usize = x.shape[quantization.axis + 1..].iter().product();
    let channels = quantization.scales.len();
    let real = |(i, &q): (usize, &i64)| {
        let channel = i / inner % channels;
        let zero_point = i64::from(quantization.zero_points[channel]);
        quantization.scales[channel] * q.saturating_sub(zero_point) as f32
    };
    Ok(values.iter().enumerate().map(real).collect())
}

impl Operator for Dequantize {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8, DType::I16, DType::I32])?;
        expect_output(node, DType::F32)?;
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        node.input(0)?.scale()?;
        lowering.emit_unary(node, Opcode::Dequantize, RoundingCode::None, &Params {}, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_have_the_scale_of_their_channel() {
        let quantization =
            Quantization { scales: vec![0.5, 2.0], zero_points: vec![0, 1], axis: 0 };
        let x = Tensor::constant("w", vec![2, 2], &[1_i8, -2, 3, 4]);
        assert_eq!(per_channel(&x, &quantization).unwrap(), [0.5, -1.0, 4.0, 6.0]);
        let quantization = Quantization { axis: 1, ..quantization };
        assert_eq!(per_channel(&x, &quantization).unwrap(), [0.5, -6.0, 1.5, 6.0]);
    }
}
