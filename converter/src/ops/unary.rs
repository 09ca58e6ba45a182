//! Functions of one tensor: activations, roots, exponentials, signs, roundings.

use systole_core::{DType, Opcode, format::RoundingCode, ops};
use systole_kernels::{
    elementary::{Sqrt, abs_of, rsqrt_of},
    hard_swish::HardSwish,
    leaky_relu::{LeakyRelu, Scale},
    logistic::LogisticI8,
    quantize::Requantization,
    requantize::{Double, Output, Single},
};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    binary::{checked_log2, expect_options},
    elementwise::{expect_output, is_quantized},
    tables::{self, Affine},
};
use crate::{
    error::{Result, bail},
    graph::{NodeView, Tensor},
    lower::{Lowering, SlotId},
    options::Match,
    scale::{Activation, FixedScale},
    table16,
    tflite::Importer,
};

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// `−x`.
    Neg,
    /// `|x|`.
    Abs,
    /// 1, 0 or −1.
    Sign,
    /// RELU and its relatives: `x` within a range.
    Range(Activation),
    /// `x`, or `alpha × x` below zero.
    LeakyRelu {
        /// The slope below zero.
        alpha: f32,
    },
    /// `1 / (1 + exp(−x))`.
    Logistic,
    /// The hyperbolic tangent.
    Tanh,
    /// `x`, or `exp(x) − 1` below zero.
    Elu,
    /// `x × Φ(x)`.
    Gelu {
        /// Whether it is approximated by the hyperbolic tangent.
        approximate: bool,
    },
    /// `x × min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `exp(x)`.
    Exp,
    /// The natural logarithm.
    Log,
    /// `√x`.
    Sqrt,
    /// `1 / √x`.
    Rsqrt,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// `x²`.
    Square,
    /// `⌊x⌋`.
    Floor,
    /// `⌈x⌉`.
    Ceil,
    /// The nearest integer, ties to even.
    Round,
    /// The error function.
    Erf,
}

macro_rules! imports {
    ($($name:ident $function:expr, $tflite:literal;)*) => {$(
        #[doc = concat!("Reads ", $tflite, " from TFLite.")]
        ///
        /// # Errors
        /// As [`Importer::add`].
        pub fn $name(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
            importer.add(Op::Unary($function))
        }
    )*};
}

imports! {
    import_neg Unary::Neg, "NEG";
    import_abs Unary::Abs, "ABS";
    import_sign Unary::Sign, "SIGN";
    import_relu Unary::Range(Activation::Relu), "RELU";
    import_relu6 Unary::Range(Activation::Relu6), "RELU6";
    import_relu_n1_to_1 Unary::Range(Activation::ReluN1To1), "RELU_N1_TO_1";
    import_relu_0_to_1 Unary::Range(Activation::Relu0To1), "RELU_0_TO_1";
    import_logistic Unary::Logistic, "LOGISTIC";
    import_tanh Unary::Tanh, "TANH";
    import_elu Unary::Elu, "ELU";
    import_hard_swish Unary::HardSwish, "HARD_SWISH";
    import_exp Unary::Exp, "EXP";
    import_log Unary::Log, "LOG";
    import_sqrt Unary::Sqrt, "SQRT";
    import_rsqrt Unary::Rsqrt, "RSQRT";
    import_sin Unary::Sin, "SIN";
    import_cos Unary::Cos, "COS";
    import_square Unary::Square, "SQUARE";
    import_floor Unary::Floor, "FLOOR";
    import_ceil Unary::Ceil, "CEIL";
    import_round Unary::Round, "ROUND";
}

/// Reads LEAKY_RELU from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_leaky_relu(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = expect_options(operator.builtin_options_as_leaky_relu_options())?;
    importer.add(Op::Unary(Unary::LeakyRelu { alpha: options.alpha() }))
}

/// Reads GELU from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_gelu(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator.builtin_options_as_gelu_options();
    let approximate = options.is_some_and(|options| options.approximate());
    importer.add(Op::Unary(Unary::Gelu { approximate }))
}

