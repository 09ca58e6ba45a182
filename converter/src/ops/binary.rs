//! Arithmetic on two tensors: ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE, FLOOR_DIV, FLOOR_MOD, POW,
//! MAXIMUM and MINIMUM.

use systole_core::{DType, Opcode, format::RoundingCode, ops};
use systole_kernels::{
    add_float32::{AddFloat32, RowConstant},
    requantize::Output,
};
use tract_tflite::tflite::{self, ActivationFunctionType};

use super::{
    Op, Operator,
    elementwise::{broadcast, expect_output, expect_pair, is_quantized},
};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor},
    lower::Lowering,
    options::Match,
    scale::{Activation, FixedScale},
    tflite::{Importer, activation},
};

/// What is computed from `a` and `b`. The discriminants are the runtime's codes for numbers that
/// are not quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`.
    Add = 0,
    /// `a − b`.
    Sub = 1,
    /// `a × b`.
    Mul = 2,
    /// `a / b`.
    Div = 3,
    /// `(a − b)²`.
    SquaredDifference = 4,
    /// `⌊a / b⌋`.
    FloorDiv = 5,
    /// `a − b × ⌊a / b⌋`.
    FloorMod = 6,
    /// `a^b`.
    Pow = 7,
    /// The larger.
    Maximum = 8,
    /// The smaller.
    Minimum = 9,
}

/// An operation on two tensors that broadcast.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Which one.
    pub operation: Arithmetic,
    /// The fused activation of the first four.
    pub activation: Activation,
    /// Whether int16 scales that are powers of two are to be applied as shifts: TFLite's attribute
    /// of sums and differences, which LiteRT follows.
    pub power_of_two: bool,
}

impl Binary {
    fn plain(operation: Arithmetic) -> Self {
        Self { operation, activation: Activation::None, power_of_two: false }
    }

    /// Whether the operation can have a fused activation.
    pub fn takes_activation(&self) -> bool {
        use Arithmetic::{Add, Div, Mul, Sub};
        matches!(self.operation, Add | Div | Mul | Sub)
    }
}

/// Reads ADD from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_add(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_add_options();
    let power_of_two = options.as_ref().is_none_or(|options| options.pot_scale_int16());
    let code = options.map(|options| options.fused_activation_function());
    add(importer, Arithmetic::Add, code, power_of_two)
}

/// Reads SUB from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_sub(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_sub_options();
    let power_of_two = options.as_ref().is_none_or(|options| options.pot_scale_int16());
    let code = options.map(|options| options.fused_activation_function());
    add(importer, Arithmetic::Sub, code, power_of_two)
}

/// Reads MUL from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_mul(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_mul_options();
    let code = options.map(|options| options.fused_activation_function());
    add(importer, Arithmetic::Mul, code, false)
}

/// Reads DIV from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_div(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_div_options();
    let code = options.map(|options| options.fused_activation_function());
    add(importer, Arithmetic::Div, code, false)
}

fn add(
    importer: &mut Importer,
    operation: Arithmetic,
    code: Option<ActivationFunctionType>,
    power_of_two: bool,
) -> Result<()> {
    let activation = code.map_or(Ok(Activation::None), activation)?;
    importer.add(Op::Binary(Binary { operation, activation, power_of_two }))
}

macro_rules! import_plain {
    ($($name:ident $operation:ident $tflite:literal,)*) => {$(
        #[doc = concat!("Reads ", $tflite, " from TFLite.")]
        ///
        /// # Errors
        /// As [`Importer::add`].
        pub fn $name(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
            importer.add(Op::Binary(Binary::plain(Arithmetic::$operation)))
        }
    )*};
}

import_plain! {
    import_squared_difference SquaredDifference "SQUARED_DIFFERENCE",
    import_floor_div FloorDiv "FLOOR_DIV",
    import_floor_mod FloorMod "FLOOR_MOD",
    import_pow Pow "POW",
    import_maximum Maximum "MAXIMUM",
    import_minimum Minimum "MINIMUM",
}

