//! Weights arranged for the kernels of a processor: a file in, the same model in another file out.
//!
//! Done once when a model is loaded, or offline by `systole convert --target`. The result is a file
//! as any other: it can be stored, mapped, and run on any processor, only fastest on its own.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use systole_kernels::{arch, tiles, tiles::Activations};
use zerocopy::IntoBytes;

use crate::{
    AlignedBytes, LoadError, Model, Opcode,
    format::{
        self, HEADER_BYTES, Header, Layout, NO_TENSOR, SECTION_BYTES, Section, SectionKind,
        Storage, TENSOR_BYTES, TensorRecord, u32_at,
    },
    ops::{conv2d, fully_connected},
    record::Record,
};

/// Where a constant that is vectors begins, from the beginning of the file: a line of the cache.
const LINE: usize = 64;

/// `file` with its weights packed for the processor that this runs on; `None` where it serves best as
/// it is, as a file that was packed before.
///
/// ```
/// # fn main() -> Result<(), systole_core::LoadError> {
/// # let file: &[u8] = &[];
/// # if file.is_empty() { return Ok(()); }
/// let packed = systole_core::pack(file)?;
/// let file = packed.as_ref().map_or(file, |packed| packed.as_slice());
/// let model = systole_core::Model::from_bytes(file)?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Those of [`Model::with_delegate`].
pub fn pack(file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    match arch::kernels().tiles {
        Some(activations) => pack_for(activations, file),
        None => Ok(None),
    }
}

/// [`pack`] for kernels that read activations in this way, wherever they are.
///
/// # Errors
/// Those of [`Model::with_delegate`].
pub fn pack_for(activations: Activations, file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    let aligned;
    let file = if (file.as_ptr() as usize).is_multiple_of(format::ALIGNMENT) {
        file
    } else {
        aligned = AlignedBytes::from(file);
        aligned.as_slice()
    };
    let model = Model::with_delegate(file)?;
    let mut packer = Packer::new(&model);
    let mut packed = false;
    for op in 0..model.operator_count() as u16 {
        // What cannot be packed stays as it is.
        packed |= packer.operator(op, activations).is_some();
    }
    Ok(packed.then(|| packer.write(file)))
}

/// A tensor of the new file.
struct Tensor {
    record: TensorRecord,
    /// Bytes that are not those of the old file.
    bytes: Option<Vec<u8>>,
    /// Operands that name it.
    uses: usize,
}

struct Packer<'m> {
    model: &'m Model<'m>,
    tensors: Vec<Tensor>,
    /// Tensor indices.
    operands: Vec<u16>,
}

impl<'m> Packer<'m> {
    fn new(model: &'m Model<'m>) -> Self {
        let operands: Vec<u16> =
            model.operands.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
        let ports = model.ports.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        let mut tensors: Vec<Tensor> = model
            .tensors
            .chunks_exact(TENSOR_BYTES)
            .filter_map(TensorRecord::read)
            .map(|record| Tensor { record, bytes: None, uses: 0 })
            .collect();
        for index in operands.iter().copied().chain(ports.skip(2)) {
            if let Some(tensor) = tensors.get_mut(usize::from(index)) {
                tensor.uses += 1;
            }
        }
        Self { model, tensors, operands }
    }

    /// Packs an operator's weights, if there are kernels for them.
    fn operator(&mut self, op: u16, activations: Activations) -> Option<()> {
        let record = Record::new(self.model, op)?;
        let zero_point = match Opcode::from_code(record.opcode())? {
            Opcode::Conv2d => record.params::<conv2d::Params>().weights_zero_point,
            Opcode::FullyConnected => record.params::<fully_connected::Params>().weights_zero_point,
            _ => return None,
        };
        let (x, weights) = (record.input(0).ok()?, record.input(1).ok()?);
        let [outputs, depth] = weights.filters()?;
        let shape = weights.shape();
        let grouped = shape.rank() == 4 && shape.dim(3) != x.shape().dim(3);
        if x.stored_dtype() != crate::DType::I8 || grouped {
            return None;
        }
        let plain: &[i8] = record.constant(1).ok()?;
        let mut packed = vec![0; tiles::bytes(outputs, depth)?];
        tiles::pack(plain, depth, &mut packed).ok()?;
        let bias: &[i32] = record.constant(2).ok()?;
        // In one go, or not at all.
        let room = usize::from(NO_TENSOR).checked_sub(self.tensors.len())? >= 2;
        if !room {
            return None;
        }
        if activations.offset() != 0 {
            let bias: Vec<i32> = bias
                .iter()
                .zip(plain.chunks_exact(depth))
                .map(|(bias, row)| {
                    let sum = row.iter().fold(0_i32, |sum, &w| sum.wrapping_add(w.into()));
                    let zero_points = i32::from(zero_point).wrapping_mul(depth as i32);
                    let sum = sum.wrapping_sub(zero_points);
                    bias.wrapping_sub(sum.wrapping_mul(activations.offset()))
                })
                .collect();
            self.replace(op, 2, bias.as_bytes().to_vec(), Layout::Plain)?;
        }
        self.replace(op, 1, packed.as_bytes().to_vec(), activations.into())
    }

