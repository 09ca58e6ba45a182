//! SUM, MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY and REDUCE_ALL.

pub use systole_core::ops::reduce::Kind;
use systole_core::{
    DType, Opcode,
    format::RoundingCode,
    ops::{prod_quantized, reduce::Params, sum_quantized},
};
use tract_tflite::tflite;

use super::{Op, Operator, same_scale::same_scale};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::Lowering,
    options::Match,
    scale::{FixedScale, type_range},
    tflite::Importer,
};

/// Elements along some axes become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduce {
    /// What becomes of them.
    pub kind: Kind,
    /// The axes that are reduced, ascending, each once.
    pub axes: Vec<usize>,
    /// Whether these axes stay in the output with length 1.
    pub keep_dims: bool,
}

macro_rules! imports {
    ($($import:ident $kind:ident $name:literal,)*) => {$(
        #[doc = concat!("Reads ", $name, " from TFLite.")]
        ///
        /// # Errors
        /// As [`Importer::add`].
        pub fn $import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
            import(importer, operator, Kind::$kind)
        }
    )*};
}

imports! {
    import_sum Sum "SUM",
    import_mean Mean "MEAN",
    import_prod Prod "REDUCE_PROD",
    import_max Max "REDUCE_MAX",
    import_min Min "REDUCE_MIN",
    import_any Any "REDUCE_ANY",
    import_all All "REDUCE_ALL",
}

fn import(importer: &mut Importer, operator: &tflite::Operator<'_>, kind: Kind) -> Result<()> {
    let options = operator.builtin_options_as_reducer_options();
    let keep_dims = options.is_some_and(|options| options.keep_dims());
    let rank = importer.input(0)?.shape.len();
    let mut axes = Vec::new();
    for axis in importer.input(1)?.integers()? {
        axes.push(normalized_axis(axis, rank)?);
    }
    axes.sort_unstable();
    axes.dedup();
    let x = importer.input_id(0)?;
    let op = Op::Reduce(Reduce { kind, axes, keep_dims });
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

/// An axis counted from the front, where negative ones count from the back.
///
/// # Errors
/// `InvalidShape` for an axis that the tensor does not have.
pub(super) fn normalized_axis(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(from_front) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => bail!(InvalidShape, "axis {axis} of a tensor with {rank} dimensions"),
    }
}

impl Operator for Reduce {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let types: &[DType] = match self.kind {
            Kind::Any | Kind::All => &[DType::Bool],
            _ => &[DType::I8, DType::I16, DType::I32, DType::I64, DType::F32],
        };
        let (x, y) = (node.expect_types(0, types)?, node.output(0)?);
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        let dims = x.shape.iter().enumerate();
        let shape = dims.filter_map(|(axis, &dim)| match self.axes.contains(&axis) {
            true => self.keep_dims.then_some(1),
            false => Some(dim),
        });
        Ok(vec![shape.collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if matches!(x.dtype, DType::I8 | DType::I16) {
            match self.kind {
                Kind::Sum | Kind::Mean => return self.lower_sum(node, lowering),
                Kind::Prod => return self.lower_prod(node, lowering),
                Kind::Max | Kind::Min | Kind::Any | Kind::All => same_scale(x, y)?,
            }
        }
        let params = Params { axes: self.mask(), kind: self.kind as u8 };
        lowering.emit_unary(node, Opcode::Reduce, RoundingCode::None, &params, &[])
    }
}

impl Reduce {
    /// A bit per reduced axis.
    fn mask(&self) -> u8 {
        self.axes.iter().fold(0, |mask, axis| mask | 1 << axis)
    }

    /// How many elements become one.
    fn count(&self, x: &Tensor) -> usize {
        self.axes.iter().map(|&axis| x.shape[axis]).product()
    }

    fn lower_sum(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let count = self.count(x);
        let (scale, zero_point) = x.scale_and_zero_point()?;
        let scale = f64::from(scale) / f64::from(y.scale()?);
        // LiteRT's reference SUM takes int8 tensors for uint8.
        let as_unsigned = lowering.matching() == Match::Litert
            && self.kind == Kind::Sum
            && x.dtype == DType::I8
            && !x.unsigned;
        let (activation_min, activation_max) =
            if as_unsigned { (0, u8::MAX.into()) } else { type_range(y)? };
        let params = sum_quantized::Params {
            axes: self.mask(),
            as_unsigned: as_unsigned.into(),
            // Sums wrap around at 32 bits, so this may too.
            acc_offset: (-i64::from(zero_point)).wrapping_mul(count as i64) as i32,
            activation_min,
            activation_max,
        };
        let rounding = lowering.rounding();
        let scales = match (self.kind, rounding) {
            (Kind::Mean, RoundingCode::Double) => {
                let fixed = over_count(FixedScale::new(scale)?, count);
                vec![
                    lowering.constant(&[1], &[fixed.multiplier]),
                    lowering.constant(&[1], &[fixed.shift]),
                ]
            }
            // In the order of QLinearGlobalAveragePool.
            (Kind::Mean, RoundingCode::Float32) => {
                let single = x.scale()? / (y.scale()? * count as f32);
                lowering.scales(rounding, &[single.into()])?
            }
            (Kind::Mean, _) => lowering.scales(rounding, &[scale / count as f64])?,
            _ => lowering.scales(rounding, &[scale])?,
        };
        lowering.emit_unary(node, Opcode::SumQuantized, rounding, &params, &scales)
    }

    fn lower_prod(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let root = f64::from(y.scale()?).powf(1.0 / self.count(x) as f64);
        let fixed = FixedScale::new(f64::from(x.scale()?) / root)?;
        if fixed.shift > 7 {
            bail!(InvalidQuantization, "the scale of {x} is too large for that of {y}");
        }
        let (activation_min, activation_max) = type_range(y)?;
        let params = prod_quantized::Params {
            axes: self.mask(),
            multiplier: fixed.multiplier,
            shift: fixed.shift,
            activation_min,
            activation_max,
        };
        lowering.emit_unary(node, Opcode::ProdQuantized, RoundingCode::None, &params, &[])
    }
}

/// `scale / count` as TFLite's `QuantizedMeanOrSum` computes it, rounded toward zero: the multiplier
/// is shifted by as many bits as keep it in 31, and divided.
fn over_count(scale: FixedScale, count: usize) -> FixedScale {
    let bits = (usize::BITS - 1).saturating_sub(count.leading_zeros()) as i32;
    let bits = bits.min(32).min(31 + i32::from(scale.shift));
    let multiplier = (i64::from(scale.multiplier) << bits) / count.max(1) as i64;
    FixedScale { multiplier: multiplier as i32, shift: (i32::from(scale.shift) - bits) as i8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_over_a_count_is_the_quotient_rounded_down() {
        for count in [1, 2, 3, 49, 64, 1000, 1 << 20] {
            for scale in [1.0, 0.37, 5.0, 1e-4] {
                let fixed = over_count(FixedScale::new(scale).unwrap(), count);
                let back = f64::from(fixed.multiplier) * f64::from(fixed.shift - 31).exp2();
                let error = back / (scale / count as f64) - 1.0;
                assert!((-4e-9..1e-9).contains(&error), "{scale} / {count}: {error}");
            }
        }
    }

    #[test]
    fn axes_count_from_either_end() {
        assert_eq!([normalized_axis(1, 4).unwrap(), normalized_axis(-1, 4).unwrap()], [1, 3]);
        assert!(normalized_axis(4, 4).is_err());
        assert!(normalized_axis(-5, 4).is_err());
    }
}
