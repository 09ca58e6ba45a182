//! `cargo xtask table`: figures of all models on all processors, beside those of other runtimes.

use std::{fmt::Write, path::PathBuf};

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    error::{Error, Result, failed},
    firmware::Opt,
    jobs::{self, Job},
    measure::Measurement,
    models::{self, Known, MODELS},
    paths,
    peers::{self, CMSIS_NN, Peer, TFLM},
    source::Form,
    targets::{TARGETS, Target},
};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only these models; prints the table instead of writing it
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// Only these processors; prints the table instead of writing it
    #[arg(long, value_delimiter = ',', value_name = "NAMES",
          value_parser = PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    targets: Vec<String>,
    /// Compare with the file instead of writing it; exit status 1 where figures differ
    #[arg(long)]
    check: bool,
    /// Builds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print all figures as JSON, too
    #[arg(long)]
    json: bool,
}

/// Samples whose outputs are compared with the golden ones.
const SAMPLES: usize = 2;
/// The processor of the tables that are about one.
const MAIN: &str = "cortex-m4";

/// A model's figures on a processor.
#[derive(Debug)]
struct Row {
    model: Known,
    target: &'static Target,
    measured: Measurement,
}

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let whole = arguments.models.is_empty() && arguments.targets.is_empty();
    if arguments.check && !whole {
        return Err(Error::Usage(
            "--check compares the whole table: no --models, no --targets".into(),
        ));
    }
    let models = if arguments.models.is_empty() {
        MODELS.to_vec()
    } else {
        models::named(&arguments.models)?
    };
    let wanted = |target: &&Target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    };
    let targets: Vec<&'static Target> = TARGETS.iter().filter(wanted).collect();
    let rows = measure_all(&models, &targets, arguments.jobs)?;
    let text = document(&rows, &models, &targets, &peers::all()?);
    let mut printed = String::new();
    if arguments.json {
        let values: Vec<serde_json::Value> = rows
            .iter()
            .map(|row| {
                let mut value = row.measured.to_value();
                value["model"] = serde_json::json!(row.model.name);
                value
            })
            .collect();
        let _ = writeln!(printed, "{:#}", serde_json::Value::from(values));
    }
    if !whole {
        printed.push_str(&text);
        return Ok(printed);
    }
    let path = file();
    if arguments.check {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        return match first_difference(&found, &text) {
            None => Ok(printed),
            Some(difference) => Err(failed!(
                "{} is not what is measured now; `cargo xtask table` writes it anew\n{difference}",
                path.display()
            )),
        };
    }
    std::fs::write(&path, text).map_err(|problem| failed!("{}: {problem}", path.display()))?;
    let _ = writeln!(printed, "{}", path.display());
    Ok(printed)
}

fn file() -> PathBuf {
    paths::repository().join("docs/benchmarks/microcontrollers.md")
}