    /// Gives an operator's input other bytes: those of its tensor, or of a new one where others use
    /// it.
    fn replace(&mut self, op: u16, input: usize, bytes: Vec<u8>, layout: Layout) -> Option<()> {
        let start = usize::from(op) * format::OPERATOR_BYTES;
        let operator = self.model.operators.get(start..)?;
        let operand = self.operands.get_mut(u32_at(operator, 4)? as usize + input)?;
        let next = self.tensors.len() as u16;
        let tensor = self.tensors.get_mut(usize::from(*operand))?;
        let record =
            TensorRecord { bytes: bytes.len() as u32, layout: layout as u8, ..tensor.record };
        let replaced = Tensor { record, bytes: Some(bytes), uses: 1 };
        if tensor.uses == 1 {
            *tensor = replaced;
        } else {
            tensor.uses -= 1;
            *operand = next;
            self.tensors.push(replaced);
        }
        Some(())
    }

    /// The new file: the sections of the old one, but for tensors, operands and constants.
    fn write(mut self, file: &[u8]) -> AlignedBytes {
        let header = Header::read(file).unwrap_or(Header {
            version: format::VERSION,
            sections: 0,
            file_bytes: 0,
            checksum: 0,
            macs: 0,
        });
        let mut out = vec![0; HEADER_BYTES + usize::from(header.sections) * SECTION_BYTES];
        for i in 0..usize::from(header.sections) {
            let at = HEADER_BYTES + i * SECTION_BYTES;
            let Some(section) = file.get(at..).and_then(Section::read) else { continue };
            let kind = SectionKind::from_code(section.kind);
            let alignment = if kind == Some(SectionKind::Constants) { LINE } else { 4 };
            out.resize(out.len().next_multiple_of(alignment), 0);
            let offset = out.len();
            match kind {
                Some(SectionKind::Tensors) => {
                    // Overwritten when it is known where constants are.
                    out.resize(offset + self.tensors.len() * TENSOR_BYTES, 0);
                }
                Some(SectionKind::Operands) => out.extend(self.operands.as_bytes()),
                Some(SectionKind::Constants) => self.constants(&mut out),
                _ => out.extend(section.slice(file).unwrap_or_default()),
            }
            let bytes = (out.len() - offset) as u32;
            let section = Section { offset: offset as u32, bytes, ..section };
            fill(&mut out, at, &section.to_bytes());
        }
        for i in 0..usize::from(header.sections) {
            let section = out.get(HEADER_BYTES + i * SECTION_BYTES..).and_then(Section::read);
            if let Some(section) = section.filter(|s| s.kind == SectionKind::Tensors as u16) {
                for (t, tensor) in self.tensors.iter().enumerate() {
                    let at = section.offset as usize + t * TENSOR_BYTES;
                    fill(&mut out, at, &tensor.record.to_bytes());
                }
            }
        }
        let mut header = Header { file_bytes: out.len() as u32, ..header };
        fill(&mut out, 0, &header.to_bytes());
        header.checksum = format::checksum(out.get(20..).unwrap_or_default());
        fill(&mut out, 0, &header.to_bytes());
        out.as_slice().into()
    }

    /// Appends the constants to `out`, each to a line of its own, and tells the records where they
    /// are.
    fn constants(&mut self, out: &mut Vec<u8>) {
        let base = out.len();
        // Tensors of the same bytes in the old file share them in the new one.
        let mut known = BTreeMap::new();
        for Tensor { record, bytes, .. } in &mut self.tensors {
            if record.storage != Storage::Constant as u8 {
                continue;
            }
            let old = (record.offset, record.bytes);
            if let (None, Some(&offset)) = (&bytes, known.get(&old)) {
                record.offset = offset;
                continue;
            }
            out.resize(out.len().next_multiple_of(LINE), 0);
            let offset = (out.len() - base) as u32;
            match bytes {
                Some(bytes) => out.extend_from_slice(bytes),
                // One that nobody uses keeps its shape, and so needs its bytes.
                None => {
                    let start = record.offset as usize;
                    let end = start + record.bytes as usize;
                    out.extend(self.model.constants().get(start..end).unwrap_or_default());
                    known.insert(old, offset);
                }
            }
            record.offset = offset;
        }
    }
}

/// Overwrites `out` from `at` on.
fn fill(out: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in out.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
