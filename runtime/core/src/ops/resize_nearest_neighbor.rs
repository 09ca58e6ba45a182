//! RESIZE_NEAREST_NEIGHBOR: images scaled by copying the nearest pixel.
//!
//! Operands: input NHWC of any type; output NHWC of the same type, batches, channels, scale and zero
//! point.

use systole_kernels::{
    Mismatch,
    resize::{Resize, resize_nearest_neighbor},
};

pub use super::resize::Params;
use crate::{call::{Machine, call}, 
    Element, OperatorError, Record,
    memory::Place,
    ops::Operator,
};

/// A decoded RESIZE_NEAREST_NEIGHBOR.
pub struct ResizeNearestNeighbor<'m> {
    x: Place,
    y: Place,
    kernel: Resize,
    element_bytes: usize,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for ResizeNearestNeighbor<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let (x, y, kernel, unsigned) = super::resize::decode(record)?;
        if unsigned {
            return Err(OperatorError::Parameter(2));
        }
        let element_bytes = x.stored_dtype().size();
        let (x, y) = (x.place, y.place);
        Ok(Self { x, y, kernel, element_bytes, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.element_bytes {
            1 => self.copy::<u8>(machine),
            2 => self.copy::<u16>(machine),
            4 => self.copy::<u32>(machine),
            _ => self.copy::<i64>(machine),
        }
    }
}

impl ResizeNearestNeighbor<'_> {
    fn copy<T: Element>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        call!(machine, resize_nearest_neighbor::<T>, &self.kernel; [self.x] => self.y)
    }
}
