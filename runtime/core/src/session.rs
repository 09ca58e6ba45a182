//! Executing a model in an arena.

#[cfg(feature = "std")]
use systole_kernels::arch::Threads;

#[cfg(feature = "std")]
use crate::operators::Decoded;
use crate::{
    Delegate, DelegateError, Delegated, Model, Opcode, PortError, RunError, RunFailure,
    SessionError, Tensor, TensorMut, WeightSource, Weights, WeightsError,
    format::{ALIGNMENT, Layout, Storage},
    memory::{Arenas, Memory, Place, Segment},
    ops::repeat,
    record::Record,
    residents::Residents,
};

/// A model and the memory that it runs in.
///
/// Inputs and outputs are tensors in the arena. Its memory is reused while the model runs, so
/// inputs have to be written before every run, and outputs are valid from the end of a run until
/// inputs are written again. Recurrent layers that have state keep it in the arena, from run to run, until
/// [`Session::reset`]. Dropping the session frees the arena for another one.
#[derive(Debug)]
pub struct Session<'m, 'a> {
    model: &'a Model<'m>,
    arenas: Arenas<'a>,
    /// Weights at the ends of the arenas.
    residents: Residents<'a>,
    /// The operator that [`Session::step`] executes next.
    next: u16,
    /// The operators that are being repeated.
    repeated: Option<Repeated>,
    /// All operators, where there is a heap; else each is decoded when it is executed.
    #[cfg(feature = "std")]
    decoded: DecodedOperators<'a>,
    /// Threads beside the caller's.
    #[cfg(feature = "std")]
    threads: Option<Threads>,
}

/// Operators that are repeated.
#[derive(Debug, Clone, Copy)]
struct Repeated {
    first: u16,
    last: u16,
    count: u16,
    /// The repetition that runs, from 0.
    iteration: u16,
}

/// The operators of a model in order; `None` for REPEAT, for those of a delegate, and for what a valid model
/// does not have.
#[cfg(feature = "std")]
struct DecodedOperators<'m>(alloc::vec::Vec<Option<Decoded<'m>>>);

#[cfg(feature = "std")]
impl<'m> DecodedOperators<'m> {
    fn new(model: &'m Model<'m>, residents: Residents<'m>) -> Self {
        let operators = (0..model.operator_count() as u16).map(|op| model.operator(op));
        let decoded = operators.map(|operator| {
            let apart = [Opcode::Delegate, Opcode::Repeat];
            let operator = operator.filter(|operator| !apart.contains(&operator.opcode()))?;
            let record = operator.record().with_residents(residents);
            (model.linked.find(operator.opcode(), &record)?.decode)(&record)
        });
        Self(decoded.collect())
    }
}

#[cfg(feature = "std")]
impl core::fmt::Debug for DecodedOperators<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} operators", self.0.len())
    }
}

impl<'m, 'a> Session<'m, 'a> {
    /// Prepares a run of `model` in `arena`, which needs [`Model::arena_bytes`] bytes at an address
    /// that is a multiple of 16. A model with several arenas has them all in it, one behind the other;
    /// [`Session::in_arenas`] takes them apart. Weights that are resident are copied there now.
    ///
    /// # Errors
    /// [`SessionError`] says what size or alignment is needed.
    pub fn new(model: &'a Model<'m>, arena: &'a mut [u8]) -> Result<Self, SessionError> {
        if !(arena.as_ptr() as usize).is_multiple_of(ALIGNMENT) && model.arena_bytes() > 0 {
            return Err(SessionError::ArenaMisaligned { needed: ALIGNMENT });
        }
        let (needed, found) = (model.arena_bytes(), arena.len());
        let arena = arena.get_mut(..needed).ok_or(SessionError::ArenaTooSmall { needed, found })?;
        let (mut arenas, mut rest, mut at) = (Arenas::default(), arena, 0);
        for (segment, (base, bytes)) in arenas.0.iter_mut().zip(model.arena_ranges()) {
            let parts = rest.split_at_mut_checked(base.saturating_sub(at));
            let parts = parts.and_then(|(_, from)| from.split_at_mut_checked(bytes));
            let (own, above) = parts.ok_or(SessionError::ArenaTooSmall { needed, found })?;
            *segment = Segment { base, bytes: own };
            (rest, at) = (above, base.saturating_add(bytes));
        }
        Ok(Self::with(model, arenas))
    }

