//! The check of a whole file, once, at load.
//!
//! Every record is decoded here exactly as it will be when the model runs, so what a run relies on
//! has been seen to hold. Nothing in a file can make this loop: it walks each section once.

use crate::ops::Operator as _;
use crate::{
    LoadError, Model, Opcode, OperatorError, Operators, TensorInfo, TensorRecordError,
    error::TensorRecordError as Bad,
    format::{
        self, ADVANCE_BYTES, ALIGNMENT, APART_BYTES, ARENA_BYTES, FLAG_PERSISTS, FLAG_UNSIGNED,
        HEADER_BYTES, Header, Layout, MAGIC, MAX_ARENAS, OPERATOR_BYTES, RESIDENT_BYTES,
        SECTION_BYTES, Section, SectionKind, Storage, TENSOR_BYTES, TensorRecord, VERSION, u16_at,
    },
    ops::{delegate, repeat},
    record::Record,
    weights,
};

use systole_kernels::{pairs, tiles, tiles::Activations, tiles_f32, winograd};

/// The most outputs that an operator of this version has, but for DELEGATE; each is compared with all
/// operands.
const MAX_OUTPUTS: usize = 4;

/// Checks `bytes` from the magic to the last operator, of which all must be `linked`. Operators for
/// accelerators need no fallback where there will be a `delegate`.
///
/// Weights that are not in the file are taken to be in `room`, whatever that holds: what they are is not
/// looked at, only how long.
pub(crate) fn load<'m>(
    bytes: &'m [u8],
    linked: Operators,
    delegate: bool,
    room: Option<&[u8]>,
) -> Result<Model<'m>, LoadError> {
    checksum(bytes)?;
    load_unsummed(bytes, linked, delegate, room)
}

/// The same but for the checksum, which takes longer than all else: for who looks at it before the
/// model is used.
pub(crate) fn load_unsummed<'m>(
    bytes: &'m [u8],
    linked: Operators,
    delegate: bool,
    room: Option<&[u8]>,
) -> Result<Model<'m>, LoadError> {
    let header = header(bytes)?;
    if !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
        return Err(LoadError::Misaligned { needed: ALIGNMENT });
    }
    let model = sections(bytes, &header, linked)?;
    weights::check_section(model.apart)?;
    let room = match room {
        Some(room) => room,
        None if model.apart.is_empty() => &[],
        None => return Err(LoadError::WeightsApart),
    };
    for tensor in 0..model.tensor_count() as u16 {
        self::tensor(&model, tensor).map_err(|error| LoadError::Tensor { tensor, error })?;
    }
    advances(&model)?;
    residents(&model)?;
    ports(&model)?;
    let needed = model.weights_room().least;
    if needed > room.len() {
        return Err(LoadError::WeightsBuffer { needed, found: room.len() });
    }
    let mut operands = 0;
    for (op, times) in (0..model.operator_count() as u16).zip(model.repetitions()) {
        operands += operator(&model, op, times, delegate, room)?;
        // Runs of operands do not overlap, so a small file cannot ask for much work here.
        if operands > model.operands.len() / 2 {
            return Err(LoadError::Section { kind: SectionKind::Operands as u16 });
        }
    }
    Ok(model)
}

fn header(bytes: &[u8]) -> Result<Header, LoadError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(LoadError::NotAModel);
    }
    let header = Header::read(bytes)
        .ok_or(LoadError::Length { stated: HEADER_BYTES as u32, found: bytes.len() })?;
    if header.version != VERSION {
        return Err(LoadError::Version { found: header.version, supported: VERSION });
    }
    if header.file_bytes as usize != bytes.len() {
        return Err(LoadError::Length { stated: header.file_bytes, found: bytes.len() });
    }
    Ok(header)
}

