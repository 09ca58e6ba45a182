//! TFLite's interpreter, alone or with a delegate.

use std::path::PathBuf;

use systole_core::{DType, Quantization};
use systole_tflite::{
    Delegate, EdgeTpu, ElementType, Interpreter, Library, Model, Options as Tflites, Tensor,
};

use super::{Loaded, Runner};
use crate::{
    EdgeTpuDevice, Error, Options, Part, Place, Port, Report, Result, VendorDelegate, model::File,
    report::counted,
};

/// A model in TFLite's interpreter.
#[derive(Debug)]
pub(crate) struct Tflite {
    interpreter: Interpreter,
    path: PathBuf,
}

/// Who may claim operators.
#[derive(Debug)]
pub(crate) enum Delegates<'o> {
    /// Nobody.
    None,
    /// An Edge TPU.
    EdgeTpu(&'o EdgeTpuDevice),
    /// A vendor's delegate.
    Vendor(&'o VendorDelegate),
}

impl Tflite {
    /// A TFLite model, of which `delegates` may claim operators.
    pub(crate) fn load(
        file: &File,
        options: &Options,
        delegates: &Delegates<'_>,
    ) -> Result<Loaded> {
        let refuse = |why| Error::Tflite { path: file.path.clone(), why };
        let (delegate, place) = delegates.make().map_err(refuse)?.unzip();
        let library = Library::load(options.tflite_library.as_deref());
        let library = library.map_err(|why| refuse(why.into()))?;
        let model = Model::from_bytes(&library, &file.bytes[..]).map_err(refuse)?;
        let tflites = Tflites {
            threads: options.threads,
            xnnpack: options.xnnpack,
            delegates: delegate.into_iter().collect(),
        };
        let interpreter = Interpreter::new(&model, tflites).map_err(refuse)?;
        let (inputs, outputs) = (0..interpreter.input_count(), 0..interpreter.output_count());
        let inputs = inputs.map(|index| port("input", index, interpreter.input(index)));
        let inputs = inputs.collect::<Result<_, Wrong>>().map_err(|wrong| wrong.at(file))?;
        let outputs = outputs.map(|index| port("output", index, interpreter.output(index)));
        let outputs = outputs.collect::<Result<_, Wrong>>().map_err(|wrong| wrong.at(file))?;
        let report = report(file, &interpreter, place);
        let runner = Runner::Tflite(Self { interpreter, path: file.path.clone() });
        Ok(Loaded { runner, inputs, outputs, report })
    }

    pub(super) fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let written = self.interpreter.input_mut(index).and_then(|mut input| {
            input.bytes_mut()?.copy_from_slice(bytes);
            Ok(())
        });
        written.map_err(|why| self.error(why))
    }

    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>> {
        let bytes = self.interpreter.output(index).and_then(|output| output.bytes());
        bytes.map(<[u8]>::to_vec).map_err(|why| self.error(why))
    }

    pub(super) fn run(&mut self) -> Result<()> {
        self.interpreter.invoke().map_err(|why| self.error(why))
    }

    pub(super) fn reset_state(&mut self) -> Result<()> {
        self.interpreter.reset_state().map_err(|why| self.error(why))
    }

    fn error(&self, why: systole_tflite::Error) -> Error {
        Error::Tflite { path: self.path.clone(), why }
    }
}

impl Delegates<'_> {
    /// Whether it is a vendor's delegate, which claims what it likes.
    pub(crate) fn is_vendor(&self) -> bool {
        matches!(self, Self::Vendor(_))
    }

    /// Who it is, in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::None => "an accelerator",
            Self::EdgeTpu(_) => "the Edge TPU",
            Self::Vendor(_) => "a delegate",
        }
    }

    /// The delegate, and what it is called.
    pub(super) fn make(&self) -> systole_tflite::Result<Option<(Delegate, Place)>> {
        Ok(match self {
            Self::None => None,
            Self::EdgeTpu(tpu) => {
                let library = EdgeTpu::load(tpu.library.as_deref())?;
                let delegate = library.delegate(tpu.device, &tpu.options)?;
                let (device, version) = (tpu.device.to_string(), library.version());
                Some((delegate, Place::EdgeTpu { device, version }))
            }
            Self::Vendor(vendor) => {
                let options: Vec<(&str, &str)> =
                    vendor.options.iter().map(|(name, value)| (&name[..], &value[..])).collect();
                let delegate = Delegate::external(&vendor.library, &options, vendor.abi)?;
                Some((delegate, Place::Delegate(vendor.library.clone())))
            }
        })
    }
}

/// What is wrong with a port.
enum Wrong {
    Tflite(systole_tflite::Error),
    Type(Error),
}

impl Wrong {
    fn at(self, file: &File) -> Error {
        match self {
            Self::Tflite(why) => Error::Tflite { path: file.path.clone(), why },
            Self::Type(error) => error,
        }
    }
}

fn port(
    what: &'static str,
    index: usize,
    tensor: systole_tflite::Result<Tensor<'_>>,
) -> Result<Port, Wrong> {
    let tensor = tensor.map_err(Wrong::Tflite)?;
    let name = tensor.name();
    let dtype = match tensor.element_type() {
        ElementType::F32 => DType::F32,
        ElementType::I32 => DType::I32,
        ElementType::U8 => DType::U8,
        ElementType::I64 => DType::I64,
        ElementType::Bool => DType::Bool,
        ElementType::I16 => DType::I16,
        ElementType::I8 => DType::I8,
        ElementType::Other(kind) => {
            return Err(Wrong::Type(Error::ElementType { what, index, name, kind }));
        }
    };
    let quantization = tensor
        .quantization()
        .map(|stated| Quantization { scale: stated.scale, zero_point: stated.zero_point });
    Ok(Port { name, dtype, shape: tensor.shape(), quantization })
}

/// What is where: a delegate that tells how many operators it claimed has those, TFLite the others.
fn report(file: &File, interpreter: &Interpreter, place: Option<Place>) -> Report {
    let names = names(&file.bytes);
    let all: usize = names.iter().map(|(_, count)| count).sum();
    let claimed = match place {
        Some(_) => interpreter.claimed(0).unwrap_or(all),
        None => 0,
    };
    let part = |place, operators| {
        // TFLite does not tell which operators a delegate claimed.
        let names = if operators == all { names.clone() } else { Vec::new() };
        Part { place, operators, names }
    };
    let mut parts: Vec<Part> = place.map(|place| part(place, claimed)).into_iter().collect();
    if claimed < all || parts.is_empty() {
        let version = interpreter.model().library().version();
        parts.push(part(Place::Tflite(version), all.saturating_sub(claimed)));
    }
    Report { model: file.path.clone(), parts, rejected: Vec::new() }
}

/// The operators of a model, as far as they can be read.
#[cfg(feature = "converter")]
fn names(bytes: &[u8]) -> Vec<(String, usize)> {
    let contents = systole_converter::tflite::contents(bytes).unwrap_or_default();
    counted(contents.iter().map(|content| content.operator.as_str()))
}

/// Nothing reads the operators of a model without the converter.
#[cfg(not(feature = "converter"))]
fn names(_: &[u8]) -> Vec<(String, usize)> {
    counted([])
}
