//! `systole demo`: the whole way, on the model that the repository bundles.

use std::time::Instant;

use clap::Args;
use serde_json::json;
use systole_converter::{AlignedBytes, Class, Error, Options, Result, convert, npz};
use systole_core::{Model, Session, pack};

use super::to_json;

/// Trained by `models/train_digits.py`.
const MODEL: &[u8] = include_bytes!("../../../models/digits.tflite");
const IMAGES: &[u8] = include_bytes!("../../../models/digits.inputs.npz");
const LABELS: &[u8] = include_bytes!("../../../models/digits.labels.npz");

/// Width and height of an image.
const SIDE: usize = 8;

/// Runs timed for the latency.
const RUNS: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many digits to show
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=60))]
    digits: u16,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let converted = convert(MODEL, &Options::default())?;
    let failed = |problem: &dyn std::fmt::Display| Error::new(Class::Corrupt, problem.to_string());
    // As `run` and `bench` do: weights in the order of this processor's kernels.
    let packed = pack(converted.file.as_slice()).map_err(|problem| failed(&problem))?;
    let file = packed.as_ref().unwrap_or(&converted.file);
    let model = Model::from_bytes(file.as_slice()).map_err(|problem| failed(&problem))?;
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|problem| failed(&problem))?;

    let images = only(npz::parse(IMAGES, "images")?)?;
    let labels = only(npz::parse(LABELS, "labels")?)?;
    let (mut pictures, mut right, mut recognized) = (Vec::new(), 0, Vec::new());
    let samples = images.shape.first().copied().unwrap_or(0);
    for sample in 0..samples {
        let image: Vec<i8> =
            images.sample(sample).unwrap_or_default().iter().map(|&byte| byte as i8).collect();
        classify(&mut session, &image)?;
        let output = session.output(0).map_err(|problem| failed(&problem))?;
        let mut scores = vec![0.0; output.info().len()];
        output.dequantize_into(&mut scores).map_err(|problem| failed(&problem))?;
        let (digit, score) = best(&scores);
        let label = labels.sample(sample).and_then(|bytes| bytes.first().copied()).unwrap_or(255);
        right += usize::from(usize::from(label) == digit);
        recognized.push(json!({ "digit": digit, "score": score, "label": label }));
        if sample < usize::from(arguments.digits) {
            pictures.push(picture(&image, digit, score, label));
        }
    }
    let mut fastest = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        session.run().map_err(|problem| failed(&problem))?;
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e6);
    }
    if arguments.json {
        let mut value = converted.report.to_json();
        value["min_us"] = json!(fastest);
        value["recognized"] = json!(recognized);
        value["right"] = json!(right);
        value["samples"] = json!(samples);
        return Ok(to_json(&value));
    }
    Ok(format!(
        "digits.tflite -> digits.systole\n{}\n{}\n{right} of {samples} held-out digits are right. \
         Latency {fastest:.1} us (best of {RUNS}).\n",
        converted.report,
        side_by_side(&pictures)
    ))
}

fn only(arrays: Vec<npz::Array>) -> Result<npz::Array> {
    let missing = || Error::new(Class::InvalidData, "the bundled arrays are empty");
    arrays.into_iter().next().ok_or_else(missing)
}

fn classify(session: &mut Session<'_, '_>, image: &[i8]) -> Result<()> {
    let failed =
        |problem: &dyn std::fmt::Display| Error::new(Class::InvalidData, problem.to_string());
    let mut input = session.input(0).map_err(|problem| failed(&problem))?;
    input.copy_from(image).map_err(|problem| failed(&problem))?;
    session.run().map_err(|problem| failed(&problem))
}

/// Index and value of the largest score.
fn best(scores: &[f32]) -> (usize, f32) {
    let largest = scores.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    largest.unwrap_or((0, 0.0))
}

/// The image in characters, two for each pixel, and what it was taken for.
fn picture(image: &[i8], digit: usize, score: f32, label: u8) -> Vec<String> {
    const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
    let shade =
        |&pixel: &i8| SHADES[usize::from((i16::from(pixel) + 128) as u8) * SHADES.len() / 256];
    let mut lines: Vec<String> =
        image.chunks(SIDE).map(|row| row.iter().map(shade).collect()).collect();
    let verdict = if usize::from(label) == digit { "right" } else { "wrong" };
    lines.push(format!("{:<16}", format!("{digit} ({:.0} %) {verdict}", 100.0 * score)));
    lines
}

/// Pictures in one row.
fn side_by_side(pictures: &[Vec<String>]) -> String {
    let mut text = String::new();
    for block in pictures.chunks(5) {
        for line in 0..=SIDE {
            let row: Vec<&str> = block.iter().map(|picture| &picture[line][..]).collect();
            text += row.join("  ").trim_end();
            text += "\n";
        }
        text += "\n";
    }
    text
}
