//! SHAPE, RANK and RANGE: constants, because all shapes are known.

use systole_core::DType;
use tract_tflite::tflite;
use zerocopy::IntoBytes;

use crate::{
    error::{Result, bail},
    graph::Tensor,
    tflite::Importer,
};

/// Ranges longer than this are taken for damage.
const MAX_LENGTH: u64 = 1 << 24;

/// Reads SHAPE from TFLite.
///
/// # Errors
/// `UnsupportedFeature` for outputs that are not int32 or int64, `InvalidShape` for another length.
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let dims: Vec<i64> = importer.input(0)?.shape.iter().map(|&dim| dim as i64).collect();
    set_integers(importer, &dims)
}

/// Reads RANK from TFLite.
///
/// # Errors
/// As [`import`].
pub fn import_rank(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let rank = importer.input(0)?.shape.len() as i64;
    set_integers(importer, &[rank])
}

/// Reads RANGE from TFLite: constants only, for else the output's shape would not be known.
///
/// # Errors
/// `UnsupportedFeature` for inputs that are no constants, `InvalidShape` for a step that leads away
/// from the limit.
pub fn import_range(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let inputs = [importer.input(0)?, importer.input(1)?, importer.input(2)?];
    if importer.output(0)?.dtype == DType::F32 {
        let [start, limit, step] = reals(inputs)?;
        let length = ((limit - start) / step).abs().ceil();
        let valid = step != 0.0 && (limit - start) * step >= 0.0 && length < MAX_LENGTH as f32;
        if !valid {
            bail!(InvalidShape, "from {start} to {limit} in steps of {step}");
        }
        // Each value is the last one plus the step, with its rounding, as TFLite adds them up.
        let values = std::iter::successors(Some(start), |value| Some(value + step));
        let values: Vec<f32> = values.take(length as usize).collect();
        return set(importer, values.len(), values.as_bytes());
    }
    let [start, limit, step] = integers(inputs)?;
    let distance = limit.saturating_sub(start);
    if step == 0 || (distance != 0 && (distance < 0) != (step < 0)) {
        bail!(InvalidShape, "from {start} to {limit} in steps of {step}");
    }
    let length = distance.unsigned_abs().div_ceil(step.unsigned_abs());
    if length > MAX_LENGTH {
        bail!(TooLarge, "from {start} to {limit} in steps of {step}: {length} numbers");
    }
    let values: Vec<i64> = (0..length as i64).map(|i| start + i * step).collect();
    set_integers(importer, &values)
}

fn reals(inputs: [&Tensor; 3]) -> Result<[f32; 3]> {
    let mut numbers = [0.0; 3];
    for (to, input) in numbers.iter_mut().zip(inputs) {
        *to = one(input, input.values()?)?;
    }
    Ok(numbers)
}

fn integers(inputs: [&Tensor; 3]) -> Result<[i64; 3]> {
    let mut numbers = [0; 3];
    for (to, input) in numbers.iter_mut().zip(inputs) {
        *to = one(input, input.integers()?)?;
    }
    Ok(numbers)
}

fn one<T: Copy>(tensor: &Tensor, values: Vec<T>) -> Result<T> {
    match values[..] {
        [value] => Ok(value),
        _ => bail!(InvalidShape, "{tensor} must hold one number"),
    }
}

/// Makes output 0 a constant of these integers, in its own type.
fn set_integers(importer: &mut Importer, values: &[i64]) -> Result<()> {
    let y = importer.output(0)?;
    match y.dtype {
        DType::I64 => set(importer, values.len(), values.as_bytes()),
        DType::I32 => {
            let Ok(narrow) =
                values.iter().map(|&v| i32::try_from(v)).collect::<Result<Vec<_>, _>>()
            else {
                bail!(TooLarge, "the values do not fit {y}");
            };
            set(importer, narrow.len(), narrow.as_bytes())
        }
        _ => bail!(UnsupportedFeature, "{y} must be int32 or int64"),
    }
}

fn set(importer: &mut Importer, length: usize, bytes: &[u8]) -> Result<()> {
    let y = importer.output(0)?;
    if y.elements() != length {
        bail!(InvalidShape, "{y} must have {length} elements");
    }
    let id = importer.output_id(0)?;
    importer.set_constant(id, bytes.to_vec())
}
