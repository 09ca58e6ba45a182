//! A function of one value as a table: any quantized int8 function, and smooth int16 ones.
//!
//! Operands: input, int8 or int16; table, a constant of the same type with 256 entries (int8, for
//! 0 to 127 and then −128 to −1) or 513 (int16, for every 128th value from −32768 to 32768); output
//! of the input's shape.

use systole_kernels::{
    Mismatch,
    lut::{LUT_I8_LENGTH, LUT_I16_LENGTH, lut_i8, lut_i16},
};

use super::elementwise::Unary;
use crate::{call::{Machine, call}, DType, OperatorError, Record, format::params,  ops::Operator};

params! {
    /// A table has no parameters.
    pub struct Params {}
}

/// A decoded table.
pub struct Lut<'m> {
    operands: Unary,
    table: Table<'m>,
}

enum Table<'m> {
    I8(&'m [i8; LUT_I8_LENGTH]),
    I16(&'m [i16; LUT_I16_LENGTH]),
}

impl<'m> Operator<'m> for Lut<'m> {
    const IN_PLACE: &'static [usize] = &[0];

    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        let (operands, ..) = Unary::decode(record, 2)?;
        let length = OperatorError::Shape(1);
        let table = match operands.dtype {
            DType::I8 => Table::I8(record.constant(1)?.try_into().map_err(|_| length)?),
            DType::I16 => Table::I16(record.constant(1)?.try_into().map_err(|_| length)?),
            _ => return Err(operands.refuse()),
        };
        Ok(Self { operands, table })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match self.table {
            Table::I8(table) => call!(machine, lut_i8, table; in place [self.operands.x] => self.operands.y),
            Table::I16(table) => call!(machine, lut_i16, table; in place [self.operands.x] => self.operands.y),
        }
    }
}