impl Operator for Binary {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        use DType::{F32, I8, I16, I32, I64};
        let (a, b) = expect_pair(node, &[I8, I16, I32, I64, F32])?;
        expect_output(node, a.dtype)?;
        if a.dtype == I8 && self.rescales() && !is_quantized(a) {
            bail!(UnsupportedFeature, "{a} needs a scale here and has none");
        }
        Ok(vec![broadcast(&a.shape, &b.shape)?])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        if !(self.rescales() && is_quantized(node.input(0)?)) {
            return self.lower_numbers(node, lowering);
        }
        let single = lowering.matching() == Match::Ort && node.input(0)?.dtype == DType::I8;
        match self.operation {
            Arithmetic::Add if single => self.lower_add_float32(node, lowering),
            Arithmetic::Mul if single => self.lower_mul_float32(node, lowering),
            Arithmetic::Mul | Arithmetic::Div => self.lower_mul(node, lowering),
            _ => match self.power_of_two_shifts(node, lowering)? {
                Some(shifts) => self.lower_power_of_two(node, lowering, shifts),
                None => self.lower_add(node, lowering),
            },
        }
    }
}

impl Binary {
    /// Whether quantized operands are scaled to the output.
    fn rescales(&self) -> bool {
        use Arithmetic::{Add, Div, Mul, SquaredDifference, Sub};
        matches!(self.operation, Add | Sub | Mul | Div | SquaredDifference)
    }

    fn emit(
        node: &NodeView<'_>,
        lowering: &mut Lowering<'_>,
        opcode: Opcode,
        rounding: RoundingCode,
        params: &impl systole_core::format::Params,
    ) -> Result<()> {
        let b = lowering.tensor(node.input_id(1)?);
        lowering.emit_unary(node, opcode, rounding, params, &[b])
    }

    fn lower_numbers(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let dtype = node.input(0)?.dtype;
        // TFLite Micro ignores the activation of integer sums.
        let ignored = lowering.matching() == Match::Tflm
            && self.operation == Arithmetic::Add
            && dtype == DType::I32;
        let activation = if ignored { Activation::None } else { self.activation };
        let (min, max) = number_range(activation, dtype);
        let params = ops::arithmetic::Params { operation: self.operation as u8, min, max };
        Self::emit(node, lowering, Opcode::Arithmetic, RoundingCode::None, &params)
    }

