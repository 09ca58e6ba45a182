//! `cargo xtask boards`: that models give the golden outputs on every board, that kernels for
//! instruction sets equal the portable ones, and that applications are clean and run.

use std::time::Instant;

use clap::Args;

use crate::{
    applications,
    error::{Result, failed},
    firmware::Opt,
    jobs::{self, Job},
    kernels,
    models::{DIGITS, Known, MODELS},
    source::Form,
    targets::{self, TARGETS, Target},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Every model on every board whose memory holds it, compiled in and loaded; every application
    /// for every board
    #[arg(long)]
    all: bool,
    /// Only the applications
    #[arg(long, conflicts_with = "kernels")]
    applications: bool,
    /// Only the kernels for instruction sets, against the portable ones
    #[arg(long)]
    kernels: bool,
    /// Builds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Samples whose outputs are compared, where time matters and where not.
const FEW: usize = 1;
const MORE: usize = 3;

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let jobs = match arguments {
        Arguments { applications: true, .. } | Arguments { kernels: true, .. } => Vec::new(),
        Arguments { all: true, .. } => every(),
        _ => subset(),
    };
    let start = Instant::now();
    let results = jobs::run_all(&jobs, arguments.jobs, |job, result| match result {
        None => println!("skipped  {}: no folder ../shared with its files", job.name()),
        Some(Ok(measured)) => match jobs::check(measured) {
            Ok(()) => println!("golden   {} ({})", job.name(), measured.board),
            Err(problem) => println!("FAILED   {}: {problem}", job.name()),
        },
        Some(Err(problem)) => println!("FAILED   {}: {problem}", job.name()),
    });
    let (mut good, mut skipped, mut bad) = (0, 0, 0);
    for result in &results {
        match result {
            None => skipped += 1,
            Some(Ok(measured)) if jobs::check(measured).is_ok() => good += 1,
            Some(_) => bad += 1,
        }
    }
    let processors = kernels::processors(arguments.all);
    for target in processors.filter(|_| !arguments.applications) {
        match kernels::check(target) {
            Ok(cases) => {
                println!("equal    kernels on {}: {cases}", target.name);
                good += 1;
            }
            Err(problem) => {
                println!("FAILED   kernels on {}: {problem}", target.name);
                bad += 1;
            }
        }
    }
    let ports = applications::ports(arguments.all);
    for port in ports.into_iter().filter(|_| !arguments.kernels) {
        match port.check() {
            Ok(applications) => {
                for application in applications {
                    println!("clean    {}, {application}", port.feature);
                    good += 1;
                }
            }
            Err(problem) => {
                println!("FAILED   {}: {problem}", port.feature);
                bad += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs();
    let summary = format!("{good} good, {skipped} skipped, {bad} failed in {seconds} s\n");
    if bad == 0 { Ok(summary) } else { Err(failed!("{}", summary.trim_end())) }
}

/// Where large models run, in the order of [`MODELS`], if not everywhere. Each further processor costs
/// more than a minute of building the core library, so those are left out whose instructions others
/// have, too: the M4 those of the M3, the M55 those of the M33.
const PLACES: [&str; 7] = [
    "cortex-m0",
    "cortex-m7",
    "cortex-m4",
    "riscv32imac",
    "cortex-m0",
    "cortex-m55",
    "riscv32imac",
];

/// The bundled model on every processor of [`PLACES`], and loaded on one; each large one where that
/// says.
fn subset() -> Vec<Job> {
    let places = PLACES.map(targets::find);
    let with_places = TARGETS.iter().filter(|target| places.contains(&Some(target)));
    let mut jobs: Vec<Job> = with_places.map(|target| job(DIGITS, target, FEW)).collect();
    let loaded = targets::find("cortex-m4").map(|target| job(DIGITS, target, FEW));
    jobs.extend(loaded.map(|job| Job { form: Form::Interpreter, ..job }));
    let large = MODELS.into_iter().zip(places);
    jobs.extend(large.filter_map(|(model, target)| Some(job(model, target?, FEW))));
    jobs
}

/// All models on all boards. Loaded ones need the flash for all operators, which the boards of the
/// M0 and the M55 do not have.
fn every() -> Vec<Job> {
    let mut jobs = Vec::new();
    for target in &TARGETS {
        for model in [DIGITS].into_iter().chain(MODELS) {
            jobs.push(job(model, target, MORE));
            if target.name != "cortex-m55" {
                let small = Job { form: Form::Interpreter, opt: Opt::S, ..job(model, target, FEW) };
                jobs.push(small);
            }
        }
    }
    jobs
}

fn job(model: Known, target: &'static Target, samples: usize) -> Job {
    Job { model, target, form: Form::Compiled, opt: Opt::Speed, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subset_meets_every_model_and_every_place() {
        let jobs = subset();
        for place in PLACES {
            assert!(
                jobs.iter().any(|job| job.target.name == place && job.model == DIGITS),
                "{place}"
            );
        }
        for model in MODELS {
            assert!(jobs.iter().any(|job| job.model == model));
        }
        assert!(jobs.iter().any(|job| job.form == Form::Interpreter));
        assert!(every().len() > jobs.len());
    }
}
