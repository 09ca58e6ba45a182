//! CONCATENATION: tensors beside each other along an axis.
//!
//! Operands: any number of inputs and one output, of any one type, whose shapes differ along the
//! axis alone.

use systole_kernels::{
    Mismatch,
    place::{Place as Kernel, place},
};

use super::movement::{Width, same_type, with_width};
use crate::{call::{Machine, call}, 
    OperatorError, Record, TensorInfo,
    format::params,
    
    ops::Operator,
};

params! {
    /// Parameters of CONCATENATION.
    pub struct Params {
        /// The axis along which the inputs follow each other.
        pub axis: u8,
    }
}

/// A decoded CONCATENATION. Inputs are looked up as they are placed, because there may be any
/// number of them.
pub struct Concatenation<'m> {
    record: Record<'m>,
    axis: usize,
    width: Width,
}

impl<'m> Operator<'m> for Concatenation<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let axis = usize::from(record.params::<Params>().axis);
        let (inputs, y) = (record.input_count(), record.output(0)?);
        record.expect_operands(inputs, 1)?;
        if axis >= y.rank() {
            return Err(OperatorError::Parameter(0));
        }
        let mut total = 0_usize;
        for i in 0..inputs {
            let x = record.input(i)?;
            same_type(&y, &x, i)?;
            let mut axes = x.shape().dims().iter().zip(y.shape().dims()).enumerate();
            if x.rank() != y.rank() || !axes.all(|(k, (dim, extent))| k == axis || dim == extent) {
                return Err(OperatorError::Shape(i as u8));
            }
            total = total.saturating_add(x.shape().dim(axis));
        }
        if total != y.shape().dim(axis) {
            return Err(OperatorError::Shape(inputs as u8));
        }
        Ok(Self { record: *record, axis, width: Width::of(&y) })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        let y = self.record.output(0).map_err(|_| Mismatch)?;
        let y_row = self.row(&y);
        with_width!(self.width, T => {
            let mut offset = 0;
            for i in 0..self.record.input_count() {
                let x = self.record.input(i).map_err(|_| Mismatch)?;
                let x_row = self.row(&x);
                call!(machine, place::<T>, &Kernel { x_row, y_row, offset }; [x.place] => y.place)?;
                offset += x_row;
            }
        });
        Ok(())
    }
}

impl Concatenation<'_> {
    /// Elements from the axis on.
    fn row(&self, tensor: &TensorInfo<'_>) -> usize {
        tensor.shape().dims().iter().skip(self.axis).map(|&dim| dim as usize).product()
    }
}
