//! docs/accuracy.md.

use std::fmt::Write;

use super::{
    beside::{Answered, Beside, Row},
    ours::{Float, Int8, Mixed, Settings, Taken},
};

/// Everything that was measured.
#[derive(Debug)]
pub struct Figures {
    /// Float models beside their goldens.
    pub floats: Vec<Float>,
    /// Float and int8.
    pub int8: Vec<Int8>,
    /// Channels of different size.
    pub channels: Settings,
    /// Weights of four bits.
    pub int4: Vec<Settings>,
    /// Layers raised within a bound.
    pub mixed: Vec<Mixed>,
    /// Time and memory.
    pub costs: Vec<Taken>,
    /// Other quantizers; `None` where they were left out.
    pub beside: Option<Beside>,
}

/// What stands where nothing was measured.
const SKIPPED: &str = "**Skipped** (`--no-peers`)";

impl Figures {
    /// The page.
    pub fn page(&self) -> String {
        let converted = self.floats.iter().filter(|float| float.result.is_ok()).count();
        format!(
            "# Accuracy

Written by `cargo xtask accuracy`, on the models of `../shared/models`. Points are percent of samples whose class is
right (top-1), 100 × R², or 100 × the area under the ROC curve (AUC). Every model is calibrated with its own calibration
samples, none of which is in the test data that it is measured on. [quantization.md](quantization.md) says what is done.

## Float

{converted} of {} float models convert, and their outputs are held against the golden ones (ONNX Runtime's; LiteRT's for
MLPerf Tiny). Each value may differ by 10⁻⁴ of itself, or 10⁻⁵ near zero; the last column is the largest error as a part of
that: 1 would be too much.

{}
The others are refused, by the operators that are not supported:

{}
## int8

With the defaults: `systole convert MODEL --calibrate SAMPLES`. SQNR is the ratio of signal to noise in the outputs.

{}
{}## Channels of different size

`{}` computes the same function as `trained/dwsep`, with factors of 1 to 200 on its channels.

{}
## Weights of four bits

A last layer in int16 keeps weights of 8 bits; names take the same space in both files.

{}
## Layers raised within a bound

`--max-drop 0.5 --validate TEST`, on a network that int8 to the last layer (`--no-precise-output`) costs more than half a
point. What remains is measured on the file that was written.

{}
## Time and memory

Of the whole command, on {} cores that others use too.

{}",
            self.floats.len(),
            self.floats(),
            self.refused(),
            self.int8(),
            self.beside(),
            self.channels.name,
            settings(std::slice::from_ref(&self.channels), false),
            settings(&self.int4, true),
            self.mixed(),
            std::thread::available_parallelism().map_or(1, usize::from),
            self.costs(),
        )
    }

    fn floats(&self) -> String {
        let mut out = head(&["model", "samples", "largest error", "of what is allowed"]);
        for float in &self.floats {
            if let Ok(near) = &float.result {
                let verdict = if near.share > 1.0 { " **too much**" } else { "" };
                let (error, share) = (scientific(near.error), format!("{:.3}", near.share));
                let share = format!("{share}{verdict}");
                line(&mut out, &[&float.name, &near.samples.to_string(), &error, &share]);
            }
        }
        out
    }

    fn refused(&self) -> String {
        let mut out = head(&["model", "not supported"]);
        for float in &self.floats {
            if let Err(reason) = &float.result {
                line(&mut out, &[&float.name, reason]);
            }
        }
        out
    }

    fn int8(&self) -> String {
        let columns = [
            "model",
            "",
            "test samples",
            "float",
            "int8",
            "drop",
            "SQNR",
            "source, bytes",
            "int8, bytes",
        ];
        let mut out = head(&columns);
        for row in &self.int8 {
            let cells = [
                row.name.clone(),
                row.metric.name().to_owned(),
                row.samples.to_string(),
                points(row.float),
                points(row.int8),
                points(row.float - row.int8),
                decibels(row.sqnr),
                row.bytes[0].to_string(),
                row.bytes[1].to_string(),
            ];
            line(&mut out, &cells.each_ref().map(String::as_str));
        }
        out
    }

