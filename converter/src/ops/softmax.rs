//! SOFTMAX.

use systole_core::{DType, Opcode, format::RoundingCode, ops::{softmax::Params, softmax_table}};
use tract_tflite::tflite;

use super::{Op, Operator};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor},
    lower::Lowering,
    options::Match,
    scale::FixedScale,
    table16,
    tflite::Importer,
};

/// Integer bits of the scaled difference from the maximum: Q5.26.
const DIFF_INTEGER_BITS: i32 = 5;

/// What an int16 table reaches over: exponentials from -10 on.
const TABLE_RANGE: f64 = 10.0;

/// Exponentials of `beta × x` over the last axis, divided by their sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Softmax {
    /// The factor in the exponent.
    pub beta: f32,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_softmax_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    importer.add(Op::Softmax(Softmax { beta: options.beta() }))
}

impl Operator for Softmax {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8, DType::I16, DType::F32])?;
        let y = node.output(0)?;
        if y.dtype != x.dtype && !(x.dtype == DType::I8 && y.dtype == DType::I16) {
            bail!(UnsupportedFeature, "{y} must be of the type of {x}, or int16 for int8");
        }
        if x.shape.is_empty() {
            bail!(InvalidShape, "{x} needs at least one dimension");
        }
        Ok(vec![x.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if lowering.matching() == Match::Ort && (x.dtype, y.dtype) == (DType::I8, DType::I8) {
            return self.lower_table(node, lowering);
        }
        let (params, tables) = match (x.dtype, y.dtype) {
            (DType::F32, _) => (Params { beta: self.beta, ..Params::default() }, vec![]),
            (DType::I16, _) => {
                expect_output(y, 1.0 / 32768.0, 0)?;
                let tables = tables(lowering.matching());
                let tables = tables.map(|table| lowering.constant(&[table.len()], &table));
                (self.int16(x, lowering.matching())?, tables.to_vec())
            }
            (_, DType::I16) => {
                expect_output(y, 1.0 / 65536.0, -32768)?;
                (int8(x, self.beta)?, vec![])
            }
            _ => {
                expect_output(y, 1.0 / 256.0, -128)?;
                (int8(x, self.beta)?, vec![])
            }
        };
        lowering.emit_unary(node, Opcode::Softmax, RoundingCode::None, &params, &tables)
    }
}

impl Softmax {
    /// By a table of exponentials, as ONNX Runtime's QLinearSoftmax: they are as large as their sum
    /// over a row may be in f32, but for 5 powers of e.
    fn lower_table(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let depth = x.shape.last().copied().unwrap_or(1);
        let scale = f64::from(x.scale()?) * f64::from(self.beta);
        let largest = f64::from(f32::MAX / depth as f32);
        let headroom = (libm::log(largest) - 5.0).max(0.0) / scale;
        let table: Vec<f32> = (0..systole_kernels::softmax_table::DIFFERENCES)
            .map(|difference| libm::exp((headroom - difference as f64) * scale) as f32)
            .collect();
        let table = lowering.constant(&[table.len()], &table);
        let params = softmax_table::Params { scale: (1.0 / y.scale()?).floor() };
        lowering.emit_unary(node, Opcode::SoftmaxTable, RoundingCode::None, &params, &[table])
    }

    /// Differences in units of the table's range over 65535.
    fn int16(&self, x: &Tensor, matching: Match) -> Result<Params> {
        let scale = match matching {
            Match::Litert => f64::from(x.scale()? * self.beta),
            _ => f64::from(x.scale()?) * f64::from(self.beta),
        };
        let fixed = FixedScale::new(scale / (TABLE_RANGE / 65535.0))?;
        Ok(Params {
            input_multiplier: fixed.multiplier,
            input_shift: fixed.shift,
            ..Params::default()
        })
    }
}

fn int8(x: &Tensor, beta: f32) -> Result<Params> {
    let diff = ScaledDiff::new(f64::from(beta) * f64::from(x.scale()?))?;
    let (input_multiplier, input_shift) = (diff.fixed.multiplier, diff.fixed.shift);
    Ok(Params { input_multiplier, input_shift, diff_min: diff.min, beta: 0.0 })
}

/// How differences from a row's maximum become Q5.26 numbers: TFLite's `PreprocessSoftmaxScaling`
/// and `CalculateInputRadius`.
pub(super) struct ScaledDiff {
    /// The scale, times 2²⁶.
    pub(super) fixed: FixedScale,
    /// Differences below this leave Q5.26.
    pub(super) min: i32,
}

impl ScaledDiff {
    /// The difference of 1 is worth `scale`.
    ///
    /// # Errors
    /// `InvalidQuantization` for scales below what Q5.26 resolves.
    pub(super) fn new(scale: f64) -> Result<Self> {
        let one = f64::from(1 << (31 - DIFF_INTEGER_BITS));
        let fixed = FixedScale::new((scale * one).min(f64::from(i32::MAX)))?;
        if fixed.shift < 0 || fixed.multiplier == 0 {
            bail!(InvalidQuantization, "an input scale of {scale} is too small for its softmax");
        }
        let largest = f64::from((1 << DIFF_INTEGER_BITS) - 1) * one;
        let min = -(largest / f64::from(fixed.shift).exp2()).floor() as i32;
        Ok(Self { fixed, min })
    }
}

/// `exp` over [-10, 0] and `1 / (1 + v)` over [0, 1], both in Q0.15: in double precision by LiteRT,
/// in single precision by TFLite Micro.
fn tables(matching: Match) -> [Vec<i16>; 2] {
    const STEPS: u16 = u16::MAX;
    let (max, min) = (i16::MAX.into(), i16::MIN.into());
    match matching {
        Match::Litert => {
            let steps = f64::from(STEPS);
            [
                table16::in_f64(TABLE_RANGE / steps, max, 2.0 / steps, libm::exp),
                table16::in_f64(1.0 / steps, min, 2.0 / steps, |v| 1.0 / (1.0 + v)),
            ]
        }
        _ => {
            let steps = f32::from(STEPS);
            [
                table16::in_f32(TABLE_RANGE as f32 / steps, max, 2.0 / steps, libm::expf),
                table16::in_f32(1.0 / steps, min, 2.0 / steps, |v| 1.0 / (1.0 + v)),
            ]
        }
    }
}

/// Fails unless the output has the scale and zero point that the operator gives it, the scale
/// within TFLite's tolerance.
///
/// # Errors
/// `InvalidQuantization`.
pub(super) fn expect_output(y: &Tensor, scale: f32, zero_point: i32) -> Result<()> {
    let (found_scale, found_zero_point) = y.scale_and_zero_point()?;
    if (found_scale - scale).abs() > 0.001 * scale || found_zero_point != zero_point {
        bail!(
            InvalidQuantization,
            "{y} has scale {found_scale} and zero point {}; this operator writes {scale} and {}",
            found_zero_point + if y.unsigned { 128 } else { 0 },
            zero_point + if y.unsigned { 128 } else { 0 }
        );
    }
    Ok(())
}
