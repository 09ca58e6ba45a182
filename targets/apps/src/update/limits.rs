//! What a model may ask of the board.

use systole::{Model, Operators, Port, TensorInfo};

/// What the application has for a model, and what it feeds it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What its operators may be: those that the program links.
    pub operators: Operators,
    /// Bytes of its arena.
    pub arena_bytes: usize,
    /// The most elementary steps that an inference may take, see [`Model::work`]: a valid file can
    /// ask for years.
    pub work: u64,
    /// The one input: its type and shape count. How values are quantized is the model's affair.
    pub input: Port,
    /// The one output.
    pub output: Port,
}

/// How a valid model does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It needs a larger arena.
    Arena {
        /// Bytes that it needs.
        needed: usize,
    },
    /// It takes too long.
    Work {
        /// Elementary steps that it takes.
        needed: u64,
    },
    /// It has other inputs.
    Input,
    /// It has other outputs.
    Output,
}

impl Limits {
    /// Whether `model` can be used.
    ///
    /// # Errors
    /// [`Refused`] says why not.
    pub fn check(&self, model: &Model<'_>) -> Result<(), Refused> {
        if model.arena_bytes() > self.arena_bytes {
            return Err(Refused::Arena { needed: model.arena_bytes() });
        }
        if model.work() > self.work {
            return Err(Refused::Work { needed: model.work() });
        }
        if model.input_count() != 1 || !fits(&self.input, model.input(0)) {
            return Err(Refused::Input);
        }
        if model.output_count() != 1 || !fits(&self.output, model.output(0)) {
            return Err(Refused::Output);
        }
        Ok(())
    }
}

fn fits(port: &Port, tensor: Option<TensorInfo<'_>>) -> bool {
    tensor.is_some_and(|tensor| {
        let dims = tensor.shape().dims().iter().map(|&dim| dim as usize);
        tensor.dtype() == port.dtype && dims.eq(port.shape.iter().copied())
    })
}