/// Measures everything that the tables need; outputs have to be golden.
fn measure_all(models: &[Known], targets: &[&'static Target], threads: usize) -> Result<Vec<Row>> {
    let mut list = Vec::new();
    for &target in targets {
        for &model in models {
            let job =
                Job { model, target, form: Form::Compiled, opt: Opt::Speed, samples: SAMPLES };
            list.push(job);
            if target.name == MAIN {
                list.push(Job { opt: Opt::S, ..job });
                list.push(Job { form: Form::Interpreter, ..job });
            }
        }
    }
    let run = |job: &Job| {
        let result = job.run();
        match &result {
            Some(Ok(measured)) => {
                eprintln!("{}: {} instructions", job.name(), measured.instructions);
            }
            Some(Err(problem)) => eprintln!("{}: {problem}", job.name()),
            None => eprintln!("{}: its files are missing", job.name()),
        }
        result
    };
    let results = jobs::run_all(&list, threads, |job| job.target.folder, run);
    let mut rows = Vec::new();
    for (job, result) in list.iter().zip(results) {
        let measured = result.ok_or_else(|| {
            failed!(
                "{}: no folder ../shared with its files; SYSTOLE_SHARED names another",
                job.name()
            )
        })?;
        let measured = measured.and_then(|measured| jobs::check(&measured).map(|()| measured));
        let measured = measured.map_err(|problem| failed!("{}: {problem}", job.name()))?;
        rows.push(Row { model: job.model, target: job.target, measured });
    }
    Ok(rows)
}

/// The page.
fn document(rows: &[Row], models: &[Known], targets: &[&'static Target], peers: &[Peer]) -> String {
    let table = Table { rows, models, targets, peers };
    format!(
        "# Microcontrollers

Written by `cargo xtask table`. Every figure is of a program that has been linked and run in QEMU, and whose outputs were
the golden bytes. [`docs/measuring.md`](../measuring.md) says how it is measured, and what the words mean. Instructions
are no cycles: QEMU models neither wait states nor caches, and an instruction of Helium counts as one.

Systole's int8 convolution, fully connected and depthwise convolution are written for each of these cores: for the DSP extension
of M4, M7 and M33, for Helium on M55, and for one product at a time on M0, M3 and RV32. All else is portable Rust.

## Instructions of an inference

In brackets per multiply-accumulate. Systole: the model compiled in, `opt-level = 3`, first golden sample.

{}
## Flash without the model

Bytes of code, constants and initial data, all of a linked program. Of Systole's, the harness (start-up, counter, printing)
is {}.

{}
## RAM

Bytes. Systole's stack: on {}. The others' is the M4's, and the M55's in brackets.

{}
## Models

`.systole` is the file, with names stripped to those of inputs and outputs; linked are the constants that a compiled-in
model keeps of it. The first {SAMPLES} golden samples were run on every processor above.

{}
## Small builds, Cortex-M4

`opt-level = \"s\"`; flash with the model. MicroFlow's figures are those of its own `s` build.

{}
## Loaded at run time, Cortex-M4

A file that a `Session` executes, `opt-level = 3`: all operators are linked, because any may be in the file. Loading is
its validation, once.

{}
## How the others were measured

{}
",
        table.instructions(),
        table.harness(),
        table.flash(),
        targets.iter().map(|target| target.title).collect::<Vec<_>>().join(", "),
        table.ram(),
        table.sizes(),
        table.small(),
        table.loaded(),
        peers::METHOD,
    )
}

/// What tables are made of.
struct Table<'a> {
    rows: &'a [Row],
    models: &'a [Known],
    targets: &'a [&'static Target],
    peers: &'a [Peer],
}

