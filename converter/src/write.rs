//! The writer of `.systole` files. See `docs/format.md`.

use std::collections::{HashMap, HashSet};

use systole_core::{
    MAX_RANK,
    format::{
        self, ALIGNMENT, ARENA_BYTES, FLAG_PERSISTS, FLAG_UNSIGNED, HEADER_BYTES, Header, Key,
        Layout as Arrangement, NO_TENSOR, SECTION_BYTES, Section, SectionKind, Storage,
        TensorRecord, VERSION,
    },
};

use crate::{
    arena::Layout,
    error::{Result, bail, error},
    lower::{Instruction, Program, Slot, SlotId, Source},
    options::{Names, Options},
    planner::Plan,
};

/// A written file, and which slot each of its tensors is.
#[derive(Debug, Clone)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// The slots in the order of the file's tensors.
    pub tensors: Vec<SlotId>,
    /// Bytes of the constants section.
    pub constant_bytes: usize,
}

/// Writes a program whose arena has been laid out.
///
/// # Errors
/// `TooLarge` for programs beyond the format's indices or 4 GiB.
pub fn write(program: &Program, layout: &Layout, options: &Options) -> Result<Written> {
    let tensors = used_slots(program);
    let index = tensors
        .iter()
        .enumerate()
        .map(|(i, &slot)| match u16::try_from(i) {
            Ok(i) if i != NO_TENSOR => Ok((slot, i)),
            _ => Err(error!(TooLarge, "more than {NO_TENSOR} tensors")),
        })
        .collect::<Result<HashMap<SlotId, u16>>>()?;
    let (constants, constant_offsets) = constants(program, &tensors);

    let mut shapes = Shapes::default();
    let mut records = Vec::new();
    for &id in &tensors {
        let slot = &program.slots[id.0];
        let root = program.root(id);
        let (storage, offset) = match constant_offsets.get(&root) {
            Some(&offset) => (Storage::Constant, offset),
            None => (Storage::Arena, layout.offsets[id.0].unwrap_or(0)),
        };
        let mut record = tensor_record(slot, storage, offset, shapes.index(&slot.shape)?)?;
        if storage == Storage::Arena {
            record.arena = layout.arenas[id.0];
        }
        records.extend(record.to_bytes());
    }
    let advances = advances(program, &tensors);
    let (operators, operands) = operators(program, &index)?;

    let ports: Vec<u8> = [program.inputs.len(), program.outputs.len()]
        .into_iter()
        .map(|count| u16::try_from(count).map_err(|_| error!(TooLarge, "too many inputs")))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .chain(program.inputs.iter().chain(&program.outputs).map(|slot| index[slot]))
        .flat_map(u16::to_le_bytes)
        .collect();
    let plans = layout.memories.iter().map(|memory| (&memory.plan, memory.resident_bytes()));
    let plans: Vec<(&Plan, usize)> =
        if layout.memories.is_empty() { vec![(&layout.plan, 0)] } else { plans.collect() };
    let mut arenas = Vec::with_capacity(ARENA_BYTES * plans.len());
    for (plan, resident) in plans {
        let [size, least] = [plan.arena_bytes, plan.lower_bound].map(|bytes| bytes + resident);
        arenas.extend(bytes_of(&[fit(size)?, fit(least)?, fit(resident)?, 0]));
    }
    let residents = residents(layout, &index)?;

    let constant_bytes = constants.len();
    let sections = [
        (SectionKind::Ports, ports),
        (SectionKind::Tensors, records),
        (SectionKind::Shapes, bytes_of(&shapes.dims)),
        (SectionKind::Operators, operators),
        (SectionKind::Operands, operands),
        (SectionKind::Arenas, arenas),
        (SectionKind::Constants, constants),
        (SectionKind::Metadata, metadata(program, layout, &tensors, options)),
        (SectionKind::Advances, advances),
        (SectionKind::Residents, residents),
    ];
    let bytes = assemble(&sections, program.macs())?;
    Ok(Written { bytes, tensors, constant_bytes })
}

/// The slots that operators or ports name, in the order in which they are first named.
fn used_slots(program: &Program) -> Vec<SlotId> {
    let mut seen = vec![false; program.slots.len()];
    let mut used = Vec::new();
    let named = program
        .instructions
        .iter()
        .flat_map(|Instruction { inputs, outputs, .. }| inputs.iter().flatten().chain(outputs));
    for &slot in program.inputs.iter().chain(named).chain(&program.outputs) {
        if !std::mem::replace(&mut seen[slot.0], true) {
            used.push(slot);
        }
    }
    used
}

