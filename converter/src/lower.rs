//! From the graph to records: every number that a kernel needs is computed here.

use std::{collections::HashMap, sync::Arc};

use systole_core::{
    DType, Element, Opcode,
    format::{PARAMS_BYTES, Params, RoundingCode},
    ops::delegate,
};
use zerocopy::IntoBytes;

use crate::{
    error::{Result, Within, bail},
    graph::{Format, Graph, NodeView, Tensor, TensorId},
    macs,
    ops::Operator,
    options::Match,
    scale::FixedScale,
};

/// Index of a tensor of the [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// Where a slot's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The arena.
    Arena,
    /// The bytes of another slot: a view.
    View(SlotId),
    /// Some bytes of another slot, from an offset on.
    Part(SlotId, usize),
    /// The file.
    Constant(Arc<[u8]>),
}

/// A tensor of the file to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The graph's tensor that it holds, where it holds one.
    pub tensor: Option<TensorId>,
    /// Name, may be empty.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Scale, 0 where there is none.
    pub scale: f32,
    /// Zero point.
    pub zero_point: i32,
    /// Whether users see uint8.
    pub unsigned: bool,
    /// Whether it keeps its bytes from one run to the next.
    pub persists: bool,
    /// Where the bytes are.
    pub source: Source,
    /// How many bytes further it lies with each repetition of the operators that use it.
    pub advance: i32,
}

impl Slot {
    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// An operator record to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Instruction {
    /// Which operator.
    pub opcode: Opcode,
    /// How it rounds.
    pub rounding: RoundingCode,
    /// Its parameter record.
    pub params: [u8; PARAMS_BYTES],
    /// Inputs; `None` for those not given.
    pub inputs: Vec<Option<SlotId>>,
    /// Outputs.
    pub outputs: Vec<SlotId>,
    /// Index of the node it computes.
    pub node: usize,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// Everything that the file will hold, before tensors have places.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Tensors.
    pub slots: Vec<Slot>,
    /// Operators in order of execution.
    pub instructions: Vec<Instruction>,
    /// Input tensors.
    pub inputs: Vec<SlotId>,
    /// Output tensors.
    pub outputs: Vec<SlotId>,
}

impl Program {
    /// The slot that owns the bytes of `slot`.
    pub fn root(&self, slot: SlotId) -> SlotId {
        match self.slots[slot.0].source {
            Source::View(of) | Source::Part(of, _) => self.root(of),
            Source::Arena | Source::Constant(_) => slot,
        }
    }

    /// Where `slot` begins in the slot that owns its bytes.
    pub fn offset(&self, slot: SlotId) -> usize {
        match self.slots[slot.0].source {
            Source::View(of) => self.offset(of),
            Source::Part(of, offset) => offset + self.offset(of),
            Source::Arena | Source::Constant(_) => 0,
        }
    }

    /// Multiply-accumulates of all operators.
    pub fn macs(&self) -> u64 {
        self.instructions.iter().map(|instruction| instruction.macs).sum()
    }
}

/// Element type, dimensions and bytes of a constant.
type ConstantKey = (u8, Vec<usize>, Arc<[u8]>);

/// The program being written, and what operators need to write their part.
#[derive(Debug)]
pub struct Lowering<'g> {
    graph: &'g Graph,
    matching: Match,
    program: Program,
    slots: HashMap<TensorId, SlotId>,
    /// Equal constants are stored once.
    constants: HashMap<ConstantKey, SlotId>,
    /// Bytes of constants that the graph does not have.
    added_bytes: usize,
    node: usize,
}

/// The most bytes of biases, scales and tables that lowering may add: operators that share weights
/// in a small file would each get their own.
const MAX_ADDED_BYTES: usize = 1 << 30;