    /// As [`Session::new`], with a piece of memory for each arena of the model, in their order: the bytes that
    /// [`Model::arenas`] says, each from a multiple of 16 on. Tensors that are used much are in the first.
    ///
    /// ```
    /// # use systole_core::{Arena, Model, Session, SessionError};
    /// # fn prepare(model: &Model<'_>) -> Result<(), SessionError> {
    /// let (mut tcm, mut sram) = (Arena::<4_096>::new(), Arena::<16_000>::new());
    /// let session = Session::in_arenas(model, [tcm.as_mut_slice(), sram.as_mut_slice()])?;
    /// # let _ = session; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SessionError`] says how many there have to be, or which size or alignment one needs.
    pub fn in_arenas<const N: usize>(
        model: &'a Model<'m>,
        memories: [&'a mut [u8]; N],
    ) -> Result<Self, SessionError> {
        let needed = model.arenas().len();
        if needed != N {
            return Err(SessionError::ArenaCount { needed, found: N });
        }
        let mut arenas = Arenas::default();
        let ranges = model.arena_ranges().zip(memories).enumerate();
        for (segment, (arena, ((base, needed), memory))) in arenas.0.iter_mut().zip(ranges) {
            if needed > 0 && !(memory.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
                return Err(SessionError::ArenaMisaligned { needed: ALIGNMENT });
            }
            let found = memory.len();
            let bytes = memory.get_mut(..needed);
            let bytes = bytes.ok_or(SessionError::OneTooSmall { arena, needed, found })?;
            *segment = Segment { base, bytes };
        }
        Ok(Self::with(model, arenas))
    }

    fn with(model: &'a Model<'m>, mut arenas: Arenas<'a>) -> Self {
        let residents = Residents::load(model, &mut arenas);
        let mut session = Self {
            model,
            arenas,
            residents,
            next: 0,
            repeated: None,
            #[cfg(feature = "std")]
            decoded: DecodedOperators::new(model, residents),
            #[cfg(feature = "std")]
            threads: None,
        };
        session.reset();
        session
    }

    /// Has kernels read weights elsewhere.
    #[cfg(test)]
    pub(crate) fn read_weights_from(&mut self, residents: Residents<'a>) {
        self.residents = residents;
        #[cfg(feature = "std")]
        {
            self.decoded = DecodedOperators::new(self.model, residents);
        }
    }

    /// Puts the state of recurrent layers, which a run goes on with where the one before ended, back to
    /// what it was in a new session: zero. Without effect where [`Model::state`] is empty.
    pub fn reset(&mut self) {
        for info in self.model.state() {
            if let Some(bytes) = self.arenas.get_mut(info.place) {
                bytes.fill(info.zero_value());
            }
        }
    }

    /// Runs large layers on up to so many threads, the caller's among them: 1 until this is called, and
    /// fewer than asked for where the system does not give them. Results are the same to the last bit.
    ///
    /// The threads are this session's own and end with it. They wait awake for a fifth of a millisecond
    /// for the next layer, then sleep.
    #[cfg(feature = "std")]
    pub fn set_threads(&mut self, threads: usize) {
        if threads != self.threads() {
            self.threads = None;
            self.threads = (threads > 1).then(|| Threads::new(threads));
        }
    }

    /// How many threads run large layers.
    #[cfg(feature = "std")]
    pub fn threads(&self) -> usize {
        self.threads.as_ref().map_or(1, Threads::count)
    }

    /// The model.
    pub fn model(&self) -> &'a Model<'m> {
        self.model
    }

    /// The input with this index, to be written.
    ///
    /// # Errors
    /// [`PortError::Index`] where there is none.
    pub fn input(&mut self, index: usize) -> Result<TensorMut<'m, '_>, PortError> {
        let count = self.model.input_count();
        let error = PortError::Index { index, count };
        let info = self.model.input(index).ok_or(error)?;
        let bytes = self.arenas.get_mut(info.place).ok_or(error)?;
        Ok(TensorMut::new(info, bytes))
    }

    /// The input with this name.
    ///
    /// # Errors
    /// [`PortError::Name`] where there is none.
    pub fn input_named(&mut self, name: &str) -> Result<TensorMut<'m, '_>, PortError> {
        let index = self.model.inputs().position(|info| info.name() == Some(name));
        self.input(index.ok_or(PortError::Name)?)
    }

    /// The output with this index.
    ///
    /// # Errors
    /// [`PortError::Index`] where there is none.
    pub fn output(&self, index: usize) -> Result<Tensor<'m, '_>, PortError> {
        let count = self.model.output_count();
        let error = PortError::Index { index, count };
        let info = self.model.output(index).ok_or(error)?;
        Ok(Tensor::new(info, self.bytes(info.place).ok_or(error)?))
    }

    /// The output with this name.
    ///
    /// # Errors
    /// [`PortError::Name`] where there is none.
    pub fn output_named(&self, name: &str) -> Result<Tensor<'m, '_>, PortError> {
        let index = self.model.outputs().position(|info| info.name() == Some(name));
        self.output(index.ok_or(PortError::Name)?)
    }

    /// Executes all operators from the first on.
    ///
    /// # Errors
    /// None for a model that [`Model::from_bytes`] accepted.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.begin();
        while self.step()? {}
        Ok(())
    }

