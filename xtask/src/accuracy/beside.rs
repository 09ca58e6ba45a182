//! Systole beside TFLite's converter and ONNX Runtime's `quantize_static`.

use std::path::Path;

use super::{
    cases::{Case, Data},
    ours,
    peers::{Environment, Job, Made, Peer},
    score::{self, Metric, Scored},
    tool::Systole,
};
use crate::error::Result;

/// Settings of our own of which the best is shown beside the peer's best.
const OBSERVERS: [&str; 5] = ["mse", "min-max", "percentile:99.99", "percentile:99.999", "entropy"];
/// Signal and noise that are as good as equal: float sums have another order everywhere.
const SAME_DB: f64 = 80.0;

/// A model by all quantizers.
#[derive(Debug)]
pub struct Row {
    /// The model.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// Test samples.
    pub samples: usize,
    /// The float model's metric.
    pub float: f64,
    /// Systole with its defaults.
    pub ours: Answered,
    /// Systole with the best of some settings.
    pub our_best: Answered,
    /// TFLite's converter.
    pub tflite: std::result::Result<Answered, String>,
    /// ONNX Runtime with its defaults.
    pub ort: std::result::Result<Answered, String>,
    /// ONNX Runtime with the best of some settings.
    pub ort_best: std::result::Result<Answered, String>,
}

/// What a quantized model answers.
#[derive(Debug, Clone)]
pub struct Answered {
    /// How it was made.
    pub setting: String,
    /// How many settings are as good.
    pub alike: usize,
    /// The metric.
    pub value: f64,
    /// What each sample adds to it.
    pub scored: Scored,
    /// Against the float model, in dB.
    pub sqnr: f64,
    /// Of classifiers: samples that become another class than in float.
    pub changed: Option<usize>,
}

/// All rows, and with what they were made.
#[derive(Debug)]
pub struct Beside {
    /// A model each.
    pub rows: Vec<Row>,
    /// Of ONNX Runtime's environment.
    pub ort_versions: Vec<(String, String)>,
    /// Of TFLite's.
    pub tflite_versions: Vec<(String, String)>,
    /// How many settings of ours and of ONNX Runtime were tried.
    pub tried: [usize; 2],
    /// Whether ONNX Runtime's entropy calibration gave what its min-max calibration gives, always.
    pub entropy_is_min_max: bool,
}

impl Beside {
    /// Measures all models that have test data, and are ONNX or have a twin that is.
    ///
    /// # Errors
    /// Where Systole or a script fails; what a peer cannot do is a result.
    pub fn measure(
        systole: &Systole,
        cases: &[Case],
        ort: &Environment,
        tflite: &Environment,
        work: &Path,
    ) -> Result<Self> {
        let mut known = Vec::new();
        for case in cases {
            let twin = case.model.extension().is_some_and(|e| e == "tflite")
                && case.model.with_extension("onnx").exists();
            let Some(data) = case.data()? else { continue };
            if !twin
                && case.onnx().exists()
                && let Ok(float) = ours::float_answers(systole, case, &data)
            {
                known.push((case, data, float));
            }
        }
        let job = |(case, data, _): &(&Case, Data, _)| Job {
            name: case.short().to_owned(),
            onnx: case.onnx(),
            calibration: data.calibration.clone(),
            test: data.test.clone(),
        };
        let jobs: Vec<Job> = known.iter().map(job).collect();
        let ort = ort.peer("ort_static.py", &jobs, work)?;
        let tflite = tflite.peer("tflite.py", &jobs, work)?;
        let (mut tried, mut entropy_is_min_max) = ([0, 0], true);
        let mut rows = Vec::new();
        for (case, data, float) in &known {
            let judge = Judge { case, data, float };
            let ours = judge.ours(systole)?;
            let theirs = judge.of(&ort)?;
            let made = judge.of(&tflite)?;
            // One of theirs is the float model.
            tried = [tried[0].max(ours.len()), tried[1].max(theirs.len().saturating_sub(1))];
            let named = |list: &[Answered], name: &str| {
                list.iter().find(|answered| answered.setting == name).cloned()
            };
            let first = &ours[0];
            entropy_is_min_max &= theirs.iter().all(|entropy| {
                let twin = entropy.setting.replace("entropy", "min-max");
                named(&theirs, &twin)
                    .is_some_and(|twin| twin.sqnr.to_bits() == entropy.sqnr.to_bits())
            });
            rows.push(Row {
                name: case.short().to_owned(),
                metric: data.truth.metric,
                samples: data.truth.samples(),
                float: data.truth.scored(float)?.value(),
                ours: first.clone(),
                our_best: best(&ours).unwrap_or_else(|| first.clone()),
                tflite: same_network(&made).ok_or_else(|| match named(&made, "float, optimized") {
                    Some(float) => format!("onnx2tf makes another network: {:.1} dB", float.sqnr),
                    None => problem(&tflite, case),
                }),
                ort: named(&theirs, "defaults").ok_or_else(|| problem(&ort, case)),
                ort_best: best(&theirs).ok_or_else(|| problem(&ort, case)),
            });
        }
        let (ort_versions, tflite_versions) = (ort.versions, tflite.versions);
        Ok(Self { rows, ort_versions, tflite_versions, tried, entropy_is_min_max })
    }
}

