//! A `.systole` file in two: what validation reads, and weights for a memory that cannot be mapped.
//!
//! The weights of convolutions and fully connected layers go apart, in the order in which a run needs them;
//! biases, scales and tables stay. See [`systole_core::format`] and `docs/format.md`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use systole_core::{
    AlignedBytes, LoadError, Model, Opcode, Operators, Weights, WeightsRoom,
    format::{
        self, ALIGNMENT, HEADER_BYTES, Header, SECTION_BYTES, Section, SectionKind, Storage,
        TENSOR_BYTES, TensorRecord,
    },
};

use crate::{
    error::{Class, Error, Result, bail, error},
    write::assemble,
};

/// The most bytes of weights, and of memory that they are read into, that are taken on.
const MAX_WEIGHTS: usize = 1 << 30;

/// The two parts of a model.
#[derive(Debug, Clone)]
pub struct Split {
    /// The `.systole` file, for mapped memory.
    pub file: AlignedBytes,
    /// The weights, for any other.
    pub weights: Vec<u8>,
}

/// What it takes to run weights from another memory, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// Bytes of the weights.
    pub bytes: usize,
    /// RAM that they are read into.
    pub room: WeightsRoom,
}

impl Apart {
    /// The figures of a model; `None` where all of its weights are in its file.
    pub fn of(model: &Model<'_>) -> Option<Self> {
        let bytes = model.weights_bytes();
        (bytes > 0).then(|| Self { bytes, room: model.weights_room() })
    }

    /// The figures for machines.
    pub fn to_json(&self) -> Value {
        json!({
            "bytes": self.bytes,
            "buffer_bytes": self.room.double,
            "least_buffer_bytes": self.room.least,
        })
    }
}

impl std::fmt::Display for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, room: WeightsRoom { least, double } } = self;
        write!(
            f,
            "apart      {bytes} bytes of weights, read into {double} bytes of RAM, those of two layers; \
             {least} at least"
        )
    }
}

/// Takes the weights out of a file. One that has none comes back with none.
///
/// # Errors
/// `TooLarge` for more than 1 GiB of them; `UnsupportedFeature` where some are resident; `Corrupt` for a file that is not valid, or whose weights are apart already.
pub fn split(file: &[u8]) -> Result<Split> {
    let model = Model::with_delegate(file).map_err(corrupt)?;
    if model.residents().next().is_some() {
        bail!(
            UnsupportedFeature,
            "weights apart are read into RAM as they are needed; --memory must have no flash that others \
             are copied from"
        );
    }
    let mut tensors = tensors(file)?;
    let mut weights = Vec::new();
    // By what they are now, because tensors may share bytes.
    let mut moved: HashMap<(u32, u32), u32> = HashMap::new();
    for tensor in movable(&model) {
        let record = &mut tensors[usize::from(tensor)];
        let bytes = model.constants().get(record.offset as usize..).unwrap_or_default();
        let bytes = bytes.get(..record.bytes as usize).unwrap_or_default();
        let offset = *moved.entry((record.offset, record.bytes)).or_insert_with(|| {
            let offset = weights.len();
            weights.extend_from_slice(bytes);
            weights.resize(weights.len().next_multiple_of(ALIGNMENT), 0);
            offset as u32
        });
        // Tensors may share bytes, but not here: a small file can ask for much.
        if weights.len() > MAX_WEIGHTS {
            bail!(TooLarge, "the weights would take more than {MAX_WEIGHTS} bytes");
        }
        (record.storage, record.offset) = (Storage::Apart as u8, offset);
    }
    let constants = keep(model.constants(), &mut tensors);
    let mut apart = (weights.len() as u32).to_le_bytes().to_vec();
    apart.extend(format::checksum(&weights).to_le_bytes());
    apart.extend([0; 8]);
    let apart = if weights.is_empty() { Vec::new() } else { apart };
    let file = rewrite(file, &tensors, constants, apart)?;
    Ok(Split { file, weights })
}

/// Puts the parts of a model together again, to a file that has its weights. A file that has them comes back
/// as it is.
///
/// # Errors
/// `Corrupt` for a file that is not valid, or weights that are not its own.
pub fn join(file: &[u8], weights: &[u8]) -> Result<AlignedBytes> {
    let stated = with_model(file, |model| (model.weights_bytes(), model.weights_checksum()))?;
    let mut constants = section(file, SectionKind::Constants).to_vec();
    if stated.0 == 0 {
        return Ok(AlignedBytes::from(file));
    }
    if stated != (weights.len(), format::checksum(weights)) {
        bail!(Corrupt, "the weights are damaged, or not those of this model");
    }
    constants.resize(constants.len().next_multiple_of(ALIGNMENT), 0);
    let mut tensors = tensors(file)?;
    for record in tensors.iter_mut().filter(|record| record.storage == Storage::Apart as u8) {
        let offset = (record.offset as usize + constants.len()).try_into();
        record.offset = offset.map_err(|_| error!(TooLarge, "the file would exceed 4 GiB"))?;
        record.storage = Storage::Constant as u8;
    }
    constants.extend_from_slice(weights);
    rewrite(file, &tensors, constants, Vec::new())
}