/// Lowers all nodes of a graph.
///
/// # Errors
/// Those of [`Operator::lower`], with the operator's place.
pub fn lower(graph: &Graph, matching: Match) -> Result<Program> {
    let mut lowering = Lowering {
        graph,
        matching,
        program: Program::default(),
        slots: HashMap::new(),
        constants: HashMap::new(),
        added_bytes: 0,
        node: 0,
    };
    lowering.program.inputs = graph.inputs.iter().map(|&id| lowering.tensor(id)).collect();
    for node in 0..graph.nodes.len() {
        let view = graph.view(node);
        lowering.node = node;
        view.node.op.lower(&view, &mut lowering).within(|| view.node.origin.clone())?;
        if lowering.added_bytes > MAX_ADDED_BYTES {
            bail!(TooLarge, "biases, scales and tables take more than {MAX_ADDED_BYTES} bytes");
        }
    }
    lowering.program.outputs = graph.outputs.iter().map(|&id| lowering.tensor(id)).collect();
    Ok(lowering.program)
}

impl Lowering<'_> {
    /// Whose answers are to be reproduced.
    pub fn matching(&self) -> Match {
        self.matching
    }

    /// The rounding that [`Lowering::matching`] uses for an operator's fixed-point scales, where
    /// the operator has no rule of its own.
    pub fn rounding(&self) -> RoundingCode {
        match self.matching {
            Match::Format | Match::Tflm | Match::Litert => RoundingCode::Double,
            Match::Ort => RoundingCode::Float32,
            Match::Native => RoundingCode::Single,
        }
    }

    /// As [`Lowering::rounding`], for operators that have fixed-point scales alone: where ONNX
    /// Runtime has no such operator, the exact one.
    pub fn fixed_rounding(&self) -> RoundingCode {
        match self.rounding() {
            RoundingCode::Float32 => RoundingCode::Single,
            fixed => fixed,
        }
    }

    /// What is added to stored values for those that ONNX Runtime computes with: 128 for uint8, else
    /// 0.
    ///
    /// # Errors
    /// `UnsupportedFeature` where only some of the tensors were uint8.
    pub fn ort_offset(&self, tensors: &[&Tensor]) -> Result<i32> {
        let unsigned = tensors.iter().filter(|tensor| tensor.unsigned).count();
        if unsigned != 0 && unsigned != tensors.len() {
            let names: Vec<String> = tensors.iter().map(ToString::to_string).collect();
            bail!(UnsupportedFeature, "{} must be of one type", names.join(", "));
        }
        Ok(if unsigned > 0 || self.graph.format == Format::Qdq { 128 } else { 0 })
    }

    /// The slot of a graph tensor: in the arena, or a constant.
    pub fn tensor(&mut self, id: TensorId) -> SlotId {
        if let Some(&slot) = self.slots.get(&id) {
            return slot;
        }
        let tensor = &self.graph[id];
        let slot = match &tensor.data {
            Some(data) => {
                let slot = slot_of(id, tensor, Source::Constant(data.clone()));
                self.constant_slot(slot)
            }
            None => self.add(slot_of(id, tensor, Source::Arena)),
        };
        self.slots.insert(id, slot);
        slot
    }

    /// Makes the graph tensor `id` a view of `of`: the same bytes under another shape.
    pub fn view(&mut self, id: TensorId, of: TensorId) {
        // Of what owns the bytes, so that chains of views stay short.
        let of = self.tensor(of);
        let of = self.program.root(of);
        let slot = self.add(slot_of(id, &self.graph[id], Source::View(of)));
        self.slots.insert(id, slot);
    }

    /// A constant that the graph does not have: a folded bias, a table.
    pub fn constant<T: Element>(&mut self, shape: &[usize], elements: &[T]) -> SlotId {
        self.constant_slot(Slot {
            tensor: None,
            name: String::new(),
            dtype: T::DTYPE,
            shape: shape.to_vec(),
            scale: 0.0,
            zero_point: 0,
            unsigned: false,
            persists: false,
            source: Source::Constant(Arc::from(elements.as_bytes())),
            advance: 0,
        })
    }

    /// An arena tensor that the graph does not have: an intermediate result of one node.
    pub fn temporary(
        &mut self,
        dtype: DType,
        shape: &[usize],
        scale: f32,
        zero_point: i32,
    ) -> SlotId {
        self.add(Slot {
            tensor: None,
            name: String::new(),
            dtype,
            shape: shape.to_vec(),
            scale,
            zero_point,
            unsigned: false,
            persists: false,
            source: Source::Arena,
            advance: 0,
        })
    }

    /// The bytes of `slot` under another shape.
    pub fn seen_as(&mut self, slot: SlotId, shape: &[usize]) -> SlotId {
        let view = Slot {
            shape: shape.to_vec(),
            source: Source::View(self.program.root(slot)),
            ..self.program.slots[slot.0].clone()
        };
        self.add(view)
    }

    /// The scales of output channels as constants, one for all where they are equal, and the
    /// rounding to be stated: multipliers and shifts under a fixed-point `rounding`, the numbers
    /// themselves under `Float32` and `Float64`.
    ///
    /// # Errors
    /// `InvalidQuantization` for scales that cannot be represented.
    pub fn scales(&mut self, rounding: RoundingCode, scales: &[f64]) -> Result<Vec<SlotId>> {
        let equal = scales.windows(2).all(|pair| pair[0] == pair[1]);
        let scales = if equal { &scales[..1] } else { scales };
        let shape = [scales.len()];
        Ok(match rounding {
            RoundingCode::Float64 => vec![self.constant(&shape, scales)],
            RoundingCode::Float32 => {
                let scales: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
                vec![self.constant(&shape, &scales)]
            }
            _ => {
                let fixed: Vec<FixedScale> =
                    scales.iter().map(|&scale| FixedScale::new(scale)).collect::<Result<_>>()?;
                let multiplier: Vec<i32> = fixed.iter().map(|scale| scale.multiplier).collect();
                let shift: Vec<i8> = fixed.iter().map(|scale| scale.shift).collect();
                vec![self.constant(&shape, &multiplier), self.constant(&shape, &shift)]
            }
        })
    }

    /// Writes a record.
    pub fn emit(
        &mut self,
        opcode: Opcode,
        rounding: RoundingCode,
        params: &impl Params,
        inputs: Vec<Option<SlotId>>,
        outputs: Vec<SlotId>,
    ) {
        let slots = &self.program.slots;
        let shape =
            |slot: Option<&SlotId>| -> &[usize] { slot.map_or(&[], |slot| &slots[slot.0].shape) };
        let input = |index: usize| shape(inputs.get(index).and_then(Option::as_ref));
        // Weights that are stored in less have the shape of the memory that they are unpacked into.
        let stored = inputs.get(1).copied().flatten().map(|weights| slots[weights.0].dtype);
        let packed = outputs.len() > 1 && matches!(stored, Some(DType::U8 | DType::F16));
        let weights = if packed { shape(outputs.get(1)) } else { input(1) };
        let macs = macs::count(opcode, input(0), weights, shape(outputs.first()));
        let (node, params) = (self.node, params.write());
        let instruction = Instruction { opcode, rounding, params, inputs, outputs, node, macs };
        self.program.instructions.push(instruction);
    }

    /// Writes a record whose operands are `constants` behind the node's first input, and the node's
    /// output: the form that most operators have.
    ///
    /// # Errors
    /// `InvalidGraph` where the node has no input or output.
    pub fn emit_unary(
        &mut self,
        node: &NodeView<'_>,
        opcode: Opcode,
        rounding: RoundingCode,
        params: &impl Params,
        constants: &[SlotId],
    ) -> Result<()> {
        let x = self.tensor(node.input_id(0)?);
        node.output(0)?;
        let y = self.tensor(node.node.outputs[0]);
        let inputs = [x].into_iter().chain(constants.iter().copied()).map(Some).collect();
        self.emit(opcode, rounding, params, inputs, vec![y]);
        Ok(())
    }

    /// Writes a record for an accelerator, with `blob` behind the node's inputs, and behind it the
    /// operators of `stand_in`, a program with the node's inputs and outputs.
    ///
    /// # Errors
    /// `UnsupportedFeature` for a stand-in whose outputs are no results of their own; `TooLarge`.
    pub fn emit_delegate(
        &mut self,
        node: &NodeView<'_>,
        blob: &[u8],
        stand_in: Option<Program>,
    ) -> Result<()> {
        let inputs = node.node.inputs.iter().flatten();
        let inputs: Vec<SlotId> = inputs.map(|&id| self.tensor(id)).collect();
        let outputs = &node.node.outputs;
        let behind = match stand_in {
            Some(stand_in) => self.splice(stand_in, &inputs, outputs)?,
            None => Vec::new(),
        };
        let Ok(fallback) = u16::try_from(behind.len()) else {
            bail!(TooLarge, "the fallback has {} operators; at most 65535", behind.len());
        };
        let blob = self.constant(&[blob.len()], blob);
        let operands = inputs.into_iter().chain([blob]).map(Some).collect();
        let outputs = outputs.iter().map(|&id| self.tensor(id)).collect();
        let params = delegate::Params { kind: delegate::TFLITE, fallback };
        self.emit(Opcode::Delegate, RoundingCode::None, &params, operands, outputs);
        self.program.instructions.extend(behind);
        Ok(())
    }

    /// Takes over the slots of `other`, whose inputs are `inputs` and whose outputs become the graph's
    /// tensors `outputs`. Its instructions, to be put where they belong.
    fn splice(
        &mut self,
        other: Program,
        inputs: &[SlotId],
        outputs: &[TensorId],
    ) -> Result<Vec<Instruction>> {
        let roots: Vec<SlotId> = other.outputs.iter().map(|&slot| other.root(slot)).collect();
        for (index, (root, &id)) in roots.iter().zip(outputs).enumerate() {
            let constant = matches!(other.slots[root.0].source, Source::Constant(_));
            let given = other.inputs.contains(root);
            if constant || given || roots[..index].contains(root) {
                bail!(
                    UnsupportedFeature,
                    "the fallback's {} is no result of its own: it is an input, a constant or \
                     another output",
                    self.graph[id]
                );
            }
        }
        let base = self.program.slots.len();
        let mut taken: Vec<SlotId> =
            (0..other.slots.len()).map(|slot| SlotId(base + slot)).collect();
        for (from, &to) in other.inputs.iter().zip(inputs) {
            taken[from.0] = to;
        }
        for slot in other.slots {
            let source = match slot.source {
                Source::View(of) => Source::View(taken[of.0]),
                Source::Part(of, offset) => Source::Part(taken[of.0], offset),
                source => source,
            };
            self.program.slots.push(Slot { tensor: None, source, ..slot });
        }
        for (from, &id) in other.outputs.iter().zip(outputs) {
            let slot = taken[from.0];
            self.program.slots[slot.0].tensor = Some(id);
            self.slots.insert(id, slot);
        }
        let take = |slot: SlotId| taken[slot.0];
        let moved = other.instructions.into_iter().map(|instruction| Instruction {
            inputs: instruction.inputs.iter().map(|slot| slot.map(take)).collect(),
            outputs: instruction.outputs.iter().map(|&slot| take(slot)).collect(),
            node: self.node,
            ..instruction
        });
        Ok(moved.collect())
    }

    fn add(&mut self, slot: Slot) -> SlotId {
        self.program.slots.push(slot);
        SlotId(self.program.slots.len() - 1)
    }

    fn constant_slot(&mut self, slot: Slot) -> SlotId {
        let Source::Constant(bytes) = &slot.source else { return self.add(slot) };
        let key = (slot.dtype as u8, slot.shape.clone(), bytes.clone());
        // Constants that the graph quantizes keep their own scale, so only bare ones are shared.
        let shareable = slot.scale == 0.0 && slot.zero_point == 0;
        if let Some(&known) = self.constants.get(&key).filter(|_| shareable) {
            return known;
        }
        if slot.tensor.is_none() {
            self.added_bytes = self.added_bytes.saturating_add(bytes.len());
        }
        let id = self.add(slot);
        if shareable {
            self.constants.insert(key, id);
        }
        id
    }
}

fn slot_of(id: TensorId, tensor: &Tensor, source: Source) -> Slot {
    let (scale, zero_point) = tensor.scale_and_zero_point().unwrap_or((0.0, 0));
    Slot {
        tensor: Some(id),
        name: tensor.name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        scale,
        zero_point,
        unsigned: tensor.unsigned,
        persists: tensor.persists,
        source,
        advance: 0,
    }
}
