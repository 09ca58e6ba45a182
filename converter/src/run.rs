//! Running a model over samples on the host.

use std::collections::HashMap;

use systole_core::{AlignedBytes, DType, Model, Session, TensorInfo};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    error::{Result, Within, bail, error},
    npz::Array,
};

/// Runs `model` on every sample of `inputs`; `progress` is called after each one.
///
/// Arrays belong to inputs by name; by position where there is one, where names were stripped from the
/// model, and where the arrays are only numbered (numpy's `arr_0`, `arr_1`). The first axis counts
/// samples; a sample may leave out the input's dimensions of 1.
///
/// # Errors
/// `InvalidData` where arrays do not fit.
pub fn run(model: &Model<'_>, inputs: &[Array], progress: impl FnMut()) -> Result<Vec<Array>> {
    run_with(model, inputs, Settings { threads: 1, keep_state: false }, progress)
}

/// How [`run_with`] goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many threads run large layers.
    pub threads: usize,
    /// Whether samples are the parts of one sequence: recurrent layers that have state go on with what
    /// the sample before left. Else each begins anew.
    pub keep_state: bool,
}

/// [`run`] with settings.
///
/// # Errors
/// Those of [`run`].
pub fn run_with(
    model: &Model<'_>,
    inputs: &[Array],
    settings: Settings,
    mut progress: impl FnMut(),
) -> Result<Vec<Array>> {
    let inputs = match_inputs(model, inputs)?;
    let samples = inputs.first().map_or(1, |array| array.shape[0]);
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(model, arena.as_mut_slice())
        .map_err(|problem| error!(TooLarge, "{problem}"))?;
    session.set_threads(settings.threads);
    let mut outputs: Vec<Array> = model
        .outputs()
        .enumerate()
        .map(|(index, info)| Array {
            name: port_name(&info, "output", index),
            dtype: info.dtype(),
            shape: output_shape(&info, samples),
            bytes: Vec::with_capacity(info.bytes() * samples),
        })
        .collect();
    for sample in 0..samples {
        if !settings.keep_state {
            session.reset();
        }
        write_sample(&mut session, &inputs, sample)?;
        session.run().map_err(|problem| error!(InvalidGraph, "{problem}"))?;
        for (index, output) in outputs.iter_mut().enumerate() {
            let tensor =
                session.output(index).map_err(|problem| error!(InvalidGraph, "{problem}"))?;
            let flip = tensor.info().sign_flip();
            output.bytes.extend(tensor.stored_bytes().iter().map(|byte| byte ^ flip));
        }
        progress();
    }
    Ok(outputs)
}

/// Writes one sample of `inputs` into a session's inputs; arrays are matched as in [`run`].
///
/// # Errors
/// `InvalidData` where arrays do not fit.
pub fn load_sample(session: &mut Session<'_, '_>, inputs: &[Array], sample: usize) -> Result<()> {
    let inputs = match_inputs(session.model(), inputs)?;
    write_sample(session, &inputs, sample)
}

fn write_sample(session: &mut Session<'_, '_>, inputs: &[&Array], sample: usize) -> Result<()> {
    for (index, array) in inputs.iter().enumerate() {
        let bytes = array.sample(sample).unwrap_or_default();
        write_input(session, index, array.dtype, bytes)
            .within(|| format!("input '{}', sample {sample}", array.name))?;
    }
    Ok(())
}

/// The array for each input, in the order of the inputs.
pub(crate) fn match_inputs<'a>(model: &Model<'_>, arrays: &'a [Array]) -> Result<Vec<&'a Array>> {
    let infos: Vec<TensorInfo<'_>> = model.inputs().collect();
    let named: HashMap<&str, &Array> =
        arrays.iter().rev().map(|array| (&array.name[..], array)).collect();
    let by_name: Vec<Option<&Array>> =
        infos.iter().map(|info| info.name().and_then(|name| named.get(name).copied())).collect();
    let matched = if by_name.iter().all(Option::is_some) {
        by_name.into_iter().flatten().collect()
    } else if arrays.len() == infos.len() && (arrays.len() == 1 || nameless(&infos, arrays)) {
        arrays.iter().collect::<Vec<_>>()
    } else {
        let wanted: Vec<String> =
            infos.iter().enumerate().map(|(i, info)| port_name(info, "input", i)).collect();
        let found: Vec<&str> = arrays.iter().map(|array| &array.name[..]).collect();
        bail!(
            InvalidData,
            "the arrays are {found:?}, but the model's inputs are {wanted:?}: an array of each \
             input's name is needed"
        );
    };
    for (index, (info, array)) in infos.iter().zip(&matched).enumerate() {
        check_array(info, array).within(|| {
            format!("array '{}' for input '{}'", array.name, port_name(info, "input", index))
        })?;
        if array.shape[0] != matched[0].shape[0] {
            bail!(
                InvalidData,
                "array '{}' has {} samples, '{}' has {}",
                array.name,
                array.shape[0],
                matched[0].name,
                matched[0].shape[0]
            );
        }
    }
    Ok(matched)
}

