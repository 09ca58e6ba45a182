//! TFLite's interpreter by the crate `tflitec`, which links the library when a program is built: a peer
//! and an oracle that shares no code with the rest of this crate. It runs on the CPU alone, as
//! `tflitec` takes no delegates but XNNPACK. Models are trusted: `tflitec` panics where a name is not UTF-8.

use tflitec::{interpreter, model, tensor::Tensor};

use crate::{Error, Result};

/// Version of the library that is linked, as `2.17.1`.
pub fn version() -> &'static str {
    tflitec::tf_lite_version()
}

/// A `.tflite` model that TFLite reads in place.
#[derive(Debug)]
pub struct Model<'b>(model::Model<'b>);

impl<'b> Model<'b> {
    /// A model in memory.
    ///
    /// # Errors
    /// [`Error::Model`], without reasons: TFLite writes them to the standard error.
    pub fn from_bytes(bytes: &'b [u8]) -> Result<Self> {
        match model::Model::from_bytes(bytes) {
            Ok(model) => Ok(Self(model)),
            Err(problem) => Err(Error::Model { log: problem.to_string() }),
        }
    }
}

/// A model, ready to run on TFLite's own kernels.
#[derive(Debug)]
pub struct Interpreter<'m>(interpreter::Interpreter<'m>);

impl<'m> Interpreter<'m> {
    /// An interpreter with its tensors allocated for the shapes in the file.
    ///
    /// # Errors
    /// [`Error::Interpreter`], [`Error::Allocate`].
    pub fn new(model: &'m Model<'_>, threads: u16) -> Result<Self> {
        let options = interpreter::Options { thread_count: threads.max(1).into() };
        let interpreter = interpreter::Interpreter::new(&model.0, Some(options))
            .map_err(|problem| Error::Interpreter { log: problem.to_string() })?;
        interpreter
            .allocate_tensors()
            .map_err(|problem| Error::Allocate { log: problem.to_string() })?;
        Ok(Self(interpreter))
    }

    /// How many inputs the model has.
    pub fn input_count(&self) -> usize {
        self.0.input_tensor_count()
    }

    /// How many outputs the model has.
    pub fn output_count(&self) -> usize {
        self.0.output_tensor_count()
    }

    /// The name of an input.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::NoData`].
    pub fn input_name(&self, index: usize) -> Result<String> {
        Ok(self.input(index)?.name().to_owned())
    }

    /// Fills an input with elements in the machine's order of bytes.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::NoData`], [`Error::Length`] in bytes.
    pub fn set_input(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let input = self.input(index)?;
        let wanted = input.data::<u8>().len();
        input.set_data(bytes).map_err(|_| Error::Length {
            tensor: input.name().to_owned(),
            found: bytes.len(),
            wanted,
        })
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// [`Error::Invoke`].
    pub fn invoke(&mut self) -> Result<()> {
        self.0.invoke().map_err(|problem| Error::Invoke { log: problem.to_string() })
    }

    /// The elements of an output in the machine's order of bytes.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::NoData`].
    pub fn output(&self, index: usize) -> Result<Vec<u8>> {
        let count = self.output_count();
        if index >= count {
            return Err(Error::Index { what: "output", index, count });
        }
        match self.0.output(index) {
            Ok(output) => Ok(output.data::<u8>().to_vec()),
            Err(_) => Err(Error::NoData { tensor: format!("output {index}") }),
        }
    }

    fn input(&self, index: usize) -> Result<Tensor<'_>> {
        let count = self.input_count();
        if index >= count {
            return Err(Error::Index { what: "input", index, count });
        }
        self.0.input(index).map_err(|_| Error::NoData { tensor: format!("input {index}") })
    }
}
