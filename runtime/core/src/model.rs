//! A validated file.

use systole_kernels::Shape;

use crate::{
    DType, LoadError, Opcode, Operators, Quantization, Record, Weights,
    format::{
        ADVANCE_BYTES, ALIGNMENT, ARENA_BYTES, Entries, Entry, FLAG_PERSISTS, FLAG_UNSIGNED, Key,
        Layout, OPERATOR_BYTES, RESIDENT_BYTES, Storage, TENSOR_BYTES, TensorRecord, u16_at,
        u32_at,
    },
    memory::Place,
    ops::repeat,
    validate,
};

/// A `.systole` file, read in place: it borrows the bytes and owns nothing.
#[derive(Debug, Clone, Copy)]
pub struct Model<'m> {
    pub(crate) ports: &'m [u8],
    pub(crate) tensors: &'m [u8],
    pub(crate) shapes: &'m [u8],
    pub(crate) operators: &'m [u8],
    pub(crate) operands: &'m [u8],
    pub(crate) constants: &'m [u8],
    pub(crate) metadata: &'m [u8],
    pub(crate) advances: &'m [u8],
    pub(crate) arenas: &'m [u8],
    /// The section on resident weights; empty where there are none.
    pub(crate) residents: &'m [u8],
    pub(crate) macs: u64,
    /// The section on weights apart; empty where all weights are in the file.
    pub(crate) apart: &'m [u8],
    pub(crate) linked: Operators,
}

/// What a file says of a tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorInfo<'m> {
    pub(crate) dtype: DType,
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    shape: Shape,
    flags: u8,
    scale: f32,
    zero_point: i16,
    index: u16,
    arena: u8,
    /// Where its arena begins.
    base: usize,
    metadata: &'m [u8],
}

/// An operator of a [`Model`].
#[derive(Debug, Clone, Copy)]
pub struct Operator<'m> {
    opcode: Opcode,
    record: Record<'m>,
}

impl<'m> Model<'m> {
    /// Reads a file in place, after checking every record of it. `bytes` must begin at a multiple
    /// of 16; see [`crate::Aligned`].
    ///
    /// The check is complete: a model that passes cannot make [`crate::Session::run`] fail, read or
    /// write outside its tensors, or run on for ever.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong, and at which record.
    pub fn from_bytes(bytes: &'m [u8]) -> Result<Self, LoadError> {
        validate::load(bytes, Operators::ALL, false, None)
    }

    /// As [`Model::from_bytes`], for a program that has a [`Delegate`](crate::Delegate): operators that
    /// are for an accelerator need no fallback. Sessions run with
    /// [`Session::run_with`](crate::Session::run_with).
    ///
    /// # Errors
    /// As [`Model::from_bytes`], without [`LoadError::NeedsDelegate`].
    pub fn with_delegate(bytes: &'m [u8]) -> Result<Self, LoadError> {
        validate::load(bytes, Operators::ALL, true, None)
    }

    /// As [`Model::from_bytes`], for a file that has no other operators than these; the kernels of
    /// others are not linked. See [`operators!`](crate::operators!).
    ///
    /// # Errors
    /// [`LoadError::NotLinked`], which names the first operator that is not among them, and those
    /// of [`Model::from_bytes`].
    pub fn with_operators(bytes: &'m [u8], operators: Operators) -> Result<Self, LoadError> {
        validate::load(bytes, operators, false, None)
    }

    /// Reads a file whose weights lie in a memory that cannot be mapped, a flash chip behind a bus:
    /// `systole convert --weights-apart` writes the two. Sessions run with
    /// [`Session::run_from`](crate::Session::run_from). Nothing of the weights is read here; only the room
    /// that `weights` has for them is checked. [`Weights::verify`] reads them once and checks that they are
    /// the file's.
    ///
    /// # Errors
    /// As [`Model::with_operators`]; [`LoadError::WeightsBuffer`] where the largest weights of one operator
    /// do not fit.
    pub fn with_weights<S>(
        bytes: &'m [u8],
        operators: Operators,
        weights: &Weights<'_, S>,
    ) -> Result<Self, LoadError> {
        validate::load(bytes, operators, false, Some(weights.room()))
    }

    /// Bytes of arena that a session needs: where there are several, of all of them in one piece of memory.
    pub fn arena_bytes(&self) -> usize {
        self.arena_ranges().last().map_or(0, |(base, bytes)| base.saturating_add(bytes))
    }

