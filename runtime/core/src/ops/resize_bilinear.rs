//! RESIZE_BILINEAR: images scaled by interpolation between four pixels.
//!
//! Operands: int8, int16 or float32 input NHWC; output NHWC of the same type, batches, channels,
//! scale and zero point.

use systole_kernels::{
    Mismatch,
    resize::{
        Resize, resize_bilinear_f32, resize_bilinear_i8, resize_bilinear_i16,
        resize_bilinear_u8_as_i8,
    },
};

pub use super::resize::Params;
use crate::{call::{Machine, call}, 
    DType, OperatorError, Record,
    memory::Place,
    ops::Operator,
};

/// A decoded RESIZE_BILINEAR.
pub struct ResizeBilinear<'m> {
    x: Place,
    y: Place,
    kernel: Resize,
    elements: Elements,
    model: core::marker::PhantomData<&'m ()>,
}

enum Elements {
    I8,
    U8AsI8,
    I16,
    F32,
}

impl<'m> Operator<'m> for ResizeBilinear<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let (x, y, kernel, unsigned) = super::resize::decode(record)?;
        let elements = match (x.stored_dtype(), unsigned) {
            (DType::I8, false) => Elements::I8,
            (DType::I8, true) => Elements::U8AsI8,
            (DType::I16, false) => Elements::I16,
            (DType::F32, false) => Elements::F32,
            (DType::I16 | DType::F32, true) => return Err(OperatorError::Parameter(2)),
            (found, _) => return Err(OperatorError::Type { operand: 0, found }),
        };
        let (x, y) = (x.place, y.place);
        Ok(Self { x, y, kernel, elements, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.elements {
            Elements::I8 => {
                call!(machine, resize_bilinear_i8, &self.kernel; [self.x] => self.y)
            }
            Elements::U8AsI8 => {
                call!(machine, resize_bilinear_u8_as_i8, &self.kernel; [self.x] => self.y)
            }
            Elements::I16 => {
                call!(machine, resize_bilinear_i16, &self.kernel; [self.x] => self.y)
            }
            Elements::F32 => {
                call!(machine, resize_bilinear_f32, &self.kernel; [self.x] => self.y)
            }
        }
    }
}