    fn lower_add(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (a, b, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let left_shift = match (self.operation, a.dtype) {
            (Arithmetic::SquaredDifference, DType::I8) => 7,
            (Arithmetic::SquaredDifference, _) => 0,
            (_, DType::I8) => 20,
            _ => 15,
        };
        let scales = [a.scale()?, b.scale()?, y.scale()?];
        let [a_scale, b_scale, output] = common_scale(self.operation, scales, left_shift);
        let (a_scale, b_scale) = (FixedScale::new(a_scale)?, FixedScale::new(b_scale)?);
        let output = FixedScale::new(output)?;
        let (activation_min, activation_max) = self.activation.quantized_range(y)?;
        let params = ops::add::Params {
            operation: match self.operation {
                Arithmetic::Add => 0,
                Arithmetic::Sub => 1,
                _ => 2,
            },
            left_shift: left_shift as u8,
            a_multiplier: a_scale.multiplier,
            a_shift: a_scale.shift,
            b_multiplier: b_scale.multiplier,
            b_shift: b_scale.shift,
            output_multiplier: output.multiplier,
            output_shift: output.shift,
            activation_min,
            activation_max,
        };
        Self::emit(node, lowering, Opcode::Add, lowering.fixed_rounding(), &params)
    }

    /// ONNX Runtime's QLinearAdd.
    fn lower_add_float32(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (a, b, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let offset = lowering.ort_offset(&[a, b, y])?;
        let ((a_scale, a_zero), (b_scale, b_zero), (y_scale, y_zero)) =
            (a.scale_and_zero_point()?, b.scale_and_zero_point()?, y.scale_and_zero_point()?);
        let (a_scale, b_scale) = (a_scale / y_scale, b_scale / y_scale);
        let zero = |stored: i32| (stored + offset) as f32;
        let fixed = zero(y_zero) - (a_scale * zero(a_zero) + b_scale * zero(b_zero));
        let (activation_min, activation_max) = self.activation.quantized_range(y)?;
        let output = Output { output_offset: -offset, activation_min, activation_max };
        let factors = [a_scale, b_scale, fixed];
        if AddFloat32::new(factors, offset, RowConstant::None, output).is_none() {
            bail!(InvalidQuantization, "the scales of {a}, {b} and {y} are too far apart to add");
        }
        let params = ops::add_float32::Params {
            a_scale,
            b_scale,
            fixed,
            offset: offset as u8,
            row_constant: match (row(&a.shape, &y.shape), row(&b.shape, &y.shape)) {
                (1, 2..) => 1,
                (2.., 1) => 2,
                _ => 0,
            },
            activation_min,
            activation_max,
        };
        Self::emit(node, lowering, Opcode::AddFloat32, RoundingCode::None, &params)
    }

    /// ONNX Runtime's QLinearMul.
    fn lower_mul_float32(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (a, b, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let offset = lowering.ort_offset(&[a, b, y])?;
        let (activation_min, activation_max) = self.activation.quantized_range(y)?;
        let params = ops::mul_float32::Params {
            scale: a.scale()? * b.scale()? / y.scale()?,
            offset: offset as u8,
            activation_min,
            activation_max,
        };
        Self::emit(node, lowering, Opcode::MulFloat32, RoundingCode::None, &params)
    }

    /// The shifts of LiteRT's path for int16 scales that are powers of two, where it takes it.
    fn power_of_two_shifts(
        &self,
        node: &NodeView<'_>,
        lowering: &Lowering<'_>,
    ) -> Result<Option<[u8; 2]>> {
        let x = node.input(0)?;
        let summed = matches!(self.operation, Arithmetic::Add | Arithmetic::Sub);
        if !(self.power_of_two
            && summed
            && x.dtype == DType::I16
            && lowering.matching() == Match::Litert)
        {
            return Ok(None);
        }
        let log2 = |tensor: &Tensor| Ok(checked_log2(tensor.scale()?));
        let logs = (log2(x)?, log2(node.input(1)?)?, log2(node.output(0)?)?);
        let (Some(a), Some(b), Some(y)) = logs else { return Ok(None) };
        let shifts = [y - a, y - b];
        // LiteRT refuses models where both operands need a shift, or one a shift to the left.
        let valid = shifts.contains(&0) && shifts.iter().all(|shift| (0..=31).contains(shift));
        Ok(valid.then(|| shifts.map(|shift| shift as u8)))
    }

    fn lower_power_of_two(
        &self,
        node: &NodeView<'_>,
        lowering: &mut Lowering<'_>,
        [a_shift, b_shift]: [u8; 2],
    ) -> Result<()> {
        let (activation_min, activation_max) =
            self.activation.quantized_range(node.output(0)?)?;
        let params = ops::add_power_of_two::Params {
            operation: u8::from(self.operation == Arithmetic::Sub),
            a_shift,
            b_shift,
            activation_min,
            activation_max,
        };
        Self::emit(node, lowering, Opcode::AddPowerOfTwo, RoundingCode::None, &params)
    }

    fn lower_mul(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (a, b, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let scales = [a.scale()?, b.scale()?, y.scale()?];
        let scale = product_scale(self.operation, lowering.matching(), scales);
        let fixed = FixedScale::new(scale)?;
        let (activation_min, activation_max) = self.activation.quantized_range(y)?;
        let params = ops::mul::Params {
            operation: match (self.operation, lowering.matching()) {
                (Arithmetic::Mul, _) => 0,
                (_, Match::Native) => 1,
                _ => 2,
            },
            output_multiplier: fixed.multiplier,
            output_shift: fixed.shift,
            activation_min,
            activation_max,
        };
        Self::emit(node, lowering, Opcode::Mul, lowering.fixed_rounding(), &params)
    }
}

/// How many elements of an operand meet one run of the output: 1 where innermost axes are broadcast.
fn row(shape: &[usize], output: &[usize]) -> usize {
    // Axes of extent 1 of the output do not tell.
    let mut axes = shape.iter().rev().zip(output.iter().rev()).filter(|&(_, &dim)| dim > 1);
    match axes.next() {
        Some((&own, _)) => own,
        None => shape.iter().product(),
    }
}

/// From the operands to twice the larger scale, and from there to the output: of each the real
/// factor.
fn common_scale(operation: Arithmetic, scales: [f32; 3], left_shift: i32) -> [f64; 3] {
    let [a, b, y] = scales.map(f64::from);
    let twice_max = 2.0 * a.max(b);
    let output = if operation == Arithmetic::SquaredDifference {
        twice_max * twice_max / (f64::from(1 << (2 * left_shift)) * y)
    } else {
        twice_max / (f64::from(1 << left_shift) * y)
    };
    [a / twice_max, b / twice_max, output]
}

/// From products or quotients to the output, in the precision in which the runtime that is matched
/// computes it.
fn product_scale(operation: Arithmetic, matching: Match, [a, b, y]: [f32; 3]) -> f64 {
    match (operation, matching) {
        (Arithmetic::Mul, Match::Litert) => f64::from(a * b / y),
        (Arithmetic::Mul, _) => f64::from(a) * f64::from(b) / f64::from(y),
        (_, Match::Litert) => f64::from(a / (b * y)),
        _ => f64::from(a) / (f64::from(b) * f64::from(y)),
    }
}

/// `log2(scale)` where that is an integer, within what TFLite's `CheckedLog2` tolerates.
pub(super) fn checked_log2(scale: f32) -> Option<i32> {
    let log2 = libm::logf(scale) * (1.0 / core::f32::consts::LN_2);
    ((log2 - log2.round()).abs() < 1e-3).then(|| log2.round() as i32)
}

/// The range of an activation for numbers that are not quantized, as the record holds it. As in
/// TFLite floats stay finite.
pub(super) fn number_range(activation: Activation, dtype: DType) -> (i64, i64) {
    let (min, max) = activation.real_range();
    let (type_min, type_max) = match dtype {
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I64 => (i64::MIN, i64::MAX),
        _ => {
            let bits = |x: f32| i64::from(x.clamp(f32::MIN, f32::MAX).to_bits());
            return (bits(min), bits(max));
        }
    };
    let integer = |x: f32, end: i64| if x.is_finite() { x as i64 } else { end };
    (integer(min, type_min), integer(max, type_max))
}

/// Options of operators that always have them.
///
/// # Errors
/// `InvalidGraph`.
pub(super) fn expect_options<T>(options: Option<T>) -> Result<T> {
    options.ok_or_else(|| error!(InvalidGraph, "its options are missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_recognized() {
        assert_eq!(checked_log2(1.0 / 32768.0), Some(-15));
        assert_eq!(checked_log2(4.0), Some(2));
        assert_eq!(checked_log2(0.3), None);
    }

    #[test]
    fn ranges_of_numbers() {
        assert_eq!(number_range(Activation::Relu6, DType::I32), (0, 6));
        assert_eq!(number_range(Activation::ReluN1To1, DType::I64), (-1, 1));
        assert_eq!(number_range(Activation::Relu, DType::I16), (0, 32767));
        let (min, max) = number_range(Activation::None, DType::F32);
        assert_eq!([min, max].map(|bits| f32::from_bits(bits as u32)), [f32::MIN, f32::MAX]);
    }

    #[test]
    fn factors_differ_in_precision_between_runtimes() {
        let scales = [0.1, 0.07, 0.013];
        let micro = product_scale(Arithmetic::Mul, Match::Tflm, scales);
        let litert = product_scale(Arithmetic::Mul, Match::Litert, scales);
        assert!(micro != litert && (micro / litert - 1.0).abs() < 1e-6);
        assert_eq!(common_scale(Arithmetic::Sub, scales, 20)[0], 0.5);
    }
}