/// Whether the inputs of a model have no names, or the arrays one that is numbered.
fn nameless(infos: &[TensorInfo<'_>], arrays: &[Array]) -> bool {
    let stems =
        arrays.iter().map(|array| array.name.trim_end_matches(|c: char| c.is_ascii_digit()));
    infos.iter().all(|info| info.name().is_none())
        || stems.clone().zip(stems.skip(1)).all(|(stem, next)| stem == next)
}

fn check_array(info: &TensorInfo<'_>, array: &Array) -> Result<()> {
    let Some((&samples, dims)) = array.shape.split_first() else {
        bail!(InvalidData, "a single number; the first axis must count samples");
    };
    if samples == 0 {
        bail!(InvalidData, "holds no sample");
    }
    // The order of other axes than those of extent 1 has to be the input's: images with channels
    // last are no images with channels first.
    let given: Vec<usize> = dims.iter().copied().filter(|&dim| dim != 1).collect();
    let wanted = info.shape().dims().iter().map(|&dim| dim as usize);
    let wanted: Vec<usize> = wanted.filter(|&dim| dim != 1).collect();
    if given != wanted {
        let sorted = |mut dims: Vec<usize>| {
            dims.sort_unstable();
            dims
        };
        let order = match sorted(given) == sorted(wanted) {
            true => {
                "; the axes are in another order (ONNX: --input-layout nhwc takes channels last)"
            }
            false => "",
        };
        bail!(
            InvalidData,
            "samples have shape {dims:?}, but the input's is {:?}{order}",
            info.shape()
        );
    }
    // What numpy computes in by default is rounded to float32.
    let real = matches!(array.dtype, DType::F32 | DType::F64);
    let quantizable = real && (info.scale() > 0.0 || info.dtype() == DType::F32);
    if array.dtype != info.dtype() && !quantizable {
        let also = if info.scale() > 0.0 { ", or floats to be quantized" } else { "" };
        bail!(InvalidData, "holds {}, but the input takes {}{also}", array.dtype, info.dtype());
    }
    Ok(())
}

fn write_input(
    session: &mut Session<'_, '_>,
    index: usize,
    dtype: DType,
    bytes: &[u8],
) -> Result<()> {
    let mut tensor = session.input(index).map_err(|problem| error!(InvalidData, "{problem}"))?;
    let reals = match dtype {
        DType::F32 => floats::<f32>(bytes, |x| x),
        DType::F64 => floats::<f64>(bytes, |x| x as f32),
        _ => Vec::new(),
    };
    macro_rules! copy {
        ($kind:ty) => {{
            let elements: Vec<$kind> = bytes
                .chunks_exact(size_of::<$kind>())
                .filter_map(|bytes| <$kind>::read_from_bytes(bytes).ok())
                .collect();
            tensor.copy_from(&elements)
        }};
    }
    let copied = match dtype {
        DType::F32 | DType::F64 if tensor.info().dtype() != DType::F64 => {
            tensor.quantize_from(&reals)
        }
        DType::I8 => copy!(i8),
        DType::U8 | DType::Bool => copy!(u8),
        DType::I16 => copy!(i16),
        DType::U16 | DType::F16 => copy!(u16),
        DType::I32 => copy!(i32),
        DType::U32 => copy!(u32),
        DType::I64 => copy!(i64),
        DType::F32 => copy!(f32),
        DType::F64 => copy!(f64),
    };
    copied.map_err(|problem| error!(InvalidData, "{problem}"))
}

fn floats<T: FromBytes>(bytes: &[u8], real: impl Fn(T) -> f32) -> Vec<f32> {
    let elements = bytes.chunks_exact(size_of::<T>());
    elements.filter_map(|bytes| T::read_from_bytes(bytes).ok()).map(real).collect()
}

/// An array of a quantized output as float32, `scale × (q − zero_point)`; others as they are.
pub fn dequantized(array: &Array, info: &TensorInfo<'_>) -> Array {
    let real = |q: i32| info.scale() * q.saturating_sub(info.zero_point()) as f32;
    let reals: Vec<f32> = match array.dtype {
        DType::I8 if info.scale() > 0.0 => {
            array.bytes.iter().map(|&byte| real((byte as i8).into())).collect()
        }
        DType::U8 if info.scale() > 0.0 => {
            array.bytes.iter().map(|&byte| real(byte.into())).collect()
        }
        DType::I16 if info.scale() > 0.0 => {
            let chunks = array.bytes.chunks_exact(2);
            chunks.map(|bytes| real(i16::from_le_bytes([bytes[0], bytes[1]]).into())).collect()
        }
        _ => return array.clone(),
    };
    Array { dtype: DType::F32, bytes: reals.as_bytes().to_vec(), ..array.clone() }
}

/// A port's name, or one made from its position where names were stripped.
pub fn port_name(info: &TensorInfo<'_>, what: &str, index: usize) -> String {
    info.name().map_or_else(|| format!("{what}_{index}"), str::to_owned)
}

/// Samples first; a leading dimension of 1, the batch, makes room for them.
fn output_shape(info: &TensorInfo<'_>, samples: usize) -> Vec<usize> {
    let dims = info.shape().dims();
    let dims = dims.strip_prefix(&[1]).unwrap_or(dims);
    [samples].into_iter().chain(dims.iter().map(|&dim| dim as usize)).collect()
}
