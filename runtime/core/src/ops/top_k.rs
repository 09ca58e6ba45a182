//! TOPK_V2: the largest values along the last axis, in descending order, and their indices.
//!
//! Operands: int8, int16, int32, int64 or float32 input `[…, depth]`; outputs `[…, k]` of the same
//! type and `[…, k]` int32.

use systole_kernels::{
    Mismatch,
    top_k::{TopK as Kernel, top_k},
};

use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of TOPK_V2.
    pub struct Params {
        /// How many values are kept: the outputs' last dimension.
        pub k: u32,
    }
}

/// A decoded TOPK_V2.
pub struct TopK<'m> {
    x: Place,
    values: Place,
    indices: Place,
    dtype: DType,
    kernel: Kernel,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for TopK<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 2)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let dtype = x.stored_dtype();
        let values = record.output(0)?.expect_type(dtype, 1)?;
        let indices = record.output(1)?.expect_type(DType::I32, 2)?;
        match dtype {
            DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::F32 => {}
            found => return Err(OperatorError::Type { operand: 0, found }),
        }
        if values.shape() != indices.shape() {
            return Err(OperatorError::Shape(2));
        }
        let (depth, k) = (x.shape().last(), values.shape().last());
        if params.k as usize != k {
            return Err(OperatorError::Parameter(0));
        }
        let rows = x.len().checked_div(depth).ok_or(OperatorError::Shape(0))?;
        if k > depth || rows.checked_mul(k) != Some(values.len()) {
            return Err(OperatorError::Shape(1));
        }
        Ok(Self {
            x: x.place,
            values: values.place,
            indices: indices.place,
            dtype,
            kernel: Kernel { rows, depth, k },
            model: core::marker::PhantomData,
        })
    }

    fn work(record: &Record<'m>) -> u64 {
        // Each element may move all that are kept.
        record.elements().saturating_mul(record.params::<Params>().k.max(1).into())
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.dtype {
            DType::I8 => self.of::<i8>(machine),
            DType::I16 => self.of::<i16>(machine),
            DType::I32 => self.of::<i32>(machine),
            DType::I64 => self.of::<i64>(machine),
            DType::F32 => self.of::<f32>(machine),
            _ => Err(Mismatch),
        }
    }
}

impl TopK<'_> {
    fn of<T: Element + PartialOrd>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        call!(machine, top_k::<T>, &self.kernel; [self.x] => self.values, self.indices)
    }
}