    /// The largest sum of tensors that are alive at once: no plan can need less. Where there are several
    /// arenas, the sum of what they cannot do without.
    pub fn arena_lower_bound(&self) -> usize {
        let records = self.arenas.as_chunks::<ARENA_BYTES>().0;
        let bounds = records.iter().filter_map(|record| u32_at(record, 4));
        bounds.fold(0, |sum: usize, bound| sum.saturating_add(bound as usize))
    }

    /// Bytes of each arena, for [`Session::in_arenas`](crate::Session::in_arenas): 1 to
    /// [`MAX_ARENAS`](crate::MAX_ARENAS) of them.
    pub fn arenas(&self) -> impl ExactSizeIterator<Item = usize> + use<'m> {
        let records = self.arenas.as_chunks::<ARENA_BYTES>().0;
        records.iter().map(|record| u32_at(record, 0).unwrap_or(0) as usize)
    }

    /// Where each arena begins, counted over all of them, and its bytes.
    pub(crate) fn arena_ranges(&self) -> impl Iterator<Item = (usize, usize)> + use<'m> {
        let mut base = Some(0_usize);
        self.arenas().map_while(move |bytes| {
            let begin = base?;
            let end = begin.checked_add(bytes);
            base = end.and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
            end.map(|_| (begin, bytes))
        })
    }

    /// Bytes at the end of an arena that hold weights.
    pub(crate) fn resident_bytes(&self, arena: usize) -> usize {
        let record = self.arenas.as_chunks::<ARENA_BYTES>().0.get(arena);
        record.and_then(|record| u32_at(record, 8)).unwrap_or(0) as usize
    }

    /// Weights that a session copies into its arenas when it is made, and that kernels read there: a tensor's
    /// index, its arena, and its offset there.
    pub fn residents(&self) -> impl Iterator<Item = (u16, usize, usize)> + use<'m> {
        self.residents.as_chunks::<RESIDENT_BYTES>().0.iter().filter_map(resident)
    }

    /// Where a constant is copied to: an arena, and its offset there; `None` of those that are read in the file.
    pub fn resident(&self, tensor: u16) -> Option<(usize, usize)> {
        let records = self.residents.as_chunks::<RESIDENT_BYTES>().0;
        let index = |record: &[u8; RESIDENT_BYTES]| u16_at(record, 0).unwrap_or(0);
        let found = records.binary_search_by_key(&tensor, index).ok()?;
        let (_, arena, offset) = resident(records.get(found)?)?;
        Some((arena, offset))
    }

    /// The name of the memory that an arena is for, where the file has names.
    pub fn memory_name(&self, arena: usize) -> Option<&'m str> {
        let index = u32::try_from(arena).ok()?;
        find(self.metadata, Key::MemoryName, index).map(|entry| entry.text)
    }

    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Upper bound of the elementary steps of one inference, products and copied elements, computed
    /// from the records themselves, unlike [`Model::macs`], which the file states. A valid file can
    /// ask for more than anyone has time for: compare before running one that nobody vouches for.
    pub fn work(&self) -> u64 {
        let records = (0..self.operator_count() as u16).map(|op| Record::new(self, op));
        records.zip(self.repetitions()).fold(0, |sum, (record, times)| {
            let Some(record) = record else { return sum };
            let row =
                Opcode::from_code(record.opcode()).and_then(|op| self.linked.find(op, &record));
            let work = row.map_or(0, |row| (row.work)(&record));
            sum.saturating_add(work.saturating_mul(times.into()))
        })
    }

    /// Number of tensors, constants included.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len() / TENSOR_BYTES
    }

    /// Number of operators.
    pub fn operator_count(&self) -> usize {
        self.operators.len() / OPERATOR_BYTES
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        u16_at(self.ports, 0).unwrap_or(0).into()
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        u16_at(self.ports, 2).unwrap_or(0).into()
    }

    /// The input with this index.
    pub fn input(&self, index: usize) -> Option<TensorInfo<'m>> {
        if index >= self.input_count() {
            return None;
        }
        self.tensor(u16_at(self.ports, 4 + 2 * index)?)
    }

    /// The output with this index.
    pub fn output(&self, index: usize) -> Option<TensorInfo<'m>> {
        if index >= self.output_count() {
            return None;
        }
        self.tensor(u16_at(self.ports, 4 + 2 * (self.input_count() + index))?)
    }

    /// All inputs.
    pub fn inputs(&self) -> impl Iterator<Item = TensorInfo<'m>> + use<'_, 'm> {
        (0..self.input_count()).map_while(|index| self.input(index))
    }

    /// All outputs.
    pub fn outputs(&self) -> impl Iterator<Item = TensorInfo<'m>> + use<'_, 'm> {
        (0..self.output_count()).map_while(|index| self.output(index))
    }

    /// The tensor with this index.
    pub fn tensor(&self, index: u16) -> Option<TensorInfo<'m>> {
        let start = usize::from(index) * TENSOR_BYTES;
        let record = TensorRecord::read(self.tensors.get(start..start + TENSOR_BYTES)?)?;
        TensorInfo::new(self, index, &record)
    }

    /// How many bytes further a tensor lies with each repetition of the operators that use it, 0 for most.
    fn advance(&self, index: u16) -> i32 {
        let records = self.advances.as_chunks::<ADVANCE_BYTES>().0;
        let tensor = |record: &[u8; ADVANCE_BYTES]| u16_at(record, 0).unwrap_or(0);
        let found = records.binary_search_by_key(&index, tensor).ok();
        let record = found.and_then(|at| records.get(at));
        record.and_then(|record| u32_at(record, 4)).map_or(0, |bytes| bytes as i32)
    }

    /// How often each operator runs in an inference, in their order.
    pub fn repetitions(&self) -> impl Iterator<Item = u16> + use<'_, 'm> {
        let (mut left, mut times) = (0, 1);
        (0..self.operator_count() as u16).map(move |op| {
            let record = Record::new(self, op);
            if let Some(repeat) = record.filter(|record| record.opcode() == Opcode::Repeat as u16) {
                let repeat::Params { count, body } = repeat.params();
                (left, times) = (body, count);
                return 1;
            }
            if left == 0 {
                return 1;
            }
            left -= 1;
            times
        })
    }

    /// The operators of an inference by their indices, those that are repeated as often as they run; with
    /// a delegate, parts that stand in for it are passed over.
    pub fn steps(&self) -> impl Iterator<Item = u16> + use<'_, 'm> {
        let mut runs =
            self.repetitions().enumerate().map(|(op, times)| (op as u16, times)).peekable();
        core::iter::from_fn(move || {
            let (first, times) = runs.next()?;
            // Operators of one body follow each other, and no other body is right behind them.
            let mut end = first + 1;
            while times > 1 && runs.next_if(|&(_, next)| next == times).is_some() {
                end += 1;
            }
            Some((0..times).flat_map(move |_| first..end))
        })
        .flatten()
    }

    /// The operator with this index, in order of execution.
    pub fn operator(&'m self, index: u16) -> Option<Operator<'m>> {
        let record = Record::new(self, index)?;
        Some(Operator { opcode: Opcode::from_code(record.opcode())?, record })
    }

    /// The strings of the file.
    pub fn metadata(&self) -> Entries<'m> {
        Entries::new(self.metadata)
    }

    /// The name of the class `index`, where the file has labels.
    pub fn label(&self, index: usize) -> Option<&'m str> {
        let index = u32::try_from(index).ok()?;
        find(self.metadata, Key::Label, index).map(|entry| entry.text)
    }

    /// The tensors that keep their bytes from one run to the next: the state of recurrent layers.
    pub fn state(&self) -> impl Iterator<Item = TensorInfo<'m>> + '_ {
        // Not every tensor is decoded for the few that persist, if any do.
        let flags =
            self.tensors.as_chunks::<TENSOR_BYTES>().0.iter().map(|[_, _, _, flags, ..]| flags);
        let persist = (0_u16..).zip(flags).filter(|(_, flags)| *flags & FLAG_PERSISTS != 0);
        persist.filter_map(|(index, _)| self.tensor(index))
    }

    /// The constants section: weights and tables.
    pub fn constants(&self) -> &'m [u8] {
        self.constants
    }

    pub(crate) fn operators_section(&self) -> &'m [u8] {
        self.operators
    }

    pub(crate) fn operands_section(&self) -> &'m [u8] {
        self.operands
    }
}