impl Operator for Unary {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        use DType::{F32, I8, I16, I32, I64};
        let x = node.expect_types(0, &[I8, I16, I32, I64, F32])?;
        expect_output(node, x.dtype)?;
        let signs = matches!(self, Self::Neg | Self::Abs | Self::Sign);
        if x.dtype != F32 && !is_quantized(x) && !signs {
            bail!(UnsupportedFeature, "{x} must be float32 or quantized here");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let x = node.input(0)?;
        // TFLite negates quantized values as they are.
        let raw = *self == Self::Neg && lowering.matching() != Match::Native;
        match x.dtype {
            DType::I8 if is_quantized(x) && !raw => {
                let table = self.table(x, node.output(0)?, lowering.matching())?;
                emit_table(node, lowering, &table)
            }
            DType::I16 if is_quantized(x) && !raw => self.lower_i16(node, lowering),
            _ => self.lower_number(node, lowering),
        }
    }
}

/// Emits a table over int8.
pub(super) fn emit_table(
    node: &NodeView<'_>,
    lowering: &mut Lowering<'_>,
    table: &[i8],
) -> Result<()> {
    let table = lowering.constant(&[table.len()], table);
    emit_lut(node, lowering, table)
}

fn emit_lut(node: &NodeView<'_>, lowering: &mut Lowering<'_>, table: SlotId) -> Result<()> {
    lowering.emit_unary(node, Opcode::Lut, RoundingCode::None, &ops::lut::Params {}, &[table])
}

impl Unary {
    /// The runtime's code for numbers that are not quantized.
    fn code(self) -> u8 {
        match self {
            Self::Neg => 0,
            Self::Abs => 1,
            Self::Sign => 2,
            Self::Range(_) => 3,
            Self::LeakyRelu { .. } => 4,
            Self::Logistic => 5,
            Self::Tanh => 6,
            Self::Elu => 7,
            Self::Gelu { approximate: false } => 8,
            Self::Gelu { approximate: true } => 9,
            Self::HardSwish => 10,
            Self::Exp => 11,
            Self::Log => 12,
            Self::Sqrt => 13,
            Self::Rsqrt => 14,
            Self::Sin => 15,
            Self::Cos => 16,
            Self::Square => 17,
            Self::Floor => 18,
            Self::Ceil => 19,
            Self::Round => 20,
            Self::Erf => 21,
        }
    }

    fn lower_number(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let mut params = ops::function::Params { function: self.code(), ..Default::default() };
        match *self {
            Self::Range(range) => (params.min, params.max) = range.real_range(),
            Self::LeakyRelu { alpha } => params.alpha = alpha,
            _ => {}
        }
        lowering.emit_unary(node, Opcode::Function, RoundingCode::None, &params, &[])
    }