    /// As [`Session::run`], with something that computes the operators for accelerators.
    ///
    /// # Errors
    /// [`RunFailure::Delegate`] where it fails, [`RunFailure::NoDelegate`] where it does not take a part
    /// that has no fallback.
    pub fn run_with(&mut self, delegate: &mut dyn Delegate) -> Result<(), RunError> {
        self.begin();
        while self.step_with(delegate)? {}
        Ok(())
    }

    /// As [`Session::run`], for a model whose weights lie apart ([`Model::with_weights`]): each layer's are
    /// read while the one before is computed, as far as `weights` has room for both.
    ///
    /// # Errors
    /// [`WeightsError::Source`] where reading fails. The next run begins from the first operator; recurrent
    /// layers that had run keep their new state. [`WeightsError::TooSmall`] for less room than
    /// [`WeightsRoom::least`](crate::WeightsRoom::least).
    pub fn run_from<S: WeightSource>(
        &mut self,
        weights: &mut Weights<'_, S>,
    ) -> Result<(), WeightsError<S::Error>> {
        self.begin();
        while self.step_from(weights)? {}
        Ok(())
    }

    /// As [`Session::step`], for a model whose weights lie apart. A step that failed may be tried again.
    ///
    /// # Errors
    /// As [`Session::run_from`].
    pub fn step_from<S: WeightSource>(
        &mut self,
        weights: &mut Weights<'_, S>,
    ) -> Result<bool, WeightsError<S::Error>> {
        let now = self.weights_of(self.next);
        let next = self.weights_behind(now);
        let model = self.model.weights_checksum();
        weights.serve(model, now, next, |apart| match now {
            None => self.advance(None),
            Some(_) => self.advance_with(apart),
        })
    }

    /// Where an operator's weights lie, if not in the file.
    fn weights_of(&self, op: u16) -> Option<Place> {
        Record::new(self.model, op)?.weights_apart()
    }

