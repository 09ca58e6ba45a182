//! Packages of executables for the Edge TPU.
//!
//! Numbers of fields are those of libedgetpu's schema, `executable/executable.fbs`.

use serde::Serialize;

use super::{
    ON_CHIP_BYTES,
    buffer::{Table, read},
    flex,
};
use crate::error::{Result, Within, bail};

/// The most executables, layers of all of them, and bytes of a name: many times what compilers
/// write, and few enough that a small file cannot ask for much memory by repeating its offsets.
const MAX_EXECUTABLES: usize = 64;
const MAX_LAYERS: usize = 4096;
const MAX_NAME: usize = 1024;

/// What is in the options of one operator `edgetpu-custom-op`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Package {
    /// The oldest version of the device's runtime that runs it.
    pub min_runtime_version: i32,
    /// Version of the compiler, in its own words; may be empty.
    pub compiler_version: String,
    /// Name that a user gave; may be empty.
    pub model_identifier: String,
    /// Size of the signature over the executables in bytes; 0 where there is none.
    pub signature_bytes: usize,
    /// The executables.
    pub executables: Vec<Executable>,
}

/// What an executable is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutableKind {
    /// Runs a model, and brings its parameters with every run.
    StandAlone,
    /// Loads parameters that stay on the device.
    ParameterCaching,
    /// Runs a model whose parameters another executable has loaded.
    ExecutionOnly,
    /// A kind that the schema does not know.
    Unknown(i16),
}

/// One executable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Executable {
    /// What it is for.
    pub kind: ExecutableKind,
    /// Name of the model.
    pub name: String,
    /// The chip: `beagle` is the Edge TPU.
    pub chip: String,
    /// Inputs per run.
    pub batch_size: i32,
    /// Instructions in bytes.
    pub instruction_bytes: u64,
    /// In how many pieces they are sent.
    pub instruction_chunks: usize,
    /// Parameters in bytes.
    pub parameter_bytes: u64,
    /// Memory of the host that it needs while it runs, in bytes.
    pub scratch_bytes: i32,
    /// Executables of one token keep their parameters on the device together.
    pub caching_token: u64,
    /// The compiler's estimate of cycles; 0 where it made none.
    pub estimated_cycles: i64,
    /// What goes in.
    pub inputs: Vec<Layer>,
    /// What goes out.
    pub outputs: Vec<Layer>,
}

/// Type of a layer's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerType {
    /// Unsigned 8-bit integers with a zero point.
    U8,
    /// Unsigned 16-bit integers with a zero point.
    U16,
    /// 8-bit integers.
    I8,
    /// 16-bit integers.
    I16,
    /// 32-bit integers.
    I32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
    /// 32-bit floats.
    F32,
    /// A type that the schema does not know.
    Unknown(i16),
}

/// An input or output of an executable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Name of the tensor.
    pub name: String,
    /// Type of the elements.
    pub dtype: LayerType,
    /// Height, width, channels; 1 where there is no such dimension.
    pub shape: [i32; 3],
    /// Real value of one step.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Size in bytes, with padding.
    pub bytes: i32,
}

impl Package {
    /// Reads the options of an operator.
    ///
    /// # Errors
    /// As [`super::parts`].
    pub fn from_options(options: &[u8]) -> Result<Self> {
        Self::from_bytes(flex::text(options, "4")?)
    }

    /// Reads a package without the options around it.
    ///
    /// # Errors
    /// As [`super::parts`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let identifier: [u8; 4] = read(bytes, 4)?;
        if &identifier != b"DWN1" {
            bail!(
                Corrupt,
                "no package: bytes 4 to 8 are {:?} where \"DWN1\" belongs",
                String::from_utf8_lossy(&identifier)
            );
        }
        let package = Table::root(bytes)?;
        if package.tables(6)?.len() > 0 {
            bail!(UnsupportedFeature, "the package is for several chips; those of one are read");
        }
        let all = Table::root(package.bytes(1)?).within(|| "executables".to_owned())?;
        let texts = all.texts(0)?;
        if texts.len() > MAX_EXECUTABLES {
            bail!(TooLarge, "{} executables; at most {MAX_EXECUTABLES} are read", texts.len());
        }
        let mut layers = MAX_LAYERS;
        let executables = texts.enumerate().map(|(index, bytes)| {
            Executable::read(bytes?, &mut layers).within(|| format!("executable {index}"))
        });
        Ok(Self {
            min_runtime_version: package.i32(0)?,
            compiler_version: name(package.bytes(4)?)?,
            model_identifier: name(package.bytes(7)?)?,
            signature_bytes: package.bytes(2)?.len(),
            executables: executables.collect::<Result<_>>()?,
        })
    }

    /// Bytes of parameters that stay on the device.
    pub fn cached_bytes(&self) -> u64 {
        self.parameter_bytes(|kind| kind == ExecutableKind::ParameterCaching)
    }

    /// Bytes of parameters that are sent to the device for every run.
    pub fn streamed_bytes(&self) -> u64 {
        self.parameter_bytes(|kind| kind != ExecutableKind::ParameterCaching)
    }

    /// Whether all parameters stay on the device, and there is room for them if no other model
    /// takes it.
    pub fn fits(&self) -> bool {
        self.streamed_bytes() == 0 && self.cached_bytes() <= ON_CHIP_BYTES
    }

    fn parameter_bytes(&self, of: impl Fn(ExecutableKind) -> bool) -> u64 {
        let chosen = self.executables.iter().filter(|executable| of(executable.kind));
        chosen.fold(0, |sum, executable| sum.saturating_add(executable.parameter_bytes))
    }
}

