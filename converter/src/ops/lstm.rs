//! UNIDIRECTIONAL_SEQUENCE_LSTM, in the form that Keras' layer becomes.

use systole_core::{DType, Element, Opcode, format::RoundingCode, ops::lstm::Params};
use systole_kernels::lstm::{GATES, MAX_CELL_BITS};
use tract_tflite::tflite::{self, ActivationFunctionType};

use super::{Op, Operator};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor, TensorId},
    lower::{Lowering, SlotId},
    options::Match,
    scale::FixedScale,
    tflite::Importer,
};

/// Where TFLite's operator has its inputs: the weights of the gates, the recurrent weights, the biases.
const CONSTANTS: [std::ops::Range<usize>; 3] = [1..5, 5..9, 12..16];

/// Where it has the hidden state and the cell state.
const STATES: [usize; 2] = [18, 19];

/// The operator's inputs that this form does not have.
const OTHERS: [(std::ops::Range<usize>, &str); 3] =
    [(9..12, "peepholes"), (16..18, "a projection"), (20..24, "layer normalization")];

/// Fractional bits of what the gates' functions take.
const GATE_BITS: i32 = 12;

/// A layer of long short-term memory. A node's inputs are the activations, four weights, four recurrent
/// weights and four biases; its outputs the activations, the hidden state and the cell state.
#[derive(Debug, Clone, PartialEq)]
pub struct Lstm {
    /// Whether steps are the first axis.
    pub time_major: bool,
    /// The cell state is held within this and its negative; 0 where it is not.
    pub cell_clip: f32,
}

/// Reads the operator from TFLite.
///
/// # Errors
/// `UnsupportedFeature` for peepholes, projections, layer normalization, coupled gates and other
/// activations than TANH; as [`Importer::add_node`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_unidirectional_sequence_lstmoptions()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    let given = |index: &usize| importer.inputs().get(*index).is_some_and(Option::is_some);
    for (range, what) in OTHERS {
        if range.clone().any(|index| given(&index)) {
            bail!(UnsupportedFeature, "{what}; supported is what Keras' LSTM becomes, without");
        }
    }
    if !given(&CONSTANTS[0].start) {
        bail!(UnsupportedFeature, "coupled input and forget gates; supported are four gates");
    }
    match options.fused_activation_function() {
        ActivationFunctionType::TANH => {}
        other => bail!(
            UnsupportedFeature,
            "activation {}; supported is TANH",
            other.variant_name().unwrap_or("unknown")
        ),
    }
    let cell_clip = options.cell_clip();
    if !(cell_clip.is_finite() && cell_clip >= 0.0) {
        bail!(InvalidGraph, "a cell clip of {cell_clip}; it must be 0 or above");
    }
    let op = Lstm { time_major: options.time_major(), cell_clip };
    let mut inputs = vec![Some(importer.input_id(0)?)];
    for index in CONSTANTS.into_iter().flatten() {
        inputs.push(Some(importer.input_id(index)?));
    }
    let x = importer.input(0)?.clone();
    let cells = importer.input(CONSTANTS[1].start)?.shape.last().copied().unwrap_or(0);
    let mut outputs = vec![importer.output_id(0)?];
    for index in STATES {
        let id = importer.input_id(index)?;
        let state = importer.tensor(id);
        if !state.persists {
            bail!(UnsupportedFeature, "{state} is the layer's state and must be a variable tensor");
        }
        if importer.graph().writer(id).is_some() {
            bail!(UnsupportedFeature, "{state} is the state of another layer, too");
        }
        // TFLite takes any shape of as many elements.
        let batches = x.shape.get(usize::from(op.time_major)).copied().unwrap_or(1);
        let shape = vec![batches, cells];
        if state.elements() == batches.saturating_mul(cells) {
            importer.set_shape(id, shape)?;
        }
        outputs.push(id);
    }
    hidden_is_the_output(importer, operator, outputs[1])?;
    importer.add_node(Op::Lstm(op), inputs, outputs)
}