impl<'m> TensorInfo<'m> {
    /// The decoded record; `None` where its codes or its shape are invalid.
    pub(crate) fn new(model: &Model<'m>, index: u16, record: &TensorRecord) -> Option<Self> {
        let mut dims = [0; systole_kernels::MAX_RANK];
        let dims = dims.get_mut(..usize::from(record.rank))?;
        for (i, dim) in dims.iter_mut().enumerate() {
            let at = (record.shape as usize).checked_add(i)?.checked_mul(4)?;
            *dim = u32_at(model.shapes, at)?;
        }
        let base = match record.arena {
            0 => 0,
            arena => model.arena_ranges().nth(arena.into())?.0,
        };
        Some(Self {
            dtype: DType::from_code(record.dtype)?,
            arena: record.arena,
            base,
            place: Place {
                storage: Storage::from_code(record.storage)?,
                offset: base.checked_add(record.offset as usize)?,
                bytes: record.bytes as usize,
                advance: model.advance(index),
            },
            layout: Layout::from_code(record.layout)?,
            shape: Shape::new(dims)?,
            flags: record.flags,
            scale: record.scale,
            zero_point: record.zero_point,
            index,
            metadata: model.metadata,
        })
    }

    /// Number of filters and weights of one, where the tensor is weights of CONV_2D or
    /// FULLY_CONNECTED.
    pub(crate) fn filters(&self) -> Option<[usize; 2]> {
        let &outputs = self.shape.dims().first()?;
        Some([outputs as usize, self.len().checked_div(outputs as usize)?])
    }

