//! Reductions over axes.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf, axis},
    value::Value,
};
use crate::{
    error::Result,
    graph::TensorId,
    ops::{
        Op,
        binary::Arithmetic::{Add, Sub},
        reduce::{Kind, Reduce},
        unary::Unary,
    },
};

/// A value with the axes that are reduced, and what is left of them.
struct Reduction {
    x: Value,
    /// Ascending, of the value.
    axes: Vec<usize>,
    keep_dims: bool,
}

impl Reduction {
    /// Axes are an attribute or, from some operator set on, an input.
    fn of(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Self> {
        let mut x = node.input(0)?.clone();
        if x.flattened {
            let id = importer.stored_plain(&x)?;
            x = Value::plain(importer.graph(), id);
        }
        let rank = importer.shape(&x).len();
        let stated = match node.optional(1) {
            Some(input) => Some(importer.integers(input)?),
            None => node.attributes.ints("axes").map(<[i64]>::to_vec),
        };
        let stated = stated.unwrap_or_default();
        let mut axes = stated.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<usize>>>()?;
        if axes.is_empty() && !node.attributes.flag("noop_with_empty_axes", false) {
            axes = (0..rank).collect();
        }
        axes.sort_unstable();
        axes.dedup();
        Ok(Self { x, axes, keep_dims: node.attributes.flag("keepdims", true) })
    }

    fn apply(&self, importer: &mut Importer, x: TensorId, kind: Kind) -> Result<TensorId> {
        if self.axes.is_empty() {
            return Ok(x);
        }
        let dtype = importer.graph()[x].dtype;
        let mut axes: Vec<usize> = self.axes.iter().map(|&axis| self.x.stored_axis(axis)).collect();
        axes.sort_unstable();
        let op = Op::Reduce(Reduce { kind, axes, keep_dims: self.keep_dims });
        importer.apply(op, &[x], dtype)
    }

    /// The value that a result is.
    fn value(&self, id: TensorId) -> Value {
        if self.keep_dims {
            return self.x.like(id);
        }
        let left = self.x.order.iter().filter(|axis| !self.axes.contains(axis));
        let order = left.map(|&axis| axis - self.axes.iter().filter(|&&less| less < axis).count());
        Value::ordered(id, order.collect())
    }
}

fn reduce(importer: &mut Importer, node: &NodeOf<'_>, kind: Kind) -> Result<Vec<Value>> {
    let reduction = Reduction::of(importer, node)?;
    let x = reduction.x.id;
    // Truth values are reduced as what they are.
    let kind = match (importer.graph()[x].dtype, kind) {
        (DType::Bool, Kind::Max) => Kind::Any,
        (DType::Bool, Kind::Min) => Kind::All,
        _ => kind,
    };
    let y = reduction.apply(importer, x, kind)?;
    Ok(vec![reduction.value(y)])
}

macro_rules! reductions {
    ($($name:ident $kind:ident,)*) => {$(
        #[doc = concat!("Reduce", stringify!($kind), ".")]
        ///
        /// # Errors
        /// As [`Importer::apply`].
        pub fn $name(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
            reduce(importer, node, Kind::$kind)
        }
    )*};
}

reductions! {
    sum Sum,
    mean Mean,
    prod Prod,
    max Max,
    min Min,
}

/// The sum of `before` of each element, and `after` of the sum.
fn composed(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    before: Option<Unary>,
    after: Option<Unary>,
) -> Result<Vec<Value>> {
    let reduction = Reduction::of(importer, node)?;
    let mut y = reduction.x.id;
    if let Some(before) = before {
        y = importer.unary(before, y)?;
    }
    y = reduction.apply(importer, y, Kind::Sum)?;
    if let Some(after) = after {
        y = importer.unary(after, y)?;
    }
    Ok(vec![reduction.value(y)])
}

/// ReduceL1.
///
/// # Errors
/// As [`Importer::apply`].
pub fn l1(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    composed(importer, node, Some(Unary::Abs), None)
}

/// ReduceL2.
///
/// # Errors
/// As [`Importer::apply`].
pub fn l2(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    composed(importer, node, Some(Unary::Square), Some(Unary::Sqrt))
}

/// ReduceSumSquare.
///
/// # Errors
/// As [`Importer::apply`].
pub fn sum_square(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    composed(importer, node, Some(Unary::Square), None)
}

/// ReduceLogSum.
///
/// # Errors
/// As [`Importer::apply`].
pub fn log_sum(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    composed(importer, node, None, Some(Unary::Log))
}

/// ReduceLogSumExp: the largest element is taken out before, so that nothing overflows.
///
/// # Errors
/// As [`Importer::apply`].
pub fn log_sum_exp(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let reduction = Reduction::of(importer, node)?;
    let kept = Reduction { x: reduction.x.clone(), axes: reduction.axes.clone(), keep_dims: true };
    let x = reduction.x.id;
    let largest = kept.apply(importer, x, Kind::Max)?;
    let less = importer.binary(Sub, x, largest)?;
    let exponentials = importer.unary(Unary::Exp, less)?;
    let sum = kept.apply(importer, exponentials, Kind::Sum)?;
    let logarithm = importer.unary(Unary::Log, sum)?;
    let result = importer.binary(Add, logarithm, largest)?;
    if reduction.keep_dims {
        return Ok(vec![reduction.x.like(result)]);
    }
    let stored: Vec<usize> =
        reduction.axes.iter().map(|&axis| reduction.x.stored_axis(axis)).collect();
    let shape = importer.graph()[result].shape.iter().enumerate();
    let shape = shape.filter(|(axis, _)| !stored.contains(axis)).map(|(_, &dim)| dim).collect();
    let result = importer.reshape(result, shape)?;
    Ok(vec![reduction.value(result)])
}
