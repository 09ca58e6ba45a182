//! Functions of one element that the graph has under the same or another name, and Cast.

use systole_core::DType;
use tract_onnx::pb::tensor_proto::DataType;

use super::super::{
    importer::{Importer, NodeOf},
    tensors::Stored,
    value::Value,
};
use crate::{
    error::{Result, bail},
    graph::TensorId,
    ops::{Op, binary::Arithmetic, cast::Cast, unary::Unary},
    scale::Activation,
};

impl Importer {
    /// A function of one element.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn unary(&mut self, function: Unary, x: TensorId) -> Result<TensorId> {
        let dtype = self.graph()[x].dtype;
        self.apply(Op::Unary(function), &[x], dtype)
    }

    /// The elements in another type.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn cast(&mut self, x: TensorId, dtype: DType) -> Result<TensorId> {
        if self.graph()[x].dtype == dtype {
            return Ok(x);
        }
        if self.graph()[x].unsigned {
            // Its numbers, whatever they stand for.
            let numbers = self.numbers(x)?;
            return self.cast(numbers, dtype);
        }
        self.apply(Op::Cast(Cast), &[x], dtype)
    }
}

macro_rules! functions {
    ($($name:ident $function:expr,)*) => {$(
        #[doc = concat!("`", stringify!($function), "`.")]
        ///
        /// # Errors
        /// As [`Importer::apply`].
        pub fn $name(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
            let x = node.input(0)?;
            Ok(vec![x.like(importer.unary($function, x.id)?)])
        }
    )*};
}

functions! {
    abs Unary::Abs,
    neg Unary::Neg,
    sign Unary::Sign,
    relu Unary::Range(Activation::Relu),
    sigmoid Unary::Logistic,
    tanh Unary::Tanh,
    hard_swish Unary::HardSwish,
    exp Unary::Exp,
    log Unary::Log,
    sqrt Unary::Sqrt,
    sin Unary::Sin,
    cos Unary::Cos,
    floor Unary::Floor,
    ceil Unary::Ceil,
    round Unary::Round,
    erf Unary::Erf,
}

/// Reciprocal.
///
/// # Errors
/// As [`Importer::apply`].
pub fn reciprocal(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let one = importer.number(importer.tensor(x).dtype, 1.0)?;
    Ok(vec![x.like(importer.binary(Arithmetic::Div, one, x.id)?)])
}

/// Identity, and Dropout, which does nothing in inference.
///
/// # Errors
/// `UnsupportedFeature` where Dropout's mask is asked for or it trains.
pub fn identity(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    node.no_output(1, "the mask")?;
    if let Some(training) = node.optional(2)
        && !matches!(importer.integers_or_truths(training)?[..], [0])
    {
        bail!(UnsupportedFeature, "training_mode must be false");
    }
    Ok(vec![node.input(0)?.clone()])
}

impl Importer {
    /// The elements of a constant of integers or truth values.
    fn integers_or_truths(&self, value: &Value) -> Result<Vec<i64>> {
        match self.tensor(value) {
            tensor if tensor.dtype == DType::Bool => {
                Ok(tensor.data.iter().flat_map(|data| data.iter().map(|&b| b.into())).collect())
            }
            _ => self.integers(value),
        }
    }
}

/// Cast. Types that are stored as float32 stay so.
///
/// # Errors
/// `UnsupportedFeature` for types that the graph has not.
pub fn cast(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let code = i32::try_from(node.attributes.int("to", 0)).unwrap_or(0);
    let stored = Stored::of(code)?;
    if let Stored::Float(kind @ (DataType::Float16 | DataType::Bfloat16)) = stored {
        bail!(
            UnsupportedFeature,
            "a cast to {}, which would round; everything is computed in float32",
            kind.as_str_name().to_lowercase()
        );
    }
    Ok(vec![x.like(importer.cast(x.id, stored.dtype())?)])
}

/// CastLike.
///
/// # Errors
/// As [`Importer::apply`].
pub fn cast_like(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let dtype = importer.tensor(node.input(1)?).dtype;
    Ok(vec![x.like(importer.cast(x.id, dtype)?)])
}
