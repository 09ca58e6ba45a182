//! MATMUL_INTEGER: `y[.., m, n] = Σ (x[.., m, k] − x_zero) × (w[.., k, n] − w_zero)` in int32,
//! leading dimensions broadcast.
//!
//! Operands: two int8 matrices and their zero points, any of them a constant: int8, one for the first,
//! one or one per column for the second; int32 output.

use systole_kernels::{
    Mismatch,
    batch_matmul::BatchMatMulShape,
    matmul_integer::matmul_integer,
};

pub use super::batch_matmul::Params;
use super::batch_matmul;
use crate::{call::{Machine, call}, DType, OperatorError, Record, memory::Place, ops::Operator};

/// A decoded MATMUL_INTEGER.
pub struct MatMulInteger<'m> {
    x: Place,
    w: Place,
    x_zero: Place,
    w_zero: Place,
    y: Place,
    shape: BatchMatMulShape,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for MatMulInteger<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(4, 1)?;
        let x = record.input(0)?.expect_type(DType::I8, 0)?;
        let w = record.input(1)?.expect_type(DType::I8, 1)?;
        let x_zero = record.input(2)?.expect_type(DType::I8, 2)?;
        let w_zero = record.input(3)?.expect_type(DType::I8, 3)?;
        let y = record.output(0)?.expect_type(DType::I32, 4)?;
        let shape = batch_matmul::shape(record, &x, &w, &y)?;
        if x_zero.len() != 1 {
            return Err(OperatorError::Shape(2));
        }
        if w_zero.len() != 1 && (w_zero.len() != shape.n || shape.adj_x) {
            return Err(OperatorError::Shape(3));
        }
        let (x, w, y) = (x.place, w.place, y.place);
        let (x_zero, w_zero) = (x_zero.place, w_zero.place);
        Ok(Self { x, w, x_zero, w_zero, y, shape, model: core::marker::PhantomData })
    }

    fn work(record: &Record<'m>) -> u64 {
        batch_matmul::work(record)
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let Self { x, w, x_zero, w_zero, y, shape, .. } = self;
        call!(machine, matmul_integer, shape; [*x, *w, *x_zero, *w_zero] => *y)
    }
}
