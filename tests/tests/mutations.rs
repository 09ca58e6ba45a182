//! Damaged files: seeded mutations of good `.tflite` and `.systole` files end in an error or in a
//! run, never in a panic, a failed run of a validated model, or a case that takes longer than ten
//! seconds.
//!
//! `SYSTOLE_MUTATIONS` sets how many cases each file gets. A case that fails is named by its
//! number, which is its seed: `SYSTOLE_MUTATION=7` runs number 7 alone.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use systole_converter::{Options, convert_file};
use systole_tests::{
    hostile::{self, Noise, Outcome, TIME_LIMIT},
    packed_digits, repository, shared,
};

/// Cases per file and kind, unless `SYSTOLE_MUTATIONS` says otherwise.
const CASES: u64 = 600;

/// Cases that have ended, for the watchdog.
static ENDED: AtomicU64 = AtomicU64::new(0);

fn main() {
    let mut arguments = Arguments::from_args();
    // One thread: what the watchdog sees as progress is then that of the only case.
    arguments.test_threads = Some(1);
    std::thread::spawn(watchdog);
    let packed = packed_digits().file.as_slice().to_vec();
    let trials = models().into_iter().flat_map(trials).chain(systole_trials("digits_int4", packed));
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Ends the process where a case hangs: such a case never gets to say so itself.
fn watchdog() {
    let mut last = (u64::MAX, 0);
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let ended = ENDED.load(Ordering::Relaxed);
        last = if last.0 == ended { (ended, last.1 + 1) } else { (ended, 0) };
        if last.1 > 3 * TIME_LIMIT.as_secs() {
            eprintln!("a case hangs: the one after {ended} cases that ended");
            std::process::exit(101);
        }
    }
}

/// Three real models where the shared folder is there, and always three of this repository.
fn models() -> Vec<PathBuf> {
    let bundled = [
        "models/digits.tflite",
        "tests/operators/graph_residual_block.tflite",
        "tests/operators/conv_2d_hybrid_valid.tflite",
    ];
    let mut models: Vec<PathBuf> = bundled.iter().map(|name| repository().join(name)).collect();
    match shared() {
        Some(shared) => {
            let real = ["hello/hello_world_int8", "mlperf_tiny/kws_int8", "mlperf_tiny/ic_int8"];
            models = real
                .iter()
                .map(|name| shared.join("models").join(name).with_extension("tflite"))
                .collect();
        }
        None => println!("SKIPPED: mutations of the shared models, because there is no ../shared"),
    }
    models
}

fn trials(path: PathBuf) -> Vec<Trial> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let tflite = std::fs::read(&path).expect("the model is there");
    let converted = convert_file(&path, &Options::default()).expect("the model converts");
    let systole = converted.file.as_slice().to_vec();
    let everywhere = (0..tflite.len()).collect::<Vec<_>>();
    let source = Trial::test(format!("{name}::tflite"), move || {
        cases(|noise| {
            let mut bytes = tflite.clone();
            hostile::mutate(&mut bytes, &everywhere, noise);
            hostile::convert_and_run(&bytes)
        })
    });
    [source].into_iter().chain(systole_trials(&name, systole)).collect()
}

/// The tests of a `.systole` file.
fn systole_trials(name: &str, systole: Vec<u8>) -> Vec<Trial> {
    let (damaged, sealed, structure) = (systole.clone(), systole.clone(), systole);
    vec![
        Trial::test(format!("{name}::systole_damaged"), move || {
            let places: Vec<usize> = (0..damaged.len()).collect();
            cases(|noise| {
                let mut bytes = damaged.clone();
                hostile::mutate(&mut bytes, &places, noise);
                let outcome = hostile::load_and_run(&bytes)?;
                let same = bytes == damaged;
                match outcome {
                    Outcome::Refused => Ok(outcome),
                    _ if same => Ok(outcome),
                    _ => Err("accepted although the checksum cannot be right".to_owned()),
                }
            })
        }),
        Trial::test(format!("{name}::systole_sealed"), move || {
            let places: Vec<usize> = (0..sealed.len()).collect();
            cases(|noise| {
                let mut bytes = sealed.clone();
                hostile::mutate(&mut bytes, &places, noise);
                hostile::seal(&mut bytes);
                hostile::load_and_run(&bytes)
            })
        }),
        Trial::test(format!("{name}::systole_structure"), move || {
            let places = hostile::structure(&structure);
            cases(|noise| {
                let mut bytes = structure.clone();
                hostile::mutate(&mut bytes, &places, noise);
                hostile::seal(&mut bytes);
                hostile::load_and_run(&bytes)
            })
        }),
    ]
}

/// Runs all cases and lists the first few that failed.
fn cases(mut case: impl FnMut(&mut Noise) -> Result<Outcome, String>) -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("SYSTOLE_MUTATION") {
        Some(only) => only..only + 1,
        None => 0..number("SYSTOLE_MUTATIONS").unwrap_or(CASES),
    };
    let (mut counts, mut failures) = ([0; 3], Vec::new());
    let total = seeds.end - seeds.start;
    for seed in seeds {
        match case(&mut Noise::new(seed)) {
            Ok(outcome) => counts[outcome as usize] += 1,
            Err(problem) => failures.push(format!("case {seed}: {problem}")),
        }
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
    let [refused, over_limit, ran] = counts;
    println!("{total} cases: {refused} refused, {over_limit} over a limit, {ran} ran");
    if failures.is_empty() {
        return Ok(());
    }
    let count = failures.len();
    failures.truncate(20);
    Err(format!("{count} of {total} cases failed:\n{}", failures.join("\n")).into())
}
