//! PAD: a border of one value around a tensor.
//!
//! Operands: input and output, of any one type and the same number of axes; the output's shape says
//! how much is added behind.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    pad::{Pad as Kernel, pad},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of PAD.
    pub struct Params {
        /// Elements added in front of each axis. As many as the tensors have axes.
        pub before: [u32; 6],
        /// The value added: the element's bytes, the rest sign-extended or zero.
        pub value: i64,
    }
}

/// A decoded PAD.
pub struct Pad<'m> {
    x: Place,
    y: Place,
    width: Width,
    kernel: Kernel,
    value: i64,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Pad<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        same_type(&x, &y, 1)?;
        let before = params.before.get(..x.rank()).unwrap_or_default();
        let kernel = Kernel::new(x.shape(), before, y.shape());
        Ok(Self {
            x: x.place,
            y: y.place,
            width: Width::of(&x),
            kernel: kernel.ok_or(OperatorError::Parameter(0))?,
            value: params.value,
            model: PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            call!(machine, pad::<T>, &self.kernel, self.value as T; [self.x] => self.y)
        })
    }
}
