//! MUL, ADD in single precision, QUANTIZE and DEQUANTIZE of int8, 64 elements at a time.

use crate::Mismatch;
use crate::add_float32::{self, AddFloat32, Doubles, RowConstant};
use crate::arch::{MulI8, mul_i8_definition};
use crate::broadcast::{Operand, Walk};
use crate::mul::Mul;
use crate::quantize::{Dequantize, Quantize};
use crate::requantize::{
    Double, DoubleUp, Requantize, Rounding, Single, round_half_away, round_to_even,
};

/// Elements at once.
const BLOCK: usize = 64;

/// [`crate::mul::mul_i8`] of operands of one shape; others are left to the definition.
#[inline(always)]
pub(super) fn mul_i8(
    p: &MulI8<'_>,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // Almost all scales are below 1/2, and zero points are those of int8.
    let shift = p.scales.output_shift;
    let zero_point = p.scales.output.output_offset;
    if walk.whole != [true; 2] || !(-31..0).contains(&shift) || zero_point.unsigned_abs() > 256 {
        return mul_i8_definition(p, walk, operands, y);
    }
    if y.len() != walk.len() {
        return Err(Mismatch);
    }
    match p.requantize {
        Requantize::Double(_) => product::<Double>(p.scales, operands, y),
        Requantize::DoubleUp(_) => product::<DoubleUp>(p.scales, operands, y),
        Requantize::Single(_) => product::<Single>(p.scales, operands, y),
        Requantize::Float32(_) | Requantize::Float64(_) => Err(Mismatch),
    }
}

#[inline(always)]
fn product<R: Rounding>(
    p: &Mul,
    [a, b]: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let right = p.output_shift.unsigned_abs();
    for (i, y) in y.chunks_mut(BLOCK).enumerate() {
        let (a, b) = (read(&a, i * BLOCK, y)?, read(&b, i * BLOCK, y)?);
        let mut results = [0; BLOCK];
        for ((result, a), b) in results.iter_mut().zip(a).zip(b) {
            let (a, b) = (i32::from(a), i32::from(b));
            let acc = p.a_offset.wrapping_add(a).wrapping_mul(p.b_offset.wrapping_add(b));
            // Below 2^30, so that the zero point cannot overflow.
            let scaled = R::requantize_right(acc, p.output_multiplier, right);
            let shifted = scaled.wrapping_add(p.output.output_offset);
            let clamped = shifted.min(p.output.activation_max).max(p.output.activation_min);
            *result = clamped.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        }
        write(results, y);
    }
    Ok(())
}

/// [`add_float32::add_float32`] of operands of one shape, where 53 bits hold all sums; others are left to the
/// definition.
#[inline(always)]
pub(super) fn add_float32(
    p: &AddFloat32,
    walk: &Walk<2>,
    operands: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    // What is added to is within 2^22.
    let offset_fits = p.output.output_offset.unsigned_abs() <= 1 << 30;
    match Doubles::of(p) {
        Some(doubles) if walk.is_whole(&operands, y.len()) && offset_fits => {
            if p.row_constant == RowConstant::None {
                sum::<false>(&doubles, p, operands, y)
            } else {
                sum::<true>(&doubles, p, operands, y)
            }
        }
        _ => {
            let [a, b] = operands;
            add_float32::portable(p, walk, a, b, y)
        }
    }
}

#[inline(always)]
fn sum<const CONSTANT: bool>(
    doubles: &Doubles,
    p: &AddFloat32,
    [a, b]: [Operand<'_, i8>; 2],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    for (i, y) in y.chunks_mut(BLOCK).enumerate() {
        let (a, b) = (read(&a, i * BLOCK, y)?, read(&b, i * BLOCK, y)?);
        let mut results = [0; BLOCK];
        for ((result, a), b) in results.iter_mut().zip(a).zip(b) {
            let rounded = doubles.sum::<CONSTANT>(p.row_constant, a, b);
            let shifted = rounded.wrapping_add(p.output.output_offset);
            let clamped = shifted.min(p.output.activation_max).max(p.output.activation_min);
            *result = clamped.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        }
        write(results, y);
    }
    Ok(())
}

/// A block of an operand, and zeros behind its last element.
#[inline(always)]
fn read(operand: &Operand<'_, i8>, start: usize, y: &[i8]) -> Result<[i8; BLOCK], Mismatch> {
    let x = match operand {
        Operand::Buffer(x) => x.get(start..).and_then(|x| x.get(..y.len())).ok_or(Mismatch)?,
        Operand::Output => y,
    };
    if let Some(block) = x.first_chunk() {
        return Ok(*block);
    }
    let mut block = [0; BLOCK];
    block[..x.len()].copy_from_slice(x);
    Ok(block)
}

/// Writes the first results, as many as fit.
#[inline(always)]
fn write<T: Copy>(results: [T; BLOCK], y: &mut [T]) {
    match y.first_chunk_mut() {
        Some(y) => *y = results,
        None => y.copy_from_slice(&results[..y.len()]),
    }
}

/// [`crate::quantize::quantize_i8`].
#[inline(always)]
pub(super) fn quantize_i8(p: &Quantize, x: &[f32], y: &mut [i8]) -> Result<(), Mismatch> {
    if x.len() != y.len() {
        return Err(Mismatch);
    }
    // What is rounded is within 2^22.
    let zero_point = p.zero_point.clamp(-1 << 30, 1 << 30);
    let clamped =
        |rounded: i32| rounded.wrapping_add(zero_point).clamp(i8::MIN.into(), i8::MAX.into()) as i8;
    if p.ties_to_even {
        for (y, x) in y.iter_mut().zip(x) {
            *y = clamped(round_to_even(x / p.scale));
        }
    } else {
        for (y, x) in y.iter_mut().zip(x) {
            *y = clamped(round_half_away(x / p.scale));
        }
    }
    Ok(())
}

/// [`crate::quantize::dequantize_i8`].
#[inline(always)]
pub(super) fn dequantize_i8(p: &Dequantize, x: &[i8], y: &mut [f32]) -> Result<(), Mismatch> {
    if x.len() != y.len() {
        return Err(Mismatch);
    }
    for (y, &x) in y.iter_mut().zip(x) {
        *y = p.scale * i32::from(x).wrapping_sub(p.zero_point) as f32;
    }
    Ok(())
}