impl Executable {
    fn read(bytes: &[u8], budget: &mut usize) -> Result<Self> {
        let table = Table::root(bytes)?;
        let mut layers = |number| {
            let layers = table.tables(number)?;
            *budget = match budget.checked_sub(layers.len()) {
                Some(left) => left,
                None => bail!(TooLarge, "more than {MAX_LAYERS} layers"),
            };
            layers.map(|layer| Layer::read(&layer?)).collect::<Result<Vec<_>>>()
        };
        let (inputs, outputs) = (layers(8)?, layers(9)?);
        let chunks = table.tables(5)?;
        let instruction_chunks = chunks.len();
        let mut instruction_bytes = 0u64;
        for chunk in chunks {
            instruction_bytes = instruction_bytes.saturating_add(chunk?.bytes(0)?.len() as u64);
        }
        // The estimate of 64 bits replaced the one of 32.
        let cycles = table.i64(16)?;
        Ok(Self {
            kind: ExecutableKind::of(table.i16(13)?),
            name: name(table.bytes(1)?)?,
            chip: name(table.bytes(10)?)?,
            batch_size: table.i32(3)?,
            instruction_bytes,
            instruction_chunks,
            parameter_bytes: table.bytes(6)?.len() as u64,
            scratch_bytes: table.i32(4)?,
            caching_token: table.u64(14)?,
            estimated_cycles: if cycles == 0 { table.i32(11)?.into() } else { cycles },
            inputs,
            outputs,
        })
    }
}

impl Layer {
    fn read(table: &Table<'_>) -> Result<Self> {
        let (zero_point, scale) = match table.table(5)? {
            Some(numerics) => (numerics.i32(0)?, numerics.f32(1)?),
            None => (0, 0.0),
        };
        Ok(Self {
            name: name(table.bytes(0)?)?,
            dtype: LayerType::of(table.i16(6)?),
            shape: [table.i32(2)?, table.i32(3)?, table.i32(4)?],
            scale,
            zero_point,
            bytes: table.i32(1)?,
        })
    }
}

impl ExecutableKind {
    fn of(number: i16) -> Self {
        match number {
            0 => Self::StandAlone,
            1 => Self::ParameterCaching,
            2 => Self::ExecutionOnly,
            other => Self::Unknown(other),
        }
    }

    /// The kind's name in prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::StandAlone => "stand-alone",
            Self::ParameterCaching => "parameter caching",
            Self::ExecutionOnly => "execution",
            Self::Unknown(_) => "unknown executable",
        }
    }
}

impl LayerType {
    fn of(number: i16) -> Self {
        match number {
            0 => Self::U8,
            1 => Self::U16,
            2 => Self::I32,
            3 => Self::Bf16,
            4 => Self::F16,
            5 => Self::F32,
            8 => Self::I8,
            9 => Self::I16,
            other => Self::Unknown(other),
        }
    }

    /// The type's name in prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
            Self::F32 => "float32",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// A name as text, whatever its bytes are: what would steer a terminal is replaced.
pub(super) fn name(bytes: &[u8]) -> Result<String> {
    let shown =
        |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    match bytes.len() <= MAX_NAME {
        true => Ok(String::from_utf8_lossy(bytes).chars().map(shown).collect()),
        false => bail!(TooLarge, "a name of {} bytes; at most {MAX_NAME} are read", bytes.len()),
    }
}
