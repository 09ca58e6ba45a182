//! TILE: a tensor repeated along its axes.
//!
//! Operands: input and output, of any one type. Axes are counted from the last; each extent of the
//! output is a multiple of the input's, so that broadcasting is a tile too.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    tile::{Tile as Kernel, tile},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// TILE has no parameters.
    pub struct Params {}
}

/// A decoded TILE.
pub struct Tile<'m> {
    x: Place,
    y: Place,
    width: Width,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Tile<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let (x, y) = (record.input(0)?, record.output(0)?);
        same_type(&x, &y, 1)?;
        let kernel = Kernel::new(x.shape(), y.shape()).ok_or(OperatorError::Shape(1))?;
        let width = Width::of(&x);
        Ok(Self { x: x.place, y: y.place, width, kernel, model: PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            call!(machine, tile::<T>, &self.kernel; [self.x] => self.y)
        })
    }
}
