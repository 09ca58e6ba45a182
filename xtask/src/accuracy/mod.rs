//! `cargo xtask accuracy`: what quantization costs, beside other quantizers.

mod beside;
mod cases;
mod ours;
mod page;
mod peers;
mod score;
mod tool;

use std::path::PathBuf;

use clap::Args;

use crate::{
    error::{Result, failed},
    paths,
};
use beside::Beside;
use cases::Case;
use peers::Environment;
pub use tool::Systole;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Leave out other quantizers, and with them Python; prints the page instead of writing it
    #[arg(long)]
    no_peers: bool,
    /// Where the peers' Python environments are, or are to be made; they take 3 GB
    #[arg(long, value_name = "FOLDER")]
    environments: Option<PathBuf>,
}

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let models = paths::shared_models().ok_or_else(|| {
        failed!("no folder ../shared with the models; SYSTOLE_SHARED names another")
    })?;
    let work = paths::build().join("accuracy");
    let systole = Systole::build(&work)?;
    let cases = cases::all(&models)?;
    let environments = arguments.environments.clone().unwrap_or_else(|| work.clone());
    let ort = match arguments.no_peers {
        true => None,
        false => Some(Environment::make(&environments, "ort")?),
    };

    progress("float models");
    let floats = ours::floats(&systole, &cases);
    progress("int8");
    let int8 = ours::int8(&systole, &cases)?;
    progress("channels of different size, four bits, mixed precision");
    let case = |name: &str| Case::new(&models, name);
    let channels = ours::channels(&systole, &case("trained/dwsep_imbalanced.onnx"))?;
    let int4 = ["mlperf_tiny/kws_float.tflite", "trained/digits_cnn.onnx"].map(case);
    let int4 = int4.iter().map(|case| ours::int4(&systole, case)).collect::<Result<Vec<_>>>()?;
    let mixed = ["trained/gestures_tcn.onnx", "trained/gestures_tcn.tflite"].map(case);
    let mixed = mixed.iter().map(|case| ours::mixed(&systole, case)).collect::<Result<Vec<_>>>()?;
    progress("time and memory");
    let costs = ours::costs(&systole, &case("mlperf_tiny/kws_float.tflite"), ort.as_ref(), &work)?;
    let beside = match &ort {
        None => None,
        Some(ort) => {
            progress("ONNX Runtime and TFLite's converter");
            let tflite = Environment::make(&environments, "tflite")?;
            Some(Beside::measure(&systole, &cases, ort, &tflite, &work)?)
        }
    };

    let figures = page::Figures { floats, int8, channels, int4, mixed, costs, beside };
    let text = figures.page();
    if arguments.no_peers {
        return Ok(text);
    }
    let path = paths::repository().join("docs/accuracy.md");
    std::fs::write(&path, text).map_err(|problem| failed!("{}: {problem}", path.display()))?;
    Ok(format!("{}\n", path.display()))
}

fn progress(what: &str) {
    eprintln!("{what}");
}