/// Compares the checksum with the one that a file states.
pub(crate) fn checksum(bytes: &[u8]) -> Result<(), LoadError> {
    let stated = header(bytes)?.checksum;
    let computed = format::checksum(bytes.get(20..).unwrap_or_default());
    if stated == computed { Ok(()) } else { Err(LoadError::Checksum { stated, computed }) }
}

/// Finds the sections and checks that their lengths are whole records.
fn sections<'m>(
    bytes: &'m [u8],
    header: &Header,
    linked: Operators,
) -> Result<Model<'m>, LoadError> {
    // Indexed by kind code; 0 is no kind.
    let mut found: [Option<&[u8]>; 12] = [None; 12];
    for i in 0..usize::from(header.sections) {
        let entry = bytes.get(HEADER_BYTES + i * SECTION_BYTES..).and_then(Section::read);
        let section =
            entry.ok_or(LoadError::Length { stated: header.file_bytes, found: bytes.len() })?;
        let kind = section.kind;
        let Some(known) = SectionKind::from_code(kind) else {
            if section.flags & Section::OPTIONAL != 0 {
                continue;
            }
            return Err(LoadError::UnknownSection { kind });
        };
        let record = match known {
            SectionKind::Tensors => TENSOR_BYTES,
            SectionKind::Operators => OPERATOR_BYTES,
            SectionKind::Arenas => ARENA_BYTES,
            SectionKind::Advances => ADVANCE_BYTES,
            SectionKind::Apart => APART_BYTES,
            SectionKind::Residents => RESIDENT_BYTES,
            SectionKind::Shapes => 4,
            SectionKind::Operands | SectionKind::Ports => 2,
            SectionKind::Constants | SectionKind::Metadata => 1,
        };
        let alignment = if known == SectionKind::Constants { ALIGNMENT } else { 4 };
        let slot = found.get_mut(usize::from(kind)).filter(|slot| slot.is_none());
        let slice = section
            .slice(bytes)
            .filter(|slice| slice.len().is_multiple_of(record))
            .filter(|_| (section.offset as usize).is_multiple_of(alignment));
        match (slot, slice) {
            (Some(slot), Some(slice)) => *slot = Some(slice),
            _ => return Err(LoadError::Section { kind }),
        }
        if matches!(known, SectionKind::Tensors | SectionKind::Operators)
            && section.bytes as usize / record > usize::from(u16::MAX)
        {
            return Err(LoadError::TooMany { kind });
        }
    }
    let section = |kind: SectionKind| {
        let slice = found.get(kind as usize).copied().flatten();
        slice.ok_or(LoadError::MissingSection { kind: kind as u16 })
    };
    let arenas = section(SectionKind::Arenas)?;
    let count = arenas.len() / ARENA_BYTES;
    if !(1..=MAX_ARENAS).contains(&count) {
        return Err(LoadError::Arenas { found: count });
    }
    let model = Model {
        ports: section(SectionKind::Ports)?,
        tensors: section(SectionKind::Tensors)?,
        shapes: section(SectionKind::Shapes)?,
        operators: section(SectionKind::Operators)?,
        operands: section(SectionKind::Operands)?,
        constants: section(SectionKind::Constants)?,
        metadata: section(SectionKind::Metadata).unwrap_or_default(),
        advances: section(SectionKind::Advances).unwrap_or_default(),
        apart: section(SectionKind::Apart).unwrap_or_default(),
        residents: section(SectionKind::Residents).unwrap_or_default(),
        arenas,
        macs: header.macs,
        linked,
    };
    // All of them in one piece of memory have to be countable.
    if model.arena_ranges().count() != count {
        return Err(LoadError::Section { kind: SectionKind::Arenas as u16 });
    }
    Ok(model)
}

