//! What Systole makes of the models.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    cases::{Case, Data},
    peers::Environment,
    score::{self, Metric},
    tool::{Cost, Systole},
};
use crate::error::{Result, failed};

/// A float model beside its goldens.
#[derive(Debug)]
pub struct Float {
    /// The model.
    pub name: String,
    /// What came out.
    pub result: std::result::Result<Near, String>,
}

/// How near outputs are to golden ones.
#[derive(Debug, Clone, Copy)]
pub struct Near {
    /// Golden samples.
    pub samples: usize,
    /// The largest error.
    pub error: f64,
    /// The largest error as a multiple of what is allowed.
    pub share: f64,
}

/// A model in float and in int8.
#[derive(Debug)]
pub struct Int8 {
    /// The model.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// Test samples.
    pub samples: usize,
    /// In float.
    pub float: f64,
    /// In int8.
    pub int8: f64,
    /// Of the outputs, in dB.
    pub sqnr: f64,
    /// Bytes of the model and of the converted file.
    pub bytes: [u64; 2],
}

/// A model with particular settings.
#[derive(Debug)]
pub struct Setting {
    /// Arguments of the command.
    pub arguments: &'static str,
    /// The metric.
    pub value: f64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A model with several settings.
#[derive(Debug)]
pub struct Settings {
    /// The model.
    pub name: String,
    /// Its metric in float.
    pub float: f64,
    /// What each setting gives.
    pub rows: Vec<Setting>,
}

/// What a search for layers to raise has found.
#[derive(Debug)]
pub struct Mixed {
    /// The model.
    pub name: String,
    /// In float, in int8, and with layers raised.
    pub values: [f64; 3],
    /// Layers that were raised, and all of them.
    pub layers: [usize; 2],
    /// What raising them adds to the file, in bytes.
    pub flash: i64,
}

/// What a conversion took.
#[derive(Debug)]
pub struct Taken {
    /// What was converted.
    pub what: &'static str,
    /// Samples, and whether weights are rounded with high effort.
    pub samples: usize,
    /// Further arguments.
    pub arguments: &'static str,
    /// Time and memory, `None` where it was not measured.
    pub cost: Option<Cost>,
}

/// Images that MobileNet v2 is calibrated with.
const IMAGES: usize = 32;

/// Arguments that calibrate with a model's data.
pub fn calibrate<'a>(path: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    ["--calibrate", path].iter().chain(arguments).copied().collect()
}

/// Holds every model in float against its goldens.
pub fn floats(systole: &Systole, cases: &[Case]) -> Vec<Float> {
    let float = |case: &Case| {
        let result = near(systole, case).map_err(|problem| reason(&problem.to_string(), case));
        Float { name: case.name.clone(), result }
    };
    cases.iter().map(float).collect()
}

fn near(systole: &Systole, case: &Case) -> Result<Near> {
    systole.convert(&case.model, &[])?;
    let [inputs, goldens] = case.goldens()?;
    let samples = inputs.first().and_then(|array| array.shape.first()).copied().unwrap_or(0);
    let outputs = systole.outputs(&inputs)?;
    let count = outputs.len();
    let mut outputs = score::by_name(outputs);
    let mut near = Near { samples, error: 0.0, share: 0.0 };
    for golden in &goldens {
        let output = match outputs.remove(&golden.name) {
            // Arrays of one output are matched by position: formats spell names differently.
            None if count == 1 && goldens.len() == 1 => outputs.drain().next().map(|(_, a)| a),
            found => found,
        };
        let output = output.ok_or_else(|| failed!("no output '{}'", golden.name))?;
        let values = [golden, &output].map(score::numbers);
        let (error, share) = score::largest_error(&values[0], &values[1]);
        (near.error, near.share) = (near.error.max(error), near.share.max(share));
    }
    Ok(near)
}

