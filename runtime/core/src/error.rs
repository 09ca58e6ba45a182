//! What can go wrong, without strings: one enum per fallible operation, carrying indices.

use crate::{DType, Opcode};

/// A file that [`crate::Model::from_bytes`] refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoadError {
    /// The file does not begin with the magic bytes `SYSTOLE\0`.
    NotAModel,
    /// The bytes must begin at a multiple of this many bytes.
    Misaligned {
        /// The alignment needed.
        needed: usize,
    },
    /// The file is of another format version.
    Version {
        /// The version found.
        found: u16,
        /// The version that this runtime reads.
        supported: u16,
    },
    /// The file is shorter or longer than its header says.
    Length {
        /// The bytes that the header states.
        stated: u32,
        /// The bytes given.
        found: usize,
    },
    /// The checksum does not match: the file is damaged.
    Checksum {
        /// The checksum that the header states.
        stated: u32,
        /// The checksum of the bytes given.
        computed: u32,
    },
    /// A section lies outside the file, is misaligned, occurs twice or has an odd length.
    Section {
        /// The section's kind code.
        kind: u16,
    },
    /// A section that this version does not know and that must not be skipped.
    UnknownSection {
        /// The section's kind code.
        kind: u16,
    },
    /// A section that every model needs is missing.
    MissingSection {
        /// The section's kind code.
        kind: u16,
    },
    /// The model has no arena, or more than [`MAX_ARENAS`](crate::MAX_ARENAS).
    Arenas {
        /// How many the file states.
        found: usize,
    },
    /// A tensor record is invalid.
    Tensor {
        /// The tensor's index.
        tensor: u16,
        /// What is wrong with it.
        error: TensorRecordError,
    },
    /// An input or output is no valid tensor.
    Port {
        /// The tensor index that the ports section states.
        tensor: u16,
    },
    /// The operator's code is not one of this version.
    UnknownOperator {
        /// The operator's index.
        op: u16,
        /// The code found.
        opcode: u16,
    },
    /// The program does not link this operator for this type, see [`crate::operators!`].
    NotLinked {
        /// The operator's index.
        op: u16,
        /// Which operator it is.
        opcode: Opcode,
        /// The type of its first output.
        output: DType,
    },
    /// An operator is for an accelerator and has no fallback: the file is for
    /// [`Model::with_delegate`](crate::Model::with_delegate).
    NeedsDelegate {
        /// The operator's index.
        op: u16,
    },
    /// An operator record is invalid.
    Operator {
        /// The operator's index.
        op: u16,
        /// Which operator it is.
        opcode: Opcode,
        /// What is wrong with it.
        error: OperatorError,
    },
    /// There are more records than indices can name.
    TooMany {
        /// The section's kind code.
        kind: u16,
    },
    /// The weights lie in a memory of their own: the file is for
    /// [`Model::with_weights`](crate::Model::with_weights).
    WeightsApart,
    /// The memory that weights are read into is too small for those of one operator.
    WeightsBuffer {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
}

/// What is wrong with a tensor record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TensorRecordError {
    /// An element type, storage, layout or arena that this version does not know.
    Unknown,
    /// More dimensions than [`crate::MAX_RANK`], a dimension of 0, dimensions outside the shapes section, or too many
    /// elements.
    Shape,
    /// The length is not the product of the dimensions times the element size.
    Bytes,
    /// The tensor lies outside the arena or the constants, or is misaligned.
    Place,
    /// The tensor moves and is a constant, is named twice or out of order, or would not stay aligned.
    Advance,
    /// The scale is negative, infinite or NaN, or the zero point is none of the type's values.
    Scale,
    /// The tensor persists and is a constant, or has elements of several bytes and a zero point.
    Persists,
    /// It is to be resident, but is no constant of the file, is named out of order, or does not lie behind
    /// what is resident before it.
    Resident,
}

/// What is wrong with an operator record. Operands are counted inputs first, then outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OperatorError {
    /// An operand is not given, or is no tensor.
    Operand(u8),
    /// The operator has another number of inputs or outputs than it needs.
    OperandCount,
    /// The operand's element type is not one that the operator takes here.
    Type {
        /// The operand.
        operand: u8,
        /// Its type.
        found: DType,
    },
    /// The operand's shape does not fit the others'.
    Shape(u8),
    /// The operand has to be a constant of the file.
    NotConstant(u8),
    /// A parameter has a value that the operator does not allow; the number counts the fields of
    /// the operator's parameter record.
    Parameter(u8),
    /// The rounding code is not one that the operator takes.
    Rounding(u8),
    /// An output lies on top of an input, or is a constant.
    Overlap,
    /// The operand's elements are arranged for kernels that the operator does not have.
    Layout(u8),
    /// The operand is the operator's state, which has to persist.
    Passes(u8),
    /// The operand lies in a memory of its own, where only weights of some operators may be.
    Apart(u8),
}