fn tensor(model: &Model<'_>, index: u16) -> Result<(), TensorRecordError> {
    let start = usize::from(index) * TENSOR_BYTES;
    let record = model.tensors.get(start..).and_then(TensorRecord::read).ok_or(Bad::Unknown)?;
    if record.arena != 0 && record.storage != Storage::Arena as u8
        || record.flags & !(FLAG_UNSIGNED | FLAG_PERSISTS) != 0
    {
        return Err(Bad::Unknown);
    }
    let layout = Layout::from_code(record.layout).ok_or(Bad::Unknown)?;
    let dtype = crate::DType::from_code(record.dtype).ok_or(Bad::Unknown)?;
    if record.flags & FLAG_UNSIGNED != 0 && dtype != crate::DType::I8 {
        return Err(Bad::Unknown);
    }
    let limit = match record.storage {
        // Weights lie behind all tensors.
        0 => {
            let arena = usize::from(record.arena);
            let bytes = model.arenas().nth(arena).ok_or(Bad::Unknown)?;
            bytes.checked_sub(model.resident_bytes(arena)).ok_or(Bad::Place)?
        }
        1 => model.constants.len(),
        2 => model.weights_bytes(),
        _ => return Err(Bad::Unknown),
    };
    let info = TensorInfo::new(model, index, &record).ok_or(Bad::Shape)?;
    if info.shape().dims().contains(&0) {
        return Err(Bad::Shape);
    }
    let bytes = match layout {
        Layout::Plain => info.len().checked_mul(dtype.size()),
        Layout::Tiles | Layout::UnsignedTiles | Layout::DeepTiles => {
            if record.storage == Storage::Arena as u8 {
                return Err(Bad::Unknown);
            }
            let [outputs, depth] = info.filters().ok_or(Bad::Shape)?;
            match (dtype, layout.activations()) {
                (crate::DType::I8, Some(activations)) => tiles::bytes(activations, outputs, depth),
                (crate::DType::F32 | crate::DType::F16, Some(Activations::Signed)) => {
                    tiles_f32::len(outputs, depth).and_then(|len| len.checked_mul(dtype.size()))
                }
                _ => return Err(Bad::Unknown),
            }
        }
        Layout::Pairs | Layout::Winograd => {
            if record.storage != Storage::Constant as u8 || dtype != crate::DType::I8 {
                return Err(Bad::Unknown);
            }
            let [outputs, depth] = info.filters().ok_or(Bad::Shape)?;
            let len = match layout {
                Layout::Winograd => {
                    let kernel = [info.shape().dim(1), info.shape().dim(2)];
                    if info.shape().rank() != 4 || kernel != [winograd::KERNEL; 2] {
                        return Err(Bad::Shape);
                    }
                    winograd::len(outputs, info.shape().dim(3))
                }
                _ => pairs::len(outputs, depth),
            };
            len.and_then(|len| len.checked_mul(size_of::<i16>()))
        }
    };
    if bytes != Some(info.bytes()) {
        return Err(Bad::Bytes);
    }
    let end = info.offset().checked_add(info.bytes());
    // Weights are read in blocks, from the start of one, and pairs by words.
    let alignment = match layout {
        _ if info.is_apart() => ALIGNMENT,
        Layout::Pairs | Layout::Winograd => size_of::<u32>(),
        _ => dtype.size(),
    };
    if end.is_none_or(|end| end > limit) || !info.offset().is_multiple_of(alignment) {
        return Err(Bad::Place);
    }
    let zero_points = match dtype {
        crate::DType::I8 => i8::MIN.into()..=i8::MAX.into(),
        crate::DType::U8 => u8::MIN.into()..=u8::MAX.into(),
        _ => i16::MIN..=i16::MAX,
    };
    // Bytes that begin as all the same.
    let persists = record.flags & FLAG_PERSISTS != 0;
    if persists && (info.is_constant() || dtype.size() > 1 && record.zero_point != 0) {
        return Err(Bad::Persists);
    }
    let scale = record.scale.is_finite() && record.scale >= 0.0;
    if !scale || !zero_points.contains(&record.zero_point) {
        return Err(Bad::Scale);
    }
    Ok(())
}