    fn mixed(&self) -> String {
        let mut out =
            head(&["model", "float", "int8", "with layers raised", "layers raised", "adds, bytes"]);
        for row in &self.mixed {
            let [float, before, after] = row.values.map(points);
            let layers = format!("{} of {}", row.layers[0], row.layers[1]);
            line(&mut out, &[&row.name, &float, &before, &after, &layers, &row.flash.to_string()]);
        }
        out
    }

    fn costs(&self) -> String {
        let mut out = head(&["model", "samples", "", "time", "memory"]);
        for row in &self.costs {
            let (time, memory) = match &row.cost {
                None => (SKIPPED.to_owned(), String::new()),
                Some(cost) => (
                    format!("{:.1} s", cost.time.as_secs_f64()),
                    cost.memory
                        .map_or("unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000)),
                ),
            };
            line(
                &mut out,
                &[row.what, &row.samples.to_string(), &code(row.arguments), &time, &memory],
            );
        }
        out
    }

    fn beside(&self) -> String {
        let Some(beside) = &self.beside else {
            return format!("## Beside other quantizers\n\n{SKIPPED}.\n\n");
        };
        let versions = |list: &[(String, String)]| {
            let words = list.iter().map(|(name, version)| format!("{name} {version}"));
            words.collect::<Vec<_>>().join(", ")
        };
        let [ours, theirs] = beside.tried;
        let entropy = match beside.entropy_is_min_max {
            true => " Entropy has\n  given what min-max gives on every model.",
            false => "",
        };
        format!(
            "## Beside other quantizers

The same float model, the same calibration samples, the same test samples; the scripts are in `benches/accuracy`.

- TFLite's converter, `Optimize.DEFAULT` with a representative dataset, inputs and outputs in float. onnx2tf brings the
  ONNX models there as they are, and as ONNX Runtime's basic optimizations leave them; of the two the better one counts,
  if it is still the same network in float.
  ({})
- ONNX Runtime's `quantize_static` as it is, and the best of {theirs} settings: the defaults, and after `quant_pre_process`
  QDQ with U8S8 and S8S8, per tensor and per channel, min-max, percentile and entropy, `reduce_range` off.{}
  ({})
- The best is chosen by the test data themselves, in the favour of whom it is the best of. Systole's best of {ours}
  (observers, `--effort high`) is chosen in the same way; in comparisons Systole stands with its defaults.
- No quantizer was told anything about single layers. `text_transformer` has a mask of −10,000, which a range of int8 does
  not bear; a user of the peers would leave operators out by hand.

Bold is what loses least against float, to the last digit that is shown; what gains loses nothing.

{}
{}### Where a peer is ahead of Systole's defaults

The difference is Systole's points less the peer's; the interval holds 95 % of such differences when test samples are drawn
anew. In {} of them it holds zero: these test samples cannot tell the difference from chance.

{}
### Noise

The noise that quantization adds to the outputs, whether or not it changes an answer, and behind the stroke how many
samples become another class than in float.

{}
",
            versions(&beside.tflite_versions),
            entropy,
            versions(&beside.ort_versions),
            values(&beside.rows),
            impossible(&beside.rows),
            chances(&beside.rows),
            ahead(&beside.rows),
            noise(&beside.rows),
        )
    }
}

/// The peers' answers with their names, as far as there are any.
fn peers(row: &Row) -> Vec<(String, &Answered)> {
    let mut all = Vec::new();
    if let Ok(answered) = &row.tflite {
        all.push(("TFLite".to_owned(), answered));
    }
    if let Ok(answered) = &row.ort {
        all.push(("ONNX Runtime, defaults".to_owned(), answered));
    }
    if let Ok(answered) = &row.ort_best
        && answered.setting != "defaults"
    {
        all.push((format!("ONNX Runtime, {}", answered.setting), answered));
    }
    all
}

fn values(rows: &[Row]) -> String {
    let columns = [
        "model",
        "",
        "samples",
        "float",
        "Systole",
        "TFLite",
        "ONNX Runtime, defaults",
        "ONNX Runtime, best",
        "which is",
        "Systole, best",
        "which is",
    ];
    let mut out = head(&columns);
    for row in rows {
        let lost = |answered: &Answered| (shown(row.float) - shown(answered.value)).max(0);
        let least = peers(row).iter().map(|(_, peer)| lost(peer)).fold(lost(&row.ours), i64::min);
        let cell = |answered: &Answered| {
            let text = points(answered.value);
            if lost(answered) == least { format!("**{text}**") } else { text }
        };
        let maybe = |result: &Result<Answered, String>| match result {
            Ok(answered) => cell(answered),
            Err(_) => "—".to_owned(),
        };
        let which = |answered: &Answered| match answered.alike {
            1 => answered.setting.clone(),
            alike => format!("{} and {} more", answered.setting, alike - 1),
        };
        let cells = [
            row.name.clone(),
            row.metric.name().to_owned(),
            row.samples.to_string(),
            points(row.float),
            cell(&row.ours),
            maybe(&row.tflite),
            maybe(&row.ort),
            maybe(&row.ort_best),
            row.ort_best.as_ref().map_or("—".to_owned(), which),
            points(row.our_best.value),
            which(&row.our_best),
        ];
        line(&mut out, &cells.each_ref().map(String::as_str));
    }
    out
}

/// What peers have not made, and why.
fn impossible(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        for (peer, result) in [("TFLite", &row.tflite), ("ONNX Runtime, defaults", &row.ort)] {
            if let Err(problem) = result {
                let _ = writeln!(out, "- {}, {peer}: {problem}", row.name);
            }
        }
    }
    if out.is_empty() { out } else { format!("{out}\n") }
}