impl Table<'_> {
    fn find(&self, model: Known, target: &str, form: Form, opt: Opt) -> Option<&Measurement> {
        let measured = |row: &&Row| {
            row.model == model
                && row.target.name == target
                && row.measured.form == form
                && row.measured.opt == opt
        };
        self.rows.iter().find(measured).map(|row| &row.measured)
    }

    fn compiled(&self, model: Known, target: &str) -> Option<&Measurement> {
        self.find(model, target, Form::Compiled, Opt::Speed)
    }

    fn peer(&self, model: Known, target: &str, runtime: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| {
            peer.model == model.name && peer.processor == target && peer.runtime == runtime
        })
    }

    /// Rows of runtimes, columns of processors.
    fn by_runtime(
        &self,
        ours: impl Fn(&Measurement) -> String,
        theirs: impl Fn(&Peer, u64) -> String,
    ) -> String {
        let mut out = head(["model", "runtime"], self.targets.iter().map(|target| target.title));
        for &model in self.models {
            let macs =
                self.rows.iter().find(|row| row.model == model).map_or(0, |r| r.measured.macs);
            let cells =
                self.targets.iter().map(|target| self.compiled(model, target.name).map(&ours));
            line(&mut out, [model.name, "**Systole**"], cells);
            for runtime in [TFLM, CMSIS_NN] {
                let cell = |target: &&&Target| {
                    self.peer(model, target.name, runtime).map(|peer| theirs(peer, macs))
                };
                let cells: Vec<Option<String>> = self.targets.iter().map(|t| cell(&t)).collect();
                line(&mut out, ["", runtime], cells);
            }
        }
        out
    }

    fn instructions(&self) -> String {
        self.by_runtime(
            |measured| count(measured.instructions, measured.macs),
            |peer, macs| count(peer.instructions, macs),
        )
    }

    fn flash(&self) -> String {
        self.by_runtime(|measured| measured.flash.to_string(), |peer, _| peer.flash.to_string())
    }

    fn harness(&self) -> String {
        let of = |target: &&&Target| {
            let row = self.rows.iter().find(|row| row.target == **target)?;
            Some(format!("{} on {}", row.measured.harness, target.title))
        };
        self.targets.iter().filter_map(|target| of(&target)).collect::<Vec<_>>().join(", ")
    }

    fn ram(&self) -> String {
        let columns = ["arena", "static", "stack"];
        let mut out = head(["model", "runtime"], columns.into_iter());
        for &model in self.models {
            let all: Vec<&Measurement> =
                self.targets.iter().filter_map(|t| self.compiled(model, t.name)).collect();
            let stacks: Vec<String> =
                all.iter().map(|measured| measured.stack.to_string()).collect();
            let first = |value: fn(&Measurement) -> u64| all.first().map(|m| value(m).to_string());
            let cells = [first(|m| m.arena), first(|m| m.statics), Some(stacks.join(", "))];
            line(&mut out, [model.name, "**Systole**"], cells);
            for runtime in [TFLM, CMSIS_NN] {
                let Some(m4) = self.peer(model, MAIN, runtime) else { continue };
                let m55 = self.peer(model, "cortex-m55", runtime);
                let both = |value: fn(&Peer) -> Option<u64>| {
                    let m55 =
                        m55.and_then(value).map_or(String::new(), |bytes| format!(" ({bytes})"));
                    value(m4).map(|bytes| format!("{bytes}{m55}"))
                };
                line(&mut out, ["", runtime], [both(|p| p.arena), None, both(|p| p.stack)]);
            }
        }
        out
    }

    fn sizes(&self) -> String {
        let mut out = head(["model", "MACs"], ["`.systole`", "linked", "golden on"].into_iter());
        for &model in self.models {
            let on: Vec<&str> = self
                .targets
                .iter()
                .filter(|t| {
                    self.compiled(model, t.name).is_some_and(|m| m.golden_match == Some(true))
                })
                .map(|target| target.title)
                .collect();
            let Some(row) = self.rows.iter().find(|row| row.model == model) else { continue };
            let Measurement { file, model: linked, macs, .. } = &row.measured;
            let cells = [Some(file.to_string()), Some(linked.to_string()), Some(on.join(", "))];
            line(&mut out, [model.name, &macs.to_string()], cells);
        }
        out
    }

    fn small(&self) -> String {
        let columns = ["RAM", "MicroFlow: instructions", "flash", "RAM"];
        let mut out = head(["model", "instructions", "flash"], columns.into_iter());
        for &model in self.models {
            let Some(small) = self.find(model, MAIN, Form::Compiled, Opt::S) else { continue };
            let peer = self.peer(model, MAIN, "MicroFlow s");
            let cells = [
                Some(small.ram().to_string()),
                peer.map(|peer| count(peer.instructions, small.macs)),
                peer.map(|peer| peer.flash.to_string()),
                peer.and_then(|peer| peer.stack).map(|stack| stack.to_string()),
            ];
            let (instructions, flash) =
                (count(small.instructions, small.macs), (small.flash + small.model).to_string());
            line(&mut out, [model.name, &instructions, &flash], cells);
        }
        out
    }

    fn loaded(&self) -> String {
        let columns = ["loading", "flash without the file", "stack"];
        let mut out = head(["model", "instructions"], columns.into_iter());
        for &model in self.models {
            let Some(loaded) = self.find(model, MAIN, Form::Interpreter, Opt::Speed) else {
                continue;
            };
            let cells = [
                loaded.load_instructions.map(|instructions| count(instructions, 0)),
                Some(loaded.flash.to_string()),
                Some(loaded.stack.to_string()),
            ];
            line(&mut out, [model.name, &count(loaded.instructions, loaded.macs)], cells);
        }
        out
    }
}