    fn lower_i16(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let (matching, rounding) = (lowering.matching(), lowering.fixed_rounding());
        match *self {
            Self::Range(range) => {
                let p = range_requantization(range, x, y, matching)?;
                emit_requantization(node, lowering, &p, 0)
            }
            Self::Abs => {
                let p = requantization(f64::from(x.scale()? / y.scale()?), x, y)?;
                emit_requantization(node, lowering, &p, 1)
            }
            Self::LeakyRelu { alpha } => {
                let p = leaky_relu(alpha, x, y, matching)?;
                let params = ops::leaky_relu::Params {
                    identity_multiplier: p.identity.multiplier,
                    identity_shift: p.identity.shift as i8,
                    alpha_multiplier: p.alpha.multiplier,
                    alpha_shift: p.alpha.shift as i8,
                    alpha_is_negative: p.alpha_is_negative.into(),
                    activation_min: p.output.activation_min,
                    activation_max: p.output.activation_max,
                };
                lowering.emit_unary(node, Opcode::LeakyRelu, rounding, &params, &[])
            }
            Self::Logistic | Self::Tanh => {
                let params = logistic_i16(*self == Self::Tanh, x, y)?;
                lowering.emit_unary(node, Opcode::Logistic, RoundingCode::None, &params, &[])
            }
            Self::Sqrt => {
                let params = ops::sqrt::Params {};
                lowering.emit_unary(node, Opcode::Sqrt, RoundingCode::None, &params, &[])
            }
            _ => {
                let (from, to) = (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
                let f = self.real_function(to, i16::MIN.into(), i16::MAX.into());
                let table = table16::in_f32(from.0, from.1, to.0, f);
                let table = lowering.constant(&[table.len()], &table);
                emit_lut(node, lowering, table)
            }
        }
    }

    /// The table of 256 entries of an int8 function.
    fn table(&self, x: &Tensor, y: &Tensor, matching: Match) -> Result<Vec<i8>> {
        let (from, to) = (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
        let double = matching != Match::Native;
        let saturated = |value: i32| value.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        if matching == Match::Ort {
            return Ok(tables::of_reals_to_even(from, to, self.real_function(to, -128, 127)));
        }
        Ok(match *self {
            Self::Range(range) => {
                let p = range_requantization(range, x, y, matching)?;
                tables::of_integers(|x| saturated(rounded(double, &p, x, Requantization::of::<Double>, Requantization::of::<Single>)))
            }
            Self::Abs => {
                let p = requantization(f64::from(from.0 / to.0), x, y)?;
                tables::of_integers(|x| saturated(rounded(double, &p, x, abs_of::<Double>, abs_of::<Single>)))
            }
            Self::Rsqrt if double => {
                let p = requantization(1.0 / f64::from(from.0.sqrt() * to.0), x, y)?;
                tables::of_integers(|x| saturated(rsqrt_of::<Double>(&p, x.into())))
            }
            Self::LeakyRelu { alpha } => {
                let p = leaky_relu(alpha, x, y, matching)?;
                tables::of_integers(|x| saturated(rounded(double, &p, x, LeakyRelu::of::<Double>, LeakyRelu::of::<Single>)))
            }
            Self::HardSwish if double => {
                let p = hard_swish(from, to)?;
                tables::of_integers(|x| p.of(x))
            }
            Self::Logistic if matching == Match::Tflm => {
                let p = logistic_i8(from)?;
                tables::of_integers(|x| p.logistic(x))
            }
            Self::Tanh if matching == Match::Tflm => {
                let p = logistic_i8(from)?;
                tables::of_integers(|x| p.tanh(x))
            }
            Self::Elu if matching == Match::Tflm => {
                tables::of_reals(from, to, |x| if x < 0.0 { tables::exp(x) - 1.0 } else { x })
            }
            Self::Sqrt if double => {
                let p = Sqrt {
                    input_scale: from.0,
                    input_zero_point: from.1,
                    output_scale: to.0,
                    output_zero_point: to.1,
                };
                tables::of_integers(|x| saturated(p.of(x.into())))
            }
            _ => tables::of_reals(from, to, self.real_function(to, -128, 127)),
        })
    }

    /// The function of real numbers, with what a quantized output makes of arguments for which it
    /// is not defined.
    fn real_function(&self, y: Affine, y_min: i32, y_max: i32) -> Box<dyn Fn(f32) -> f32> {
        use systole_kernels::functions;
        let end = |q: i32| (q - y.1) as f32 * y.0;
        let (lowest, highest) = (end(y_min), end(y_max));
        match *self {
            Self::Neg => Box::new(|x| -x),
            Self::Abs => Box::new(f32::abs),
            Self::Sign => Box::new(functions::Signed::sign),
            Self::Range(range) => {
                let (min, max) = range.real_range();
                Box::new(move |x| x.clamp(min, max))
            }
            Self::LeakyRelu { alpha } => Box::new(move |x| functions::leaky_relu(alpha, x)),
            Self::Logistic => Box::new(tables::logistic),
            Self::Tanh => Box::new(tables::tanh),
            Self::Elu => Box::new(|x| if x < 0.0 { tables::expm1(x) } else { x }),
            Self::Gelu { approximate: false } => Box::new(tables::gelu),
            Self::Gelu { approximate: true } => Box::new(tables::gelu_tanh),
            Self::HardSwish => Box::new(functions::hard_swish),
            Self::Exp => Box::new(tables::exp),
            Self::Log => Box::new(move |x| if x <= 0.0 { lowest } else { tables::log(x) }),
            Self::Sqrt => Box::new(|x| if x <= 0.0 { 0.0 } else { x.sqrt() }),
            Self::Rsqrt => Box::new(move |x| if x <= 0.0 { highest } else { 1.0 / x.sqrt() }),
            Self::Sin => Box::new(functions::sin),
            Self::Cos => Box::new(functions::cos),
            Self::Square => Box::new(|x| x * x),
            Self::Floor => Box::new(f32::floor),
            Self::Ceil => Box::new(f32::ceil),
            Self::Round => Box::new(f32::round_ties_even),
            Self::Erf => Box::new(|x| libm::erf(x.into()) as f32),
        }
    }
}

/// A function of parameters and a value under one of two roundings.
fn rounded<P>(
    double: bool,
    p: &P,
    x: i8,
    if_double: impl Fn(&P, i32) -> i32,
    if_single: impl Fn(&P, i32) -> i32,
) -> i32 {
    if double { if_double(p, x.into()) } else { if_single(p, x.into()) }
}

/// The parameters of a change of scale over the output's whole range.
pub(super) fn requantization(scale: f64, x: &Tensor, y: &Tensor) -> Result<Requantization> {
    let fixed = FixedScale::new(scale)?;
    let (activation_min, activation_max) = Activation::None.quantized_range(y)?;
    let output = Output { output_offset: y.zero_point()?, activation_min, activation_max };
    Ok(Requantization {
        input_offset: -x.zero_point()?,
        multiplier: fixed.multiplier,
        shift: fixed.shift.into(),
        output,
    })
}

/// Emits a change of scale; `operation` as the runtime counts them.
pub(super) fn emit_requantization(
    node: &NodeView<'_>,
    lowering: &mut Lowering<'_>,
    p: &Requantization,
    operation: u8,
) -> Result<()> {
    let params = ops::requantize::Params {
        operation,
        multiplier: p.multiplier,
        shift: p.shift as i8,
        activation_min: p.output.activation_min,
        activation_max: p.output.activation_max,
    };
    let rounding = lowering.fixed_rounding();
    lowering.emit_unary(node, Opcode::Requantize, rounding, &params, &[])
}

/// RELU and its relatives.
fn range_requantization(
    range: Activation,
    x: &Tensor,
    y: &Tensor,
    matching: Match,
) -> Result<Requantization> {
    if range == Activation::Relu6 && matching == Match::Tflm {
        // TFLite Micro clamps in the input's scale and copies, whatever the output's scale.
        let mut p = requantization(1.0, x, y)?;
        let zero_point = p.output.output_offset;
        (p.output.activation_min, p.output.activation_max) = range.quantized_range(x)?;
        p.input_offset = -zero_point;
        return Ok(p);
    }
    let scale = match matching {
        Match::Litert => f64::from(x.scale()? / y.scale()?),
        _ => f64::from(x.scale()?) / f64::from(y.scale()?),
    };
    let mut p = requantization(scale, x, y)?;
    (p.output.activation_min, p.output.activation_max) = range.quantized_range(y)?;
    Ok(p)
}

fn leaky_relu(alpha: f32, x: &Tensor, y: &Tensor, matching: Match) -> Result<LeakyRelu> {
    let ((x_scale, x_zero), (y_scale, y_zero)) =
        (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
    let exact = f64::from(x_scale) / f64::from(y_scale);
    let (identity, slope) = match matching {
        Match::Native | Match::Ort => (exact, exact * f64::from(alpha)),
        Match::Tflm | Match::Format => (exact, f64::from(x_scale * alpha / y_scale)),
        Match::Litert => (f64::from(x_scale / y_scale), f64::from(x_scale * alpha / y_scale)),
    };
    let scale = |real: f64| -> Result<Scale> {
        let fixed = FixedScale::new(real)?;
        Ok(Scale { multiplier: fixed.multiplier, shift: fixed.shift.into() })
    };
    let (activation_min, activation_max) = Activation::None.quantized_range(y)?;
    Ok(LeakyRelu {
        input_offset: -x_zero,
        identity: scale(identity)?,
        alpha: scale(slope.abs())?,
        alpha_is_negative: slope < 0.0,
        output: Output { output_offset: y_zero, activation_min, activation_max },
    })
}

/// TFLite's `HardSwishPrepare`, in f32 as there.
fn hard_swish((x_scale, x_zero): Affine, (y_scale, y_zero): Affine) -> Result<HardSwish> {
    let hires_scale = (1.0 / 128.0) * x_scale;
    let reluish_scale = 3.0 / 32768.0_f32;
    let output = FixedScale::new(f64::from(hires_scale / y_scale))?;
    let reluish = FixedScale::new(f64::from(hires_scale / reluish_scale))?;
    if output.shift > 0 {
        bail!(InvalidQuantization, "HARD_SWISH needs an output scale that is not below x / 128");
    }
    let q15 = |multiplier: i32| {
        ((i64::from(multiplier) + (1 << 15)) >> 16).min(i16::MAX.into()) as i16
    };
    Ok(HardSwish {
        input_zero_point: x_zero,
        output_zero_point: y_zero,
        output_multiplier: q15(output.multiplier),
        output_shift: output.shift.into(),
        reluish_multiplier: q15(reluish.multiplier),
        reluish_shift: reluish.shift.into(),
    })
}

/// TFLite Micro's parameters of LOGISTIC and TANH in int8: the input in Q4.27.
fn logistic_i8((x_scale, input_zero_point): Affine) -> Result<LogisticI8> {
    const INTEGER_BITS: i32 = 4;
    let q4 = f64::from(1 << (31 - INTEGER_BITS));
    let fixed = FixedScale::new(f64::from(x_scale) * q4)?;
    let radius = f64::from((1 << INTEGER_BITS) - 1) * q4 / f64::from(fixed.shift).exp2();
    Ok(LogisticI8 {
        input_zero_point,
        input_range_radius: radius.floor() as i32,
        input_multiplier: fixed.multiplier,
        input_shift: fixed.shift.into(),
    })
}

/// TFLite's parameters of LOGISTIC and TANH in int16: the input at scale 1 / (3 × 4096).
fn logistic_i16(is_tanh: bool, x: &Tensor, y: &Tensor) -> Result<ops::logistic::Params> {
    let ((x_scale, x_zero), (y_scale, y_zero)) =
        (x.scale_and_zero_point()?, y.scale_and_zero_point()?);
    if x_zero != 0 || y_zero != 0 || checked_log2(y_scale) != Some(-15) {
        bail!(
            InvalidQuantization,
            "in int16 {y} must have scale 1/32768, and the zero points must be 0"
        );
    }
    let operation = u8::from(is_tanh);
    // Scales of 2^-12, and for TANH 2^-11, need no multiplier but the table's 3.
    if let Some(shift @ 0..=1) = checked_log2(x_scale).map(|log2| log2 + 12)
        && (is_tanh || shift == 0)
    {
        return Ok(ops::logistic::Params {
            operation,
            input_multiplier: 3 << shift,
            input_shift: 0,
        });
    }
    let (mut multiplier, mut input_shift) = (f64::from(x_scale) * 4096.0 * 3.0, 0);
    while multiplier <= 32767.0 / 2.0 && input_shift <= 30 {
        input_shift += 1;
        multiplier *= 2.0;
    }
    Ok(ops::logistic::Params { operation, input_multiplier: multiplier as i32, input_shift })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Quantization;

    fn tensor(dtype: DType, scale: f32, zero_point: i32) -> Tensor {
        let quantization =
            Quantization { scales: vec![scale], zero_points: vec![zero_point], axis: 0 };
        Tensor { quantization: Some(quantization), ..Tensor::new("t", dtype, vec![4]) }
    }

    /// A function, the real one, and the output's scale and zero point.
    type Case = (Unary, fn(f64) -> f64, f32, i32);

    /// Every function's table is near the function, whichever runtime is matched.
    #[test]
    fn tables_are_near_their_functions() {
        let cases: [Case; 12] = [
            (Unary::Logistic, |x| 1.0 / (1.0 + (-x).exp()), 1.0 / 256.0, -128),
            (Unary::Tanh, f64::tanh, 1.0 / 128.0, 0),
            (Unary::Elu, |x| if x < 0.0 { x.exp_m1() } else { x }, 0.05, -100),
            (Unary::Gelu { approximate: false }, |x| 0.5 * x * libm::erfc(-x / 2_f64.sqrt()), 0.04, -100),
            (Unary::HardSwish, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0, 0.04, -100),
            (Unary::Exp, f64::exp, 0.9, -128),
            (Unary::Abs, f64::abs, 0.04, -128),
            (Unary::Range(Activation::Relu), |x| x.max(0.0), 0.04, -128),
            (Unary::Range(Activation::ReluN1To1), |x| x.clamp(-1.0, 1.0), 0.01, 3),
            (Unary::LeakyRelu { alpha: 0.2 }, |x| if x < 0.0 { 0.2 * x } else { x }, 0.04, -90),
            (Unary::LeakyRelu { alpha: -0.7 }, |x| if x < 0.0 { -0.7 * x } else { x }, 0.04, -90),
            (Unary::Square, |x| x * x, 0.1, -128),
        ];
        let x = tensor(DType::I8, 0.04, 5);
        for (function, real, scale, zero_point) in cases {
            for matching in [Match::Litert, Match::Tflm, Match::Native] {
                let y = tensor(DType::I8, scale, zero_point);
                let table = function.table(&x, &y, matching).unwrap();
                for q in i8::MIN..=i8::MAX {
                    let wanted = real(0.04 * f64::from(i32::from(q) - 5)) / f64::from(scale)
                        + f64::from(zero_point);
                    let got = f64::from(table[usize::from(q as u8)]);
                    let error = (got - wanted.clamp(-128.0, 127.0)).abs();
                    assert!(error < 0.75, "{function:?} {matching:?}: {got} for {wanted}");
                }
            }
        }
    }

    #[test]
    fn roots_and_logarithms_are_defined_where_they_are_not() {
        let x = tensor(DType::I8, 0.1, -10);
        for matching in [Match::Litert, Match::Native] {
            let y = tensor(DType::I8, 0.1, 0);
            let at = |function: Unary, q: i8| {
                function.table(&x, &y, matching).unwrap()[usize::from(q as u8)]
            };
            assert_eq!([at(Unary::Log, -20), at(Unary::Log, 0)], [-128, 0]);
            assert_eq!([at(Unary::Rsqrt, -20), at(Unary::Rsqrt, 0)], [127, 10]);
            assert_eq!([at(Unary::Sqrt, -20), at(Unary::Sqrt, 80)], [0, 30]);
        }
    }

    #[test]
    fn micro_clamps_to_six_in_the_scale_of_the_input() {
        let (x, y) = (tensor(DType::I8, 0.1, -5), tensor(DType::I8, 0.05, 20));
        let at = |matching, q: i8| {
            let table = Unary::Range(Activation::Relu6).table(&x, &y, matching).unwrap();
            table[usize::from(q as u8)]
        };
        assert_eq!([at(Match::Tflm, -9), at(Match::Tflm, 40), at(Match::Tflm, 99)], [-5, 40, 55]);
        assert_eq!([at(Match::Litert, -9), at(Match::Litert, 40)], [20, 110]);
    }

    #[test]
    fn int16_inputs_of_logistic_have_a_multiplier() {
        let y = tensor(DType::I16, 1.0 / 32768.0, 0);
        let params = |is_tanh, scale| {
            let params = logistic_i16(is_tanh, &tensor(DType::I16, scale, 0), &y).unwrap();
            (params.input_multiplier, params.input_shift)
        };
        assert_eq!(params(false, 1.0 / 4096.0), (3, 0));
        assert_eq!(params(true, 1.0 / 2048.0), (6, 0));
        assert_eq!(params(false, 1.0 / 2048.0), (24576, 12));
        assert!(logistic_i16(false, &y, &tensor(DType::I16, 0.001, 0)).is_err());
    }
}
