//! Weights arranged for the kernels of a processor: a file in, the same model in another file out.
//!
//! Done once when a model is loaded, or offline by `systole convert --target`. The result is a file
//! as any other: it can be stored, mapped, and run on any processor, only fastest on its own.

use alloc::{borrow::Cow, collections::BTreeMap, vec, vec::Vec};

use half::f16;
use systole_kernels::{
    arch,
    arch::Kernels,
    fully_connected::LONG,
    packed::Int4,
    pairs, tiles,
    tiles::Activations,
    tiles_f32,
    winograd::{self, Geometry, Limits},
};
use zerocopy::{FromBytes, IntoBytes};

use crate::{
    AlignedBytes, DType, LoadError, Model, Opcode, Operators, TensorInfo,
    format::{
        self, HEADER_BYTES, Header, Layout, NO_TENSOR, SECTION_BYTES, Section, SectionKind,
        Storage, TENSOR_BYTES, TensorRecord, u16_at, u32_at,
    },
    ops::{
        conv2d, fully_connected, linear,
        window::{nhwc, window},
    },
    record::Record,
    validate,
};

/// Where a constant that is vectors begins, from the beginning of the file: a line of the cache.
const LINE: usize = 64;

/// Weights of a filter up to which tiles have four columns: eight save a product, and cost more around it.
const SHALLOW: usize = 16;

/// What weights become.
#[derive(Clone, Copy)]
enum Wanted {
    /// Tiles: of int8 for these activations, if any, and of floats.
    Tiles { activations: Option<Activations>, floats: bool, winograd: Option<Limits> },
    /// Pairs of 16 bits.
    Pairs,
}

impl Wanted {
    /// What constants begin at multiples of.
    fn alignment(self) -> usize {
        match self {
            Self::Tiles { .. } => LINE,
            // Flash is scarce there, and has no lines.
            Self::Pairs => format::ALIGNMENT,
        }
    }
}

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
/// Those of [`Model::with_delegate`]. The checksum of a file that stays as it is has not been looked at.
pub fn pack(file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    let kernels = arch::kernels();
    if kernels.tiles.is_none() && !kernels.float_tiles {
        return Ok(None);
    }
    let Kernels { tiles: activations, float_tiles: floats, winograd, .. } = *kernels;
    rewrite(Wanted::Tiles { activations, floats, winograd }, file)
}

/// [`pack`] for kernels that read int8 activations in this way, and floats in tiles, wherever they
/// are. Those that read them unsigned multiply pairs of 16 bits, too: convolutions of 3×3 for which that
/// pays have transformed weights then, of eight times the bytes ([`winograd::pays`]).
///
/// # Errors
/// Those of [`Model::with_delegate`]. The checksum of a file that stays as it is has not been looked at.
pub fn pack_for(activations: Activations, file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    let bytes = activations == Activations::Unsigned;
    let winograd = bytes.then_some(Limits::BYTES);
    rewrite(Wanted::Tiles { activations: Some(activations), floats: true, winograd }, file)
}

/// `file` with weights of int8 in pairs of 16 bits ([`systole_kernels::pairs`]), as Cortex-M4, M7 and M33
/// multiply them: those of CONV_2D of one group, and those of FULLY_CONNECTED from [`LONG`] inputs on. They
/// take twice the flash. `None` where there are none.
///
/// # Errors
/// As [`pack_for`].
pub fn pack_pairs(file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    rewrite(Wanted::Pairs, file)
}

fn rewrite(wanted: Wanted, file: &[u8]) -> Result<Option<AlignedBytes>, LoadError> {
    let aligned;
    let file = if (file.as_ptr() as usize).is_multiple_of(format::ALIGNMENT) {
        file
    } else {
        aligned = AlignedBytes::from(file);
        aligned.as_slice()
    };
    // Of damaged records, the checksum is what is wrong.
    let Ok(model) = validate::load_unsummed(file, Operators::ALL, true, None) else {
        return Model::with_delegate(file).map(|_| None);
    };
    // A file with resident weights is for a chip whose kernels read them as they are.
    if !model.residents.is_empty() {
        return Ok(None);
    }
    let mut packer = Packer::new(&model, wanted);
    let mut packed = false;
    for op in 0..model.operator_count() as u16 {
        // What cannot be packed stays as it is.
        packed |= packer.operator(op).is_some();
    }
    if !packed {
        return Ok(None);
    }
    // Damage must not get a checksum that fits it.
    validate::checksum(file)?;
    Ok(Some(packer.write(file)))
}