/// TFLite states what the products of the output gate are scaled to a second time, among tensors that
/// hold nothing; without a projection they are the hidden state.
fn hidden_is_the_output(
    importer: &Importer,
    operator: &tflite::Operator<'_>,
    hidden: TensorId,
) -> Result<()> {
    let intermediates = operator.intermediates().unwrap_or_default();
    let index = intermediates.iter().nth(GATES).and_then(|index| usize::try_from(index).ok());
    let known = |index: &usize| *index < importer.graph().tensors.len();
    let Some(stated) = index.filter(known).map(|index| importer.tensor(TensorId(index))) else {
        return Ok(());
    };
    let hidden = importer.tensor(hidden);
    let stated = stated.scale_and_zero_point().ok();
    if hidden.dtype == DType::I8 && stated.is_some() && stated != hidden.scale_and_zero_point().ok() {
        bail!(UnsupportedFeature, "{hidden} is scaled as {stated:?}, its products otherwise");
    }
    Ok(())
}

impl Lstm {
    /// Cells, and elements of a step's input.
    fn sizes(node: &NodeView<'_>) -> Result<[usize; 2]> {
        let [cells, inputs] = node.input(1)?.dims()?;
        Ok([cells, inputs])
    }
}

impl Operator for Lstm {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, &[DType::I8, DType::F32])?;
        let [first, second, inputs] = x.dims()?;
        let [cells, _] = Self::sizes(node)?;
        let int8 = x.dtype == DType::I8;
        let types = if int8 { [DType::I8, DType::I8, DType::I32] } else { [DType::F32; 3] };
        let shapes = [vec![cells, inputs], vec![cells, cells], vec![cells]];
        for (kind, (shape, dtype)) in shapes.iter().zip(types).enumerate() {
            for gate in 0..GATES {
                let tensor = node.input(1 + kind * GATES + gate)?;
                if tensor.dtype != dtype || !tensor.is_constant() {
                    bail!(UnsupportedFeature, "{tensor} must be a constant of {dtype} beside {x}");
                }
                if tensor.shape != *shape {
                    bail!(InvalidShape, "{tensor} must have shape {shape:?}");
                }
            }
        }
        let states = if int8 { [DType::I8, DType::I8, DType::I16] } else { [DType::F32; 3] };
        for (output, dtype) in states.into_iter().enumerate() {
            let tensor = node.output(output)?;
            if tensor.dtype != dtype {
                bail!(UnsupportedFeature, "{tensor} must be {dtype} beside {x}");
            }
        }
        if int8 {
            let (y, hidden, cell) = (node.output(0)?, node.output(1)?, node.output(2)?);
            if y.zero_point()? != hidden.zero_point()? {
                bail!(InvalidQuantization, "{y} and {hidden} must have one zero point");
            }
            cell_bits(cell)?;
        }
        let batches = if self.time_major { second } else { first };
        let states = vec![batches, cells];
        Ok(vec![vec![first, second, cells], states.clone(), states])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let x = node.input(0)?;
        let [cells, inputs] = Self::sizes(node)?;
        let time_major = self.time_major.into();
        let mut params = Params { time_major, ..Params::default() };
        let mut operands = vec![lowering.tensor(node.input_id(0)?)];
        let (first, recurrent, biases) = (1, 1 + GATES, 1 + 2 * GATES);
        let rounding = match x.dtype {
            DType::I8 => {
                let bias: Vec<i32> = gates(node, biases, 1)?;
                let weights: Vec<i8> = gates(node, first, inputs)?;
                let state_weights: Vec<i8> = gates(node, recurrent, cells)?;
                let hidden = node.output(1)?;
                let bias = folded(&bias, &weights, inputs, x.zero_point()?);
                let none = vec![0; GATES * cells];
                let state_bias = folded(&none, &state_weights, cells, hidden.zero_point()?);
                operands.extend([
                    lowering.constant(&[cells, GATES, inputs], &weights),
                    lowering.constant(&[cells, GATES, cells], &state_weights),
                    lowering.constant(&[cells, GATES], &bias),
                    lowering.constant(&[cells, GATES], &state_bias),
                ]);
                operands.extend(scales(node, lowering)?);
                self.integers(node, lowering, &mut params)?;
                RoundingCode::Double
            }
            _ => {
                let weights: Vec<f32> = gates(node, first, inputs)?;
                let state_weights: Vec<f32> = gates(node, recurrent, cells)?;
                let bias: Vec<f32> = gates(node, biases, 1)?;
                operands.extend([
                    lowering.constant(&[cells, GATES, inputs], &weights),
                    lowering.constant(&[cells, GATES, cells], &state_weights),
                    lowering.constant(&[cells, GATES], &bias),
                ]);
                params.real_cell_clip = self.cell_clip;
                RoundingCode::None
            }
        };
        let outputs = node.node.outputs.iter().map(|&id| lowering.tensor(id)).collect();
        let operands = operands.into_iter().map(Some).collect();
        lowering.emit(Opcode::Lstm, rounding, &params, operands, outputs);
        Ok(())
    }
}

