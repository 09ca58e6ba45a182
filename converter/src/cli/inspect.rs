//! `systole inspect`

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};
use systole_converter::{
    Result, apart, arena_map, edgetpu, load_file,
    memories::Divided,
    predict::{self, Core, Prediction},
};
use systole_core::{
    DType, Model, Opcode, Operator, TensorInfo,
    format::{Key, NO_TENSOR, RoundingCode},
    ops::repeat,
};

use super::{Conversion, to_json, write_whole};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model: .systole, .onnx or .tflite to be converted in memory, or .tflite compiled for the
    /// Edge TPU
    file: PathBuf,
    /// Draw the arena map as an SVG picture
    #[arg(long, value_name = "FILE.svg")]
    arena_map: Option<PathBuf>,
    /// List all tensors, constants too
    #[arg(long)]
    tensors: bool,
    /// Predict what the model takes on a microcontroller, in whole and per operator [default: the one that the
    /// file was converted for]
    #[arg(long, value_name = "TARGET", value_parser = core)]
    target: Option<&'static Core>,
    #[command(flatten)]
    conversion: Conversion,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// The microcontroller that --target names.
fn core(name: &str) -> std::result::Result<&'static Core, String> {
    Core::find(name).ok_or_else(|| {
        let names: Vec<&str> = predict::CORES.iter().map(|core| core.name).collect();
        format!("there are {}", names.join(", "))
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    if let Some(compiled) = compiled(arguments)? {
        return Ok(compiled);
    }
    let file = load_file(&arguments.file, &arguments.conversion.options()?)?;
    apart::with_model(file.as_slice(), |model| inspected(arguments, file.as_slice(), model))?
}

/// What is printed of a model and its file.
fn inspected(arguments: &Arguments, file: &[u8], model: &Model<'_>) -> Result<String> {
    let map = arena_map::ArenaMap::new(model);
    if let Some(path) = &arguments.arena_map {
        write_whole(path, map.svg().as_bytes())?;
    }
    // What is predicted is of models that are compiled in, with their weights.
    let core = arguments.target.or_else(|| predict::target_of(model));
    let core = core.filter(|_| model.weights_bytes() == 0);
    let prediction = core.and_then(|core| predict::predict(model, file, core));
    if arguments.json {
        let mut value = to_value(model, file.len());
        if let Some(prediction) = &prediction {
            value["prediction"] = prediction.to_json();
        }
        return Ok(to_json(&value));
    }
    let mut text = String::new();
    summary(&mut text, model, file.len()).expect("writing to a String cannot fail");
    operators(&mut text, model).expect("writing to a String cannot fail");
    if let Some(prediction) = &prediction {
        predicted(&mut text, prediction).expect("writing to a String cannot fail");
    }
    if arguments.tensors {
        tensors(&mut text, model).expect("writing to a String cannot fail");
    }
    text += "\narena map\n";
    text += &map.text(100);
    metadata(&mut text, model).expect("writing to a String cannot fail");
    Ok(text)
}

/// What is printed of a model compiled for the Edge TPU; `None` for all others.
fn compiled(arguments: &Arguments) -> Result<Option<String>> {
    let file = &arguments.file;
    if file.extension().is_none_or(|extension| extension != "tflite") {
        return Ok(None);
    }
    // A file that cannot be read is refused where models are loaded.
    let Ok(bytes) = std::fs::read(file) else { return Ok(None) };
    let parts = edgetpu::parts(&bytes).map_err(|error| error.within(file.display().to_string()))?;
    Ok(parts.map(|parts| match arguments.json {
        true => to_json(&json!({ "file_bytes": bytes.len(), "parts": parts })),
        false => edgetpu::text(&parts),
    }))
}

fn model_operators<'m>(model: &'m Model<'m>) -> impl Iterator<Item = Operator<'m>> {
    (0..model.operator_count()).map_while(|index| model.operator(index as u16))
}

fn summary(text: &mut String, model: &Model<'_>, bytes: usize) -> std::fmt::Result {
    writeln!(text, "file       {bytes} bytes, weights and tables {}", model.constants().len())?;
    if let Some(apart) = apart::Apart::of(model) {
        writeln!(text, "{apart}")?;
    }
    writeln!(
        text,
        "arena      {} bytes, lower bound {}",
        model.arena_bytes(),
        model.arena_lower_bound()
    )?;
    let arenas: Vec<usize> = model.arenas().collect();
    let divided = Divided::of(model);
    let residents = model.residents().count();
    let in_flash = if residents > 0 { divided.flash } else { 0 };
    let all = divided.arenas.iter().chain(&divided.weights).chain([&in_flash]);
    let all = all.fold(0, |sum: u64, &bytes| sum.saturating_add(bytes));
    let share = |bytes: u64| 100.0 * bytes as f64 / all.max(1) as f64;
    for (index, bytes) in arenas.iter().enumerate().filter(|_| arenas.len() > 1 || residents > 0) {
        let name = model.memory_name(index).unwrap_or("without a name");
        let tensors = (0..model.tensor_count()).filter_map(|tensor| model.tensor(tensor as u16));
        let inside = tensors.filter(|info| !info.is_constant() && info.arena() == index).count();
        let touched = |of: &[u64]| of.get(index).copied().unwrap_or(0);
        let share = share(touched(&divided.arenas).saturating_add(touched(&divided.weights)));
        let weights = match model.residents().filter(|&(_, arena, _)| arena == index).count() {
            0 => String::new(),
            count => format!(", weights of {count} layers"),
        };
        writeln!(
            text,
            "memory     {index} {name}: {bytes} bytes, {inside} tensors{weights}, {share:.1} % of the bytes read and written"
        )?;
    }
    if residents > 0 {
        let share = share(in_flash);
        writeln!(text, "flash      {share:.1} % of the bytes read and written, weights")?;
    }
    match model.state().map(|info| info.bytes()).sum() {
        0_usize => {}
        state => writeln!(text, "state      {state} bytes of it, kept from run to run")?,
    }
    writeln!(text, "work       {} multiply-accumulates", model.macs())?;
    for (what, infos) in [
        ("input", model.inputs().collect::<Vec<_>>()),
        ("output", model.outputs().collect::<Vec<_>>()),
    ] {
        for (index, info) in infos.iter().enumerate() {
            writeln!(text, "{what:<8} {index} {}", describe(info))?;
        }
    }
    writeln!(text, "linked by  {}", linked(model))
}

/// The operators that a program has to link for the model, as the runtime's macro takes them.
fn linked(model: &Model<'_>) -> String {
    let mut groups: Vec<(DType, Vec<Opcode>)> = Vec::new();
    for operator in model_operators(model) {
        let Ok(output) = operator.record().output(0) else { continue };
        let (dtype, opcode) = (output.stored_dtype(), operator.opcode());
        match groups.iter_mut().find(|(group, _)| *group == dtype) {
            None => groups.push((dtype, vec![opcode])),
            Some((_, opcodes)) if opcodes.contains(&opcode) => {}
            Some((_, opcodes)) => opcodes.push(opcode),
        }
    }
    let group = |(dtype, opcodes): &(DType, Vec<Opcode>)| {
        let names: Vec<String> = opcodes.iter().map(|opcode| format!("{opcode:?}")).collect();
        format!("{dtype:?}: {}", names.join(", "))
    };
    let groups: Vec<String> = groups.iter().map(group).collect();
    format!("operators![{}]", groups.join("; "))
}

/// Type, shape, quantization and name of a tensor on one line.
fn describe(info: &TensorInfo<'_>) -> String {
    let mut text = format!("{} {:?}", info.dtype(), info.shape());
    if info.scale() > 0.0 {
        text += &format!(" scale {} zero_point {}", info.scale(), info.zero_point());
    }
    if let Some(name) = info.name() {
        text += &format!(" '{name}'");
    }
    text
}

/// The tensor indices of inputs and outputs; `None` for those not given.
fn operands(operator: &Operator<'_>) -> (Vec<Option<u16>>, Vec<Option<u16>>) {
    let record = operator.record();
    let all = |range: std::ops::Range<usize>| range.map(|i| record.operand(i)).collect();
    let (inputs, outputs) = (record.input_count(), record.output_count());
    (all(0..inputs), all(inputs..inputs + outputs))
}

fn operators(text: &mut String, model: &Model<'_>) -> std::fmt::Result {
    writeln!(text, "\noperators")?;
    for (index, operator) in model_operators(model).enumerate() {
        let record = operator.record();
        let (inputs, outputs) = operands(&operator);
        let list = |operands: &[Option<u16>]| {
            let names: Vec<String> =
                operands.iter().map(|i| i.map_or("-".to_owned(), |i| i.to_string())).collect();
            names.join(" ")
        };
        let shape = |operands: &[Option<u16>]| {
            let first = operands.first().copied().flatten().unwrap_or(NO_TENSOR);
            model.tensor(first).map_or_else(String::new, |info| format!("{:?}", info.shape()))
        };
        if operator.opcode() == Opcode::Repeat {
            let repeat::Params { count, body } = record.params();
            writeln!(text, "{index:>4} repeat {count} times the next {body}")?;
            continue;
        }
        let rounding = match record.rounding() {
            Ok(RoundingCode::None) | Err(_) => "",
            Ok(rounding) => rounding.name(),
        };
        writeln!(
            text,
            "{index:>4} {:<20} {:<18} {:<18} {rounding:<8} tensors {} -> {}",
            operator.opcode().name(),
            shape(&inputs),
            shape(&outputs),
            list(&inputs),
            list(&outputs)
        )?;
    }
    Ok(())
}

/// The sums, and each operator's instructions with their share.
fn predicted(text: &mut String, prediction: &Prediction) -> std::fmt::Result {
    write!(text, "\n{prediction}")?;
    let all = prediction.instructions().max(1) as f64;
    for (index, layer) in prediction.layers.iter().enumerate() {
        let name = layer.operator;
        match layer.instructions {
            Some(count) => {
                writeln!(
                    text,
                    "{index:>4} {name:<20} {count:>12.0} {:>5.1} %",
                    100.0 * count / all
                )?;
            }
            None => writeln!(text, "{index:>4} {name:<20} {:>12}", "not known")?,
        }
    }
    Ok(())
}

fn tensors(text: &mut String, model: &Model<'_>) -> std::fmt::Result {
    writeln!(text, "\ntensors")?;
    for index in 0..model.tensor_count() {
        let Some(info) = model.tensor(index as u16) else { continue };
        let place = match (info.is_constant(), info.persists()) {
            (true, _) if info.is_apart() => "apart",
            (true, _) if model.resident(info.index()).is_some() => "resident",
            (true, _) => "constants",
            (false, true) => "state",
            (false, false) => "arena",
        };
        let arena = match model.arenas().len() > 1 && !info.is_constant() {
            true => format!(" {}", info.arena()),
            false => String::new(),
        };
        writeln!(
            text,
            "{index:>4} {place}{arena} {}..{} {}",
            info.offset(),
            info.offset() + info.bytes(),
            describe(&info)
        )?;
    }
    Ok(())
}

fn metadata(text: &mut String, model: &Model<'_>) -> std::fmt::Result {
    let entries = model.metadata().filter(|entry| entry.key != Key::TensorName as u16);
    for (count, entry) in entries.enumerate() {
        if count == 0 {
            writeln!(text, "\nmetadata")?;
        }
        let key = match entry.key {
            key if key == Key::Label as u16 => format!("label {}", entry.index),
            key if key == Key::Producer as u16 => "producer".to_owned(),
            key if key == Key::Origin as u16 => "origin".to_owned(),
            key if key == Key::Licence as u16 => "licence".to_owned(),
            key if key == Key::Description as u16 => "description".to_owned(),
            key if key == Key::Target as u16 => "target".to_owned(),
            key => format!("key {key} index {}", entry.index),
        };
        writeln!(text, "{key}: {}", entry.text)?;
    }
    Ok(())
}

fn to_value(model: &Model<'_>, file_bytes: usize) -> Value {
    let tensor = |info: TensorInfo<'_>| {
        json!({
            "index": info.index(),
            "name": info.name(),
            "dtype": info.dtype().name(),
            "shape": info.shape().dims(),
            "scale": info.scale(),
            "zero_point": info.zero_point(),
            "constant": info.is_constant(),
            "resident": model.resident(info.index()).map(|(arena, offset)| {
                json!({ "arena": arena, "offset": offset })
            }),
            "arena": info.arena(),
            "offset": info.offset(),
            "bytes": info.bytes(),
        })
    };
    let operator = |(operator, repetitions): (Operator<'_>, u16)| {
        let (inputs, outputs) = operands(&operator);
        json!({
            "operator": operator.opcode().name(),
            "repetitions": repetitions,
            "rounding": operator.record().rounding().map_or("unknown", RoundingCode::name),
            "inputs": inputs,
            "outputs": outputs,
        })
    };
    let all = (0..model.tensor_count()).filter_map(|index| model.tensor(index as u16));
    let labels: Vec<&str> = (0..).map_while(|index| model.label(index)).collect();
    json!({
        "file_bytes": file_bytes,
        "weight_bytes": model.constants().len(),
        "weights_apart": apart::Apart::of(model).as_ref().map(apart::Apart::to_json),
        "arena_bytes": model.arena_bytes(),
        "memories": model.arenas().zip(Divided::of(model).arenas).enumerate().map(|(index, (bytes, touched))| {
            json!({ "name": model.memory_name(index), "arena_bytes": bytes, "touched_bytes": touched })
        }).collect::<Vec<_>>(),
        "arena_lower_bound": model.arena_lower_bound(),
        "state_bytes": model.state().map(|info| info.bytes()).sum::<usize>(),
        "macs": model.macs(),
        "operators": model_operators(model).zip(model.repetitions()).map(operator).collect::<Vec<_>>(),
        "inputs": model.inputs().map(tensor).collect::<Vec<_>>(),
        "outputs": model.outputs().map(tensor).collect::<Vec<_>>(),
        "tensors": all.map(tensor).collect::<Vec<_>>(),
        "labels": labels,
    })
}