/// Tensors that move are named once, in the order of their indices; they lie in the arena, and their
/// elements stay aligned.
fn advances(model: &Model<'_>) -> Result<(), LoadError> {
    let mut next = 0;
    for record in model.advances.as_chunks::<ADVANCE_BYTES>().0 {
        let tensor = u16_at(record, 0).unwrap_or(0);
        let invalid = LoadError::Tensor { tensor, error: Bad::Advance };
        let info = model.tensor(tensor).filter(|_| usize::from(tensor) >= next).ok_or(invalid)?;
        let aligned = (info.place.advance as isize) % (info.stored_dtype().size() as isize) == 0;
        let rests = info.place.storage != Storage::Arena || info.persists();
        if rests || !aligned || u16_at(record, 2) != Some(0) {
            return Err(invalid);
        }
        next = usize::from(tensor) + 1;
    }
    Ok(())
}

/// Resident weights are constants of the file, named once in the order of their indices, and fill the ends of
/// their arenas, one behind the other.
fn residents(model: &Model<'_>) -> Result<(), LoadError> {
    let section = LoadError::Section { kind: SectionKind::Residents as u16 };
    let mut ends = [0_usize; MAX_ARENAS];
    for (arena, (end, bytes)) in ends.iter_mut().zip(model.arenas()).enumerate() {
        *end = bytes.checked_sub(model.resident_bytes(arena)).ok_or(section)?;
        if model.resident_bytes(arena) > 0 && !end.is_multiple_of(ALIGNMENT) {
            return Err(section);
        }
    }
    let mut next = 0;
    for (tensor, arena, offset) in model.residents() {
        let invalid = LoadError::Tensor { tensor, error: Bad::Resident };
        let info = model.tensor(tensor).filter(|_| usize::from(tensor) >= next).ok_or(invalid)?;
        let end = ends.get_mut(arena).ok_or(invalid)?;
        if info.place.storage != Storage::Constant || *end != offset {
            return Err(invalid);
        }
        let rounded = info.bytes().checked_next_multiple_of(ALIGNMENT);
        *end = rounded.and_then(|bytes| end.checked_add(bytes)).ok_or(invalid)?;
        next = usize::from(tensor) + 1;
    }
    let arenas = model.arenas().enumerate().zip(ends);
    let filled = |((arena, bytes), end)| model.resident_bytes(arena) == 0 || end == bytes;
    let reserved = model.residents.as_chunks::<RESIDENT_BYTES>().0.iter();
    let zero = reserved.map(|record| record.get(3)).all(|byte| byte == Some(&0));
    if zero && arenas.into_iter().all(filled) { Ok(()) } else { Err(section) }
}

fn ports(model: &Model<'_>) -> Result<(), LoadError> {
    let count = model.input_count() + model.output_count();
    if model.ports.len() < 4 + 2 * count {
        return Err(LoadError::Section { kind: SectionKind::Ports as u16 });
    }
    for i in 0..count {
        let tensor = u16_at(model.ports, 4 + 2 * i).unwrap_or(format::NO_TENSOR);
        let valid = match model.tensor(tensor) {
            Some(info) => {
                info.layout == Layout::Plain
                    && info.place.advance == 0
                    && !info.is_apart()
                    && (i >= model.input_count() || info.place.storage == Storage::Arena)
            }
            None => false,
        };
        if !valid {
            return Err(LoadError::Port { tensor });
        }
    }
    Ok(())
}

