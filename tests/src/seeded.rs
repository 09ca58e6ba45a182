//! Tests of many cases, each made from its number. `SYSTOLE_MUTATIONS` sets how many cases there are;
//! `SYSTOLE_MUTATION=7` runs number 7 alone.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::hostile::{Noise, Outcome, TIME_LIMIT};

/// Cases that have ended, for the watchdog.
static ENDED: AtomicU64 = AtomicU64::new(0);

/// Runs tests as the command line asks, and ends the process.
pub fn run(trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    // One thread: what the watchdog sees as progress is then that of the only case.
    arguments.test_threads = Some(1);
    std::thread::spawn(watchdog);
    libtest_mimic::run(&arguments, trials).exit()
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

/// Runs `count` cases, or as many as `SYSTOLE_MUTATIONS` says, and lists the first few that failed.
///
/// # Errors
/// Names the cases that failed by their seeds.
pub fn cases(
    count: u64,
    mut case: impl FnMut(&mut Noise) -> Result<Outcome, String>,
) -> Result<(), Failed> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seeds = match number("SYSTOLE_MUTATION") {
        Some(only) => only..only + 1,
        None => 0..number("SYSTOLE_MUTATIONS").unwrap_or(count),
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
