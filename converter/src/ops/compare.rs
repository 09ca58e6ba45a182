//! EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER and GREATER_EQUAL.

use systole_core::{DType, Opcode, format::RoundingCode, ops::compare::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    elementwise::{broadcast, expect_output, expect_pair, is_quantized},
};
use crate::{
    error::Result,
    graph::NodeView,
    lower::Lowering,
    scale::FixedScale,
    tflite::Importer,
};

/// Bits by which quantized operands are shifted to the left before they are scaled.
const LEFT_SHIFT: u8 = 8;

/// Which comparison. The discriminants are the runtime's outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `a < b`.
    Less = 1,
    /// `a == b`.
    Equal = 2,
    /// `a <= b`.
    LessEqual = 3,
    /// `a > b`.
    Greater = 4,
    /// `a >= b`.
    GreaterEqual = 6,
    /// `a != b`, also where one is not a number.
    NotEqual = 13,
}

/// A comparison of two tensors that broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct Compare {
    /// Which one.
    pub comparison: Comparison,
}

macro_rules! imports {
    ($($name:ident $comparison:ident $tflite:literal,)*) => {$(
        #[doc = concat!("Reads ", $tflite, " from TFLite.")]
        ///
        /// # Errors
        /// As [`Importer::add`].
        pub fn $name(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
            importer.add(Op::Compare(Compare { comparison: Comparison::$comparison }))
        }
    )*};
}

imports! {
    import_equal Equal "EQUAL",
    import_not_equal NotEqual "NOT_EQUAL",
    import_less Less "LESS",
    import_less_equal LessEqual "LESS_EQUAL",
    import_greater Greater "GREATER",
    import_greater_equal GreaterEqual "GREATER_EQUAL",
}

impl Operator for Compare {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        use DType::{Bool, F32, I8, I16, I32, I64};
        let (a, b) = expect_pair(node, &[I8, I16, I32, I64, F32, Bool])?;
        expect_output(node, Bool)?;
        Ok(vec![broadcast(&a.shape, &b.shape)?])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (a, b) = (node.input(0)?, node.input(1)?);
        let mut params = Params { outcomes: self.comparison as u8, ..Params::default() };
        let mut rounding = RoundingCode::None;
        // TFLite scales int16 only where it tests for equality.
        let equality = matches!(self.comparison, Comparison::Equal | Comparison::NotEqual);
        if is_quantized(a) && (a.dtype == DType::I8 || equality) {
            let (a, b) = (FixedScale::new(a.scale()?.into())?, FixedScale::new(b.scale()?.into())?);
            rounding = lowering.rounding();
            params = Params {
                left_shift: LEFT_SHIFT,
                a_multiplier: a.multiplier,
                a_shift: a.shift,
                b_multiplier: b.multiplier,
                b_shift: b.shift,
                ..params
            };
        }
        let b = lowering.tensor(node.input_id(1)?);
        lowering.emit_unary(node, Opcode::Compare, rounding, &params, &[b])
    }
}
