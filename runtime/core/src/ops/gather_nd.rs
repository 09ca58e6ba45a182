//! GATHER_ND: slices picked by tuples of indices.
//!
//! Operands: input of any type, indices (int16, int32 or int64) `[…, depth]` whose tuples name the
//! input's first `depth` axes; output `[…, the input's other axes]`. Indices outside of their axis
//! count as the nearest inside.

use core::marker::PhantomData;

use systole_kernels::{
    Mismatch,
    gather_nd::{GatherNd as Kernel, gather_nd},
};

use super::{
    gather::IndexType,
    movement::{Width, same_type, with_width},
};
use crate::{
    OperatorError, Record,
    format::params,
    memory::{Memory, Place},
    ops::Operator,
};

params! {
    /// GATHER_ND has no parameters.
    pub struct Params {}
}

/// A decoded GATHER_ND.
pub struct GatherNd<'m> {
    x: Place,
    indices: Place,
    y: Place,
    width: Width,
    index: IndexType,
    kernel: Kernel,
    model: PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for GatherNd<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(2, 1)?;
        let (x, indices, y) = (record.input(0)?, record.input(1)?, record.output(0)?);
        same_type(&x, &y, 2)?;
        let index = IndexType::new(indices.stored_dtype(), 1)?;
        let (&depth, tuples) = indices.shape().dims().split_last().ok_or(OperatorError::Shape(1))?;
        let depth = depth as usize;
        let inner = x.shape().dims().get(depth..).ok_or(OperatorError::Shape(1))?;
        if !tuples.iter().chain(inner).eq(y.shape().dims()) {
            return Err(OperatorError::Shape(2));
        }
        Ok(Self {
            x: x.place,
            indices: indices.place,
            y: y.place,
            width: Width::of(&x),
            index,
            kernel: Kernel::new(x.shape(), depth).ok_or(OperatorError::Shape(0))?,
            model: PhantomData,
        })
    }

    fn run(&self, memory: &mut Memory<'_, '_>) -> Result<(), Mismatch> {
        with_width!(self.width, T => {
            let (y, inputs) = memory.output::<T>(self.y)?;
            let x = inputs.get(self.x)?;
            match self.index {
                IndexType::I16 => gather_nd(&self.kernel, x, inputs.get::<i16>(self.indices)?, y),
                IndexType::I32 => gather_nd(&self.kernel, x, inputs.get::<i32>(self.indices)?, y),
                IndexType::I64 => gather_nd(&self.kernel, x, inputs.get::<i64>(self.indices)?, y),
            }
        })
    }
}
