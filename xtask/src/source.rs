//! The Rust source that the bench firmware includes: the model, its inputs, and calls of it.

use std::{fmt::Write, path::Path};

use systole_core::{DType, Model, TensorInfo, emit};

use crate::{
    error::{Result, failed},
    samples::Samples,
};

/// How a model is put into the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As source: [`systole_core::emit`].
    Compiled,
    /// As a file that a session executes.
    Interpreter,
}

impl Form {
    /// The name in reports, and that of the firmware's program.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Interpreter => "interpreter",
        }
    }
}

/// Symbols of the firmware that are not the model's code, by their names.
pub mod symbols {
    /// A constant of the model, or its file.
    pub fn is_model(name: &str) -> bool {
        name.starts_with("CONSTANT_") || name == "FILE"
    }

    /// The samples.
    pub fn is_input(name: &str) -> bool {
        name.starts_with("INPUT_")
    }

    /// The arena, or the model's type with the arena inside.
    pub fn is_arena(name: &str) -> bool {
        name == "BENCH" || name == "ARENA"
    }
}

/// Writes the source for `model`, whose bytes are in the file `path`; `layers` says whether there
/// are readings between operators.
///
/// # Errors
/// For types that have no literals.
pub fn write(
    model: &Model<'_>,
    file: &[u8],
    path: &Path,
    samples: &Samples,
    form: Form,
    layers: bool,
) -> Result<String> {
    let include = format!("include_bytes!({:?})", path.display().to_string());
    let readings = if layers { model.steps().count() + 1 } else { 0 };
    let mut out = format!(
        "// Written by `cargo xtask measure`.\n\
         pub const SAMPLES: usize = {};\npub const LAYERS: usize = {readings};\n",
        samples.inputs.len(),
    );
    match form {
        Form::Compiled => compiled(&mut out, model, file, &include, samples)?,
        Form::Interpreter => interpreter(&mut out, model, file.len(), &include, samples),
    }
    Ok(out)
}

fn interpreter(
    out: &mut String,
    model: &Model<'_>,
    length: usize,
    include: &str,
    samples: &Samples,
) {
    let mut writes = String::new();
    for (index, info) in model.inputs().enumerate() {
        let flip = info.sign_flip();
        let _ = writeln!(
            out,
            "static INPUT_{index}: [[u8; {}]; SAMPLES] = [{}];",
            info.bytes(),
            rows(samples, index, |bytes| Ok(bytes
                .iter()
                .map(|b| format!("{},", b ^ flip))
                .collect()))
            .unwrap_or_default(),
        );
        let _ = writeln!(
            writes,
            "    session.input({index}).ok()?.copy_stored(INPUT_{index}.get(sample)?).ok()?;"
        );
    }
    let _ = write!(
        out,
        "pub const ARENA_BYTES: usize = {};
pub static FILE: ::systole::Aligned<[u8; {length}]> = ::systole::Aligned(*{include});
pub fn write(session: &mut ::systole::Session<'_, '_>, sample: usize) -> Option<()> {{
{writes}    Some(())
}}
",
        model.arena_bytes(),
    );
}

fn compiled(
    out: &mut String,
    model: &Model<'_>,
    file: &[u8],
    include: &str,
    samples: &Samples,
) -> Result<()> {
    let options = emit::Options { name: "Bench", visibility: "pub", file: include };
    let items = emit::rust(file, options).map_err(|problem| failed!("{problem}"))?;
    out.push_str(&items);
    for (index, info) in model.inputs().enumerate() {
        let _ = writeln!(
            out,
            "static INPUT_{index}: [[{}; {}]; SAMPLES] = [{}];",
            rust_type(&info)?,
            info.len(),
            rows(samples, index, |bytes| literals(&info, bytes))?,
        );
    }
    let input_types = list(model.inputs(), |_, info| {
        Ok(format!("&'static [{}; {}],", rust_type(&info)?, info.len()))
    })?;
    let gets = list(model.inputs(), |i, _| Ok(format!("INPUT_{i}.get(sample)?,")))?;
    let arguments = list(model.inputs(), |i, _| Ok(format!("input.{i},")))?;
    let outputs: Vec<String> = model
        .outputs()
        .map(|info| Ok(format!("&'a [{}; {}]", rust_type(&info)?, info.len())))
        .collect::<Result<_>>()?;
    let (output, prints) = if let [output] = outputs.as_slice() {
        (output.clone(), print("output"))
    } else {
        let prints: String = (0..outputs.len()).map(|i| print(&format!("output.{i}"))).collect();
        (format!("({})", outputs.join(", ")), prints)
    };
    let reset = if model.state().next().is_some() { "    model.reset();\n" } else { "" };
    let _ = write!(
        out,
        "pub type Input = ({input_types});
pub type Output<'a> = {output};
pub fn input(sample: usize) -> Option<Input> {{
    (sample < SAMPLES).then_some(())?;
    Some(({gets}))
}}
#[inline(never)]
pub fn run(model: &mut Bench, input: Input) -> Output<'_> {{
    let _ = input;
    model.run({arguments})
}}
pub fn reset(model: &mut Bench) {{
    let _ = &model;
{reset}}}
pub fn observe(model: &mut Bench, input: Input, mut after: impl FnMut()) {{
    let _ = input;
    model.run_observed({arguments} |_| after());
}}
pub fn print(output: Output<'_>) {{
{prints}}}
"
    );
    Ok(())
}

fn print(output: &str) -> String {
    format!("    ::systole_bench_firmware::print_output(compiled::bytes_of({output}));\n")
}

fn list<'m>(
    infos: impl Iterator<Item = TensorInfo<'m>>,
    mut item: impl FnMut(usize, TensorInfo<'m>) -> Result<String>,
) -> Result<String> {
    infos.enumerate().map(|(index, info)| item(index, info)).collect()
}

/// `[…],[…],`: the elements of an input, sample by sample.
fn rows(
    samples: &Samples,
    input: usize,
    elements: impl Fn(&[u8]) -> Result<String>,
) -> Result<String> {
    let mut out = String::new();
    for sample in &samples.inputs {
        let bytes = sample.get(input).map(Vec::as_slice).unwrap_or_default();
        let _ = write!(out, "[{}],", elements(bytes)?);
    }
    Ok(out)
}

/// The Rust type of an element, of those that have literals.
fn rust_type(info: &TensorInfo<'_>) -> Result<&'static str> {
    match info.dtype() {
        DType::F16 => Err(failed!("models with f16 inputs or outputs are not measured")),
        dtype => Ok(emit::rust_type(dtype)),
    }
}

/// The elements in `bytes` as literals.
fn literals(info: &TensorInfo<'_>, bytes: &[u8]) -> Result<String> {
    let dtype = info.dtype();
    let kind = rust_type(info)?;
    let mut out = String::new();
    for element in bytes.chunks_exact(dtype.size()) {
        let mut wide = [0; 8];
        for (to, from) in wide.iter_mut().zip(element) {
            *to = *from;
        }
        let bits = u64::from_le_bytes(wide);
        let _ = match dtype {
            DType::F32 | DType::F64 => write!(out, "{kind}::from_bits({bits}),"),
            DType::I8 => write!(out, "{},", bits as i8),
            DType::I16 => write!(out, "{},", bits as i16),
            DType::I32 => write!(out, "{},", bits as i32),
            DType::I64 => write!(out, "{},", bits as i64),
            _ => write!(out, "{bits},"),
        };
    }
    Ok(out)
}