/// An arena that does not serve a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The arena is too small.
    ArenaTooSmall {
        /// Bytes that the model needs.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// There is not one memory for each of the model's arenas.
    ArenaCount {
        /// Arenas that the model has.
        needed: usize,
        /// Memories given.
        found: usize,
    },
    /// One of several arenas is too small.
    OneTooSmall {
        /// Its index.
        arena: usize,
        /// Bytes that the model needs there.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The arena must begin at a multiple of this many bytes.
    ArenaMisaligned {
        /// The alignment needed.
        needed: usize,
    },
}

/// An input or output that the model does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PortError {
    /// There are fewer.
    Index {
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// None has this name, or the file's names were stripped.
    Name,
}

/// Data that does not fit a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TensorError {
    /// The tensor holds another type.
    Type {
        /// The tensor's element type.
        tensor: DType,
        /// The type asked for.
        asked: DType,
    },
    /// The tensor has another number of elements.
    Length {
        /// The tensor's elements.
        tensor: usize,
        /// The elements given.
        given: usize,
    },
    /// The tensor is neither quantized nor float, so that real numbers cannot be converted.
    NotReal {
        /// The tensor's element type.
        tensor: DType,
    },
    /// The tensor is uint8 to users but stored as int8: copy it, it cannot be borrowed.
    NotBorrowable,
}

/// A run that could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RunError {
    /// The operator that could not be executed.
    pub op: u16,
    /// Why not.
    pub why: RunFailure,
}

/// Why a run could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RunFailure {
    /// The operator does not fit its tensors. Validation at load rules it out; it is here so that
    /// nothing panics.
    Mismatch,
    /// The operator is for an accelerator, and the run was given none that takes it.
    NoDelegate,
    /// The delegate failed.
    Delegate,
    /// The operator's weights are in a memory of their own: the run is for
    /// [`Session::run_from`](crate::Session::run_from).
    WeightsApart,
}

/// Weights that could not be read from the memory that they lie in, or a run that could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightsError<E> {
    /// The memory that they are read into is too small.
    TooSmall {
        /// Bytes that are needed, from a multiple of 16 on.
        needed: usize,
        /// Bytes given, from a multiple of 16 on.
        found: usize,
    },
    /// Reading failed.
    Source {
        /// Where the bytes begin that were to be read, from the start of the weights.
        offset: u32,
        /// Why.
        error: E,
    },
    /// The checksum is not the one that the model's file states: they are another model's, or damaged.
    Checksum {
        /// The checksum that the file states.
        stated: u32,
        /// The checksum of what was read.
        computed: u32,
    },
    /// The run failed, not the reading.
    Run(RunError),
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotAModel => f.write_str("not a .systole file: it does not begin with SYSTOLE"),
            Self::Misaligned { needed } => {
                write!(f, "the model's bytes must begin at a multiple of {needed}")
            }
            Self::Version { found, supported } => {
                write!(f, "format version {found}; this runtime reads version {supported}")
            }
            Self::Length { stated, found } => {
                write!(f, "{found} bytes, but the header states {stated}: truncated or padded")
            }
            Self::Checksum { stated, computed } => {
                write!(f, "checksum {computed:08x}, but the header states {stated:08x}: damaged")
            }
            Self::Section { kind } => {
                write!(f, "section {kind} is outside the file, misaligned, repeated or uneven")
            }
            Self::UnknownSection { kind } => {
                write!(f, "section {kind} is unknown to this version and must not be skipped")
            }
            Self::MissingSection { kind } => write!(f, "section {kind} is missing"),
            Self::Arenas { found } => {
                write!(f, "the model states {found} arenas; there are 1 to {}", crate::MAX_ARENAS)
            }
            Self::Tensor { tensor, error } => write!(f, "tensor {tensor}: {error}"),
            Self::Port { tensor } => {
                write!(f, "the inputs and outputs name tensor {tensor}, which cannot be one")
            }
            Self::UnknownOperator { op, opcode } => {
                write!(f, "operator {op} has code {opcode}, which this version does not know")
            }
            Self::NotLinked { op, opcode, output } => {
                let name = opcode.name();
                write!(f, "operator {op} ({name} to {output}) is not linked into this program")
            }
            Self::NeedsDelegate { op } => {
                write!(
                    f,
                    "operator {op} ({}) is for an accelerator, and the file has no fallback for it",
                    Opcode::Delegate.name()
                )
            }
            Self::Operator { op, opcode, error } => {
                write!(f, "operator {op} ({}): {error}", opcode.name())
            }
            Self::TooMany { kind } => write!(f, "section {kind} has too many records"),
            Self::WeightsApart => f.write_str("the weights are not in the file; they lie apart"),
            Self::WeightsBuffer { needed, found } => {
                write!(f, "weights are read into at least {needed} bytes, but got {found}")
            }
        }
    }
}

