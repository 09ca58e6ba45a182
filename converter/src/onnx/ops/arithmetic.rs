//! Arithmetic on several values that broadcast, and Clip.

use systole_core::DType;

use super::super::{
    importer::{Importer, NodeOf},
    value::Value,
};
use crate::{
    error::{Result, bail, error},
    graph::TensorId,
    ops::{
        Op,
        binary::{Arithmetic, Binary},
        unary::Unary,
    },
    scale::Activation,
};

impl Importer {
    /// An operation on two tensors.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn binary(&mut self, operation: Arithmetic, a: TensorId, b: TensorId) -> Result<TensorId> {
        let [first, second] = [&self.graph()[a], &self.graph()[b]];
        if first.dtype != second.dtype {
            bail!(InvalidGraph, "{first} and {second} must be of one type");
        }
        let dtype = first.dtype;
        let activation = Activation::None;
        let op = Op::Binary(Binary { operation, activation, power_of_two: false });
        self.apply(op, &[a, b], dtype)
    }

    /// An operation on a tensor and a number.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn with_number(
        &mut self,
        operation: Arithmetic,
        a: TensorId,
        number: f64,
    ) -> Result<TensorId> {
        let dtype = self.graph()[a].dtype;
        let b = self.number(dtype, number)?;
        self.binary(operation, a, b)
    }

    /// The tensors of values that broadcast, in one order of axes, and a value in that order whose
    /// tensor is to be replaced.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn aligned(&mut self, values: &[&Value]) -> Result<(Vec<TensorId>, Value)> {
        let rank = values.iter().map(|value| self.shape(value).len()).max().unwrap_or(0);
        let whole = |value: &&&Value| {
            value.shape(self.graph()).len() == rank && !self.tensor(value).is_constant()
        };
        // The order of the first that has one of its own: others, often constants, follow it.
        let lead = values.iter().find(|value| whole(value) && !value.is_plain());
        let lead = lead.or_else(|| values.iter().find(whole)).or_else(|| values.first());
        let mut lead = (*lead.ok_or_else(|| error!(InvalidGraph, "has no inputs"))?).clone();
        if self.shape(&lead).len() < rank {
            lead = Value::ordered(lead.id, (0..rank).collect());
        }
        if lead.flattened {
            let same = |value: &&Value| {
                self.graph()[value.id].elements() == 1
                    || (value.flattened
                        && value.order == lead.order
                        && self.tensor(value).shape == self.tensor(&lead).shape)
            };
            if !values.iter().all(same) {
                let id = self.stored_plain(&lead)?;
                lead = Value::plain(self.graph(), id);
            }
        }
        let stored_rank = if lead.flattened { lead.order.len() } else { rank };
        let mut tensors = Vec::new();
        for value in values {
            let shape = self.shape(value);
            let id = if lead.flattened && value.flattened {
                value.id
            } else if self.tensor(value).elements() == 1 {
                self.reshape(value.id, vec![1; stored_rank])?
            } else if shape.len() == rank {
                self.stored(value, &lead.order)?
            } else {
                let id = self.stored_plain(value)?;
                let ones = std::iter::repeat_n(1, rank - shape.len());
                let id = self.reshape(id, ones.chain(shape).collect())?;
                self.transpose(id, lead.order.clone())?
            };
            tensors.push(id);
        }
        Ok((tensors, lead))
    }

    /// An operation on two values.
    ///
    /// # Errors
    /// As [`Importer::apply`].
    pub fn binary_values(&mut self, operation: Arithmetic, a: &Value, b: &Value) -> Result<Value> {
        let (tensors, like) = self.aligned(&[a, b])?;
        let [a, b] = tensors[..] else { bail!(InvalidGraph, "needs two inputs") };
        Ok(like.like(self.binary(operation, a, b)?))
    }
}

fn two(importer: &mut Importer, node: &NodeOf<'_>, operation: Arithmetic) -> Result<Vec<Value>> {
    if node.opset < 7 && node.attributes.flag("broadcast", false) {
        bail!(UnsupportedFeature, "broadcasting of operator sets before 7");
    }
    Ok(vec![importer.binary_values(operation, node.input(0)?, node.input(1)?)?])
}

