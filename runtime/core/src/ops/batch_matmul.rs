//! BATCH_MATMUL: `y[.., m, n] = requantize(Σ x[.., m, k] × w[.., k, n])`, leading dimensions
//! broadcast.
//!
//! Operands: two matrices, of int8, of float32, or of int16 with int16 or int8; for integers the
//! scale (see [`Record::requantize`], for int16 [`Record::requantize_wide`]); output of the first
//! matrix's type. Either may be a constant.

use systole_kernels::{
    requantize::Requantize,
    Mismatch,
    batch_matmul::{
        BATCH_DIMS, BatchMatMulI8, BatchMatMulI16, BatchMatMulShape, batch_matmul_f32,
        batch_matmul_i8, batch_matmul_i16,
    },
};

use super::linear;
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record, TensorInfo,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of BATCH_MATMUL.
    pub struct Params {
        /// 1 where the first matrix is stored transposed, else 0.
        pub adj_x: u8,
        /// 1 where the second matrix is stored transposed, else 0.
        pub adj_y: u8,
    }
}

/// A decoded BATCH_MATMUL.
pub struct BatchMatMul<'m> {
    x: Place,
    w: Place,
    y: Place,
    kernel: Kernel<'m>,
}

enum Kernel<'m> {
    I8(BatchMatMulI8<Requantize<'m>>),
    I16(BatchMatMulI16<'m>),
    I16I8(BatchMatMulI16<'m>),
    F32(BatchMatMulShape),
}

impl<'m> Operator<'m> for BatchMatMul<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let y_operand = record.input_count();
        let (x, w) = (record.input(0)?, record.input(1)?);
        let y = record.output(0)?.expect_type(x.stored_dtype(), y_operand)?;
        let shape = shape(record, &x, &w, &y)?;
        let kernel = match (x.stored_dtype(), w.stored_dtype()) {
            (DType::I8, DType::I8) => Kernel::I8(BatchMatMulI8 {
                shape,
                x_zero_point: x.stored_zero_point(),
                w_zero_point: w.stored_zero_point(),
                requantize: record.requantize(2, 1)?,
                output_stage: linear::output_stage(&y, i8::MIN.into(), i8::MAX.into()),
            }),
            (DType::I16, width @ (DType::I16 | DType::I8)) => {
                let kernel = BatchMatMulI16 {
                    shape,
                    requantize: record.requantize_wide(2, 1)?,
                    output_stage: linear::output_stage(&y, i16::MIN.into(), i16::MAX.into()),
                };
                if width == DType::I8 { Kernel::I16I8(kernel) } else { Kernel::I16(kernel) }
            }
            (DType::F32, DType::F32) => Kernel::F32(shape),
            (DType::I8 | DType::I16 | DType::F32, found) => {
                return Err(OperatorError::Type { operand: 1, found });
            }
            (found, _) => return Err(OperatorError::Type { operand: 0, found }),
        };
        Ok(Self { x: x.place, w: w.place, y: y.place, kernel })
    }

    fn work(record: &Record<'m>) -> u64 {
        work(record)
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match &self.kernel {
            Kernel::I8(kernel) => {
                call!(machine, batch_matmul_i8, kernel; [self.x, self.w] => self.y)
            }
            Kernel::I16(kernel) => {
                call!(machine, batch_matmul_i16::<i16>, kernel; [self.x, self.w] => self.y)
            }
            Kernel::I16I8(kernel) => {
                call!(machine, batch_matmul_i16::<i8>, kernel; [self.x, self.w] => self.y)
            }
            Kernel::F32(shape) => {
                call!(machine, batch_matmul_f32, shape; [self.x, self.w] => self.y)
            }
        }
    }
}

/// The shapes of a product `y` of the matrices `x` and `w`, inputs 0 and 1, checked.
pub(super) fn shape(
    record: &Record<'_>,
    x: &TensorInfo<'_>,
    w: &TensorInfo<'_>,
    y: &TensorInfo<'_>,
) -> Result<BatchMatMulShape, OperatorError> {
    let params: Params = record.params();
    let y_operand = record.input_count();
    let (x_batches, [x_rows, x_columns]) = matrices(x, 0)?;
    let (w_batches, [w_rows, w_columns]) = matrices(w, 1)?;
    let (batches, [m, n]) = matrices(y, y_operand)?;
    let (adj_x, adj_y) = (params.adj_x != 0, params.adj_y != 0);
    let (x_m, k) = if adj_x { (x_columns, x_rows) } else { (x_rows, x_columns) };
    let (w_k, w_n) = if adj_y { (w_columns, w_rows) } else { (w_rows, w_columns) };
    if w_k != k {
        return Err(OperatorError::Shape(1));
    }
    let broadcasts = |own: [usize; BATCH_DIMS]| {
        own.into_iter().zip(batches).all(|(own, all)| own == 1 || own == all)
    };
    if [x_m, w_n] != [m, n] || !broadcasts(x_batches) || !broadcasts(w_batches) {
        return Err(OperatorError::Shape(y_operand as u8));
    }
    Ok(BatchMatMulShape { x_batches, w_batches, batches, m, k, n, adj_x, adj_y })
}

/// Each output element is a sum over the axis that the matrices share.
pub(super) fn work(record: &Record<'_>) -> u64 {
    let k = record.input(0).map_or(0, |x| {
        let (rows, columns) = (x.rank().saturating_sub(2), x.rank().saturating_sub(1));
        let transposed = record.params::<Params>().adj_x != 0;
        x.shape().dim(if transposed { rows } else { columns })
    });
    record.elements_and_steps(k as u64)
}

/// Leading dimensions and the matrix of a tensor of at least two dimensions, none of them 0.
fn matrices(
    info: &TensorInfo<'_>,
    operand: usize,
) -> Result<([usize; BATCH_DIMS], [usize; 2]), OperatorError> {
    match info.shape().extended() {
        [batches @ .., rows, columns] if info.shape().rank() >= 2 && info.len() > 0 => {
            Ok((batches, [rows, columns]))
        }
        _ => Err(OperatorError::Shape(operand as u8)),
    }
}
