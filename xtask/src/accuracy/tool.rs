//! The command `systole` as its users run it: a release build, a process for each conversion.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use systole_converter::npz::{self, Array};

use super::score;
use crate::{
    error::{Result, failed},
    paths,
};

/// The command, and a folder for what it writes.
#[derive(Debug)]
pub struct Systole {
    command: PathBuf,
    work: PathBuf,
}

/// What a run of the command took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its end.
    pub time: Duration,
    /// The most memory that it held, in bytes; `None` where the system does not say.
    pub memory: Option<u64>,
}

impl Systole {
    /// Builds the command.
    ///
    /// # Errors
    /// Where it does not build.
    pub fn build(work: &Path) -> Result<Self> {
        let target = paths::build().parent().map(Path::to_owned).unwrap_or_default();
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--package", "systole-converter"])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(paths::repository())
            .status();
        match built {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(failed!("systole does not build: {status}")),
            Err(problem) => return Err(failed!("cargo: {problem}")),
        }
        let command =
            target.join("release/systole").with_extension(std::env::consts::EXE_EXTENSION);
        fs::create_dir_all(work).map_err(|problem| failed!("{}: {problem}", work.display()))?;
        Ok(Self { command, work: work.to_owned() })
    }

    /// The command's path.
    pub fn command(&self) -> &Path {
        &self.command
    }

    /// The file of the last conversion.
    pub fn file(&self) -> PathBuf {
        self.work.join("model.systole")
    }

    /// Converts a model to [`Self::file`]; gives the report.
    ///
    /// # Errors
    /// What the command said.
    pub fn convert(&self, model: &Path, arguments: &[&str]) -> Result<Value> {
        let text = self.run("convert", model, arguments)?;
        serde_json::from_str(&text).map_err(|problem| failed!("systole convert --json: {problem}"))
    }

    fn run(&self, what: &str, model: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.command);
        command.arg(what).arg(model).arg("--json").args(arguments);
        if what == "convert" {
            command.arg("--output").arg(self.file());
        }
        let done = command.output().map_err(|problem| failed!("systole: {problem}"))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(failed!("{}", said.trim()));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The outputs of [`Self::file`] for arrays of inputs.
    ///
    /// # Errors
    /// What the command said.
    pub fn outputs(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let (given, answered) = (self.work.join("inputs.npz"), self.work.join("outputs.npz"));
        let inputs: Vec<Array> = inputs.iter().filter(|a| a.name != "labels").cloned().collect();
        npz::write(&given, &inputs)?;
        let paths = [&given, &answered].map(|path| path.display().to_string());
        self.run("run", &self.file(), &["--input", &paths[0], "--output", &paths[1]])?;
        Ok(npz::read(&answered)?)
    }

    /// The first output of [`Self::file`] for each sample.
    ///
    /// # Errors
    /// What the command said.
    pub fn answers(&self, inputs: &[Array]) -> Result<Vec<Vec<f64>>> {
        let outputs = self.outputs(inputs)?;
        Ok(outputs.first().map(score::per_sample).unwrap_or_default())
    }

    /// Converts, and says what that took.
    ///
    /// # Errors
    /// Where the conversion fails.
    pub fn measured(&self, model: &Path, arguments: &[&str]) -> Result<Cost> {
        let start = Instant::now();
        let mut child = Command::new(&self.command)
            .arg("convert")
            .arg(model)
            .args(arguments)
            .arg("--output")
            .arg(self.file())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|problem| failed!("systole: {problem}"))?;
        let mut memory = None;
        loop {
            memory = memory.max(peak(&child));
            match child.try_wait() {
                Ok(Some(status)) if status.success() => {
                    return Ok(Cost { time: start.elapsed(), memory });
                }
                Ok(Some(status)) => return Err(failed!("systole convert: {status}")),
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Err(problem) => return Err(failed!("systole convert: {problem}")),
            }
        }
    }
}

/// The most memory that a process has held so far, which Linux counts.
fn peak(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    high_water_mark(&status)
}

fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(1024 * kib)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_memory_is_read_from_linux() {
        let status = "Name:\tsystole\nVmPeak:\t  900 kB\nVmHWM:\t  512 kB\nVmRSS:\t  100 kB\n";
        assert_eq!(high_water_mark(status), Some(512 * 1024));
        assert_eq!(high_water_mark("Name:\tsystole\n"), None);
    }
}
