//! STRIDED_SLICE: every `stride`-th element from `begin` on, along each axis.
//!
//! Operands: input and output, of any one type and the same number of axes; the output's shape says
//! how many elements are taken.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    strided_slice::{StridedSlice as Kernel, strided_slice},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of STRIDED_SLICE. As many numbers count as the tensors have axes.
    pub struct Params {
        /// The first index along each axis.
        pub begin: [u32; 6],
        /// From one index to the next; may be negative.
        pub stride: [i32; 6],
    }
}

/// A decoded STRIDED_SLICE.
pub struct StridedSlice<'m> {
    x: Place,
    y: Place,
    width: Width,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for StridedSlice<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        same_type(&x, &y, 1)?;
        let begin = params.begin.get(..x.rank()).unwrap_or_default();
        let stride = params.stride.get(..x.rank()).unwrap_or_default();
        let kernel = Kernel::new(x.shape(), begin, stride, y.shape());
        let kernel = kernel.ok_or(OperatorError::Parameter(0))?;
        let width = Width::of(&x);
        Ok(Self { x: x.place, y: y.place, width, kernel, model: PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            call!(machine, strided_slice::<T>, &self.kernel; [self.x] => self.y)
        })
    }
}
