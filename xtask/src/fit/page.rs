//! docs/benchmarks/prediction.md: what is predicted beside what was measured.

use std::{fmt::Write, path::PathBuf};

use systole_converter::{
    Options, load_file,
    predict::{self, Core, Costs, Prediction},
};
use systole_core::Model;

use super::{Recorded, measured::Figures};
use crate::{
    error::{Result, failed},
    models::PREDICTED,
    paths,
    targets::{TARGETS, Target},
};

const HEAD: &str = "\
# Predictions beside measurements

Written by `cargo xtask fit`. `systole inspect MODEL --target TARGET` predicts, `cargo xtask measure` measures, in QEMU, of the
model compiled in with `opt-level = 3`. None of these models is among those that costs are
fitted to (`xtask/src/fit/layers.rs`), whose layers are made with weights of their own: all errors here are of models that
were held out. A few layers have the shape of one of ad's or kws's.
[`docs/measuring.md`](../measuring.md#prediction) says how it is done.
";

pub fn file() -> PathBuf {
    paths::repository().join("docs/benchmarks/prediction.md")
}

/// A model on a processor.
struct Pair<'r> {
    model: &'static str,
    target: &'static Target,
    predicted: Prediction,
    measured: &'r Figures,
}

/// The page.
///
/// # Errors
/// Where a model cannot be read.
pub fn document(costs: &Costs, recorded: &Recorded) -> Result<String> {
    let mut pairs = Vec::new();
    for known in PREDICTED {
        let Some(files) = known.files() else { continue };
        let file = load_file(&files.model, &Options::default())?;
        let model = Model::from_bytes(file.as_slice())
            .map_err(|problem| failed!("{}: {problem}", known.name))?;
        for target in &TARGETS {
            let measured = recorded.get(target.name).and_then(|of| of.models.get(known.name));
            let predicted = Core::find(target.name)
                .and_then(|core| predict::predict_with(costs, &model, file.as_slice(), core));
            if let (Some(predicted), Some(measured)) = (predicted, measured) {
                pairs.push(Pair { model: known.name, target, predicted, measured });
            }
        }
    }
    let mut out = HEAD.to_owned();
    out.push_str("\n## Instructions of an inference\n\n");
    table(&mut out, &pairs, |pair| {
        [pair.predicted.instructions() as f64, pair.measured.instructions as f64]
    });
    out.push_str(
        "\n## Flash\n\nBytes of code and of its constants, without start-up code and without the model's \
         constants, whose size is known exactly.\n\n",
    );
    table(&mut out, &pairs, |pair| [pair.predicted.code, pair.measured.code as f64]);
    out.push_str(
        "\n## Stack\n\nBytes, `main` and the harness included. Arenas are as large as predicted, and there are no \
         other statics.\n\n",
    );
    table(&mut out, &pairs, |pair| [pair.predicted.stack, pair.measured.stack as f64]);
    Ok(out)
}

/// Two lines for each model: measured, and predicted with its error.
fn table(out: &mut String, pairs: &[Pair<'_>], figures: impl Fn(&Pair<'_>) -> [f64; 2]) {
    let targets: Vec<&Target> =
        TARGETS.iter().filter(|target| pairs.iter().any(|pair| pair.target == *target)).collect();
    let titles: Vec<&str> = targets.iter().map(|target| target.title).collect();
    let _ = writeln!(out, "| model | | {} |", titles.join(" | "));
    let _ = writeln!(out, "| --- | --- |{}", " ---: |".repeat(targets.len()));
    for known in PREDICTED {
        let of = |target: &Target| {
            pairs
                .iter()
                .find(|pair| pair.model == known.name && pair.target == target)
                .map(&figures)
        };
        let cells = |cell: &dyn Fn([f64; 2]) -> String| -> String {
            targets.iter().map(|target| of(target).map_or("–".into(), cell) + " | ").collect()
        };
        if targets.iter().all(|target| of(target).is_none()) {
            continue;
        }
        let measured = cells(&|[_, measured]| number(measured));
        let predicted = cells(&|[predicted, measured]| {
            format!("{} ({:+.1} %)", number(predicted), 100.0 * (predicted / measured - 1.0))
        });
        let _ = writeln!(out, "| {} | measured | {}", known.name, measured.trim_end());
        let _ = writeln!(out, "| | predicted | {}", predicted.trim_end());
    }
    let errors = pairs.iter().map(|pair| {
        let [predicted, measured] = figures(pair);
        (100.0 * (predicted / measured - 1.0), pair)
    });
    if let Some((error, pair)) = errors.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs())) {
        let _ = writeln!(
            out,
            "\nThe largest error is {error:+.1} %, of {} on {}.",
            pair.model, pair.target.title
        );
    }
}

/// Millions from a hundred thousand on.
fn number(value: f64) -> String {
    match value {
        ..100_000.0 => format!("{value:.0}"),
        _ => format!("{:.3} M", value / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_millions() {
        assert_eq!([number(99_999.4), number(5_052_143.0)], ["99999", "5.052 M"]);
    }
}
