//! BATCH_MATMUL.

use systole_core::{DType, Opcode, format::RoundingCode, ops::batch_matmul::Params};
use tract_tflite::tflite;

use super::{Op, Operator, fully_connected::FullyConnected};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor},
    lower::Lowering,
    options::Match,
    scale::Activation,
    tflite::Importer,
};

/// A product of matrices whose leading dimensions broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchMatMul {
    /// Whether the first matrix is stored transposed.
    pub adj_x: bool,
    /// Whether the second matrix is stored transposed.
    pub adj_y: bool,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_batch_mat_mul_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let op = BatchMatMul { adj_x: options.adj_x(), adj_y: options.adj_y() };
    let (x, w) = (importer.input(0)?, importer.input(1)?);
    if x.dtype == DType::F32 && w.dtype == DType::I8 {
        return import_hybrid(importer, &op, options.asymmetric_quantize_inputs());
    }
    importer.add(Op::BatchMatMul(op))
}

/// Float activations times a constant int8 matrix are a fully connected layer, whose weights are
/// the matrix transposed: LiteRT quantizes their rows in the same way.
fn import_hybrid(importer: &mut Importer, op: &BatchMatMul, asymmetric: bool) -> Result<()> {
    let w = importer.input(1)?;
    let (&[rows, columns], false) = (&w.shape[..], op.adj_x) else {
        bail!(
            UnsupportedFeature,
            "{w} has to be one matrix, and the first input must not be transposed, where floats \
             are multiplied with int8"
        );
    };
    let mut weights = w.clone();
    if !op.adj_y {
        let values: Vec<i8> = w.values()?;
        let transposed = (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns));
        weights.data = Some(transposed.map(|&w| w as u8).collect());
        weights.shape = vec![columns, rows];
        if let Some(quantization) = &mut weights.quantization {
            let several = quantization.scales.len() > 1;
            quantization.axis = if several { 1 - quantization.axis.min(1) } else { 0 };
        }
    }
    let weights = importer.add_tensor(weights);
    let layer = FullyConnected { keep_dims: true, activation: Activation::None, asymmetric };
    let inputs = vec![Some(importer.input_id(0)?), Some(weights)];
    let outputs = importer.outputs().to_vec();
    importer.add_node(Op::FullyConnected(layer), inputs, outputs)
}

/// Rows, inner length and columns.
fn sizes(x: &Tensor, w: &Tensor, [adj_x, adj_y]: [bool; 2]) -> Result<[usize; 3]> {
    let ([.., x_rows, x_columns], [.., w_rows, w_columns]) = (&x.shape[..], &w.shape[..]) else {
        bail!(InvalidShape, "{x} and {w} must have at least 2 dimensions");
    };
    let (m, k) = if adj_x { (x_columns, x_rows) } else { (x_rows, x_columns) };
    let (w_k, n) = if adj_y { (w_columns, w_rows) } else { (w_rows, w_columns) };
    if k != w_k {
        bail!(InvalidShape, "{x} and {w} cannot be multiplied: {k} columns, {w_k} rows");
    }
    Ok([*m, *k, *n])
}

/// The shape of a product of matrices, stored transposed or not, whose leading dimensions broadcast.
///
/// # Errors
/// `InvalidShape`.
pub(super) fn product_shape(x: &Tensor, w: &Tensor, adjoint: [bool; 2]) -> Result<Vec<usize>> {
    let [m, _, n] = sizes(x, w, adjoint)?;
    let (x_batches, w_batches) = (&x.shape[..x.shape.len() - 2], &w.shape[..w.shape.len() - 2]);
    let rank = x_batches.len().max(w_batches.len());
    let dim = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let mut shape = Vec::new();
    for axis in 0..rank {
        let (a, b) = (dim(x_batches, axis), dim(w_batches, axis));
        if a != b && a != 1 && b != 1 {
            bail!(InvalidShape, "{x} and {w} do not broadcast: {a} and {b}");
        }
        shape.push(a.max(b));
    }
    shape.extend([m, n]);
    Ok(shape)
}

impl Operator for BatchMatMul {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8, DType::I16, DType::F32])?;
        let (w, y) = (node.input(1)?, node.output(0)?);
        if w.dtype != x.dtype && (x.dtype, w.dtype) != (DType::I16, DType::I8) {
            bail!(UnsupportedFeature, "{w} cannot be multiplied with {x}");
        }
        if y.dtype != x.dtype {
            bail!(UnsupportedFeature, "{y} must be {} like the first input", x.dtype);
        }
        if x.dtype == DType::I16 {
            for tensor in [x, w, y] {
                if tensor.zero_point()? != 0 {
                    bail!(InvalidQuantization, "{tensor} needs zero point 0 beside int16");
                }
            }
        }
        Ok(vec![product_shape(x, w, [self.adj_x, self.adj_y])?])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, w, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let mut inputs =
            vec![lowering.tensor(node.input_id(0)?), lowering.tensor(node.input_id(1)?)];
        let mut rounding = RoundingCode::None;
        if x.dtype != DType::F32 {
            rounding = lowering.rounding();
            let (x_scale, w_scale) = (x.scale()?, w.scale()?);
            let y_scale = y.scale()?;
            let scale = match lowering.matching() {
                Match::Ort => f64::from(x_scale * w_scale / y_scale),
                // LiteRT's product of the scales is one of single precision.
                Match::Litert => f64::from(x_scale * w_scale) / f64::from(y_scale),
                _ => f64::from(x_scale) * f64::from(w_scale) / f64::from(y_scale),
            };
            inputs.extend(lowering.scales(rounding, &[scale])?);
        }
        let outputs = vec![lowering.tensor(node.node.outputs[0])];
        let params = Params { adj_x: self.adj_x.into(), adj_y: self.adj_y.into() };
        let inputs = inputs.into_iter().map(Some).collect();
        lowering.emit(Opcode::BatchMatMul, rounding, &params, inputs, outputs);
        Ok(())
    }
}
