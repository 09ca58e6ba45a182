//! Comparisons, logic, Where.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf},
    value::Value,
};
use crate::{
    error::{Result, bail},
    ops::{
        Op,
        compare::{Compare, Comparison},
        logical::Logical,
        select::Select,
    },
};

fn two(importer: &mut Importer, node: &NodeOf<'_>, op: Op) -> Result<Vec<Value>> {
    let (tensors, like) = importer.aligned(&[node.input(0)?, node.input(1)?])?;
    Ok(vec![like.like(importer.apply(op, &tensors, DType::Bool)?)])
}

macro_rules! comparisons {
    ($($name:ident $comparison:ident,)*) => {$(
        #[doc = concat!(stringify!($comparison), ".")]
        ///
        /// # Errors
        /// As [`Importer::apply`].
        pub fn $name(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
            let comparison = Comparison::$comparison;
            two(importer, node, Op::Compare(Compare { comparison }))
        }
    )*};
}

comparisons! {
    less Less,
    less_or_equal LessEqual,
    greater Greater,
    greater_or_equal GreaterEqual,
}

/// Equal, also of truth values.
///
/// # Errors
/// As [`Importer::apply`].
pub fn equal(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    two(importer, node, Op::Compare(Compare { comparison: Comparison::Equal }))
}

/// And.
///
/// # Errors
/// As [`Importer::apply`].
pub fn and(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    two(importer, node, Op::Logical(Logical::And))
}

/// Or.
///
/// # Errors
/// As [`Importer::apply`].
pub fn or(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    two(importer, node, Op::Logical(Logical::Or))
}

/// Xor: either, but not both.
///
/// # Errors
/// As [`Importer::apply`].
pub fn xor(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (tensors, like) = importer.aligned(&[node.input(0)?, node.input(1)?])?;
    let either = importer.apply(Op::Logical(Logical::Or), &tensors, DType::Bool)?;
    let both = importer.apply(Op::Logical(Logical::And), &tensors, DType::Bool)?;
    let not_both = importer.apply(Op::Logical(Logical::Not), &[both], DType::Bool)?;
    let one = importer.apply(Op::Logical(Logical::And), &[either, not_both], DType::Bool)?;
    Ok(vec![like.like(one)])
}

/// Not.
///
/// # Errors
/// As [`Importer::apply`].
pub fn not(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    Ok(vec![x.like(importer.apply(Op::Logical(Logical::Not), &[x.id], DType::Bool)?)])
}

/// Where.
///
/// # Errors
/// As [`Importer::apply`].
pub fn select(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let values = [node.input(0)?, node.input(1)?, node.input(2)?];
    let dtype = importer.tensor(values[1]).dtype;
    let (tensors, like) = importer.aligned(&values)?;
    if like.flattened {
        bail!(UnsupportedFeature, "conditions on flattened images");
    }
    Ok(vec![like.like(importer.apply(Op::Select(Select), &tensors, dtype)?)])
}
