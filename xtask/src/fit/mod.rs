//! `cargo xtask fit`: what kernels cost, from measurements of layers that are made for it.

mod builder;
mod costs;
mod layers;
mod measured;
mod page;
mod solve;

use std::{collections::BTreeMap, fs, path::PathBuf};

use clap::{Args, builder::PossibleValuesParser};
use systole_converter::predict::Costs;

use crate::{
    error::{Result, failed},
    paths,
    targets::{TARGETS, Target},
    toolchain::Toolchain,
};
use measured::{Figures, Sample};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only these processors; the costs of others stay as they are
    #[arg(long, value_delimiter = ',', value_name = "NAMES",
          value_parser = PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    targets: Vec<String>,
    /// Take what was measured before of the same files, if it was with the same kernels: this does not look
    #[arg(long)]
    reuse: bool,
    /// Print the error of each layer, and write nothing
    #[arg(long)]
    explain: bool,
}

/// What was measured of the models that predictions are held against: by processor, then by model.
pub type Recorded = BTreeMap<String, Record>;

/// The measurements on a processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The compiler that built the programs.
    pub compiler: String,
    /// By model.
    pub models: BTreeMap<String, Figures>,
}

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let wanted = |target: &&Target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    };
    let mut costs = Costs::read();
    let mut recorded = read_recorded()?;
    let mut text = String::new();
    let targets: Vec<&'static Target> = TARGETS.iter().filter(wanted).collect();
    let measured = measure_all(&targets, arguments.reuse)?;
    for (target, samples) in measured.iter().filter(|(target, _)| costs::has_own(target)) {
        costs.cores.insert(target.name.to_owned(), costs::fit(target, samples)?);
    }
    for (target, samples) in measured {
        if arguments.explain {
            text.push_str(&costs::explain(target, &samples, &costs)?);
        }
        let models = samples.iter().filter(|sample| !sample.made).map(|sample| {
            let figures = Figures { layers: Vec::new(), ..sample.figures.clone() };
            (sample.name.clone(), figures)
        });
        let compiler = Toolchain::find(target.triple)?.version()?;
        recorded.insert(target.name.to_owned(), Record { compiler, models: models.collect() });
    }
    if arguments.explain {
        return Ok(text);
    }
    let write = |path: PathBuf, text: String| {
        fs::write(&path, text).map_err(|problem| failed!("{}: {problem}", path.display()))
    };
    write(costs_file(), costs::text(&costs, &recorded))?;
    write(recorded_file(), recorded_text(&recorded)?)?;
    write(page::file(), page::document(&costs, &recorded)?)?;
    Ok(text)
}

/// What is measured on each of the targets. Those that are built in different folders keep two cores busy.
fn measure_all(
    targets: &[&'static Target],
    reuse: bool,
) -> Result<Vec<(&'static Target, Vec<Sample>)>> {
    let mut folders: Vec<&str> = targets.iter().map(|target| target.folder).collect();
    folders.sort_unstable();
    folders.dedup();
    std::thread::scope(|scope| {
        let threads: Vec<_> = folders
            .into_iter()
            .map(|folder| {
                let targets = targets.iter().filter(move |target| target.folder == folder);
                scope.spawn(move || {
                    targets
                        .map(|&target| Ok((target, measured::all(target, reuse)?)))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| failed!("a measurement panicked"))??);
        }
        Ok(all)
    })
}

fn costs_file() -> PathBuf {
    paths::repository().join("converter/src/predict/costs.toml")
}

fn recorded_file() -> PathBuf {
    paths::repository().join("tests/predicted/measured.toml")
}

fn read_recorded() -> Result<Recorded> {
    let path = recorded_file();
    let text = fs::read_to_string(&path).unwrap_or_default();
    toml::from_str(&text).map_err(|problem| failed!("{}: {problem}", path.display()))
}

fn recorded_text(recorded: &Recorded) -> Result<String> {
    let figures = toml::to_string(recorded).map_err(|problem| failed!("{problem}"))?;
    Ok(format!(
        "# Written by `cargo xtask fit`: what `cargo xtask measure` says of models that predictions are held\n\
         # against, compiled in, `opt-level = 3`. `code` is without the harness. The compilers are named.\n\n{figures}"
    ))
}