impl core::fmt::Display for TensorRecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown element type, storage, layout or arena",
            Self::Shape => "more than 6 dimensions, or dimensions that are 0, too large or missing",
            Self::Bytes => "its length does not fit its shape",
            Self::Place => "it lies outside the arena or the constants, or is misaligned",
            Self::Advance => "it moves, but is a constant, out of order, or would be misaligned",
            Self::Persists => {
                "it persists, but is a constant, or has elements of several bytes and a zero point"
            }
            Self::Resident => {
                "it is to be resident, but is no constant, out of order, or not behind the one before it"
            }
            Self::Scale => {
                "its scale is negative, infinite or not a number, or its zero point out of range"
            }
        })
    }
}

impl core::fmt::Display for OperatorError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Operand(i) => write!(f, "operand {i} is missing or no tensor"),
            Self::OperandCount => f.write_str("wrong number of inputs or outputs"),
            Self::Type { operand, found } => write!(f, "operand {operand} cannot be {found}"),
            Self::Shape(i) => write!(f, "the shape of operand {i} does not fit the others"),
            Self::NotConstant(i) => write!(f, "operand {i} must be a constant"),
            Self::Parameter(i) => write!(f, "parameter {i} has a value that is not allowed"),
            Self::Rounding(code) => write!(f, "rounding code {code} is not allowed"),
            Self::Overlap => f.write_str("an output lies on top of an input or a constant"),
            Self::Layout(operand) => {
                write!(f, "operand {operand} is packed for kernels that the operator does not have")
            }
            Self::Apart(i) => write!(f, "operand {i} must be in the arena or the file"),
            Self::Passes(i) => write!(f, "operand {i} is state, and has to persist between runs"),
        }
    }
}

impl core::fmt::Display for SessionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::ArenaTooSmall { needed, found } => {
                write!(f, "the model needs an arena of {needed} bytes, but got {found}")
            }
            Self::ArenaCount { needed, found } => {
                write!(f, "the model has {needed} arenas, but got {found}")
            }
            Self::OneTooSmall { arena, needed, found } => {
                write!(f, "the model needs {needed} bytes in arena {arena}, but got {found}")
            }
            Self::ArenaMisaligned { needed } => {
                write!(f, "the arena must begin at a multiple of {needed} bytes")
            }
        }
    }
}

impl core::fmt::Display for PortError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Index { index, count } => write!(f, "there is no tensor {index}, only {count}"),
            Self::Name => f.write_str("no tensor has this name, or names were stripped"),
        }
    }
}

impl core::fmt::Display for TensorError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Type { tensor, asked } => write!(f, "the tensor holds {tensor}, not {asked}"),
            Self::Length { tensor, given } => {
                write!(f, "the tensor has {tensor} elements, not {given}")
            }
            Self::NotReal { tensor } => {
                write!(f, "{tensor} without scale cannot be converted to real numbers")
            }
            Self::NotBorrowable => {
                f.write_str("uint8 tensors are stored as int8: copy them instead of borrowing")
            }
        }
    }
}

impl core::fmt::Display for RunError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let why = match self.why {
            RunFailure::Mismatch => "does not fit its tensors",
            RunFailure::NoDelegate => "is for an accelerator, and nothing else takes it",
            RunFailure::Delegate => "failed on its accelerator",
            RunFailure::WeightsApart => "has its weights in a memory of their own",
        };
        write!(f, "operator {} {why}", self.op)
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for WeightsError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooSmall { needed, found } => {
                write!(f, "weights are read into at least {needed} bytes, but got {found}")
            }
            Self::Source { offset, error } => {
                write!(f, "weights cannot be read at {offset}: {error:?}")
            }
            Self::Checksum { stated, computed } => {
                write!(f, "weights of checksum {computed:08x}, but the file states {stated:08x}")
            }
            Self::Run(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for LoadError {}
impl<E: core::fmt::Debug> core::error::Error for WeightsError<E> {}
impl core::error::Error for TensorRecordError {}
impl core::error::Error for OperatorError {}
impl core::error::Error for SessionError {}
impl core::error::Error for PortError {}
impl core::error::Error for TensorError {}
impl core::error::Error for RunError {}