/// The constants section, each constant at a multiple of 16, and where each one is.
fn constants(program: &Program, used: &[SlotId]) -> (Vec<u8>, HashMap<SlotId, usize>) {
    let (mut section, mut offsets) = (Vec::new(), HashMap::new());
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    for &slot in used {
        let root = program.root(slot);
        let Source::Constant(bytes) = &program.slots[root.0].source else { continue };
        // Equal bytes are stored once, whatever their type.
        let offset = *known.entry(bytes).or_insert_with(|| {
            section.resize(section.len().next_multiple_of(ALIGNMENT), 0);
            section.extend_from_slice(bytes);
            section.len() - bytes.len()
        });
        offsets.insert(root, offset);
    }
    (section, offsets)
}

fn tensor_record(slot: &Slot, storage: Storage, offset: usize, shape: u32) -> Result<TensorRecord> {
    Ok(TensorRecord {
        dtype: slot.dtype as u8,
        rank: slot.shape.len() as u8,
        storage: storage as u8,
        flags: if slot.unsigned { FLAG_UNSIGNED } else { 0 }
            | if slot.persists { FLAG_PERSISTS } else { 0 },
        shape,
        offset: fit(offset)?,
        bytes: fit(slot.bytes())?,
        scale: slot.scale,
        zero_point: i16::try_from(slot.zero_point).map_err(|_| {
            error!(InvalidQuantization, "zero point {} does not fit 16 bits", slot.zero_point)
        })?,
        arena: 0,
        layout: Arrangement::Plain as u8,
    })
}

/// The advances section: the tensors that move, and how far.
fn advances(program: &Program, tensors: &[SlotId]) -> Vec<u8> {
    let mut section = Vec::new();
    for (index, slot) in tensors.iter().enumerate() {
        let advance = program.slots[slot.0].advance;
        if advance != 0 {
            section.extend((index as u16).to_le_bytes());
            section.extend([0; 2]);
            section.extend(advance.to_le_bytes());
        }
    }
    section
}

/// The residents section: constants that are brought into arenas. The file's tensors are in the order of their
/// indices; where they lie follows from it.
fn residents(layout: &Layout, index: &HashMap<SlotId, u16>) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    for (arena, filled) in layout.memories.iter().enumerate() {
        let mut inside: Vec<(u16, usize)> =
            filled.resident.iter().map(|it| (index[&it.slot], it.bytes)).collect();
        inside.sort_unstable();
        let mut offset = filled.tensor_bytes();
        for (tensor, bytes) in inside {
            records.push((tensor, arena as u8, fit(offset)?));
            offset += bytes.next_multiple_of(ALIGNMENT);
        }
    }
    records.sort_unstable();
    let record = |(tensor, arena, offset): (u16, u8, u32)| {
        let [low, high] = tensor.to_le_bytes();
        [low, high, arena, 0].into_iter().chain(offset.to_le_bytes())
    };
    Ok(records.into_iter().flat_map(record).collect())
}

/// The operators and operands sections.
fn operators(program: &Program, index: &HashMap<SlotId, u16>) -> Result<(Vec<u8>, Vec<u8>)> {
    if program.instructions.len() > usize::from(u16::MAX) {
        bail!(TooLarge, "{} operators; at most 65535", program.instructions.len());
    }
    let (mut records, mut operands) = (Vec::new(), Vec::<u16>::new());
    for instruction in &program.instructions {
        let count = |n: usize| u16::try_from(n).map_err(|_| error!(TooLarge, "too many operands"));
        records.extend((instruction.opcode as u16).to_le_bytes());
        records.extend([instruction.rounding as u8, 0]);
        records.extend(fit(operands.len())?.to_le_bytes());
        records.extend(count(instruction.inputs.len())?.to_le_bytes());
        records.extend(count(instruction.outputs.len())?.to_le_bytes());
        records.extend(instruction.params);
        operands.extend(
            instruction.inputs.iter().map(|input| input.map_or(NO_TENSOR, |slot| index[&slot])),
        );
        operands.extend(instruction.outputs.iter().map(|slot| index[slot]));
    }
    Ok((records, operands.into_iter().flat_map(u16::to_le_bytes).collect()))
}

