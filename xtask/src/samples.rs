//! What a model is given, and what it has to answer.

use systole_converter::{AlignedBytes, npz::Array, run};
use systole_core::{DType, Model, Session, TensorInfo};

use crate::error::{Result, failed};

/// Samples of all inputs as bytes, and the host's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// Per sample, per input: its bytes as users see them, little-endian.
    pub inputs: Vec<Vec<Vec<u8>>>,
    /// Per sample, per output, likewise, from a [`Session`] on the host.
    pub outputs: Vec<Vec<Vec<u8>>>,
}

impl Samples {
    /// The first `count` samples of `arrays`, or of [`pattern`] where there are none.
    ///
    /// # Errors
    /// Where the arrays do not fit the model, or have fewer samples.
    pub fn new(model: &Model<'_>, arrays: Option<Vec<Array>>, count: usize) -> Result<Self> {
        let arrays = arrays.unwrap_or_else(|| pattern(model, count));
        let found = arrays.first().and_then(|array| array.shape.first()).copied().unwrap_or(0);
        if found < count {
            return Err(failed!("{count} samples are asked for, but the arrays have {found}"));
        }
        let first: Vec<Array> = arrays.into_iter().map(|array| truncated(array, count)).collect();
        let answers = run::run(model, &first, || ())?;
        let mut samples = Self { inputs: Vec::new(), outputs: Vec::new() };
        for index in 0..count {
            samples.inputs.push(stored(model, &first, index)?);
            let output =
                |array: &Array| array.sample(index).map(<[u8]>::to_vec).unwrap_or_default();
            samples.outputs.push(answers.iter().map(output).collect());
        }
        Ok(samples)
    }
}

/// The bytes that a session holds after sample `index` has been written, as users see them.
fn stored(model: &Model<'_>, arrays: &[Array], index: usize) -> Result<Vec<Vec<u8>>> {
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(model, arena.as_mut_slice())
        .map_err(|problem| failed!("the model cannot run: {problem}"))?;
    run::load_sample(&mut session, arrays, index)?;
    drop(session);
    let bytes = |info: TensorInfo<'_>| {
        let flip = info.sign_flip();
        let bytes = arena.as_slice().get(info.offset()..info.offset() + info.bytes());
        bytes.unwrap_or_default().iter().map(|byte| byte ^ flip).collect()
    };
    Ok(model.inputs().map(bytes).collect())
}

fn truncated(mut array: Array, samples: usize) -> Array {
    if let Some(first) = array.shape.first_mut()
        && let Some(size) = array.bytes.len().checked_div(*first)
    {
        array.bytes.truncate(size * samples);
        *first = samples;
    }
    array
}

/// Bytes from a generator that peers are measured with, too: `x = x × 1664525 + 1013904223` modulo
/// 2³², `x₀ = 12345`, of which each byte is the highest eight bits. Elements of more than one byte
/// are such a byte, as int8, as a number; real ones are divided by 128.
pub fn pattern(model: &Model<'_>, samples: usize) -> Vec<Array> {
    let mut generator = Generator(12345);
    let mut arrays: Vec<Array> =
        model.inputs().enumerate().map(|(i, info)| empty(i, &info)).collect();
    for _ in 0..samples {
        for (array, info) in arrays.iter_mut().zip(model.inputs()) {
            for _ in 0..info.len() {
                push(&mut array.bytes, info.dtype(), generator.next());
            }
            if let Some(first) = array.shape.first_mut() {
                *first += 1;
            }
        }
    }
    arrays
}

fn empty(index: usize, info: &TensorInfo<'_>) -> Array {
    let dims = info.shape().dims().iter().map(|&dim| dim as usize);
    Array {
        name: run::port_name(info, "input", index),
        dtype: info.dtype(),
        shape: [0].into_iter().chain(dims).collect(),
        bytes: Vec::new(),
    }
}

fn push(bytes: &mut Vec<u8>, dtype: DType, byte: u8) {
    let value = byte as i8;
    match dtype {
        DType::I8 | DType::U8 => bytes.push(byte),
        DType::Bool => bytes.push(byte >> 7),
        DType::F32 => bytes.extend((f32::from(value) / 128.0).to_le_bytes()),
        DType::F64 => bytes.extend((f64::from(value) / 128.0).to_le_bytes()),
        // The sign is that of the byte, over all bytes of the number.
        wider => {
            bytes.push(byte);
            bytes.extend(std::iter::repeat_n((value >> 7) as u8, wider.size() - 1));
        }
    }
}

struct Generator(u32);

impl Generator {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 24) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use systole_converter::{Options, load_file};

    #[test]
    fn the_generator_is_the_peers() {
        // By hand: 12345 × 1664525 + 1013904223 = 21562465348 = 5 × 2³² + 87628868, and
        // 87628868 >> 24 = 5.
        let mut generator = Generator(12345);
        assert_eq!(generator.next(), 5);
        assert_eq!(generator.0, 87_628_868);
    }

    #[test]
    fn the_bundled_model_gets_bytes_and_answers() {
        let path = crate::paths::repository().join("models/digits.tflite");
        let file = load_file(&path, &Options::default()).unwrap();
        let model = Model::from_bytes(file.as_slice()).unwrap();
        let samples = Samples::new(&model, None, 2).unwrap();
        assert_eq!(samples.inputs.len(), 2);
        assert_eq!(samples.inputs[0][0].len(), 64);
        assert_eq!(samples.inputs[0][0][0], 5);
        assert_ne!(samples.inputs[0], samples.inputs[1]);
        assert_eq!(samples.outputs[1][0].len(), 10);
        let arrays = Some(pattern(&model, 2));
        assert_eq!(Samples::new(&model, arrays.clone(), 1).unwrap().outputs[0], samples.outputs[0]);
        let error = Samples::new(&model, arrays, 3).unwrap_err().to_string();
        assert!(error.contains("3 samples") && error.contains("have 2"), "{error}");
    }
}
