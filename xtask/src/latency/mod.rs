//! `cargo xtask latency`: models on this computer, beside other runtimes.

mod engines;
mod page;
mod roofline;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;

use crate::{
    accuracy::Systole,
    error::{Error, Result, failed},
    paths,
};
use engines::{Engine, Places, TIMED, Timed};
use page::{Page, Times};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where ../shared/peers/setup.sh has put the peers [default: $PEERS_WORK, or `peers` in the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// Only models whose name has one of these parts; prints the page instead of writing it
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    models: Vec<String>,
    /// How often every runtime has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a turn is, in seconds
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
}

/// Other runtimes; ratios are of the first.
const PEERS: [Engine; 7] = [
    Engine::LiteRt("xnnpack"),
    Engine::LiteRt("builtin"),
    Engine::LiteRt("ref"),
    Engine::Ort,
    Engine::OrtRequantized,
    Engine::Tract,
    Engine::TractOnnx,
];

/// The model whose layers are held against what the processor could do.
const ROOFLINE: &str = "vision/tf2_mobilenet_v2_1.0_224_ptq";

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let named = |model: &Timed| {
        arguments.models.is_empty() || arguments.models.iter().any(|part| model.file.contains(part))
    };
    let models: Vec<Timed> = TIMED.into_iter().filter(named).collect();
    if models.is_empty() {
        let names: Vec<&str> = TIMED.iter().map(Timed::name).collect();
        return Err(Error::Usage(format!("--models: there are {}", names.join(", "))));
    }
    let systole = Systole::build(&paths::build().join("latency"))?;
    let places = Places::find(systole.command().to_owned(), arguments.peers.as_deref())?;
    let levels = levels(&places)?;
    let peers: Vec<Engine> = PEERS.into_iter().filter(|peer| places.has(peer)).collect();
    let times = measure(arguments, &places, &models, &levels, &peers);
    let conditions = conditions(arguments, &places);
    let threads = arguments.threads.clone();
    let roofline = match models.iter().find(|model| model.file == ROOFLINE) {
        Some(&model) => {
            Some(roofline::section(&places.systole, &places.model(model), arguments.seconds)?)
        }
        None => None,
    };
    let page = Page { conditions, models, levels, peers, threads, times, roofline };
    if !arguments.models.is_empty() {
        return Ok(page.text());
    }
    let path = paths::repository().join("docs/benchmarks/x86-64.md");
    fs::write(&path, page.text()).map_err(|problem| failed!("{}: {problem}", path.display()))?;
    Ok(format!("{}\n", path.display()))
}

/// Times everything, in rounds. What fails once is not tried again.
fn measure(
    arguments: &Arguments,
    places: &Places,
    models: &[Timed],
    levels: &[String],
    peers: &[Engine],
) -> Times {
    let ours = levels.iter().map(|level| Engine::Systole(level.clone()));
    let engines: Vec<Engine> = ours.chain(peers.iter().cloned()).collect();
    let mut times = Times::new();
    for round in 1..=arguments.rounds {
        for &model in models {
            for engine in &engines {
                for &threads in &arguments.threads {
                    let alone = !engine.threads()
                        || matches!(engine, Engine::Systole(level) if levels.first() != Some(level));
                    let key = (model, engine.clone(), threads);
                    if threads > 1 && alone || matches!(times.get(&key), Some(Err(_))) {
                        continue;
                    }
                    let Some(time) = places.time(engine, model, threads, arguments.seconds) else {
                        continue;
                    };
                    eprintln!(
                        "{round}/{} {}, {}, threads {threads}: {time:?}",
                        arguments.rounds,
                        model.name(),
                        engine.name(),
                    );
                    let time = match (times.get(&key), time) {
                        (Some(Ok(before)), Ok(now)) => Ok(now.min(*before)),
                        (_, time) => time,
                    };
                    times.insert(key, time);
                }
            }
        }
    }
    times
}

/// The levels that this processor has, the best first: the command says which kernels it ran, and
/// refuses a level that there is not.
fn levels(places: &Places) -> Result<Vec<String>> {
    let model = places.model(TIMED[0]);
    let ran = |asked: &str| {
        let mut command = Command::new(&places.systole);
        command.env("SYSTOLE_ISA", asked).arg("bench").arg(&model);
        command.args(["--json", "--seconds", "0.001"]);
        engines::run(&mut command).map(|said| said["isa"].as_str().unwrap_or_default().to_owned())
    };
    let mut levels = vec![ran("").map_err(|why| failed!("systole bench: {why}"))?];
    for asked in ["avx512_vnni", "avx_vnni", "avx2", "portable"] {
        if ran(asked).is_ok_and(|level| level == asked) && !levels.iter().any(|l| l == asked) {
            levels.push(asked.to_owned());
        }
    }
    Ok(levels)
}

/// The machine, the versions, and how long it was measured.
fn conditions(arguments: &Arguments, places: &Places) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = fs::read_to_string("/proc/cpuinfo").map_or("?".to_owned(), |text| cpu(&text));
    let versions = |packages: &[&str]| {
        let print = "import importlib.metadata as m, sys; \
                     print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))";
        let python = places.peers.join("venv/bin/python");
        let done = Command::new(python).args(["-c", print]).args(packages).output();
        done.map_or(String::new(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    let tract = match places.has(&Engine::Tract) {
        true => format!("tract {}", tract(&places.peers)),
        false => "tract is not among them, as it has not been built".to_owned(),
    };
    vec![
        format!("{processor}; {cores} processors."),
        format!(
            "Systole {} ({}); {}; {tract}.",
            env!("CARGO_PKG_VERSION"),
            rustc(),
            versions(&["ai-edge-litert", "onnxruntime"])
        ),
        format!("{} rounds of {} s for each figure.", arguments.rounds, arguments.seconds),
        "ONNX Runtime and \"tract, ONNX\" run the network as tf2onnx writes it, quantized models as QDQ; \"own \
         quantization\" is the float network as ONNX Runtime's own tool quantizes it, so its answers are others."
            .to_owned(),
    ]
}

/// Name, family and model, and the vector instructions that matter here, of the first processor.
fn cpu(text: &str) -> String {
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().map(str::trim) == Some(name));
        line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim())
    };
    let wanted = ["avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"];
    let flags: Vec<&str> = field("flags").split(' ').filter(|flag| wanted.contains(flag)).collect();
    let (name, family, model) = (field("model name"), field("cpu family"), field("model"));
    format!("{name}, family {family}, model {model} ({})", flags.join(", "))
}

fn rustc() -> String {
    let done = Command::new("rustc").arg("--version").output();
    let said =
        done.map_or(String::new(), |done| String::from_utf8_lossy(&done.stdout).into_owned());
    said.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The version of tract that was built.
fn tract(peers: &Path) -> String {
    let lock = fs::read_to_string(peers.join("crates/tract_bench/Cargo.lock")).unwrap_or_default();
    let found = lock.split("[[package]]").find(|part| part.contains("name = \"tract-core\""));
    let version = found.and_then(|part| part.split("version = \"").nth(1));
    version.and_then(|rest| rest.split('"').next()).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_described_by_what_linux_says() {
        let text = "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 fma\n\n\
                    model name\t: another\n";
        assert_eq!(cpu(text), "Some CPU, family 25, model 1 (avx2, fma)");
    }
}
