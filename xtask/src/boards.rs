//! `cargo xtask boards`: that models give the golden outputs on every board, that kernels for
//! instruction sets equal the portable ones, and that applications are clean and run.

use std::time::Instant;

use clap::Args;

use crate::{
    applications::{self, Port},
    chip,
    error::{Error, Result, failed},
    firmware::Opt,
    jobs::{self, Job},
    kernels,
    models::{DIGITS, Known, MODELS},
    networks::{self, Networks, Processor},
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
    /// Only a model in two memories of a chip, with weights there, and with weights apart
    #[arg(long, conflicts_with_all = ["kernels", "applications", "random"])]
    memories: bool,
    /// Only the kernels for instruction sets, against the portable ones
    #[arg(long)]
    kernels: bool,
    /// Only so many random networks on M0, M4, M55 and RISC-V, against the host's portable kernels
    #[arg(long, value_name = "N", conflicts_with_all = ["kernels", "applications"])]
    random: Option<u64>,
    /// Builds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Samples whose outputs are compared, where time matters and where not.
const FEW: usize = 1;
const MORE: usize = 3;

/// Random networks, likewise.
const FEW_NETWORKS: u64 = 20;
const MORE_NETWORKS: u64 = 100;

/// Something that has to hold on a board.
enum Check<'a> {
    /// A model gives the golden outputs.
    Model(Job),
    /// The processor's kernels equal the portable ones.
    Kernels(&'static Target),
    /// A model in two memories, with weights in them, gives the golden outputs, and so does one whose weights
    /// are apart.
    Chip(&'static Target),
    /// Random networks give the bytes of the host's portable kernels.
    Networks(&'a Networks, Processor),
    /// Applications are clean, and end well.
    Applications(Port),
}

/// How many checks were good, were skipped, and failed.
type Counts = [usize; 3];
const GOOD: Counts = [1, 0, 0];
const SKIPPED: Counts = [0, 1, 0];
const FAILED: Counts = [0, 0, 1];

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let &Arguments { all, applications, memories, kernels, random, jobs } = arguments;
    let models = match (applications || memories || kernels || random.is_some(), all) {
        (true, _) => Vec::new(),
        (false, true) => every(),
        (false, false) => subset(),
    };
    let count = random.unwrap_or(match (applications || memories || kernels, all) {
        (true, _) => 0,
        (false, true) => MORE_NETWORKS,
        (false, false) => FEW_NETWORKS,
    });
    let networks = Networks::make(count)?;
    let places = networks::processors(all || random.is_some()).filter(|_| count > 0);
    let others = applications || memories || random.is_some();
    let processors = kernels::processors(all).filter(|_| !others);
    let others = kernels || memories || random.is_some();
    let ports = applications::ports(all).into_iter().filter(|_| !others);
    let mut checks: Vec<Check<'_>> = models.into_iter().map(Check::Model).collect();
    checks.extend(processors.map(Check::Kernels));
    let others = applications || kernels || random.is_some();
    let chips = chip::processors(all || memories).filter(|_| !others);
    checks.extend(chips.map(Check::Chip));
    checks.extend(places.map(|place| Check::Networks(&networks, place)));
    checks.extend(ports.map(Check::Applications));
    let start = Instant::now();
    let counts = jobs::run_all(&checks, jobs, Check::folder, Check::run);
    let sum = |i: usize| counts.iter().map(|counts| counts[i]).sum::<usize>();
    let (good, skipped, bad) = (sum(0), sum(1), sum(2));
    let seconds = start.elapsed().as_secs();
    let summary = format!("{good} good, {skipped} skipped, {bad} failed in {seconds} s\n");
    if bad == 0 { Ok(summary) } else { Err(failed!("{}", summary.trim_end())) }
}

impl Check<'_> {
    /// Where its programs are built.
    fn folder(&self) -> &'static str {
        match self {
            Self::Model(job) => job.target.folder,
            Self::Kernels(target) | Self::Chip(target) => target.folder,
            Self::Networks(_, processor) => processor.target.folder,
            Self::Applications(port) => port.target.folder,
        }
    }

    /// Checks, and says what came of it.
    fn run(&self) -> Counts {
        match self {
            Self::Model(job) => match job.run() {
                None => {
                    println!("skipped  {}: no folder ../shared with its files", job.name());
                    SKIPPED
                }
                Some(measured) => {
                    let checked = measured
                        .and_then(|measured| jobs::check(&measured).map(|()| measured.board));
                    match checked {
                        Ok(board) => {
                            println!("golden   {} ({board})", job.name());
                            GOOD
                        }
                        Err(problem) => failure(&job.name(), &problem),
                    }
                }
            },
            Self::Kernels(target) => match kernels::check(target) {
                Ok(cases) => {
                    println!("equal    kernels on {}: {cases}", target.name);
                    GOOD
                }
                Err(problem) => failure(&format!("kernels on {}", target.name), &problem),
            },
            Self::Chip(target) => match chip::check(target) {
                Ok(what) => {
                    println!("golden   {what} on {}", target.name);
                    GOOD
                }
                Err(problem) => failure(&format!("two memories on {}", target.name), &problem),
            },
            Self::Networks(networks, processor) => match networks.check(processor) {
                Ok(count) => {
                    println!("equal    {count} random networks on {}", processor.target.name);
                    GOOD
                }
                Err(problem) => {
                    failure(&format!("random networks on {}", processor.target.name), &problem)
                }
            },
            Self::Applications(port) => match port.check() {
                Ok(applications) => {
                    for application in &applications {
                        println!("clean    {}, {application}", port.feature);
                    }
                    GOOD.map(|count| count * applications.len())
                }
                Err(problem) => failure(port.feature, &problem),
            },
        }
    }
}

fn failure(what: &str, problem: &Error) -> Counts {
    println!("FAILED   {what}: {problem}");
    FAILED
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
