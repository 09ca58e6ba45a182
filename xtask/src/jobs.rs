//! Several measurements at a time.

use std::sync::Mutex;

use crate::{
    error::{Result, failed},
    firmware::Opt,
    measure::{self, Measurement, Request},
    models::Known,
    source::Form,
    targets::Target,
};

/// A measurement of a model with golden outputs.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// The model.
    pub model: Known,
    /// The processor.
    pub target: &'static Target,
    /// Compiled in or loaded.
    pub form: Form,
    /// What the compiler optimizes for.
    pub opt: Opt,
    /// Samples whose outputs are compared.
    pub samples: usize,
}

impl Job {
    /// In words, for progress and errors.
    pub fn name(&self) -> String {
        let (model, target) = (self.model.name, self.target.name);
        format!("{model} on {target}, {}, opt-level {}", self.form.name(), self.opt.level())
    }

    /// Measures. `None` where the model's files are not there.
    pub fn run(&self) -> Option<Result<Measurement>> {
        let files = self.model.files()?;
        Some(measure::measure(&Request {
            target: self.target,
            model: &files.model,
            input: Some(&files.inputs),
            golden: Some(&files.golden),
            samples: self.samples,
            form: self.form,
            per_layer: false,
            opt: self.opt,
        }))
    }
}

/// Whether the device's outputs are right, and its program has no panics, no formatting and no heap.
///
/// # Errors
/// Says what the outputs differ from, or what the program has.
pub fn check(measured: &Measurement) -> Result<()> {
    match (measured.outputs_match, measured.golden_match) {
        (true, Some(true) | None) => match measured.findings.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(failed!("{} finds of an audit: {first}", measured.findings.len())),
        },
        (false, _) => Err(failed!("the device's outputs differ from the host's")),
        (true, Some(false)) => Err(failed!("the device's outputs differ from the golden ones")),
    }
}

/// Runs all items, at most `threads` at a time, and those whose programs are built in the same folder,
/// which `folder` says, one after the other. Results are in the items' order.
pub fn run_all<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    folder: impl Fn(&T) -> &'static str,
    run: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let folder = folder(item);
        match groups.iter_mut().find(|(name, _)| *name == folder) {
            Some((_, group)) => group.push(index),
            None => groups.push((folder, vec![index])),
        }
    }
    let waiting = Mutex::new(groups.into_iter());
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let group = waiting.lock().ok().and_then(|mut groups| groups.next());
                    let Some((_, group)) = group else { break };
                    for index in group {
                        let result = run(&items[index]);
                        if let Ok(mut place) = results[index].lock() {
                            *place = Some(result);
                        }
                    }
                }
            });
        }
    });
    // Where an item panics, so does the scope above.
    results.into_iter().filter_map(|result| result.into_inner().ok().flatten()).collect()
}
