//! What a user may say about how a model is to run.

use std::path::PathBuf;

use systole_tflite::{Abi, DeviceChoice, EdgeTpuOptions};

/// Who runs a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Backend {
    /// An accelerator where there is one and the model is for it, else Systole's kernels, else TFLite
    /// for what those refuse.
    #[default]
    Auto,
    /// Systole's kernels alone.
    Systole,
    /// TFLite's own kernels alone.
    Tflite,
    /// The Edge TPU, for what is compiled for it; the rest as [`Backend::Auto`] would.
    EdgeTpu,
    /// A vendor's delegate in TFLite; what it does not claim, TFLite's own kernels.
    Delegate(VendorDelegate),
}

/// A vendor's delegate: a library and what its documentation lets it be told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VendorDelegate {
    /// Path of the library.
    pub library: PathBuf,
    /// Options by name.
    pub options: Vec<(String, String)>,
    /// Whether it is known to be built for the very TFLite that is used.
    pub abi: Abi,
}

/// Which Edge TPU, and what it is told.
#[derive(Debug, Clone, Default)]
pub struct EdgeTpuDevice {
    /// Path of its library; without one, as [`systole_tflite::EdgeTpu::load`] finds it.
    pub library: Option<PathBuf>,
    /// Which of the devices.
    pub device: DeviceChoice,
    /// What it is told.
    pub options: EdgeTpuOptions,
}

/// How a model is to run. `Options::default()` is [`Backend::Auto`] on one thread, with every library
/// where it is usually found.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who runs it.
    pub backend: Backend,
    /// Threads for Systole's kernels and for TFLite's, of which large layers take several: at least 1.
    /// Of Systole's no number changes a result.
    pub threads: u16,
    /// Whether TFLite gives operators to XNNPACK, which is faster and rounds otherwise.
    pub xnnpack: bool,
    /// Path of TFLite's library; without one, as [`systole_tflite::Library::load`] finds it.
    pub tflite_library: Option<PathBuf>,
    /// The Edge TPU.
    pub edge_tpu: EdgeTpuDevice,
    /// Delegates of other vendors that [`Backend::Auto`] offers `.tflite` models to, in this order.
    /// One that claims no operator is passed over.
    pub delegates: Vec<VendorDelegate>,
    /// What is loaded in place of a model that needs an Edge TPU, where there is none: the model that
    /// it was compiled from.
    pub fallback: Option<PathBuf>,
    /// How `.tflite` and `.onnx` models are converted for Systole's kernels.
    #[cfg(feature = "converter")]
    pub conversion: systole_converter::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::Auto,
            threads: 1,
            xnnpack: false,
            tflite_library: None,
            edge_tpu: EdgeTpuDevice::default(),
            delegates: Vec::new(),
            fallback: None,
            #[cfg(feature = "converter")]
            conversion: systole_converter::Options::default(),
        }
    }
}