/// Why a model is refused, short: the operators that are not supported, or else the first line.
fn reason(said: &str, case: &Case) -> String {
    let mut operators: Vec<&str> = Vec::new();
    for line in said.lines() {
        // ONNX: "operator X is not supported". TFLite: "unsupported operators: X (2), Y (1)."
        let one = line.split("operator ").nth(1).filter(|_| line.contains("is not supported"));
        let list = line.split("unsupported operators: ").nth(1);
        let list = list.and_then(|rest| rest.split('.').next()).unwrap_or_default();
        for entry in one.into_iter().chain(list.split(", ")) {
            let name = entry.split(' ').next().unwrap_or_default();
            if !name.is_empty() && !operators.contains(&name) {
                operators.push(name);
            }
        }
    }
    if operators.is_empty() {
        let path = format!("{}: ", case.model.display());
        let line = said.lines().next().unwrap_or_default().replace(&path, "");
        return line.trim_start_matches("systole: ").to_owned();
    }
    operators.join(", ")
}

/// Measures every model with test data in float and, with the defaults, in int8.
///
/// # Errors
/// Where a model converts in float but not in int8.
pub fn int8(systole: &Systole, cases: &[Case]) -> Result<Vec<Int8>> {
    let mut rows = Vec::new();
    for case in cases {
        let Some(data) = case.data()? else { continue };
        // What is refused in float has been listed.
        let Ok(float) = float_answers(systole, case, &data) else { continue };
        let calibration = data.calibration.display().to_string();
        let report = systole.convert(&case.model, &calibrate(&calibration, &[]))?;
        let answers = systole.answers(&data.arrays)?;
        let value = |answers: &[Vec<f64>]| data.truth.scored(answers).map(|scored| scored.value());
        let source = std::fs::metadata(&case.model).map_or(0, |file| file.len());
        let bytes = [source, report["file_bytes"].as_u64().unwrap_or(0)];
        rows.push(Int8 {
            name: case.name.clone(),
            metric: data.truth.metric,
            samples: data.truth.samples(),
            float: value(&float)?,
            int8: value(&answers)?,
            sqnr: score::sqnr(&float, &answers),
            bytes,
        });
    }
    Ok(rows)
}

/// The float model's answers.
///
/// # Errors
/// Where it is refused.
pub fn float_answers(systole: &Systole, case: &Case, data: &Data) -> Result<Vec<Vec<f64>>> {
    systole.convert(&case.model, &[])?;
    systole.answers(&data.arrays)
}

fn data(case: &Case) -> Result<Data> {
    case.data()?.ok_or_else(|| failed!("{}: no test data", case.name))
}

