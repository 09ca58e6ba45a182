//! What an application asks of the delegate: pairs of texts.

use std::{fs::OpenOptions, path::PathBuf};

use systole_converter::Match;

use crate::guard::Result;

/// The options, with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `match`: whose arithmetic is reproduced.
    pub(crate) matching: Match,
    /// `min_nodes`: parts of the graph with fewer operators stay with TFLite.
    pub(crate) min_nodes: usize,
    /// `report`: a file that a line of JSON is added to for every graph, with what was claimed.
    pub(crate) report: Option<PathBuf>,
    /// `threads`: how many run large layers.
    pub(crate) threads: usize,
    /// `verbosity`: 0 nothing, 1 what was claimed, 2 why not the rest.
    pub(crate) verbosity: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { matching: Match::Litert, min_nodes: 2, report: None, threads: 1, verbosity: 0 }
    }
}

impl Options {
    /// Reads options as they are passed.
    pub(crate) fn parse(pairs: &[(String, String)]) -> Result<Self> {
        let mut options = Self::default();
        for (key, value) in pairs {
            options.set(key, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let wrong = |wanted: &str| format!("option {key}: '{value}'; {wanted}");
        match key {
            "match" => {
                self.matching = [Match::Litert, Match::Tflm, Match::Native]
                    .into_iter()
                    .find(|matching| matching.name() == value)
                    .ok_or_else(|| wrong("litert, tflm or native"))?;
            }
            "min_nodes" => {
                self.min_nodes = match value.parse() {
                    Ok(count @ 1..=100_000) => count,
                    _ => return Err(wrong("a number of operators from 1 to 100000")),
                };
            }
            "report" => {
                let file = OpenOptions::new().create(true).append(true).open(value);
                file.map_err(|problem| {
                    format!("option report: '{value}' cannot be written: {problem}")
                })?;
                self.report = Some(value.into());
            }
            "threads" => {
                self.threads = match value.parse() {
                    Ok(count @ 1..=64) => count,
                    _ => return Err(wrong("a number from 1 to 64")),
                };
            }
            "verbosity" => {
                self.verbosity = match value.parse() {
                    Ok(level @ 0..=2) => level,
                    _ => return Err(wrong("0, 1 or 2")),
                };
            }
            _ => {
                return Err(format!(
                    "option '{key}' is not known; known are match, min_nodes, report, threads and \
                     verbosity"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Options> {
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Options::parse(&pairs)
    }

    #[test]
    fn options_are_read() {
        assert_eq!(parse(&[]), Ok(Options::default()));
        let all = [("match", "tflm"), ("min_nodes", "7"), ("threads", "4"), ("verbosity", "2")];
        let wanted =
            Options { matching: Match::Tflm, min_nodes: 7, report: None, threads: 4, verbosity: 2 };
        assert_eq!(parse(&all), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pair, named) in [
            (("speed", "11"), "'speed'"),
            (("", ""), "''"),
            (("match", "ort"), "litert, tflm or native"),
            (("match", "Litert"), "'Litert'"),
            (("min_nodes", "0"), "from 1"),
            (("min_nodes", "-1"), "'-1'"),
            (("min_nodes", "many"), "'many'"),
            (("report", ""), "cannot be written"),
            (("threads", "0"), "from 1"),
            (("threads", "one"), "'one'"),
            (("verbosity", "3"), "0, 1 or 2"),
            (("verbosity", ""), "''"),
        ] {
            let error = parse(&[pair]).expect_err("refused");
            assert!(error.contains(named), "{error}");
        }
    }
}
