//! The runtimes that are timed: which command times a model, and what it says.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    error::{Result, failed},
    paths,
};

/// A model that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timed {
    /// The file below the folder of models, without its ending.
    pub file: &'static str,
    /// What `../shared/peers` calls it; empty where it has no version of its own.
    pub peers: &'static str,
}

impl Timed {
    /// The name in tables.
    pub fn name(&self) -> &'static str {
        self.file.rsplit('/').next().unwrap_or(self.file)
    }

    /// Whether activations are float.
    pub fn is_float(&self) -> bool {
        self.file.ends_with("_float")
    }
}

const fn timed(file: &'static str, peers: &'static str) -> Timed {
    Timed { file, peers }
}

/// The models, integers first.
pub const TIMED: [Timed; 16] = [
    timed("mlperf_tiny/kws_int8", "kws_int8"),
    timed("mlperf_tiny/ic_int8", "resnet8_int8"),
    timed("mlperf_tiny/vww_int8", "vww_int8"),
    timed("mlperf_tiny/ad_int8", "ad_int8"),
    timed("mlperf_tiny/sww_int8", ""),
    timed("sequence/micro_speech_int8", "micro_speech"),
    timed("hello/hello_world_int8", "hello_world_int8"),
    timed("vision/person_detect", "person_detect_fixed"),
    timed("vision/mobilenet_v1_0.25_128_quant", "mobilenet_v1_025_128_uint8"),
    timed("vision/mobilenet_v2_1.0_224_quant", "mobilenet_v2_224_uint8"),
    timed("vision/tf2_mobilenet_v2_1.0_224_ptq", "mobilenet_v2_224_ptq"),
    timed("mlperf_tiny/kws_float", "kws_float"),
    timed("mlperf_tiny/ic_float", "resnet8_float"),
    timed("mlperf_tiny/vww_float", "vww_float"),
    timed("mlperf_tiny/ad_float", "ad_float"),
    timed("mlperf_tiny/sww_float", ""),
];

/// What times a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Ours, with the kernels of a level.
    Systole(String),
    /// LiteRT: `xnnpack`, `builtin` or `ref`.
    LiteRt(&'static str),
    /// ONNX Runtime on the same network, by tf2onnx.
    Ort,
    /// ONNX Runtime on the float network, which its own tool has quantized: other answers, its best speed.
    OrtRequantized,
    /// tract on the same file.
    Tract,
    /// tract on the ONNX version.
    TractOnnx,
}

impl Engine {
    /// The name in tables.
    pub fn name(&self) -> String {
        match self {
            Self::Systole(isa) => format!("Systole {isa}"),
            Self::LiteRt("xnnpack") => "LiteRT, XNNPACK".to_owned(),
            Self::LiteRt("builtin") => "LiteRT, built-in".to_owned(),
            Self::LiteRt(_) => "LiteRT, reference".to_owned(),
            Self::Ort => "ONNX Runtime".to_owned(),
            Self::OrtRequantized => "ONNX Runtime, own quantization".to_owned(),
            Self::Tract => "tract".to_owned(),
            Self::TractOnnx => "tract, ONNX".to_owned(),
        }
    }

    /// Whether more threads than one may make a difference.
    pub fn threads(&self) -> bool {
        !matches!(self, Self::LiteRt("ref"))
    }
}

/// Where everything is.
#[derive(Debug)]
pub struct Places {
    /// The command `systole`, a release build.
    pub systole: PathBuf,
    /// The folder of models.
    pub models: PathBuf,
    /// The scripts that time peers, `../shared/peers`.
    pub scripts: PathBuf,
    /// Where `setup.sh` of these has made environments and versions of the models.
    pub peers: PathBuf,
}