/// Weights as the old file has them.
#[derive(Clone, Copy)]
enum Plain<'m> {
    I8(&'m [i8]),
    /// So many of four bits.
    I4(Int4<'m>, usize),
}

impl<'m> Plain<'m> {
    /// The weights; none of those that are not what they are said to be.
    fn weights(self) -> Cow<'m, [i8]> {
        match self {
            Self::I8(weights) => weights.into(),
            Self::I4(packed, count) => {
                let mut weights = vec![0; count];
                packed.unpack(&mut weights).map_or_else(|_| Vec::new(), |()| weights).into()
            }
        }
    }
}

/// The weights of an operator.
#[derive(Clone, Copy)]
struct Weights<'m> {
    plain: Plain<'m>,
    zero_point: i32,
    /// Weights of a filter.
    depth: usize,
}

/// Where the bytes of a tensor come from.
#[derive(Clone, Copy)]
enum Source<'m> {
    /// The old file.
    File,
    /// These weights, in tiles.
    Tiles(Weights<'m>, Activations),
    /// These weights in pairs.
    Pairs(Weights<'m>),
    /// These weights transformed; of so many channels.
    Winograd(Weights<'m>, usize),
    /// These weights of four bits, each in a byte.
    Unpacked(Int4<'m>),
    /// These weights, rows of so many, in tiles.
    Floats(&'m [f32], usize),
    /// The same as bits of f16.
    Halves(&'m [u16], usize),
    /// The bytes of another tensor, which took this one's place.
    Like(u16),
    /// This bias, less what activations add that have something added to them.
    Bias(&'m [i32], Weights<'m>, Activations),
}

/// What a tensor became, as far as its weights do not say: its layout, and zero point and depth of the
/// weights.
type Kind = (u8, i32, usize);

/// Element type, rank and dimensions of a tensor.
type Form = (u8, u8, u32);

impl Source<'_> {
    fn kind(&self) -> Kind {
        match *self {
            Self::File | Self::Like(_) | Self::Unpacked(_) => (Layout::Plain as u8, 0, 0),
            Self::Tiles(weights, activations) | Self::Bias(_, weights, activations) => {
                (Layout::from(activations) as u8, weights.zero_point, weights.depth)
            }
            Self::Pairs(weights) => (Layout::Pairs as u8, weights.zero_point, weights.depth),
            Self::Winograd(weights, _) => {
                (Layout::Winograd as u8, weights.zero_point, weights.depth)
            }
            Self::Floats(_, depth) | Self::Halves(_, depth) => (Layout::Tiles as u8, 0, depth),
        }
    }
}

fn form(record: &TensorRecord) -> Form {
    (record.dtype, record.rank, record.shape)
}

/// A tensor of the new file.
struct Tensor<'m> {
    record: TensorRecord,
    source: Source<'m>,
    /// Operands that name it.
    uses: usize,
}

struct Packer<'m> {
    model: &'m Model<'m>,
    wanted: Wanted,
    tensors: Vec<Tensor<'m>>,
    /// Tensor indices.
    operands: Vec<u16>,
    /// The tensors that took the place of one that several operators share, by that, the weights that it
    /// belongs to, and what it became.
    replaced: BTreeMap<(u16, u16, Kind, Form), u16>,
}

impl<'m> Packer<'m> {
    fn new(model: &'m Model<'m>, wanted: Wanted) -> Self {
        let operands: Vec<u16> =
            model.operands.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
        let ports = model.ports.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        let mut tensors: Vec<Tensor<'_>> = model
            .tensors
            .chunks_exact(TENSOR_BYTES)
            .filter_map(TensorRecord::read)
            .map(|record| Tensor { record, source: Source::File, uses: 0 })
            .collect();
        for index in operands.iter().copied().chain(ports.skip(2)) {
            if let Some(tensor) = tensors.get_mut(usize::from(index)) {
                tensor.uses += 1;
            }
        }
        Self { model, wanted, tensors, operands, replaced: BTreeMap::new() }
    }

    /// Decides to pack an operator's weights, if there are kernels for them.
    fn operator(&mut self, op: u16) -> Option<()> {
        let (activations, floats, winograd) = match self.wanted {
            Wanted::Tiles { activations, floats, winograd } => (activations, floats, winograd),
            Wanted::Pairs => return self.pairs(op),
        };
        let record = Record::new(self.model, op)?;
        let zero_point = match Opcode::from_code(record.opcode())? {
            Opcode::Conv2d => record.params::<conv2d::Params>().weights_zero_point,
            Opcode::FullyConnected => record.params::<fully_connected::Params>().weights_zero_point,
            Opcode::DepthwiseConv2d if activations.is_some() => return self.unpack(op, &record),
            _ => return None,
        };
        let (x, weights) = (record.input(0).ok()?, record.input(1).ok()?);
        // Of weights that are stored in less, what they become has the shape.
        let (unpacked, _) = linear::weights(&record).ok()?;
        let [outputs, depth] = unpacked.filters()?;
        let shape = unpacked.shape();
        let grouped = shape.rank() == 4 && shape.dim(3) != x.shape().dim(3);
        if grouped {
            return None;
        }
        match (x.stored_dtype(), weights.stored_dtype()) {
            (DType::I8, _) => {}
            (DType::F32, DType::F32) if floats => {
                let plain: &[f32] = record.constant(1).ok()?;
                return self.floats(op, Source::Floats(plain, depth), [plain.len(), depth], 4);
            }
            (DType::F32, DType::F16) if floats => {
                // The scratch memory that it has is not used then, but has said what the shape is.
                if weights.shape().dims() != shape.dims() {
                    return None;
                }
                let halves: &[f16] = record.constant(1).ok()?;
                let bits = <[u16]>::ref_from_bytes(halves.as_bytes()).ok()?;
                return self.floats(op, Source::Halves(bits, depth), [bits.len(), depth], 2);
            }
            _ => return None,
        }
        // Of one row of activations there are no pairs, and of few inputs they are not worth their ends.
        let fours = record.output(0).ok()?.len() == outputs || depth <= SHALLOW;
        let activations = activations.map(|it| if fours { it.fours() } else { it })?;
        let plain = match weights.stored_dtype() {
            DType::U8 => Plain::I4(linear::packed(&record, false).ok()?.0, unpacked.len()),
            _ => Plain::I8(record.constant(1).ok()?),
        };
        if let (Some(limits), Some(geometry)) = (winograd, geometry(&record, &unpacked)) {
            let weights = Weights { plain, zero_point: zero_point.into(), depth };
            if winograd::pays(&geometry, &limits)
                && winograd::fits(&plain.weights(), weights.zero_point, depth)
            {
                return self.winograd(op, weights, &unpacked);
            }
        }
        let bias: &[i32] = record.constant(2).ok()?;
        let bytes = u32::try_from(tiles::bytes(activations, outputs, depth)?).ok()?;
        // In one go, or not at all.
        let room = usize::from(NO_TENSOR).checked_sub(self.tensors.len())? >= 2;
        if !room {
            return None;
        }
        let weights = Weights { plain, zero_point: zero_point.into(), depth };
        if activations.offset() != 0 {
            let source = Source::Bias(bias, weights, activations);
            self.replace(op, 2, source, size_of_val(bias) as u32, Layout::Plain, None)?;
        }
        let index = usize::from(unpacked.index());
        let form = form(&self.tensors.get(index)?.record);
        let source = Source::Tiles(weights, activations);
        self.replace(op, 1, source, bytes, activations.into(), Some(form))
    }

    /// Decides to transform the weights of a convolution of 3×3.
    fn winograd(&mut self, op: u16, weights: Weights<'m>, unpacked: &TensorInfo<'_>) -> Option<()> {
        let [outputs, channels] = [unpacked.shape().dim(0), unpacked.shape().dim(3)];
        let bytes = winograd::len(outputs, channels)?.checked_mul(size_of::<i16>())?;
        let bytes = u32::try_from(bytes).ok()?;
        // A new tensor at most.
        usize::from(NO_TENSOR).checked_sub(self.tensors.len()).filter(|&room| room >= 1)?;
        let form = form(&self.tensors.get(usize::from(unpacked.index()))?.record);
        let source = Source::Winograd(weights, channels);
        self.replace(op, 1, source, bytes, Layout::Winograd, Some(form))
    }

    /// Decides to put an operator's weights into pairs.
    fn pairs(&mut self, op: u16) -> Option<()> {
        let record = Record::new(self.model, op)?;
        let opcode = Opcode::from_code(record.opcode())?;
        let zero_point = match opcode {
            Opcode::Conv2d => record.params::<conv2d::Params>().weights_zero_point,
            Opcode::FullyConnected => record.params::<fully_connected::Params>().weights_zero_point,
            _ => return None,
        };
        let (x, weights) = (record.input(0).ok()?, record.input(1).ok()?);
        let [outputs, depth] = weights.filters()?;
        let shape = weights.shape();
        let grouped = shape.rank() == 4 && shape.dim(3) != x.shape().dim(3);
        // Short rows of a single position have a loop over bytes, which takes less code.
        let one_row = record.output(0).ok()?.len() == outputs;
        let short = opcode == Opcode::FullyConnected && one_row && depth < LONG;
        if grouped || short || x.stored_dtype() != DType::I8 {
            return None;
        }
        let plain: &[i8] = record.constant(1).ok()?;
        let bytes = pairs::len(outputs, depth)?.checked_mul(size_of::<i16>())?;
        let bytes = u32::try_from(bytes).ok()?;
        // A new tensor at most.
        usize::from(NO_TENSOR).checked_sub(self.tensors.len()).filter(|&room| room >= 1)?;
        let weights = Weights { plain: Plain::I8(plain), zero_point: zero_point.into(), depth };
        self.replace(op, 1, Source::Pairs(weights), bytes, Layout::Pairs, None)
    }

    /// Decides to store weights of four bits of a depthwise convolution in bytes, which its kernels read.
    fn unpack(&mut self, op: u16, record: &Record<'m>) -> Option<()> {
        if record.input(1).ok()?.stored_dtype() != DType::U8 {
            return None;
        }
        // What they become has the shape.
        let (unpacked, _) = linear::weights(record).ok()?;
        let (packed, _) = linear::packed(record, true).ok()?;
        usize::from(NO_TENSOR).checked_sub(self.tensors.len()).filter(|&room| room >= 1)?;
        let form = form(&self.tensors.get(usize::from(unpacked.index()))?.record);
        let bytes = u32::try_from(unpacked.len()).ok()?;
        self.replace(op, 1, Source::Unpacked(packed), bytes, Layout::Plain, Some(form))
    }

    /// Decides to pack the weights of an operator on floats, `count` in rows of `depth`, `size` bytes
    /// each.
    fn floats(
        &mut self,
        op: u16,
        source: Source<'m>,
        [count, depth]: [usize; 2],
        size: usize,
    ) -> Option<()> {
        let packed = tiles_f32::len(count.checked_div(depth)?, depth)?;
        let bytes = u32::try_from(packed.checked_mul(size)?).ok()?;
        // A new tensor at most.
        usize::from(NO_TENSOR).checked_sub(self.tensors.len()).filter(|&room| room >= 1)?;
        self.replace(op, 1, source, bytes, Layout::Tiles, None)
    }

    /// Gives an operator's input other bytes: those of its tensor, or of a new one where others use
    /// it; `shaped` where its type and shape become others, too.
    fn replace(
        &mut self,
        op: u16,
        input: usize,
        source: Source<'m>,
        bytes: u32,
        layout: Layout,
        shaped: Option<Form>,
    ) -> Option<()> {
        let weights = Record::new(self.model, op)?.operand(1)?;
        let start = usize::from(op) * format::OPERATOR_BYTES;
        let operator = self.model.operators.get(start..)?;
        let operand = self.operands.get_mut(u32_at(operator, 4)? as usize + input)?;
        let next = self.tensors.len() as u16;
        let old = *operand;
        let tensor = self.tensors.get_mut(usize::from(old))?;
        let (dtype, rank, shape) = shaped.unwrap_or_else(|| form(&tensor.record));
        let layout = layout as u8;
        let record = TensorRecord { bytes, layout, dtype, rank, shape, ..tensor.record };
        let replaced = Tensor { record, source, uses: 1 };
        // Bands of rows of one layer share its weights, and then its tiles.
        let key = (old, weights, source.kind(), (dtype, rank, shape));
        if let Some(&known) = self.replaced.get(&key) {
            *operand = known;
            tensor.uses -= 1;
            if tensor.uses == 0 {
                *tensor = Tensor { source: Source::Like(known), uses: 0, ..replaced };
            }
            return Some(());
        }
        if tensor.uses == 1 {
            *tensor = replaced;
        } else {
            tensor.uses -= 1;
            *operand = next;
            self.tensors.push(replaced);
            self.replaced.insert(key, next);
        }
        Some(())
    }

    /// The new file: the sections of the old one, but for tensors, operands and constants.
    fn write(mut self, file: &[u8]) -> AlignedBytes {
        let constants = self.place();
        let count = usize::from(u16_at(file, 10).unwrap_or(0));
        let entries = (0..count).map(|i| HEADER_BYTES + i * SECTION_BYTES);
        let sections: Vec<Section> =
            entries.filter_map(|at| Section::read(file.get(at..)?)).collect();
        let mut end = HEADER_BYTES + count * SECTION_BYTES;
        let placed: Vec<Section> = sections
            .iter()
            .map(|&section| {
                let (bytes, alignment) = match SectionKind::from_code(section.kind) {
                    Some(SectionKind::Tensors) => (self.tensors.len() * TENSOR_BYTES, 4),
                    Some(SectionKind::Operands) => (self.operands.len() * 2, 4),
                    Some(SectionKind::Constants) => (constants, self.wanted.alignment()),
                    _ => (section.bytes as usize, 4),
                };
                let offset = end.next_multiple_of(alignment);
                end = offset + bytes;
                Section { offset: offset as u32, bytes: bytes as u32, ..section }
            })
            .collect();
        let mut file_out = AlignedBytes::zeroed(end);
        let out = file_out.as_mut_slice();
        for (i, (section, old)) in placed.iter().zip(&sections).enumerate() {
            fill(out, HEADER_BYTES + i * SECTION_BYTES, &section.to_bytes());
            let start = section.offset as usize;
            match SectionKind::from_code(section.kind) {
                Some(SectionKind::Tensors) => {
                    for (t, tensor) in self.tensors.iter().enumerate() {
                        fill(out, start + t * TENSOR_BYTES, &tensor.record.to_bytes());
                    }
                }
                Some(SectionKind::Operands) => fill(out, start, self.operands.as_bytes()),
                Some(SectionKind::Constants) => {
                    self.constants(out.get_mut(start..).unwrap_or_default());
                }
                _ => fill(out, start, old.slice(file).unwrap_or_default()),
            }
        }
        if let Some(header) = Header::read(file) {
            let mut header = Header { file_bytes: end as u32, ..header };
            fill(out, 0, &header.to_bytes());
            header.checksum = format::checksum(out.get(20..).unwrap_or_default());
            fill(out, 0, &header.to_bytes());
        }
        file_out
    }

    /// Tells the records where the constants are, each on a line of its own; how long all are.
    fn place(&mut self) -> usize {
        let mut end = 0_usize;
        // Tensors of the same bytes in the old file share them in the new one.
        let mut known = BTreeMap::new();
        for Tensor { record, source, .. } in &mut self.tensors {
            if record.storage != Storage::Constant as u8 || matches!(source, Source::Like(_)) {
                continue;
            }
            let start = end.next_multiple_of(self.wanted.alignment());
            record.offset = match source {
                Source::File => *known.entry((record.offset, record.bytes)).or_insert(start as u32),
                _ => start as u32,
            };
            if record.offset as usize == start {
                end = start + record.bytes as usize;
            }
        }
        for index in 0..self.tensors.len() {
            let Some(Tensor { source: Source::Like(of), .. }) = self.tensors.get(index) else {
                continue;
            };
            let like = self.tensors.get(usize::from(*of)).map(|tensor| tensor.record);
            if let (Some(like), Some(tensor)) = (like, self.tensors.get_mut(index)) {
                tensor.record = like;
            }
        }
        end
    }

    /// Writes the constants to their section.
    fn constants(&self, out: &mut [u8]) {
        let old = self.model.tensors.chunks_exact(TENSOR_BYTES).map(TensorRecord::read);
        for (tensor, old) in self.tensors.iter().zip(old.chain(core::iter::repeat(None))) {
            if tensor.record.storage != Storage::Constant as u8 {
                continue;
            }
            let start = tensor.record.offset as usize;
            let Some(to) = out.get_mut(start..start + tensor.record.bytes as usize) else {
                continue;
            };
            match (tensor.source, old) {
                // One that nobody uses keeps its shape, and so needs its bytes.
                (Source::File, Some(old)) => {
                    let from = self.model.constants().get(old.offset as usize..);
                    fill(to, 0, from.and_then(|from| from.get(..to.len())).unwrap_or_default());
                }
                (Source::File, None) | (Source::Like(_), _) => {}
                (Source::Tiles(weights, activations), _) => {
                    let tiles = <[i8]>::mut_from_bytes(to).unwrap_or_default();
                    // The tiles have the bytes that were asked for.
                    let plain = weights.plain.weights();
                    let _packed = tiles::pack(activations, &plain, weights.depth, tiles);
                }
                (Source::Pairs(weights), _) => {
                    let pairs = <[i16]>::mut_from_bytes(to).unwrap_or_default();
                    // They have the bytes that were asked for.
                    let _packed = pairs::pack(&weights.plain.weights(), weights.depth, pairs);
                }
                (Source::Winograd(weights, channels), _) => {
                    let transformed = <[i16]>::mut_from_bytes(to).unwrap_or_default();
                    // They have the bytes that were asked for, and fit.
                    let _packed = winograd::pack(
                        &weights.plain.weights(),
                        weights.zero_point,
                        channels,
                        transformed,
                    );
                }
                (Source::Unpacked(packed), _) => {
                    let weights = <[i8]>::mut_from_bytes(to).unwrap_or_default();
                    // There are as many as the operator's scratch memory holds.
                    let _unpacked = packed.unpack(weights);
                }
                (Source::Floats(plain, depth), _) => {
                    let tiles = <[f32]>::mut_from_bytes(to).unwrap_or_default();
                    let _packed = tiles_f32::pack(plain, depth, tiles);
                }
                (Source::Halves(plain, depth), _) => {
                    let tiles = <[u16]>::mut_from_bytes(to).unwrap_or_default();
                    let _packed = tiles_f32::pack(plain, depth, tiles);
                }
                (Source::Bias(bias, weights, activations), _) => {
                    let rows = weights.plain.weights();
                    let biases = weights.bias(&rows, bias, activations);
                    for (to, bias) in to.as_chunks_mut().0.iter_mut().zip(biases) {
                        *to = bias.to_le_bytes();
                    }
                }
            }
        }
    }
}

/// The shapes of a convolution; `None` of other operators.
fn geometry(record: &Record<'_>, weights: &TensorInfo<'_>) -> Option<Geometry> {
    if Opcode::from_code(record.opcode())? != Opcode::Conv2d {
        return None;
    }
    let params: conv2d::Params = record.params();
    let [input, output] = [record.input(0).ok()?, record.output(0).ok()?];
    let shape = weights.shape();
    Some(Geometry {
        input: nhwc(&input, 0).ok()?,
        output: nhwc(&output, record.input_count()).ok()?,
        kernel: [shape.dim(1), shape.dim(2)],
        window: window(params.stride, params.dilation, params.padding).ok()?,
    })
}

impl<'m> Weights<'m> {
    /// The bias, less what these weights, `plain`, make of what is added to activations.
    fn bias(
        self,
        plain: &[i8],
        bias: &[i32],
        activations: Activations,
    ) -> impl Iterator<Item = i32> {
        bias.iter().zip(plain.chunks_exact(self.depth.max(1))).map(move |(bias, row)| {
            let sum = row.iter().fold(0_i32, |sum, &w| sum.wrapping_add(w.into()));
            let zero_points = self.zero_point.wrapping_mul(self.depth as i32);
            let sum = sum.wrapping_sub(zero_points);
            bias.wrapping_sub(sum.wrapping_mul(activations.offset()))
        })
    }
}

/// Overwrites `out` from `at` on.
fn fill(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = at.checked_add(bytes.len()).and_then(|end| out.get_mut(at..end)) {
        to.copy_from_slice(bytes);
    }
}