/// Checks an operator that runs `times` times; counts its operands.
fn operator(
    model: &Model<'_>,
    op: u16,
    times: u16,
    delegated: bool,
    room: &[u8],
) -> Result<usize, LoadError> {
    let start = usize::from(op) * OPERATOR_BYTES;
    let code = model.operators.get(start..).and_then(|bytes| u16_at(bytes, 0)).unwrap_or(0);
    let opcode = Opcode::from_code(code).ok_or(LoadError::UnknownOperator { op, opcode: code })?;
    let refuse = |error| LoadError::Operator { op, opcode, error };
    let record = Record::new(model, op).ok_or(refuse(OperatorError::OperandCount))?;
    let record = record.with_weights(room);
    if opcode == Opcode::Repeat {
        repeat(model, op, &record).map_err(refuse)?;
        return Ok(0);
    }
    let most = match opcode {
        Opcode::Delegate => delegate::MAX_OUTPUTS,
        _ => MAX_OUTPUTS,
    };
    if record.output_count() > most {
        return Err(refuse(OperatorError::OperandCount));
    }
    let Some(row) = model.linked.find(opcode, &record) else {
        let output = record.output(0).map_err(refuse)?.stored_dtype();
        return Err(LoadError::NotLinked { op, opcode, output });
    };
    overlap(&record, opcode.in_place_inputs(), times).map_err(refuse)?;
    if times > 1 {
        moves(model, &record, times).map_err(refuse)?;
    }
    (row.validate)(&record).map_err(refuse)?;
    if opcode == Opcode::Delegate {
        let stand_ins = usize::from(record.params::<delegate::Params>().fallback);
        if stand_ins == 0 && !delegated {
            return Err(LoadError::NeedsDelegate { op });
        }
        if usize::from(op) + stand_ins >= model.operator_count() {
            return Err(refuse(OperatorError::Parameter(1)));
        }
    }
    Ok(record.input_count() + record.output_count())
}

/// What REPEAT repeats is there, and no other REPEAT nor a part for an accelerator is in it.
fn repeat(model: &Model<'_>, op: u16, record: &Record<'_>) -> Result<(), OperatorError> {
    repeat::Repeat::decode(record)?;
    let body = usize::from(record.params::<repeat::Params>().body);
    let first = usize::from(op) + 1;
    if first + body > model.operator_count() {
        return Err(OperatorError::Parameter(1));
    }
    let refused = [Opcode::Repeat as u16, Opcode::Delegate as u16];
    for op in first..first + body {
        if Record::new(model, op as u16).is_some_and(|it| refused.contains(&it.opcode())) {
            return Err(OperatorError::Parameter(1));
        }
    }
    Ok(())
}

/// Tensors that move stay in their arena in all of `times` repetitions.
fn moves(model: &Model<'_>, record: &Record<'_>, times: u16) -> Result<(), OperatorError> {
    for operand in 0..record.input_count() + record.output_count() {
        let Some(info) = record.operand(operand).and_then(|tensor| model.tensor(tensor)) else {
            continue;
        };
        if info.place.advance == 0 {
            continue;
        }
        let last = i64::from(times) - 1;
        let start = info.offset() as i64 + last * i64::from(info.place.advance);
        let arena = model.arenas().nth(info.arena()).unwrap_or(0);
        let arena = arena.saturating_sub(model.resident_bytes(info.arena()));
        let limit = arena as i64 - info.place.bytes as i64;
        if !(0..=limit).contains(&start) {
            return Err(OperatorError::Operand(operand as u8));
        }
    }
    Ok(())
}

/// Outputs are in the arena and share no byte with inputs or other outputs, but for the first
/// output, which may lie exactly on one of the inputs `in_place`.
fn overlap(record: &Record<'_>, in_place: &[usize], times: u16) -> Result<(), OperatorError> {
    for o in 0..record.output_count() {
        let output = record.output(o)?.place;
        if output.storage != Storage::Arena {
            return Err(OperatorError::Overlap);
        }
        for i in 0..record.input_count() {
            let Some(input) = record.given(i)? else { continue };
            let allowed = o == 0 && in_place.contains(&i) && input.place == output;
            if input.place.meets(&output, times) && !allowed {
                return Err(OperatorError::Overlap);
            }
        }
        for other in 0..o {
            if record.output(other)?.place.meets(&output, times) {
                return Err(OperatorError::Overlap);
            }
        }
    }
    Ok(())
}