/// A peer that is ahead of Systole on a model.
struct Lead<'a> {
    row: &'a Row,
    name: String,
    peer: &'a Answered,
    difference: f64,
    interval: [f64; 2],
}

/// Peers that are ahead.
fn leads(rows: &[Row]) -> Vec<Lead<'_>> {
    let mut all = Vec::new();
    for row in rows {
        for (name, peer) in peers(row) {
            if shown(peer.value) > shown(row.ours.value) {
                let (difference, interval) = row.ours.scored.against(&peer.scored);
                all.push(Lead { row, name, peer, difference, interval });
            }
        }
    }
    all
}

fn chances(rows: &[Row]) -> String {
    let leads = leads(rows);
    let chance = leads.iter().filter(|lead| lead.interval[0] <= 0.0 && lead.interval[1] >= 0.0);
    format!("{} of {}", chance.count(), leads.len())
}

fn ahead(rows: &[Row]) -> String {
    let columns = ["model", "peer", "samples", "Systole loses", "peer loses", "difference", "95 %"];
    let mut out = head(&columns);
    for Lead { row, name, peer, difference, interval: [low, high] } in leads(rows) {
        let [ours, theirs] = [&row.ours, peer].map(|it| points((row.float - it.value).max(0.0)));
        let interval = format!("{} to {}", points(low), points(high));
        let samples = row.samples.to_string();
        let cells = [&row.name, &name, &samples, &ours, &theirs, &points(difference), &interval];
        line(&mut out, &cells.map(String::as_str));
    }
    out
}