    /// How the elements are arranged: anything but [`Layout::Plain`] is for kernels alone.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The tensor's index in the file.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Element type as users see it.
    pub fn dtype(&self) -> DType {
        if self.is_unsigned() { DType::U8 } else { self.dtype }
    }

    /// Element type in memory: int8 where users see uint8.
    pub fn stored_dtype(&self) -> DType {
        self.dtype
    }

    /// Whether users see uint8 while the memory holds int8.
    pub fn is_unsigned(&self) -> bool {
        self.flags & FLAG_UNSIGNED != 0
    }

    /// Whether the tensor keeps its bytes from one run to the next.
    pub fn persists(&self) -> bool {
        self.flags & FLAG_PERSISTS != 0
    }

    /// What turns stored bytes into those that users see, and back, by exclusive or: the sign bit
    /// where users see uint8 while the memory holds int8, else nothing.
    pub fn sign_flip(&self) -> u8 {
        if self.is_unsigned() { 0x80 } else { 0 }
    }

    /// How integers in memory stand for real numbers.
    pub(crate) fn stored_quantization(&self) -> Quantization {
        Quantization { scale: self.scale, zero_point: self.stored_zero_point() }
    }

    /// The dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Number of elements.
    // A tensor is no container; "empty" would say nothing of it.
    #[expect(clippy::len_without_is_empty, reason = "a tensor is not a container")]
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Quantization scale: `real = scale × (q − zero_point)`; 0 where there is none.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// Quantization zero point, of the values that users see.
    pub fn zero_point(&self) -> i32 {
        self.stored_zero_point() + if self.is_unsigned() { 128 } else { 0 }
    }

    /// Quantization zero point of the values in memory.
    pub fn stored_zero_point(&self) -> i32 {
        self.zero_point.into()
    }

    /// Each byte of a tensor that persists, where all of its elements stand for zero.
    pub(crate) fn zero_value(&self) -> u8 {
        // Elements of several bytes have no zero point where they persist.
        self.zero_point as u8
    }

    /// Whether the tensor is a constant, of the file or of weights that lie apart from it.
    pub fn is_constant(&self) -> bool {
        self.place.storage != Storage::Arena
    }

    /// Whether the tensor is weights that are not in the file, see [`Model::with_weights`].
    pub fn is_apart(&self) -> bool {
        self.place.storage == Storage::Apart
    }

    /// Bytes from the start of its arena, of the constants section for a constant of the file, or of the
    /// weights that lie apart.
    pub fn offset(&self) -> usize {
        // `place` counts over all arenas.
        self.place.offset.wrapping_sub(self.base)
    }

    /// The arena that it lies in, 0 for a constant.
    pub fn arena(&self) -> usize {
        self.arena.into()
    }

    /// Bytes from the start of the first arena, where all lie in one piece of memory
    /// ([`Session::new`](crate::Session::new)).
    pub fn offset_in_all(&self) -> usize {
        self.place.offset
    }

    /// How many bytes further it lies with each repetition of the operators that use it.
    pub fn advance(&self) -> i32 {
        self.place.advance
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.place.bytes
    }

    /// The tensor's name, where the file has names.
    pub fn name(&self) -> Option<&'m str> {
        find(self.metadata, Key::TensorName, self.index.into()).map(|entry| entry.text)
    }
}

impl<'m> Operator<'m> {
    /// Which operator it is.
    pub fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Its operands and parameters.
    pub fn record(&self) -> &Record<'m> {
        &self.record
    }
}

/// Tensor, arena and offset of a record on resident weights.
fn resident(record: &[u8; RESIDENT_BYTES]) -> Option<(u16, usize, usize)> {
    let [low, high, arena, _, ..] = *record;
    Some((u16::from_le_bytes([low, high]), arena.into(), u32_at(record, 4)? as usize))
}

fn find(metadata: &[u8], key: Key, index: u32) -> Option<Entry<'_>> {
    Entries::new(metadata).find(|entry| entry.key == key as u16 && entry.index == index)
}
