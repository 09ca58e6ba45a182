//! SUM, MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY and REDUCE_ALL of values that need no
//! scaling.
//!
//! Operands: input of any shape; output of the same type, its shape without the reduced axes or with
//! ones in their place. Sums and products are of int32, int64 and float32, means of the same,
//! maxima and minima of these, int8 and int16, ANY and ALL of bool.

use systole_kernels::{
    Mismatch,
    reduce::{
        Number, mean_f32, mean_i32, mean_i64, reduce_all, reduce_any, reduce_max, reduce_min,
        reduce_prod, reduce_sum,
    },
    reduction::Reduction,
};

use super::reduction::reduction;
use crate::{call::{Machine, call}, 
    DType, Element, OperatorError, Record,
    format::params,
    memory::Place,
    ops::Operator,
};

params! {
    /// Parameters of reductions.
    pub struct Params {
        /// Bit `i` is set where axis `i` of the input is reduced.
        pub axes: u8,
        /// 0 sum, 1 product, 2 maximum, 3 minimum, 4 mean, 5 any, 6 all.
        pub kind: u8,
    }
}

/// What becomes of a group of elements. The discriminants are those of [`Params::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The sum.
    Sum = 0,
    /// The product.
    Prod = 1,
    /// The largest.
    Max = 2,
    /// The smallest.
    Min = 3,
    /// The arithmetic mean.
    Mean = 4,
    /// Whether any is true.
    Any = 5,
    /// Whether all are true.
    All = 6,
}

impl Kind {
    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Sum,
            1 => Self::Prod,
            2 => Self::Max,
            3 => Self::Min,
            4 => Self::Mean,
            5 => Self::Any,
            6 => Self::All,
            _ => return None,
        })
    }

    /// Whether values of this type can be reduced so without a scale.
    pub fn takes(self, dtype: DType) -> bool {
        let number = matches!(dtype, DType::I32 | DType::I64 | DType::F32);
        match self {
            Self::Sum | Self::Prod | Self::Mean => number,
            Self::Max | Self::Min => number || matches!(dtype, DType::I8 | DType::I16),
            Self::Any | Self::All => dtype == DType::Bool,
        }
    }
}

/// A decoded reduction.
pub struct Reduce<'m> {
    x: Place,
    y: Place,
    kind: Kind,
    dtype: DType,
    reduction: Reduction,
    model: core::marker::PhantomData<&'m ()>,
}

impl<'m> Operator<'m> for Reduce<'m> {
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError> {
        record.expect_operands(1, 1)?;
        let params: Params = record.params();
        let x = record.input(0)?;
        let dtype = x.stored_dtype();
        let y = record.output(0)?.expect_type(dtype, 1)?;
        let kind = Kind::from_code(params.kind).ok_or(OperatorError::Parameter(1))?;
        if !kind.takes(dtype) {
            return Err(OperatorError::Type { operand: 0, found: dtype });
        }
        let reduction = reduction(&x, &y, params.axes, 1)?;
        let (x, y) = (x.place, y.place);
        Ok(Self { x, y, kind, dtype, reduction, model: core::marker::PhantomData })
    }

    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch> {
        match (self.dtype, self.kind) {
            (DType::F32, Kind::Mean) => self.with(machine, mean_f32),
            (DType::I32, Kind::Mean) => self.with(machine, mean_i32),
            (DType::I64, Kind::Mean) => self.with(machine, mean_i64),
            (DType::Bool, Kind::Any) => self.with(machine, reduce_any),
            (DType::Bool, Kind::All) => self.with(machine, reduce_all),
            (DType::F32, _) => self.numbers::<f32>(machine),
            (DType::I32, _) => self.numbers::<i32>(machine),
            (DType::I64, _) => self.numbers::<i64>(machine),
            (DType::I16, _) => self.numbers::<i16>(machine),
            (DType::I8, _) => self.numbers::<i8>(machine),
            _ => Err(Mismatch),
        }
    }
}

impl Reduce<'_> {
    fn numbers<T: Number + Element>(&self, machine: &mut impl Machine) -> Result<(), Mismatch> {
        match self.kind {
            Kind::Sum => self.with(machine, reduce_sum::<T>),
            Kind::Prod => self.with(machine, reduce_prod::<T>),
            Kind::Max => self.with(machine, reduce_max::<T>),
            Kind::Min => self.with(machine, reduce_min::<T>),
            Kind::Mean | Kind::Any | Kind::All => Err(Mismatch),
        }
    }

    fn with<T: Element>(
        &self,
        machine: &mut impl Machine,
        kernel: impl Fn(&Reduction, &[T], &mut [T]) -> Result<(), Mismatch> + Copy,
    ) -> Result<(), Mismatch> {
        call!(machine, kernel, &self.reduction; [self.x] => self.y)
    }
}
