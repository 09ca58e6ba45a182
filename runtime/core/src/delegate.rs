//! What computes a part of a model outside of this runtime.

use crate::{
    Model, Record, Tensor, TensorMut, format::Storage, memory::Arenas, ops::delegate::Params,
};

/// An accelerator, driven by the program around the runtime: it computes the operators
/// [`Opcode::Delegate`](crate::Opcode::Delegate) of a model that was read with
/// [`Model::with_delegate`], when the model is run with
/// [`Session::run_with`](crate::Session::run_with).
///
/// For implementers: whatever is prepared for an operator, as an interpreter for its blob, is kept by the
/// operator's index between runs. Outputs hold anything before they are written; each has to be
/// written as a whole. Numbers are little-endian, and users' uint8 is stored as int8, see
/// [`TensorInfo::sign_flip`](crate::TensorInfo::sign_flip).
pub trait Delegate {
    /// Computes the outputs of `part` from its inputs.
    ///
    /// # Errors
    /// [`DelegateError::Declined`] for a part that is not for this delegate, which leaves it to the part's
    /// fallback; [`DelegateError::Failed`] ends the run.
    fn run(&mut self, part: &mut Delegated<'_, '_>) -> Result<(), DelegateError>;
}

/// Why a delegate did not compute a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DelegateError {
    /// The part is not for this delegate: its fallback runs, where it has one.
    Declined,
    /// The delegate failed.
    Failed,
}

/// An operator that a delegate is to compute, and its tensors.
#[derive(Debug)]
pub struct Delegated<'m, 'a> {
    op: u16,
    record: Record<'m>,
    model: &'m Model<'m>,
    arenas: Arenas<'a>,
}

impl<'m, 'a> Delegated<'m, 'a> {
    pub(crate) fn new(model: &'m Model<'m>, op: u16, arenas: Arenas<'a>) -> Option<Self> {
        Some(Self { op, record: Record::new(model, op)?, model, arenas })
    }

    /// The operator's index in the model.
    pub fn operator(&self) -> u16 {
        self.op
    }

    /// What the blob is, and how many operators stand in for this one.
    pub fn params(&self) -> Params {
        self.record.params()
    }

    /// What the accelerator is told to do.
    pub fn blob(&self) -> &'m [u8] {
        self.record.constant(self.input_count()).unwrap_or_default()
    }

    /// Number of inputs, the blob left out.
    pub fn input_count(&self) -> usize {
        self.record.input_count().saturating_sub(1)
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        self.record.output_count()
    }

    /// An input; `None` past the last one.
    pub fn input(&self, index: usize) -> Option<Tensor<'m, '_>> {
        let info = self.record.input(index).ok().filter(|_| index < self.input_count())?;
        let place = info.place;
        let bytes = match place.storage {
            Storage::Arena => self.arenas.get(place)?,
            _ => {
                let end = place.offset.checked_add(place.bytes)?;
                self.model.constants().get(place.offset..end)?
            }
        };
        Some(Tensor::new(info, bytes))
    }

    /// An output, to be written; `None` past the last one.
    pub fn output(&mut self, index: usize) -> Option<TensorMut<'m, '_>> {
        let info = self.record.output(index).ok().filter(|_| index < self.output_count())?;
        Some(TensorMut::new(info, self.arenas.get_mut(info.place)?))
    }
}