    /// The weights that are needed next, other than `now`: those of operators that follow, of what is
    /// repeated, then of the next run. It is a guess only where operators are repeated or passed over.
    fn weights_behind(&self, now: Option<Place>) -> Option<Place> {
        let count = self.model.operator_count() as u16;
        let op = self.next;
        let again = self.repeated.filter(|it| it.iteration.saturating_add(1) < it.count);
        let (body, again) = match (self.repeated, again) {
            (Some(it), Some(_)) => (op + 1..it.last.saturating_add(1), it.first..op),
            _ => (0..0, 0..0),
        };
        let rest = op.saturating_add(1)..count;
        let mut order = body.chain(again).chain(rest).chain(0..op);
        order.find_map(|op| self.weights_of(op).filter(|&place| Some(place) != now))
    }

    fn begin(&mut self) {
        self.next = 0;
        self.repeated = None;
    }

    /// Executes one operator; `Ok(true)` says that there are more. After the last one the next call
    /// begins a new run. An operator that is repeated counts as often. For schedulers that must not wait for a whole inference.
    ///
    /// # Errors
    /// None for a model that [`Model::from_bytes`] accepted.
    pub fn step(&mut self) -> Result<bool, RunError> {
        self.advance(None)
    }

    /// As [`Session::step`], with something that computes the operators for accelerators.
    ///
    /// # Errors
    /// As [`Session::run_with`].
    pub fn step_with(&mut self, delegate: &mut dyn Delegate) -> Result<bool, RunError> {
        self.advance(Some(delegate))
    }

    #[inline]
    fn advance(&mut self, delegate: Option<&mut dyn Delegate>) -> Result<bool, RunError> {
        let count = self.model.operator_count();
        if usize::from(self.next) < count {
            let op = self.next;
            let passed_over = self.execute(delegate).map_err(|why| RunError { op, why })?;
            self.leave(op, passed_over);
        }
        Ok(self.has_more())
    }

    /// As [`Session::advance`], for an operator whose weights are these.
    fn advance_with(&mut self, apart: &[u8]) -> Result<bool, RunError> {
        let op = self.next;
        self.execute_with(apart).map_err(|why| RunError { op, why })?;
        self.leave(op, 0);
        Ok(self.has_more())
    }

    /// Goes on from an operator that has run to the next one.
    #[inline]
    fn leave(&mut self, op: u16, passed_over: u16) {
        self.next = match &mut self.repeated {
            Some(repeated) if repeated.last == op => {
                repeated.iteration += 1;
                if repeated.iteration < repeated.count {
                    repeated.first
                } else {
                    self.repeated = None;
                    op.saturating_add(1)
                }
            }
            _ => op.saturating_add(1).saturating_add(passed_over),
        };
    }

    /// Whether there are more operators in this run; else the next one begins.
    #[inline]
    fn has_more(&mut self) -> bool {
        let more = usize::from(self.next) < self.model.operator_count();
        if !more {
            self.begin();
        }
        more
    }

    /// Executes the next operator with weights that are not in the file.
    fn execute_with(&mut self, apart: &[u8]) -> Result<(), RunFailure> {
        let operator = self.model.operator(self.next).ok_or(RunFailure::Mismatch)?;
        let record = operator.record().with_weights(apart).with_residents(self.residents);
        let row = self.model.linked.find(operator.opcode(), &record).ok_or(RunFailure::Mismatch)?;
        let iteration = self.repeated.map_or(0, |repeated| repeated.iteration);
        let memory = Memory::beside(self.model.constants(), &mut self.arenas);
        let mut memory = memory.repeated(iteration);
        #[cfg(feature = "std")]
        let done = {
            memory = memory.with(self.threads.as_mut());
            (row.decode)(&record).map(|operator| operator(&mut memory))
        };
        #[cfg(not(feature = "std"))]
        let done = Some((row.run)(&record, &mut memory));
        done.and_then(Result::ok).ok_or(RunFailure::Mismatch)
    }

