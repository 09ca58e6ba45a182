//! TRANSPOSE: the axes in another order.
//!
//! Operands: input and output, of any one type; output axis `k` is input axis `permutation[k]`.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    transpose::{Transpose as Kernel, transpose},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of TRANSPOSE.
    pub struct Params {
        /// For each axis of the output, which axis of the input it is. As many as the tensors have.
        pub permutation: [u8; 6],
    }
}

/// A decoded TRANSPOSE.
pub struct Transpose<'m> {
    x: Place,
    y: Place,
    width: Width,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Transpose<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        same_type(&x, &y, 1)?;
        let permutation = params.permutation.get(..x.rank()).unwrap_or_default();
        let kernel = Kernel::new(x.shape(), permutation).ok_or(OperatorError::Parameter(0))?;
        let moved = |(&axis, &extent): (&u8, &u32)| x.shape().dim(axis.into()) == extent as usize;
        let axes = permutation.iter().zip(y.shape().dims());
        if y.rank() != x.rank() || !axes.into_iter().all(moved) {
            return Err(OperatorError::Shape(1));
        }
        let width = Width::of(&x);
        Ok(Self { x: x.place, y: y.place, width, kernel, model: PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            call!(machine, transpose::<T>, &self.kernel; [self.x] => self.y)
        })
    }
}
