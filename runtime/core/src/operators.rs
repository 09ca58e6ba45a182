//! Which operators a program can load: those that it links.
//!
//! A model that is received is known only when it arrives, so its operators are looked up in a table
//! of functions. The linker keeps what the tables of a program name, and drops all other kernels.

use systole_kernels::Mismatch;

use crate::{DType, Opcode, OperatorError, Record, memory::Memory, ops};

/// A set of operators, made by [`operators!`](crate::operators!).
///
/// [`Model::from_bytes`](crate::Model::from_bytes) takes [`Operators::ALL`], which is a megabyte of
/// kernels on a microcontroller. Firmware that knows the family of its models names theirs:
///
/// ```
/// use systole_core::{Model, Operators, operators};
///
/// /// What our models are made of.
/// const OPERATORS: Operators = operators![I8: FullyConnected, Conv2d, AveragePool2d, Softmax];
/// # fn load(bytes: &[u8]) -> Result<(), systole_core::LoadError> {
/// let model = Model::with_operators(bytes, OPERATORS)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Operators {
    rows: &'static [Row],
}

/// What a program links of an operator: an entry of [`Operators`].
#[derive(Clone, Copy)]
pub struct Row {
    pub(crate) opcode: Opcode,
    /// The type of the first output; `None` where it may be any.
    pub(crate) output: Option<DType>,
    /// Checks a record completely: what passes cannot fail in `run`.
    pub(crate) validate: fn(&Record<'_>) -> Result<(), OperatorError>,
    /// Upper bound of the elementary steps of a record that has been checked.
    pub(crate) work: fn(&Record<'_>) -> u64,
    /// Executes a record that has been checked.
    #[cfg(not(feature = "std"))]
    pub(crate) run: fn(&Record<'_>, &mut Memory<'_, '_>) -> Result<(), Mismatch>,
    /// Decodes a record that has been checked, once for all runs: on hosts, which have a heap.
    #[cfg(feature = "std")]
    pub(crate) decode: for<'m> fn(&Record<'m>) -> Option<Decoded<'m>>,
}

/// An operator that has been decoded, to be executed any number of times.
#[cfg(feature = "std")]
pub(crate) type Decoded<'m> =
    alloc::boxed::Box<dyn Fn(&mut Memory<'_, '_>) -> Result<(), Mismatch> + Send + Sync + 'm>;

impl Operators {
    /// Every operator of this version.
    pub const ALL: Self = Self { rows: ops::ROWS };

    /// These rows, of which the first that fits is taken. For [`operators!`](crate::operators!).
    #[doc(hidden)]
    pub const fn new(rows: &'static [Row]) -> Self {
        Self { rows }
    }

    /// The operators in the order in which they were named, each with the type of its first output
    /// where that is not any.
    pub fn iter(&self) -> impl Iterator<Item = (Opcode, Option<DType>)> + use<> {
        self.rows.iter().map(|row| (row.opcode, row.output))
    }

    pub(crate) fn find(&self, opcode: Opcode, record: &Record<'_>) -> Option<&'static Row> {
        let stored = |dtype| record.output(0).is_ok_and(|y| y.stored_dtype() == dtype);
        self.rows.iter().find(|row| row.opcode == opcode && row.output.is_none_or(stored))
    }
}

impl core::fmt::Debug for Operators {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.rows).finish()
    }
}

impl core::fmt::Debug for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.output {
            None => write!(f, "{}", self.opcode.name()),
            Some(dtype) => write!(f, "{} to {dtype}", self.opcode.name()),
        }
    }
}

/// A constant expression for [`Operators`]: the only kernels that a program links for models that
/// are loaded with it. Names are those of [`Opcode`]'s variants; `systole inspect FILE` lists what
/// a file needs.
///
/// ```
/// use systole_core::{Operators, operators};
///
/// // Kernels for all element types.
/// const ANY: Operators = operators![FullyConnected, Softmax];
/// // Those whose first output has this type in memory: a [`DType`](systole_core::DType).
/// const SOME: Operators = operators![I8: FullyConnected, Softmax; I32: ArgMax];
/// ```
#[macro_export]
macro_rules! operators {
    ($($operator:ident),* $(,)?) => {{
        const ROWS: &[$crate::Row] = &[$($crate::Opcode::$operator.row::<0>()),*];
        $crate::Operators::new(ROWS)
    }};
    ($($dtype:ident: $($operator:ident),+ $(,)?);+ $(;)?) => {{
        const ROWS: &[$crate::Row] = &[$($(
            $crate::Opcode::$operator.row::<{ $crate::DType::$dtype as u8 }>()
        ),+),+];
        $crate::Operators::new(ROWS)
    }};
}

#[cfg(test)]
mod tests {
    use std::{format, vec::Vec};

    use super::*;

    #[test]
    fn all_operators_are_those_of_the_registry() {
        let all: Vec<Opcode> = Operators::ALL.iter().map(|(opcode, _)| opcode).collect();
        assert_eq!(all, Opcode::ALL);
        assert!(Operators::ALL.iter().all(|(_, output)| output.is_none()));
    }

    #[test]
    fn only_what_is_named_is_in_a_set() {
        const ANY: Operators = crate::operators![Softmax, Add];
        assert_eq!(ANY.iter().collect::<Vec<_>>(), [(Opcode::Softmax, None), (Opcode::Add, None)]);
        const SOME: Operators = crate::operators![I8: Softmax, Add; I32: ArgMax];
        assert_eq!(format!("{SOME:?}"), "[softmax to int8, add to int8, arg_max to int32]");
        assert_eq!(crate::operators![].iter().count(), 0);
    }
}
