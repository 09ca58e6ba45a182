//! The repository's own tools. `cargo xtask --help` lists them.
//!
//! Exit status 0: done. 1: the work failed, or what was checked does not hold; the reason is on
//! stderr. 2: wrong usage.
#![forbid(unsafe_code)]

mod aarch64;
mod accuracy;
mod applications;
mod audit;
mod boards;
mod calibration;
mod calls;
mod chip;
mod elf;
mod error;
mod firmware;
mod fit;
mod gdb;
mod hex;
mod jobs;
mod kernels;
mod latency;
mod measure;
mod models;
mod networks;
#[cfg(test)]
mod page;
mod paths;
mod peers;
mod qemu;
mod readings;
mod samples;
mod source;
mod table;
mod targets;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::Error;

/// Measures and checks models: on microcontrollers, emulated by QEMU, and beside other runtimes and quantizers.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure instructions, flash and RAM of a model on a processor
    Measure(measure::Arguments),
    /// Prove that firmware cannot panic, formats nothing and has no heap
    Audit(audit::Arguments),
    /// Run models on every board and compare with golden outputs; check applications
    Boards(boards::Arguments),
    /// Write docs/benchmarks/microcontrollers.md: all figures, beside those of other runtimes
    Table(table::Arguments),
    /// Write what kernels cost on microcontrollers, by which `systole inspect --target` predicts, and how far
    /// predictions are off
    Fit(fit::Arguments),
    /// Write docs/accuracy.md: what quantization costs, beside other quantizers
    Accuracy(accuracy::Arguments),
    /// Write docs/benchmarks/x86-64.md: latency on this computer, beside other runtimes
    Latency(latency::Arguments),
    /// Write docs/benchmarks/aarch64.md: instructions of each level, counted by QEMU; compare goldens
    Aarch64(aarch64::Arguments),
    /// Write random networks
    #[command(hide = true)]
    Networks(networks::Arguments),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Measure(arguments) => measure::command(&arguments),
        Command::Audit(arguments) => audit::command(&arguments),
        Command::Boards(arguments) => boards::command(&arguments),
        Command::Table(arguments) => table::command(&arguments),
        Command::Fit(arguments) => fit::command(&arguments),
        Command::Accuracy(arguments) => accuracy::command(&arguments),
        Command::Latency(arguments) => latency::command(&arguments),
        Command::Aarch64(arguments) => aarch64::command(&arguments),
        Command::Networks(arguments) => networks::command(&arguments),
    };
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
        }
    }
}