    /// Executes the next operator; how many behind it stand in for it, and are passed over.
    #[cfg(feature = "std")]
    fn execute(&mut self, delegate: Option<&mut dyn Delegate>) -> Result<u16, RunFailure> {
        let decoded = self.decoded.0.get(usize::from(self.next)).ok_or(RunFailure::Mismatch)?;
        let Some(operator) = decoded else { return self.control(delegate) };
        let iteration = self.repeated.map_or(0, |repeated| repeated.iteration);
        let memory = Memory::beside(self.model.constants(), &mut self.arenas).repeated(iteration);
        let mut memory = memory.with(self.threads.as_mut());
        operator(&mut memory).map_err(|_| RunFailure::Mismatch)?;
        Ok(0)
    }

    /// Executes the next operator; how many behind it stand in for it, and are passed over.
    #[cfg(not(feature = "std"))]
    fn execute(&mut self, delegate: Option<&mut dyn Delegate>) -> Result<u16, RunFailure> {
        let operator = self.model.operator(self.next).ok_or(RunFailure::Mismatch)?;
        if matches!(operator.opcode(), Opcode::Delegate | Opcode::Repeat) {
            return self.control(delegate);
        }
        let iteration = self.repeated.map_or(0, |repeated| repeated.iteration);
        let memory = Memory::beside(self.model.constants(), &mut self.arenas);
        let mut memory = memory.repeated(iteration);
        let record = operator.record().with_residents(self.residents);
        let row = self.model.linked.find(operator.opcode(), &record);
        let row = row.ok_or(RunFailure::Mismatch)?;
        (row.run)(&record, &mut memory).map_err(|_| self.failure())?;
        Ok(0)
    }

    /// Why the next operator did not run, which validation lets do so: its weights were not given.
    fn failure(&self) -> RunFailure {
        match self.weights_of(self.next) {
            Some(_) => RunFailure::WeightsApart,
            None => RunFailure::Mismatch,
        }
    }

    /// Executes the next operator, which no kernel does: it is for `delegate`, or repeats others.
    fn control(&mut self, delegate: Option<&mut dyn Delegate>) -> Result<u16, RunFailure> {
        let operator = self.model.operator(self.next).ok_or(RunFailure::Mismatch)?;
        match operator.opcode() {
            Opcode::Delegate => return self.delegate(delegate),
            Opcode::Repeat => {}
            _ => return Err(self.failure()),
        }
        let repeat::Params { count, body } = operator.record().params();
        let last = self.next.checked_add(body).ok_or(RunFailure::Mismatch)?;
        self.repeated = Some(Repeated { first: self.next + 1, last, count, iteration: 0 });
        Ok(0)
    }

    /// Has the next operator computed by `delegate`; those that stand in for it are then passed over.
    fn delegate(&mut self, delegate: Option<&mut dyn Delegate>) -> Result<u16, RunFailure> {
        let part = Delegated::new(self.model, self.next, self.arenas.reborrow());
        let mut part = part.ok_or(RunFailure::Mismatch)?;
        let stand_ins = part.params().fallback;
        let done = delegate.map_or(Err(DelegateError::Declined), |it| it.run(&mut part));
        match done {
            Ok(()) => Ok(stand_ins),
            Err(DelegateError::Declined) if stand_ins > 0 => Ok(0),
            Err(DelegateError::Declined) => Err(RunFailure::NoDelegate),
            Err(DelegateError::Failed) => Err(RunFailure::Delegate),
        }
    }

    /// The operator that the next [`Session::step`] executes.
    pub fn next_operator(&self) -> u16 {
        self.next
    }

    /// Any tensor's bytes as they are now; for tools that look at intermediate results.
    pub fn tensor(&self, index: u16) -> Option<Tensor<'m, '_>> {
        let info = self.model.tensor(index).filter(|info| info.layout() == Layout::Plain)?;
        Some(Tensor::new(info, self.bytes(info.place)?))
    }

    /// The bytes of a tensor; `None` of weights that are not in the file.
    fn bytes(&self, place: Place) -> Option<&[u8]> {
        match place.storage {
            Storage::Arena => self.arenas.get(place),
            Storage::Constant => {
                let start = place.offset;
                self.model.constants().get(start..start.checked_add(place.bytes)?)
            }
            Storage::Apart => None,
        }
    }
}