/// The shapes section: dimensions, each list of them once.
#[derive(Debug, Default)]
struct Shapes {
    dims: Vec<u32>,
    /// Where each run of dimensions that a shape could be is first found.
    known: HashMap<Vec<u32>, usize>,
}

impl Shapes {
    fn index(&mut self, shape: &[usize]) -> Result<u32> {
        let shape: Vec<u32> = shape.iter().map(|&dim| fit(dim)).collect::<Result<_>>()?;
        if shape.is_empty() {
            return Ok(0);
        }
        if let Some(&index) = self.known.get(&shape) {
            return fit(index);
        }
        let index = self.dims.len();
        self.dims.extend_from_slice(&shape);
        for end in index + 1..=self.dims.len() {
            for start in end.saturating_sub(MAX_RANK)..end {
                self.known.entry(self.dims[start..end].to_vec()).or_insert(start);
            }
        }
        fit(index)
    }
}

fn metadata(program: &Program, layout: &Layout, tensors: &[SlotId], options: &Options) -> Vec<u8> {
    let mut section = Vec::new();
    let mut put = |key: Key, index: usize, text: &str| {
        // Longer texts end at the last character that fits.
        let text = &text[..text.floor_char_boundary(usize::from(u16::MAX - 3))];
        let text = &text[..text.floor_char_boundary(u16::MAX.into())];
        section.extend((key as u16).to_le_bytes());
        section.extend((text.len() as u16).to_le_bytes());
        section.extend((index as u32).to_le_bytes());
        section.extend_from_slice(text.as_bytes());
        section.resize(section.len().next_multiple_of(4), 0);
    };
    let ports: HashSet<&SlotId> = program.inputs.iter().chain(&program.outputs).collect();
    for (index, slot) in tensors.iter().enumerate() {
        let port = ports.contains(slot);
        let wanted = match options.names {
            Names::None => false,
            Names::Ports => port,
            Names::All => true,
        };
        let name = &program.slots[slot.0].name;
        if wanted && !name.is_empty() {
            put(Key::TensorName, index, name);
        }
    }
    if options.names != Names::None {
        for (index, filled) in layout.memories.iter().enumerate() {
            put(Key::MemoryName, index, &filled.name);
        }
    }
    for (index, label) in options.labels.iter().enumerate() {
        put(Key::Label, index, label);
    }
    if let Some(target) = options.target {
        put(Key::Target, 0, target);
    }
    section
}

/// Header, section table and sections, with lengths and checksum filled in. Of those that a file need not
/// have, empty ones are left out.
pub(crate) fn assemble(sections: &[(SectionKind, Vec<u8>)], macs: u64) -> Result<Vec<u8>> {
    let kept: Vec<_> = sections
        .iter()
        .filter(|(kind, bytes)| {
            let optional = matches!(
                kind,
                SectionKind::Metadata
                    | SectionKind::Advances
                    | SectionKind::Apart
                    | SectionKind::Residents
            );
            !optional || !bytes.is_empty()
        })
        .collect();
    let mut file = vec![0; HEADER_BYTES + SECTION_BYTES * kept.len()];
    for (i, (kind, bytes)) in kept.iter().enumerate() {
        let alignment = if *kind == SectionKind::Constants { ALIGNMENT } else { 4 };
        file.resize(file.len().next_multiple_of(alignment), 0);
        let optional = *kind == SectionKind::Metadata;
        let entry = Section {
            kind: *kind as u16,
            flags: if optional { Section::OPTIONAL } else { 0 },
            offset: fit(file.len())?,
            bytes: fit(bytes.len())?,
        };
        file.extend_from_slice(bytes);
        let at = HEADER_BYTES + SECTION_BYTES * i;
        file[at..at + SECTION_BYTES].copy_from_slice(&entry.to_bytes());
    }
    let mut header = Header {
        version: VERSION,
        sections: kept.len() as u16,
        file_bytes: fit(file.len())?,
        checksum: 0,
        macs,
    };
    file[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    header.checksum = format::checksum(&file[20..]);
    file[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    Ok(file)
}

fn fit(number: usize) -> Result<u32> {
    u32::try_from(number).map_err(|_| error!(TooLarge, "the file would exceed 4 GiB"))
}

fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