/// The best int8 model of those ways in which the float model stays what it was.
fn same_network(made: &[Answered]) -> Option<Answered> {
    let same = |answered: &&Answered| {
        let way = answered.setting.strip_prefix("int8, ");
        let float =
            |way| made.iter().find(|made| made.setting.strip_prefix("float, ") == Some(way));
        way.and_then(float).is_some_and(|float| float.sqnr >= SAME_DB)
    };
    best(&made.iter().filter(same).cloned().collect::<Vec<_>>())
}

/// Why a peer has made nothing of a model.
fn problem(peer: &Peer, case: &Case) -> String {
    let of_model = |made: &&Made| made.model == case.short();
    let problem = peer.made.iter().filter(of_model).find_map(|made| made.answers.as_ref().err());
    problem.cloned().unwrap_or_else(|| "no answer".to_owned())
}

/// The one of the best metric but the float model; of equals the first, which is the default if that
/// is among them.
fn best(all: &[Answered]) -> Option<Answered> {
    let all = || all.iter().filter(|answered| answered.setting != "float");
    let most = all().map(|answered| answered.value).fold(f64::NEG_INFINITY, f64::max);
    let alike = all().filter(|answered| answered.value == most).count();
    let found = all().find(|answered| answered.value == most)?;
    Some(Answered { alike, ..found.clone() })
}

/// Holds answers to one model's test data against its float answers.
struct Judge<'a> {
    case: &'a Case,
    data: &'a Data,
    float: &'a [Vec<f64>],
}

impl Judge<'_> {
    fn answered(&self, setting: &str, answers: &[Vec<f64>]) -> Result<Answered> {
        let scored = self.data.truth.scored(answers)?;
        let changed = || {
            let both = self.float.iter().zip(answers);
            both.filter(|(float, answer)| score::largest(float) != score::largest(answer)).count()
        };
        Ok(Answered {
            setting: setting.to_owned(),
            alike: 1,
            value: scored.value(),
            scored,
            sqnr: score::sqnr(self.float, answers),
            changed: (self.data.truth.metric == Metric::Top1).then(changed),
        })
    }

    /// With the defaults, and then with all observers and efforts.
    fn ours(&self, systole: &Systole) -> Result<Vec<Answered>> {
        let calibration = self.data.calibration.display().to_string();
        let mut all = Vec::new();
        for effort in ["normal", "high"] {
            for observer in OBSERVERS {
                let arguments = ["--observer", observer, "--effort", effort];
                // The first of each are the defaults; left out, so that they stay it.
                let given: &[&str] = if all.is_empty() { &[] } else { &arguments };
                let setting = match (all.is_empty(), effort) {
                    (true, _) => "defaults".to_owned(),
                    (_, "high") => format!("{observer}, effort high"),
                    _ => observer.to_owned(),
                };
                systole.convert(&self.case.model, &ours::calibrate(&calibration, given))?;
                all.push(self.answered(&setting, &systole.answers(&self.data.arrays)?)?);
            }
        }
        Ok(all)
    }

    fn of(&self, peer: &Peer) -> Result<Vec<Answered>> {
        let mut all = Vec::new();
        for made in peer.made.iter().filter(|made| made.model == self.case.short()) {
            if let Ok(answers) = &made.answers {
                all.push(self.answered(&made.setting, answers)?);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_equals_and_never_the_float_model() {
        let answered = |setting: &str, value: f64| Answered {
            setting: setting.into(),
            alike: 1,
            value,
            scored: Scored::Right(vec![]),
            sqnr: 30.0,
            changed: None,
        };
        let all = [
            answered("float", 99.0),
            answered("defaults", 90.0),
            answered("entropy", 91.0),
            answered("min-max", 91.0),
        ];
        let found = best(&all).unwrap();
        assert_eq!((&found.setting[..], found.alike), ("entropy", 2));
        assert!(best(&all[..1]).is_none());
    }

    #[test]
    fn what_has_become_another_network_says_nothing_about_quantization() {
        let answered = |setting: &str, value: f64, sqnr: f64| Answered {
            setting: setting.into(),
            alike: 1,
            value,
            scored: Scored::Right(vec![]),
            sqnr,
            changed: None,
        };
        let made = [
            answered("float, as it is", 95.0, 3.0),
            answered("int8, as it is", 95.0, 3.0),
            answered("float, optimized", 90.0, 130.0),
            answered("int8, optimized", 89.0, 30.0),
        ];
        assert_eq!(same_network(&made).unwrap().setting, "int8, optimized");
        assert!(same_network(&made[..2]).is_none());
    }
}
