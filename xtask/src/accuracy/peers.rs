//! Other quantizers, by the scripts in `benches/accuracy`: each in an environment of its own, made
//! with the versions that stand there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use systole_converter::npz;

use super::score;
use crate::{
    error::{Result, failed},
    paths,
};

/// What a peer made of a model.
#[derive(Debug)]
pub struct Made {
    /// The model's name.
    pub model: String,
    /// How it was made; `float` for the model that it was made of.
    pub setting: String,
    /// The answers to all samples, or why there are none.
    pub answers: std::result::Result<Vec<Vec<f64>>, String>,
}

/// What a peer made of all models.
#[derive(Debug, Default)]
pub struct Peer {
    /// Packages and their versions.
    pub versions: Vec<(String, String)>,
    /// All results.
    pub made: Vec<Made>,
}

/// A model for the peers, with the files that they read.
#[derive(Debug)]
pub struct Job {
    /// What results call it.
    pub name: String,
    /// The float model as ONNX.
    pub onnx: PathBuf,
    /// Samples to calibrate with.
    pub calibration: PathBuf,
    /// Samples to answer.
    pub test: PathBuf,
}

/// A peer's environment.
#[derive(Debug)]
pub struct Environment {
    python: PathBuf,
}

/// The folder of the scripts.
fn scripts() -> PathBuf {
    paths::repository().join("benches/accuracy")
}

impl Environment {
    /// Makes it below `folder`, or brings it to the versions that are asked for.
    ///
    /// # Errors
    /// Where Python or a package is not to be had.
    pub fn make(folder: &Path, name: &str) -> Result<Self> {
        let venv = folder.join(name);
        let python = venv.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        }
        let wanted = scripts().join(format!("requirements-{name}.txt"));
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-cache-dir"])
            .arg("--disable-pip-version-check")
            .arg("--requirement")
            .arg(wanted))?;
        Ok(Self { python })
    }

    /// Runs a script of the folder.
    ///
    /// # Errors
    /// Where it fails.
    pub fn script(&self, name: &str, arguments: &[&str]) -> Result<()> {
        run(Command::new(&self.python).arg(scripts().join(name)).args(arguments))
    }

    /// What the peer of script `name` makes of models; files go to `work`.
    ///
    /// # Errors
    /// Where the script fails, which it does not for what a peer cannot do.
    pub fn peer(&self, name: &str, jobs: &[Job], work: &Path) -> Result<Peer> {
        let folder = work.join(name).with_extension("");
        fs::create_dir_all(&folder)
            .map_err(|problem| failed!("{}: {problem}", folder.display()))?;
        let list = folder.join("jobs.json");
        let jobs: Vec<Value> = jobs
            .iter()
            .map(|job| {
                json!({ "name": job.name, "onnx": job.onnx, "calibration": job.calibration,
                        "test": job.test })
            })
            .collect();
        fs::write(&list, Value::from(jobs).to_string())
            .map_err(|problem| failed!("{}: {problem}", list.display()))?;
        self.script(name, &[&list.display().to_string(), &folder.display().to_string()])?;
        read(&folder)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().map_err(|problem| failed!("{name}: {problem}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let end: Vec<&str> = said.trim().lines().rev().take(5).collect();
    Err(failed!(
        "{name}: {}\n{}",
        done.status,
        end.into_iter().rev().collect::<Vec<_>>().join("\n")
    ))
}

/// The results that a script has written into a folder.
fn read(folder: &Path) -> Result<Peer> {
    let path = folder.join("results.json");
    let wrong = |problem: &dyn std::fmt::Display| failed!("{}: {problem}", path.display());
    let text = fs::read_to_string(&path).map_err(|problem| wrong(&problem))?;
    let value: Value = serde_json::from_str(&text).map_err(|problem| wrong(&problem))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let versions = value["versions"].as_object().into_iter().flatten();
    let versions = versions.map(|(name, version)| (name.clone(), text(version))).collect();
    let mut made = Vec::new();
    for row in value["rows"].as_array().into_iter().flatten() {
        let answers = match row["outputs"].as_str() {
            None => Err(text(&row["problem"])),
            Some(file) => {
                let arrays = npz::read(&folder.join(file))?;
                Ok(arrays.first().map(score::per_sample).unwrap_or_default())
            }
        };
        made.push(Made { model: text(&row["model"]), setting: text(&row["setting"]), answers });
    }
    Ok(Peer { versions, made })
}

#[cfg(test)]
mod tests {
    use systole_converter::npz::Array;
    use systole_core::DType;

    use super::*;

    #[test]
    fn results_are_answers_or_reasons() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = [1.0_f32, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = Array { name: "outputs".into(), dtype: DType::F32, shape: vec![2, 1], bytes };
        npz::write(&folder.path().join("a.npz"), &[array]).unwrap();
        let rows = json!({ "versions": { "peer": "1.2" }, "rows": [
            { "model": "a", "setting": "int8", "outputs": "a.npz", "bytes": 9 },
            { "model": "b", "setting": "int8", "problem": "no operator" },
        ] });
        fs::write(folder.path().join("results.json"), rows.to_string()).unwrap();
        let peer = read(folder.path()).unwrap();
        assert_eq!(peer.versions, [("peer".to_owned(), "1.2".to_owned())]);
        assert_eq!(peer.made[0].answers, Ok(vec![vec![1.0], vec![2.0]]));
        assert_eq!(peer.made[1].answers, Err("no operator".to_owned()));
        assert!(read(&folder.path().join("none")).is_err());
    }
}