/// A model with each of several settings.
fn settings(systole: &Systole, case: &Case, all: &[&'static str]) -> Result<Settings> {
    let data = data(case)?;
    let float = data.truth.scored(&float_answers(systole, case, &data)?)?.value();
    let calibration = data.calibration.display().to_string();
    let mut rows = Vec::new();
    for &arguments in all {
        let list: Vec<&str> = arguments.split_whitespace().collect();
        let report = systole.convert(&case.model, &calibrate(&calibration, &list))?;
        let value = data.truth.scored(&systole.answers(&data.arrays)?)?.value();
        rows.push(Setting { arguments, value, bytes: report["file_bytes"].as_u64().unwrap_or(0) });
    }
    Ok(Settings { name: case.name.clone(), float, rows })
}

/// The model with channels of very different size, with and without equalization.
///
/// # Errors
/// Where it does not convert.
pub fn channels(systole: &Systole, case: &Case) -> Result<Settings> {
    let all = ["", "--per-tensor", "--no-equalization", "--no-equalization --per-tensor"];
    settings(systole, case, &all)
}

/// A model with weights of eight and of four bits.
///
/// # Errors
/// Where it does not convert.
pub fn int4(systole: &Systole, case: &Case) -> Result<Settings> {
    let all = [
        "",
        "--weights int4 --effort high",
        "--no-precise-output --names none",
        "--no-precise-output --names none --weights int4 --effort high",
    ];
    settings(systole, case, &all)
}

/// Raises layers of a model that int8 to the last layer costs more than half a point.
///
/// # Errors
/// Where it does not convert.
pub fn mixed(systole: &Systole, case: &Case) -> Result<Mixed> {
    let data = data(case)?;
    let [calibration, test] = [&data.calibration, &data.test].map(|p| p.display().to_string());
    let arguments = ["--no-precise-output", "--max-drop", "0.5", "--validate", &test];
    let report = systole.convert(&case.model, &calibrate(&calibration, &arguments))?;
    let found = &report["mixed_precision"];
    let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
    // The file, not the report, says what has become of the model.
    let after = data.truth.scored(&systole.answers(&data.arrays)?)?.value();
    let raised: &[Value] = found["raised"].as_array().map_or(&[], Vec::as_slice);
    Ok(Mixed {
        name: case.name.clone(),
        values: [number("float"), number("before"), after],
        layers: [raised.len(), found["layers"].as_u64().unwrap_or(0) as usize],
        flash: raised.iter().filter_map(|layer| layer["flash_bytes"].as_i64()).sum(),
    })
}

/// Time and memory of conversions; a float MobileNet v2 is written in the environment `python`.
///
/// # Errors
/// Where something does not convert.
pub fn costs(
    systole: &Systole,
    kws: &Case,
    python: Option<&Environment>,
    work: &Path,
) -> Result<Vec<Taken>> {
    let data = data(kws)?;
    let mobilenet = ["mobilenet_v2.onnx", "mobilenet_v2.npz"].map(|name| work.join(name));
    if let Some(python) = python {
        let [model, images] = mobilenet.each_ref().map(|path| path.display().to_string());
        python.script("mobilenet_v2.py", &[&model, &IMAGES.to_string(), &images])?;
    }
    let calibration = systole_converter::npz::read(&data.calibration)?;
    let samples = calibration.first().and_then(|array| array.shape.first()).copied();
    let files: [(&'static str, &PathBuf, &PathBuf, usize, bool); 2] = [
        ("keyword spotting", &kws.model, &data.calibration, samples.unwrap_or(0), true),
        ("MobileNet v2 1.0 224", &mobilenet[0], &mobilenet[1], IMAGES, python.is_some()),
    ];
    let mut taken = Vec::new();
    for (what, model, calibration, samples, there) in files {
        let calibration = calibration.display().to_string();
        for arguments in ["", "--effort high"] {
            let list: Vec<&str> = arguments.split_whitespace().collect();
            let measured = there.then(|| systole.measured(model, &calibrate(&calibration, &list)));
            taken.push(Taken { what, samples, arguments, cost: measured.transpose()? });
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_operators_once() {
        let case = Case::new(Path::new("models"), "trained/x.onnx");
        let said = "systole: models/trained/x.onnx: 3 problems:\n  \
            node 0 'a' (Scaler): operator Scaler is not supported (of domain ai.onnx.ml)\n  \
            node 1 'b' (Scaler): operator Scaler is not supported (of domain ai.onnx.ml)\n  \
            node 2 'c' (LSTM): operator LSTM is not supported";
        assert_eq!(reason(said, &case), "Scaler, LSTM");
        let tflite =
            "x.tflite: unsupported operators: WHILE (1), LSTM (2). docs/operators.md lists";
        assert_eq!(reason(tflite, &case), "WHILE, LSTM");
        let other = "systole: models/trained/x.onnx: node 3: axis 9 is out of range";
        assert_eq!(reason(other, &case), "node 3: axis 9 is out of range");
    }

    #[test]
    fn calibration_comes_before_other_arguments() {
        assert_eq!(calibrate("x.npz", &["--per-tensor"]), ["--calibrate", "x.npz", "--per-tensor"]);
    }
}