fn head<'a, const N: usize>(left: [&'a str; N], columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<&str> = left.into_iter().chain(columns).collect();
    format!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len()))
}

fn line<const N: usize>(
    out: &mut String,
    left: [&str; N],
    cells: impl IntoIterator<Item = Option<String>>,
) {
    let _ = write!(out, "| {} |", left.join(" | "));
    for cell in cells {
        let _ = write!(out, " {} |", cell.as_deref().unwrap_or("–"));
    }
    out.push('\n');
}

/// `7.70 M (2.90)`: instructions, and per multiply-accumulate where there are any.
fn count(instructions: u64, macs: u64) -> String {
    let text = if instructions >= 1_000_000 {
        format!("{:.2} M", instructions as f64 / 1e6)
    } else if instructions >= 100_000 {
        format!("{:.3} M", instructions as f64 / 1e6)
    } else {
        instructions.to_string()
    };
    if macs == 0 { text } else { format!("{text} ({:.2})", instructions as f64 / macs as f64) }
}

/// The first line in which the texts differ, of both; `None` where they are equal.
fn first_difference(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let (mut found, mut wanted) = (found.lines(), wanted.lines());
    loop {
        match (found.next(), wanted.next()) {
            (None, None) => return Some("they differ in line ends".to_owned()),
            (a, b) if a == b => {}
            (a, b) => {
                let [a, b] = [a, b].map(|line| line.unwrap_or("(the end)"));
                return Some(format!("- {a}\n+ {b}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{targets, toolchain::Toolchain};

    fn row(model: Known, target: &'static str, form: Form, opt: Opt) -> Row {
        let target = targets::find(target).unwrap();
        let measured = Measurement {
            target: target.name,
            board: target.boards[0].name,
            form,
            opt,
            toolchain: Toolchain::Active,
            instructions: 10_531_000,
            load_instructions: (form == Form::Interpreter).then_some(5000),
            macs: 2_656_768,
            flash: 20_001,
            harness: 1352,
            model: 27_280,
            file: 29_808,
            arena: 16_000,
            statics: 4,
            stack: 1160,
            outputs: Vec::new(),
            outputs_match: true,
            golden_match: Some(true),
            layers: None,
            findings: Vec::new(),
        };
        Row { model, target, measured }
    }

    #[test]
    fn figures_stand_beside_the_peers() {
        let kws = MODELS[2];
        let rows = [
            row(kws, "cortex-m4", Form::Compiled, Opt::Speed),
            row(kws, "cortex-m4", Form::Compiled, Opt::S),
            row(kws, "cortex-m4", Form::Interpreter, Opt::Speed),
            row(kws, "riscv32imac", Form::Compiled, Opt::Speed),
        ];
        let targets = ["cortex-m4", "riscv32imac"].map(|name| targets::find(name).unwrap());
        let page = document(&rows, &[kws], &targets, &peers::all().unwrap());
        for line in [
            "| model | runtime | M4 | RV32 |",
            "| kws | **Systole** | 10.53 M (3.96) | 10.53 M (3.96) |",
            "|  | TFLM + CMSIS-NN | 7.70 M (2.90) | – |",
            "| kws | **Systole** | 20001 | 20001 |",
            "|  | TFLM | 41448 | – |",
            "| kws | **Systole** | 16000 | 4 | 1160, 1160 |",
            "|  | TFLM + CMSIS-NN | 22820 (27348) | – | 1380 (1516) |",
            "| kws | 2656768 | 29808 | 27280 | M4, RV32 |",
            "| kws | 10.53 M (3.96) | 47281 | 17164 | – | – | – |",
            "| kws | 10.53 M (3.96) | 5000 | 20001 | 1160 |",
        ] {
            assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
        }
    }

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").unwrap(), "- b\n+ c");
        assert_eq!(first_difference("a\n", "a\nc\n").unwrap(), "- (the end)\n+ c");
    }
}
