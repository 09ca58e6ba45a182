//! An accelerator that computes operators of a `.systole` file, by TFLite and a delegate.

use std::{collections::BTreeMap, path::Path};

use systole_core::{DelegateError, Delegated, Model, Opcode, Operator};
use systole_tflite::{Interpreter, Library, Options as Tflites};

use super::tflite::Delegates;
use crate::{Error, Options, Place, Result};

/// An interpreter for each operator that is for an accelerator, by the operator's index.
#[derive(Debug)]
pub(crate) struct Accelerator {
    parts: BTreeMap<u16, Interpreter>,
    /// What the accelerator is called.
    pub(crate) place: Place,
    /// Why the last run failed.
    pub(crate) failure: Option<systole_tflite::Error>,
}

/// The operators of a model that are for an accelerator.
pub(crate) fn delegated<'m>(model: &'m Model<'m>) -> impl Iterator<Item = (u16, Operator<'m>)> {
    let count = u16::try_from(model.operator_count()).unwrap_or(u16::MAX);
    let operators = (0..count).filter_map(|op| Some((op, model.operator(op)?)));
    operators.filter(|(_, operator)| operator.opcode() == Opcode::Delegate)
}

impl Accelerator {
    /// Prepares all operators of `model`, read from `path`, that are for an accelerator; `delegates`
    /// says which.
    pub(crate) fn new(
        path: &Path,
        model: &Model<'_>,
        options: &Options,
        delegates: &Delegates<'_>,
    ) -> Result<Self> {
        let refuse = |why| Error::Tflite { path: path.to_owned(), why };
        let library = Library::load(options.tflite_library.as_deref());
        let library = library.map_err(|why| refuse(why.into()))?;
        let mut parts = BTreeMap::new();
        let mut place = None;
        for (op, operator) in delegated(model) {
            let (delegate, name) = delegates.make().map_err(refuse)?.unzip();
            place = name;
            let record = operator.record();
            let blob = record.constant::<u8>(record.input_count() - 1).unwrap_or_default();
            let part = systole_tflite::Model::from_bytes(&library, blob).map_err(refuse)?;
            let tflites = Tflites {
                threads: options.threads,
                xnnpack: false,
                delegates: delegate.into_iter().collect(),
            };
            let interpreter = Interpreter::new(&part, tflites).map_err(refuse)?;
            fits(&operator, &interpreter).map_err(|why| {
                let why = format!("operator {op}: {why}");
                Error::Unsuitable { path: path.to_owned(), backend: "its accelerator", why }
            })?;
            parts.insert(op, interpreter);
        }
        // A model without such operators does not come here.
        let place = place.unwrap_or_else(|| Place::Tflite(library.version()));
        Ok(Self { parts, place, failure: None })
    }

    pub(crate) fn reset_state(&mut self) -> systole_tflite::Result<()> {
        self.parts.values_mut().try_for_each(Interpreter::reset_state)
    }

    fn compute(&mut self, part: &mut Delegated<'_, '_>) -> systole_tflite::Result<Option<()>> {
        let Some(interpreter) = self.parts.get_mut(&part.operator()) else { return Ok(None) };
        for index in 0..part.input_count() {
            let Some(from) = part.input(index) else { return Ok(None) };
            let mut input = interpreter.input_mut(index)?;
            let flip = from.info().sign_flip();
            for (to, from) in input.bytes_mut()?.iter_mut().zip(from.stored_bytes()) {
                *to = from ^ flip;
            }
        }
        interpreter.invoke()?;
        for index in 0..part.output_count() {
            let Some(mut to) = part.output(index) else { return Ok(None) };
            let flip = to.info().sign_flip();
            let bytes = interpreter.output(index)?.bytes()?;
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte ^ flip).collect();
            // Lengths were compared when the part was prepared.
            if to.copy_stored(&bytes).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}

impl systole_core::Delegate for Accelerator {
    fn run(&mut self, part: &mut Delegated<'_, '_>) -> Result<(), DelegateError> {
        match self.compute(part) {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(DelegateError::Declined),
            Err(why) => {
                self.failure = Some(why);
                Err(DelegateError::Failed)
            }
        }
    }
}

/// Whether a blob has the inputs and outputs of its operator, byte for byte.
fn fits(operator: &Operator<'_>, blob: &Interpreter) -> Result<(), String> {
    let record = operator.record();
    let inputs = (0..record.input_count().saturating_sub(1)).map(|index| record.input(index));
    let outputs = (0..record.output_count()).map(|index| record.output(index));
    let lengths = |infos: Vec<_>| -> Vec<usize> {
        infos.into_iter().flatten().map(|info: systole_core::TensorInfo<'_>| info.bytes()).collect()
    };
    let (inputs, outputs) = (lengths(inputs.collect()), lengths(outputs.collect()));
    let bytes = |tensor: systole_tflite::Result<systole_tflite::Tensor<'_>>| {
        tensor.and_then(|tensor| tensor.bytes()).map_or(0, <[u8]>::len)
    };
    let given: Vec<usize> = (0..blob.input_count()).map(|index| bytes(blob.input(index))).collect();
    let made: Vec<usize> =
        (0..blob.output_count()).map(|index| bytes(blob.output(index))).collect();
    for (what, file, blob) in [("inputs", inputs, given), ("outputs", outputs, made)] {
        if file != blob {
            return Err(format!("its {what} have {file:?} bytes, those of its blob {blob:?}"));
        }
    }
    Ok(())
}