/// Validates a file whose weights may be apart, and looks at it.
///
/// # Errors
/// `Corrupt` says what the runtime refuses; `TooLarge` where the largest weights would take 1 GiB.
pub fn with_model<T>(file: &[u8], look: impl FnOnce(&Model<'_>) -> T) -> Result<T> {
    match Model::with_delegate(file) {
        Err(LoadError::WeightsApart) => {}
        model => return Ok(look(&model.map_err(corrupt)?)),
    }
    // The room that it needs is what the runtime says that it needs.
    let validate = |room: usize, look: &mut dyn FnMut(&Model<'_>)| {
        let mut buffer = AlignedBytes::zeroed(room);
        let weights = Weights::new((), buffer.as_mut_slice());
        Model::with_weights(file, Operators::ALL, &weights).map(|model| look(&model))
    };
    let (mut look, mut found) = (Some(look), None);
    let mut look = |model: &Model<'_>| found = look.take().map(|look| look(model));
    match validate(0, &mut look) {
        Err(LoadError::WeightsBuffer { needed, .. }) if needed > MAX_WEIGHTS => {
            bail!(TooLarge, "weights of one operator are said to take {needed} bytes");
        }
        Err(LoadError::WeightsBuffer { needed, .. }) => validate(needed, &mut look),
        other => other,
    }
    .map_err(corrupt)?;
    found.ok_or_else(|| error!(Corrupt, "the file was not read"))
}

fn corrupt(problem: LoadError) -> Error {
    Error::new(Class::Corrupt, problem.to_string())
}

/// The tensors that may lie apart, in the order of the operators that they are weights of.
fn movable(model: &Model<'_>) -> Vec<u16> {
    let linear = [Opcode::Conv2d, Opcode::DepthwiseConv2d, Opcode::FullyConnected];
    let (mut weights, mut others) = (Vec::new(), HashSet::new());
    for operator in (0..model.operator_count() as u16).filter_map(|op| model.operator(op)) {
        let record = operator.record();
        for operand in 0..record.input_count() + record.output_count() {
            let Some(tensor) = record.operand(operand) else { continue };
            let constant = model.tensor(tensor).is_some_and(|info| info.is_constant());
            if operand == 1 && constant && linear.contains(&operator.opcode()) {
                weights.push(tensor);
            } else {
                others.insert(tensor);
            }
        }
    }
    others.extend(model.outputs().map(|info| info.index()));
    let mut known = HashSet::new();
    weights.retain(|tensor| !others.contains(tensor) && known.insert(*tensor));
    weights
}

/// The constants that tensors are in, each where it was modulo 16; tensors that share bytes go on to.
fn keep(constants: &[u8], tensors: &mut [TensorRecord]) -> Vec<u8> {
    let constant = |record: &&mut TensorRecord| record.storage == Storage::Constant as u8;
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for record in tensors.iter_mut().filter(constant) {
        let (start, end) = (record.offset as usize, record.offset as usize + record.bytes as usize);
        let known = ends.entry(start - start % ALIGNMENT).or_default();
        *known = end.max(*known);
    }
    // Runs of bytes that some tensor is in: where they begin, end, and are to be.
    let (mut runs, mut kept) = (Vec::<[usize; 3]>::new(), Vec::new());
    for (start, end) in ends {
        match runs.last_mut() {
            Some(run) if start < run[1] => run[1] = end.max(run[1]),
            _ => runs.push([start, end, 0]),
        }
    }
    for [start, end, place] in &mut runs {
        kept.resize(kept.len().next_multiple_of(ALIGNMENT), 0);
        *place = kept.len();
        kept.extend_from_slice(constants.get(*start..*end).unwrap_or_default());
    }
    for record in tensors.iter_mut().filter(constant) {
        let run = runs.partition_point(|run| run[0] <= record.offset as usize);
        let [start, _, place] = runs[run - 1];
        record.offset = (record.offset as usize - start + place) as u32;
    }
    kept
}

/// The file with other tensor records and constants.
fn rewrite(
    file: &[u8],
    tensors: &[TensorRecord],
    constants: Vec<u8>,
    apart: Vec<u8>,
) -> Result<AlignedBytes> {
    let macs = Header::read(file).map_or(0, |header| header.macs);
    let copied = |kind| (kind, section(file, kind).to_vec());
    let sections = [
        copied(SectionKind::Ports),
        (SectionKind::Tensors, tensors.iter().flat_map(TensorRecord::to_bytes).collect()),
        copied(SectionKind::Shapes),
        copied(SectionKind::Operators),
        copied(SectionKind::Operands),
        copied(SectionKind::Arenas),
        (SectionKind::Constants, constants),
        copied(SectionKind::Metadata),
        copied(SectionKind::Advances),
        (SectionKind::Apart, apart),
        copied(SectionKind::Residents),
    ];
    Ok(AlignedBytes::from(&assemble(&sections, macs)?[..]))
}

fn tensors(file: &[u8]) -> Result<Vec<TensorRecord>> {
    let records = section(file, SectionKind::Tensors).chunks_exact(TENSOR_BYTES);
    records
        .map(|record| TensorRecord::read(record).ok_or_else(|| error!(Corrupt, "a tensor")))
        .collect()
}

/// A section's bytes; empty where it is missing.
fn section(file: &[u8], kind: SectionKind) -> &[u8] {
    let count = Header::read(file).map_or(0, |header| usize::from(header.sections));
    let entries = file.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(SECTION_BYTES);
    let found = entries.take(count).filter_map(Section::read);
    let found = found.into_iter().find(|section| section.kind == kind as u16);
    found.and_then(|section| section.slice(file)).unwrap_or_default()
}
