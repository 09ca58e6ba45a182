//! `docs/benchmarks/x86-64.md`: the page.

use std::{collections::HashMap, fmt::Write};

use super::engines::{Engine, Timed};

/// The least time of a model in an engine, with so many threads, in µs, or why there is none.
pub type Times = HashMap<(Timed, Engine, usize), Result<f64, String>>;

/// All that the page says.
#[derive(Debug)]
pub struct Page {
    /// Processor, versions and how it was measured, a line each.
    pub conditions: Vec<String>,
    /// Models, in order.
    pub models: Vec<Timed>,
    /// Our levels, the one that is chosen by default first.
    pub levels: Vec<String>,
    /// Other runtimes; the first is the one that ratios are of.
    pub peers: Vec<Engine>,
    /// Numbers of threads.
    pub threads: Vec<usize>,
    /// All figures.
    pub times: Times,
    /// The section on the layers of MobileNetV2, where it was timed.
    pub roofline: Option<String>,
}

const HEAD: &str = "\
# Latency on x86-64

Written by `cargo xtask latency`, which runs every runtime in turn, round after round, each model in a process of its own
that repeats the inference. A figure is the least time of an inference over all rounds, in microseconds; what stands behind
it is how many times longer than Systole that runtime takes: above 1, Systole is faster. Loading, packing and the copy of
inputs are not counted. What a runtime refuses is \"–\".

";

impl Page {
    /// The page as Markdown.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for line in &self.conditions {
            let _ = writeln!(text, "- {line}");
        }
        for &threads in &self.threads {
            let plural = if threads == 1 { "" } else { "s" };
            let _ = write!(text, "\n## {threads} thread{plural}\n\n");
            self.beside(&mut text, threads);
        }
        if self.levels.len() > 1 {
            let _ = write!(text, "\n## Instruction sets, one thread\n\n");
            self.by_level(&mut text);
        }
        if let Some(roofline) = &self.roofline {
            let _ = write!(text, "\n## MobileNetV2, layer by layer\n\n{roofline}");
        }
        let refused = self.refused();
        if !refused.is_empty() {
            let _ = write!(text, "\n## What failed\n\n");
            for line in refused {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }

    fn time(&self, model: Timed, engine: &Engine, threads: usize) -> Option<f64> {
        let threads = if engine.threads() { threads } else { 1 };
        self.times.get(&(model, engine.clone(), threads))?.as_ref().ok().copied()
    }

    /// Systole as it is by default.
    fn ours(&self) -> Engine {
        Engine::Systole(self.levels.first().cloned().unwrap_or_default())
    }

    fn beside(&self, text: &mut String, threads: usize) {
        let ours = self.ours();
        let names: Vec<String> = self.peers.iter().map(Engine::name).collect();
        let _ = writeln!(text, "| model | {} | {} |", ours.name(), names.join(" | "));
        let _ = writeln!(text, "| --- | ---: |{}", " ---: |".repeat(names.len()));
        for &model in &self.models {
            let Some(own) = self.time(model, &ours, threads) else { continue };
            let cells = self.peers.iter().map(|peer| match self.time(model, peer, threads) {
                Some(time) => format!("{} · {:.2}", figure(time), time / own),
                None => "–".to_owned(),
            });
            let cells: Vec<String> = cells.collect();
            let _ =
                writeln!(text, "| {} | {} | {} |", model.name(), figure(own), cells.join(" | "));
        }
        for (what, float) in [("int8 and uint8", false), ("float", true)] {
            let means = self.peers.iter().map(|peer| {
                let ratios = self.models.iter().filter(|model| model.is_float() == float);
                let ratios = ratios.filter_map(|&model| {
                    Some(self.time(model, peer, threads)? / self.time(model, &ours, threads)?)
                });
                geometric_mean(ratios).map_or("–".to_owned(), |mean| format!("{mean:.2}"))
            });
            let means: Vec<String> = means.collect();
            let _ = writeln!(text, "| geometric mean, {what} | | {} |", means.join(" | "));
        }
    }

    fn by_level(&self, text: &mut String) {
        let Some(peer) = self.peers.first() else { return };
        let _ = writeln!(
            text,
            "Microseconds, and beside them how many times longer {} takes, with all that this processor has.\n",
            peer.name()
        );
        let _ = writeln!(text, "| model | {} |", self.levels.join(" | "));
        let _ = writeln!(text, "| --- |{}", " ---: |".repeat(self.levels.len()));
        for &model in &self.models {
            let cells = self.levels.iter().map(|level| {
                let own = self.time(model, &Engine::Systole(level.clone()), 1);
                match (own, self.time(model, peer, 1)) {
                    (Some(own), Some(time)) => format!("{} · {:.2}", figure(own), time / own),
                    (Some(own), None) => figure(own),
                    (None, _) => "–".to_owned(),
                }
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {} | {} |", model.name(), cells.join(" | "));
        }
    }

    fn refused(&self) -> Vec<String> {
        let line =
            |((model, engine, threads), time): (&(Timed, Engine, usize), &Result<f64, _>)| {
                let why: &String = time.as_ref().err()?;
                let name = engine.name();
                (*threads == 1).then(|| format!("{} in {name}: {why}", model.name()))
            };
        let mut lines: Vec<String> = self.times.iter().filter_map(line).collect();
        lines.sort();
        lines
    }
}

/// Three digits.
fn figure(us: f64) -> String {
    match us {
        ..10.0 => format!("{us:.2}"),
        ..100.0 => format!("{us:.1}"),
        _ => format!("{us:.0}"),
    }
}

/// `None` of nothing.
fn geometric_mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = ratios.map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::engines::TIMED;

    #[test]
    fn a_row_has_the_ratio_of_both_times() {
        let (model, peer) = (TIMED[0], Engine::LiteRt("xnnpack"));
        let ours = Engine::Systole("avx2".into());
        let times = [((model, ours, 1), Ok(20.0)), ((model, peer.clone(), 1), Ok(50.0))];
        let page = Page {
            conditions: vec!["a machine".into()],
            models: vec![model],
            levels: vec!["avx2".into()],
            peers: vec![peer, Engine::Ort],
            threads: vec![1],
            times: times.into_iter().collect(),
            roofline: None,
        };
        let text = page.text();
        assert!(text.contains("| kws_int8 | 20.0 | 50.0 · 2.50 | – |"), "{text}");
        assert!(text.contains("| geometric mean, int8 and uint8 | | 2.50 | – |"), "{text}");
    }

    #[test]
    fn the_mean_of_a_ratio_and_its_inverse_is_one() {
        assert_eq!(geometric_mean([4.0, 0.25].into_iter()), Some(1.0));
        assert_eq!(geometric_mean([].into_iter()), None);
    }
}