macro_rules! two_inputs {
    ($($name:ident $operation:ident,)*) => {$(
        #[doc = concat!(stringify!($operation), ".")]
        ///
        /// # Errors
        /// As [`Importer::apply`].
        pub fn $name(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
            two(importer, node, Arithmetic::$operation)
        }
    )*};
}

two_inputs! {
    add Add,
    sub Sub,
    mul Mul,
    div Div,
}

/// Pow, whose exponent may be of another type.
///
/// # Errors
/// As [`Importer::apply`].
pub fn pow(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (base, exponent) = (node.input(0)?, node.input(1)?);
    let dtype = importer.tensor(base).dtype;
    let exponent = exponent.like(importer.cast(exponent.id, dtype)?);
    Ok(vec![importer.binary_values(Arithmetic::Pow, base, &exponent)?])
}

/// Mod: with the sign of the divisor, or with `fmod` that of the dividend.
///
/// # Errors
/// As [`Importer::apply`].
pub fn modulo(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    if node.attributes.flag("fmod", false) {
        // a − b × trunc(a / b) would round; no operator of the graph is exact here.
        bail!(UnsupportedFeature, "fmod = 1 is not supported; fmod = 0 is");
    }
    two(importer, node, Arithmetic::FloorMod)
}

/// An operation on any number of inputs, from left to right.
fn many(importer: &mut Importer, node: &NodeOf<'_>, operation: Arithmetic) -> Result<Value> {
    let values: Vec<&Value> = node.inputs.iter().flatten().collect();
    let (tensors, like) = importer.aligned(&values)?;
    let mut tensors = tensors.into_iter();
    let mut result = tensors.next().ok_or_else(|| error!(InvalidGraph, "has no inputs"))?;
    for next in tensors {
        result = importer.binary(operation, result, next)?;
    }
    Ok(like.like(result))
}

/// Sum.
///
/// # Errors
/// As [`Importer::apply`].
pub fn sum(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    Ok(vec![many(importer, node, Arithmetic::Add)?])
}

/// Mean.
///
/// # Errors
/// As [`Importer::apply`].
pub fn mean(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let sum = many(importer, node, Arithmetic::Add)?;
    let count = node.inputs.iter().flatten().count();
    Ok(vec![sum.like(importer.with_number(Arithmetic::Div, sum.id, count as f64)?)])
}

/// Max.
///
/// # Errors
/// As [`Importer::apply`].
pub fn max(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    Ok(vec![many(importer, node, Arithmetic::Maximum)?])
}

/// Min.
///
/// # Errors
/// As [`Importer::apply`].
pub fn min(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    Ok(vec![many(importer, node, Arithmetic::Minimum)?])
}

/// Clip: bounds are attributes up to operator set 10, inputs from 11 on.
///
/// # Errors
/// As [`Importer::apply`].
pub fn clip(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let dtype = importer.tensor(x).dtype;
    let mut bounds = [node.optional(1), node.optional(2)].map(|bound| bound.map(|value| value.id));
    if node.opset < 11 {
        for (bound, name) in bounds.iter_mut().zip(["min", "max"]) {
            if node.attributes.has(name) {
                let number = f64::from(node.attributes.float(name, 0.0));
                *bound = Some(importer.number(dtype, number)?);
            }
        }
    }
    let [low, high] = bounds;
    let constant = |id: Option<TensorId>| {
        let values = importer.graph()[id?].values::<f32>().ok()?;
        values.first().copied()
    };
    // The ranges that other operators take up.
    let activation = match (constant(low), constant(high)) {
        (Some(0.0), None) if high.is_none() => Some(Activation::Relu),
        (Some(0.0), Some(6.0)) => Some(Activation::Relu6),
        (Some(-1.0), Some(1.0)) => Some(Activation::ReluN1To1),
        (Some(0.0), Some(1.0)) => Some(Activation::Relu0To1),
        _ => None,
    };
    if let Some(activation) = activation.filter(|_| dtype == DType::F32) {
        let id = importer.apply(Op::Unary(Unary::Range(activation)), &[x.id], dtype)?;
        return Ok(vec![x.like(id)]);
    }
    let mut result = x.clone();
    for (bound, operation) in [(low, Arithmetic::Maximum), (high, Arithmetic::Minimum)] {
        if let Some(bound) = bound {
            let bound = Value::plain(importer.graph(), bound);
            result = importer.binary_values(operation, &result, &bound)?;
        }
    }
    Ok(vec![result])
}
