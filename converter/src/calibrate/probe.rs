//! A graph run sample by sample, with every intermediate tensor to be looked at.
//!
//! The model is compiled as any other and stepped operator by operator: right after the operator
//! that writes a tensor, the tensor lies in the arena. So no memory is needed beyond the model's
//! own, however many samples there are.

use std::collections::HashMap;

use systole_core::{AlignedBytes, Model, Session, Tensor};

use crate::{
    compile::compile,
    error::{Result, error},
    graph::{Graph, TensorId},
    lower::{Program, SlotId, Source},
    npz::Array,
    options::{Match, Names, Options},
    run,
};

/// A compiled graph whose activations can be observed.
#[derive(Debug)]
pub struct Probe {
    file: AlignedBytes,
    /// By step, the tensors that are whole after it; step 0 is before the first operator.
    written: Vec<Vec<(TensorId, u16)>>,
}

impl Probe {
    /// Compiles `graph`.
    ///
    /// # Errors
    /// Those of [`compile`].
    pub fn new(graph: &Graph, matching: Match) -> Result<Self> {
        let options = Options {
            matching,
            names: Names::Ports,
            max_arena: i32::MAX as usize,
            // The arena's size does not matter here.
            plan_budget: 0,
            ..Options::default()
        };
        let compiled = compile(graph, &options)?;
        let file = AlignedBytes::from(&compiled.written.bytes[..]);
        let written = written(&compiled.program, &compiled.written.tensors);
        Ok(Self { file, written })
    }

    /// The compiled model.
    ///
    /// # Errors
    /// `InvalidGraph` where the runtime refuses it.
    pub fn model(&self) -> Result<Model<'_>> {
        Model::from_bytes(self.file.as_slice()).map_err(|problem| error!(InvalidGraph, "{problem}"))
    }

    /// Runs the samples `samples` of `inputs` and shows every tensor of each: the sample, the graph's
    /// tensor, and its contents. `done` is called after each sample.
    ///
    /// # Errors
    /// `InvalidData` where arrays do not fit the inputs; whatever `look` returns.
    pub fn run(
        &self,
        inputs: &[Array],
        samples: impl IntoIterator<Item = usize>,
        mut look: impl FnMut(usize, TensorId, &Tensor<'_, '_>) -> Result<()>,
        mut done: impl FnMut(),
    ) -> Result<()> {
        let model = self.model()?;
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(&model, arena.as_mut_slice())
            .map_err(|problem| error!(TooLarge, "{problem}"))?;
        for sample in samples {
            session.reset();
            run::load_sample(&mut session, inputs, sample)?;
            for (step, tensors) in self.written.iter().enumerate() {
                if step > 0 {
                    session.step().map_err(|problem| error!(InvalidGraph, "{problem}"))?;
                }
                for &(id, index) in tensors {
                    if let Some(tensor) = session.tensor(index) {
                        look(sample, id, &tensor)?;
                    }
                }
            }
            done();
        }
        Ok(())
    }

    /// Checks `inputs` against the model and counts their samples.
    ///
    /// # Errors
    /// `InvalidData` where there are none, or where they do not fit.
    pub fn samples(&self, inputs: &[Array]) -> Result<usize> {
        let model = self.model()?;
        let matched = run::match_inputs(&model, inputs)?;
        match matched.first() {
            Some(array) => Ok(array.shape[0]),
            None => Err(error!(InvalidData, "the model has no inputs")),
        }
    }
}

/// The elements of a tensor as real numbers, where that is what they stand for.
pub fn reals(tensor: &Tensor<'_, '_>) -> Option<Vec<f32>> {
    let mut values = vec![0.0; tensor.info().len()];
    tensor.dequantize_into(&mut values).ok()?;
    Some(values)
}

/// Which of the file's tensors hold activations of the graph, by the step after which they do.
fn written(program: &Program, tensors: &[SlotId]) -> Vec<Vec<(TensorId, u16)>> {
    let index: HashMap<SlotId, u16> =
        tensors.iter().enumerate().map(|(index, &slot)| (slot, index as u16)).collect();
    // By the slot that owns the bytes: the last step that writes them.
    let mut steps: HashMap<SlotId, usize> = HashMap::new();
    for &slot in &program.inputs {
        steps.insert(program.root(slot), 0);
    }
    for (step, instruction) in program.instructions.iter().enumerate() {
        for &slot in &instruction.outputs {
            steps.insert(program.root(slot), step + 1);
        }
    }
    let mut written = vec![Vec::new(); program.instructions.len() + 1];
    for (slot, contents) in program.slots.iter().enumerate() {
        let id = SlotId(slot);
        let root = program.root(id);
        // A view that no operator names is not in the file, but what it is a view of is.
        let known = index.get(&id).or_else(|| index.get(&root)).copied();
        let constant = matches!(program.slots[root.0].source, Source::Constant(_));
        if let (Some(tensor), Some(index), Some(&step), false) =
            (contents.tensor, known, steps.get(&root), constant)
        {
            written[step].push((tensor, index));
        }
    }
    written
}