impl Lstm {
    /// The parameters of int8 beside the sums' scales.
    fn integers(
        &self,
        node: &NodeView<'_>,
        lowering: &Lowering<'_>,
        params: &mut Params,
    ) -> Result<()> {
        let (hidden, cell) = (node.output(1)?, node.output(2)?);
        let micro = lowering.matching() == Match::Tflm;
        let scale = hidden.scale()?;
        // LiteRT computes in single precision here, TFLite Micro in double.
        let output = match micro {
            true => libm::exp2(-30.0) / f64::from(scale),
            false => f64::from(libm::exp2f(-15.0) / scale * libm::exp2f(-15.0)),
        };
        let output = FixedScale::new(output)?;
        params.micro = micro.into();
        params.cell_bits = cell_bits(cell)?;
        // Cut off, not rounded.
        params.cell_clip = (self.cell_clip / cell.scale()?).min(32767.0) as i16;
        (params.output_multiplier, params.output_shift) = (output.multiplier, output.shift);
        Ok(())
    }
}

/// The integer bits of a cell state whose scale is `2^(bits - 15)`.
fn cell_bits(cell: &Tensor) -> Result<u8> {
    let (scale, zero_point) = cell.scale_and_zero_point()?;
    let (mantissa, exponent) = libm::frexpf(scale);
    // The mantissa of a power of two is a half.
    let bits = exponent - 1 + 15;
    if mantissa != 0.5 || zero_point != 0 || !(0..=MAX_CELL_BITS as i32).contains(&bits) {
        bail!(
            InvalidQuantization,
            "{cell}, the cell state, has scale {scale} and zero point {zero_point}; it needs a power of \
             two from 2^-15 to 2^-9 and 0"
        );
    }
    Ok(bits as u8)
}

/// The constants of four gates, each `[cells, n]`, as `[cells, 4, n]`.
fn gates<T: Element>(node: &NodeView<'_>, first: usize, n: usize) -> Result<Vec<T>> {
    let mut gates = Vec::with_capacity(GATES);
    for gate in 0..GATES {
        gates.push(node.input(first + gate)?.values::<T>()?);
    }
    let cells = gates[0].len() / n;
    let row = |cell: usize| gates.iter().flat_map(move |gate| &gate[cell * n..(cell + 1) * n]);
    Ok((0..cells).flat_map(row).copied().collect())
}

/// Biases less `zero_point × Σ weights`, of rows of `n` weights.
fn folded(bias: &[i32], weights: &[i8], n: usize, zero_point: i32) -> Vec<i32> {
    let sums = weights.chunks_exact(n).map(|row| row.iter().map(|&w| i32::from(w)).sum::<i32>());
    let terms = sums.map(|sum| sum.wrapping_mul(zero_point));
    bias.iter().zip(terms).map(|(bias, term)| bias.wrapping_sub(term)).collect()
}

/// Multipliers and shifts that take the sums of the gates over the input, then those over the hidden
/// state, to Q3.12.
fn scales(node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<[SlotId; 2]> {
    let (mut multipliers, mut shifts) = (Vec::new(), Vec::new());
    let gate_scale = libm::exp2f(-GATE_BITS as f32);
    for (activations, first) in [(node.input(0)?, 1), (node.output(1)?, 1 + GATES)] {
        let scale = activations.scale()?;
        for gate in 0..GATES {
            let weights = node.input(first + gate)?;
            if weights.zero_point()? != 0 {
                bail!(InvalidQuantization, "{weights} needs zero point 0, as all weights of a LSTM");
            }
            // One product in single precision, in both references.
            let fixed = FixedScale::new((weights.scale()? * scale / gate_scale).into())?;
            multipliers.push(fixed.multiplier);
            shifts.push(fixed.shift);
        }
    }
    Ok([lowering.constant(&[2 * GATES], &multipliers), lowering.constant(&[2 * GATES], &shifts)])
}
