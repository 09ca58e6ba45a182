//! MIRROR_PAD: a tensor's own reflection around it.
//!
//! Operands: input and output, of any one type and the same number of axes; the output's shape says
//! how much is added behind.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    mirror_pad::{Mirror, MirrorPad as Kernel, mirror_pad},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of MIRROR_PAD.
    pub struct Params {
        /// Elements added in front of each axis. As many as the tensors have axes.
        pub before: [u32; 6],
        /// 0: the border element is not repeated; 1: it is.
        pub symmetric: u8,
    }
}

/// A decoded MIRROR_PAD.
pub struct MirrorPad<'m> {
    x: Place,
    y: Place,
    width: Width,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for MirrorPad<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let (x, y) = (record.input(0)?, record.output(0)?);
        same_type(&x, &y, 1)?;
        let mirror = match params.symmetric {
            0 => Mirror::Reflect,
            1 => Mirror::Symmetric,
            _ => return Err(OperatorError::Parameter(1)),
        };
        let before = params.before.get(..x.rank()).unwrap_or_default();
        let kernel = Kernel::new(x.shape(), before, y.shape(), mirror);
        Ok(Self {
            x: x.place,
            y: y.place,
            width: Width::of(&x),
            kernel: kernel.ok_or(OperatorError::Parameter(0))?,
            model: PhantomData,
        })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            call!(machine, mirror_pad::<T>, &self.kernel; [self.x] => self.y)
        })
    }
}
