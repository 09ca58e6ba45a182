//! What a conversion is asked to do.

use std::path::PathBuf;

#[cfg(feature = "onnx")]
use crate::onnx::Dimensions;
use crate::{
    error::{Result, bail},
    graph::{Format, Tensor},
    memories::ChipMemory,
};

/// Whose answers a file reproduces, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Match {
    /// Those of what runs models of the format that a model came in: TFLite Micro for TFLite, ONNX
    /// Runtime for ONNX.
    #[default]
    Format,
    /// TFLite Micro's reference kernels: what devices run.
    Tflm,
    /// LiteRT's reference kernels.
    Litert,
    /// ONNX Runtime on x86-64 with AVX2: quantized ONNX models alone.
    Ort,
    /// Systole's own: every scale applied with one rounding.
    Native,
}

impl Match {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Tflm => "tflm",
            Self::Litert => "litert",
            Self::Ort => "ort",
            Self::Native => "native",
        }
    }

    /// Whose answers a model of this format is to give: never [`Match::Format`].
    ///
    /// # Errors
    /// `UnsupportedFeature` for `ort` and a model that is not ONNX.
    pub fn of(self, format: Format) -> Result<Self> {
        match (self, format) {
            (Self::Format, Format::Tflite) => Ok(Self::Tflm),
            (Self::Format, Format::Onnx | Format::Qdq) => Ok(Self::Ort),
            (Self::Ort, Format::Tflite) => bail!(
                UnsupportedFeature,
                "--match ort is for ONNX models; TFLite models take tflm, litert or native"
            ),
            (stated, _) => Ok(stated),
        }
    }
}

/// What memory a model's arena may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Memory {
    /// What whole tensors need: the fastest on machines that have it.
    #[default]
    Whole,
    /// As little as can be had without a cost: sums of a convolution and its input are computed where that
    /// lies.
    Sums,
    /// As little as there is a way to.
    Least,
    /// So many bytes.
    AtMost(usize),
}

/// Which names go into the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// None: metadata stripped.
    None,
    /// Those of inputs and outputs.
    #[default]
    Ports,
    /// Those of all tensors, for `inspect`.
    All,
}

/// Options of a conversion.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Whose answers to reproduce.
    pub matching: Match,
    /// Which names to keep.
    pub names: Names,
    /// Class names to store, in the order of the output's elements.
    pub labels: Vec<String>,
    /// The largest arena that is accepted, in bytes.
    pub max_arena: usize,
    /// The most work that one inference may take, see [`systole_core::Model::work`].
    pub max_work: u64,
    /// The microcontroller that it is for, by the name that tools know it by: the file says so.
    pub target: Option<&'static str>,
    /// How much memory it is to run in.
    pub memory: Memory,
    /// The chip's memories, fastest first, that tensors are divided among; none for one arena of any size.
    pub memories: Vec<ChipMemory>,
    /// Nodes that the memory planner may visit.
    pub plan_budget: usize,
    /// Whether shapes of a TFLite model follow from those of its inputs and constants: what the file
    /// states of other tensors is replaced. For inputs of another shape than the file was made for.
    pub infer_shapes: bool,
    /// What dimensions are that an ONNX model leaves open.
    #[cfg(feature = "onnx")]
    pub dimensions: Dimensions,
    /// Inputs of an ONNX model that become constants, by name.
    pub fixed_inputs: Vec<Tensor>,
    /// Whether images are given to an ONNX model with channels last, other than it was trained.
    pub channels_last_inputs: bool,
    /// The TFLite model that a model compiled for the Edge TPU was compiled from: what stands in for its
    /// compiled parts where there is no such device.
    pub fallback: Option<PathBuf>,
    /// The weights of a `.systole` file that does not have them, see [`apart`](crate::apart).
    pub weights: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            matching: Match::default(),
            names: Names::default(),
            labels: Vec::new(),
            max_arena: 512 << 20,
            max_work: 1_000_000_000_000,
            target: None,
            memory: Memory::default(),
            memories: Vec::new(),
            plan_budget: 1_000_000,
            infer_shapes: false,
            #[cfg(feature = "onnx")]
            dimensions: Dimensions::default(),
            fixed_inputs: Vec::new(),
            channels_last_inputs: false,
            fallback: None,
            weights: None,
        }
    }
}