fn noise(rows: &[Row]) -> String {
    let mut out =
        head(&["model", "Systole", "TFLite", "ONNX Runtime, defaults", "ONNX Runtime, best"]);
    for row in rows {
        let peers = [&row.tflite, &row.ort, &row.ort_best];
        let most = peers.iter().filter_map(|peer| peer.as_ref().ok());
        let most = most.map(|peer| peer.sqnr).fold(row.ours.sqnr, f64::max);
        let cell = |answered: &Answered| {
            let text = decibels(answered.sqnr);
            let text = if answered.sqnr == most { format!("**{text}**") } else { text };
            match answered.changed {
                Some(changed) => format!("{text} / {changed}"),
                None => text,
            }
        };
        let mut cells = vec![row.name.clone(), cell(&row.ours)];
        cells.extend(peers.map(|peer| peer.as_ref().map_or("—".to_owned(), &cell)));
        line(&mut out, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

/// A table of models with several settings; `sizes` says whether files are compared, each with the
/// one of the settings before it.
fn settings(all: &[Settings], sizes: bool) -> String {
    let mut columns = vec!["model", "settings", "float", "quantized", "drop"];
    if sizes {
        columns.extend(["bytes", "against the line above"]);
    }
    let mut out = head(&columns);
    for model in all {
        let mut before = None;
        for (index, row) in model.rows.iter().enumerate() {
            let name = if index == 0 { &model.name[..] } else { "" };
            let arguments =
                if row.arguments.is_empty() { "defaults".into() } else { code(row.arguments) };
            let figures = [model.float, row.value, model.float - row.value].map(points);
            let mut cells = vec![name.to_owned(), arguments];
            cells.extend(figures);
            if sizes {
                let change =
                    before.filter(|_| index % 2 == 1).map_or(String::new(), |before: u64| {
                        let percent = 100.0 * (row.bytes as f64 / before as f64 - 1.0);
                        format!("{percent:+.1} %").replace('-', "−")
                    });
                cells.extend([row.bytes.to_string(), change]);
            }
            before = Some(row.bytes);
            line(&mut out, &cells.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    out
}

fn head(columns: &[&str]) -> String {
    let mut out = String::new();
    line(&mut out, columns);
    line(&mut out, &vec!["---"; columns.len()]);
    out
}

fn line(out: &mut String, cells: &[&str]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

/// As many thousandths of a point as are shown.
fn shown(value: f64) -> i64 {
    (value * 1000.0).round() as i64
}

/// Points, with a proper minus sign, and no sign at all where nothing is left of the digits.
fn points(value: f64) -> String {
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text.replace('-', "−") }
}

fn decibels(value: f64) -> String {
    format!("{value:.1} dB").replace("-0.0", "0.0").replace('-', "−")
}

fn scientific(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}").replace('-', "−") }
}

fn code(arguments: &str) -> String {
    if arguments.is_empty() { String::new() } else { format!("`{arguments}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::{
        ours::{Near, Setting},
        score::{Metric, Scored},
    };

    fn answered(setting: &str, right: &[bool]) -> Answered {
        let scored = Scored::Right(right.to_vec());
        let (setting, value) = (setting.to_owned(), scored.value());
        Answered { setting, alike: 1, value, scored, sqnr: value / 2.0, changed: Some(1) }
    }

    fn row() -> Row {
        Row {
            name: "x".into(),
            metric: Metric::Top1,
            samples: 4,
            float: 75.0,
            ours: answered("defaults", &[true, true, false, false]),
            our_best: answered("min-max", &[true, true, true, false]),
            tflite: Err("onnx2tf: no such operator".into()),
            ort: Ok(answered("defaults", &[false, true, false, false])),
            ort_best: Ok(answered("entropy", &[true; 4])),
        }
    }

    #[test]
    fn what_loses_least_is_bold_and_peers_that_are_ahead_are_listed() {
        let rows = [row()];
        let table = values(&rows);
        assert!(
            table.contains("| 75.000 | 50.000 | — | 25.000 | **100.000** | entropy |"),
            "{table}"
        );
        let list = ahead(&rows);
        let expected = "| x | ONNX Runtime, entropy | 4 | 25.000 | 0.000 | −50.000 |";
        assert!(list.contains(expected), "{list}");
        assert!(!list.contains("defaults"), "{list}");
        assert_eq!(impossible(&rows), "- x, TFLite: onnx2tf: no such operator\n\n");
        assert!(noise(&rows).contains("| 25.0 dB / 1 | — | 12.5 dB / 1 | **50.0 dB** / 1 |"));
    }

    #[test]
    fn what_was_left_out_is_said() {
        let setting = |arguments, bytes| Setting { arguments, value: 74.0, bytes };
        let settings = || Settings {
            name: "y".into(),
            float: 75.0,
            rows: vec![setting("", 100), setting("--weights int4", 60)],
        };
        let near = Near { samples: 2, error: 2e-3, share: 1.5 };
        let page = Figures {
            floats: vec![
                Float { name: "a".into(), result: Ok(near) },
                Float { name: "b".into(), result: Err("LSTM".into()) },
            ],
            int8: vec![],
            channels: settings(),
            int4: vec![settings()],
            mixed: vec![],
            costs: vec![Taken { what: "z", samples: 3, arguments: "", cost: None }],
            beside: None,
        }
        .page();
        assert!(page.contains("1 of 2 float models"), "{page}");
        assert!(page.contains("| a | 2 | 2.0e−3 | 1.500 **too much** |"), "{page}");
        assert!(page.contains("| b | LSTM |"), "{page}");
        assert!(page.contains("| 60 | −40.0 % |"), "{page}");
        assert_eq!(page.matches("**Skipped**").count(), 2, "{page}");
    }

    #[test]
    fn points_have_no_negative_zero() {
        assert_eq!([-0.0001, -0.5].map(points), ["0.000", "−0.500"]);
    }
}