impl Places {
    /// Finds them.
    ///
    /// # Errors
    /// Names what is not there, and how to make it.
    pub fn find(systole: PathBuf, peers: Option<&Path>) -> Result<Self> {
        let models = paths::shared_models().ok_or_else(|| {
            failed!("no folder ../shared with the models; SYSTOLE_SHARED names another")
        })?;
        let scripts = models.join("../peers");
        let peers = peers
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("PEERS_WORK").map(PathBuf::from))
            .unwrap_or_else(|| std::env::temp_dir().join("peers"));
        if !peers.join("venv/bin/python").exists() {
            let setup = scripts.join("setup.sh");
            let (peers, setup) = (peers.display(), setup.display());
            return Err(failed!("{peers} has no environment of the peers; run: {setup} {peers}"));
        }
        Ok(Self { systole, models, scripts, peers })
    }

    /// The model's file.
    pub fn model(&self, model: Timed) -> PathBuf {
        self.models.join(format!("{}.tflite", model.file))
    }

    /// Whether there is what times models with the engine: `setup.sh` may have been unable to build tract.
    pub fn has(&self, engine: &Engine) -> bool {
        !matches!(engine, Engine::Tract | Engine::TractOnnx) || self.tract_bench().exists()
    }

    fn tract_bench(&self) -> PathBuf {
        self.peers
            .join("target/release/tract_bench")
            .with_extension(std::env::consts::EXE_EXTENSION)
    }

    /// The file that an engine gets; `None` where there is none for it.
    fn file(&self, engine: &Engine, model: Timed) -> Option<PathBuf> {
        let onnx = |name: &str| self.peers.join("onnx").join(format!("{name}.onnx"));
        let file = match engine {
            Engine::Systole(_) => self.model(model),
            // A model that LiteRT refuses as it is.
            Engine::LiteRt(_) | Engine::Tract if model.peers.ends_with("_fixed") => {
                self.peers.join("models").join(format!("{}.tflite", model.peers))
            }
            Engine::LiteRt(_) | Engine::Tract => self.model(model),
            Engine::Ort | Engine::TractOnnx => onnx(model.peers),
            Engine::OrtRequantized if model.peers.ends_with("_int8") => {
                onnx(&model.peers.replace("_int8", "_ortq"))
            }
            Engine::OrtRequantized => return None,
        };
        file.exists().then_some(file)
    }

    /// Times a model for some seconds: the minimum in µs, or why there is none. `None` where the
    /// engine has no version of the model.
    pub fn time(
        &self,
        engine: &Engine,
        model: Timed,
        threads: usize,
        seconds: f64,
    ) -> Option<std::result::Result<f64, String>> {
        let file = self.file(engine, model)?;
        let script = |name: &str| {
            let mut command = Command::new(self.peers.join("venv/bin/python"));
            command.arg("-B").arg(self.scripts.join(name)).arg(&file);
            command
        };
        let mut command = match engine {
            Engine::Systole(isa) => {
                let mut command = Command::new(&self.systole);
                command.env("SYSTOLE_ISA", isa).arg("bench").arg(&file).arg("--json");
                command
            }
            Engine::LiteRt(kernels) => {
                let mut command = script("bench_litert.py");
                command.args(["--kernels", kernels]);
                command
            }
            Engine::Ort | Engine::OrtRequantized => script("bench_ort.py"),
            Engine::Tract | Engine::TractOnnx => {
                let mut command = Command::new(self.tract_bench());
                command.arg(&file);
                command
            }
        };
        command.env("RUST_BACKTRACE", "0").args(["--seconds", &seconds.to_string()]);
        if engine.threads() {
            command.args(["--threads", &threads.to_string()]);
        }
        Some(run(&mut command).and_then(|value| {
            value["min_us"].as_f64().ok_or_else(|| "no \"min_us\" in its answer".to_owned())
        }))
    }
}

/// The JSON object that a command prints last, or the last line of what it complains of.
pub fn run(command: &mut Command) -> std::result::Result<Value, String> {
    let done = command.output().map_err(|problem| problem.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason");
        return Err(line.trim().chars().take(160).collect());
    }
    let text = String::from_utf8_lossy(&done.stdout);
    // The peers print one line; ours is one object of many lines.
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(&text)
        .or_else(|_| serde_json::from_str(last))
        .map_err(|problem| format!("its answer is no JSON: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_what_a_command_prints_is_read() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo warming up; echo '{\"min_us\": 1.5}'"]);
        assert_eq!(run(&mut command).map(|value| value["min_us"].as_f64()), Ok(Some(1.5)));
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'cannot open it' >&2; exit 3"]);
        assert_eq!(run(&mut command), Err("cannot open it".to_owned()));
    }
}
