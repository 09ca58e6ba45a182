//! LSTM: a layer of long short-term memory over the steps of a sequence.
//!
//! A cell has four gates, each `Σ w·x + Σ r·h + bias` of the step's input `x` and the hidden state `h` of
//! the step before: input, forget, cell and output gate. With `i`, `f`, `o` the logistic function and `g`
//! the hyperbolic tangent of the gates, `c ← f·c + i·g` and `h ← o·tanh(c)`. Output is `h` of every step.
//! The states `h` and `c` are kept from one call to the next.
//!
//! Weights are `[cells, 4, inputs]` and `[cells, 4, cells]`: the gates of a cell beside each other.
//!
//! Source: `UNIDIRECTIONAL_SEQUENCE_LSTM` of LiteRT (`lstm_eval.cc`, the form 8x8_16) and of TFLite Micro
//! (`lstm_eval.h`) without peepholes, projection and layer normalization, which is what Keras' layer
//! becomes. The two differ in the functions of the gates and in how products are rounded.

use core::marker::PhantomData;

use crate::dot::{self, Arithmetic};
use crate::error::Mismatch;
use crate::fixed_point_16::{logistic_q3, tanh};
use crate::functions;
use crate::logistic::LogisticI16;
use crate::requantize::{Double, Fixed, FixedScales, Rescale, Rounding, divide_by_power_of_two};

/// The gates of a cell: input, forget, cell, output.
pub const GATES: usize = 4;

/// The most integer bits of a cell state.
pub const MAX_CELL_BITS: u32 = 6;

/// Lengths of an LSTM's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LstmShape {
    /// Sequences.
    pub batches: usize,
    /// Steps of a sequence.
    pub steps: usize,
    /// Elements of a step's input.
    pub inputs: usize,
    /// Cells: elements of a step's output.
    pub cells: usize,
    /// Whether tensors are `[steps, batches, …]` instead of `[batches, steps, …]`.
    pub time_major: bool,
}

/// Parameters of an LSTM with int8 activations and weights, int16 cell state and gates.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LstmI8<'a> {
    /// Lengths.
    pub shape: LstmShape,
    /// Weights of the input, `[cells, 4, inputs]`.
    pub weights: &'a [i8],
    /// Weights of the hidden state, `[cells, 4, cells]`.
    pub recurrent: &'a [i8],
    /// `[cells, 4]`, less the input's zero point times the sum of its weights.
    pub bias: &'a [i32],
    /// `[cells, 4]`: less the hidden state's zero point times the sum of its weights.
    pub recurrent_bias: &'a [i32],
    /// What takes the sums of the gates to Q3.12: those over the input, then those over the hidden state.
    pub scales: FixedScales<'a>,
    /// Integer bits of the cell state, whose scale is `2^(cell_bits - 15)`; at most [`MAX_CELL_BITS`].
    pub cell_bits: u32,
    /// The cell state is held within `±cell_clip`; 0 where it is not.
    pub cell_clip: i16,
    /// Multiplier and shift that take a product in Q0.30 to the output.
    pub output_scale: (i32, i32),
    /// Zero point of the output and the hidden state.
    pub zero_point: i32,
}

/// Parameters of an LSTM of f32.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct LstmF32<'a> {
    /// Lengths.
    pub shape: LstmShape,
    /// Weights of the input, `[cells, 4, inputs]`.
    pub weights: &'a [f32],
    /// Weights of the hidden state, `[cells, 4, cells]`.
    pub recurrent: &'a [f32],
    /// `[cells, 4]`.
    pub bias: &'a [f32],
    /// The cell state is held within `±cell_clip`; 0 where it is not.
    pub cell_clip: f32,
}

/// An LSTM as LiteRT computes it: gates by [`crate::fixed_point_16`], products divided by powers of two.
///
/// `x` is `[batches, steps, inputs]`, `y` `[batches, steps, cells]`; `h` and `c` are `[batches, cells]`.
///
/// # Errors
///
/// [`Mismatch`] where lengths do not fit the shape.
pub fn lstm_i8(
    p: &LstmI8<'_>,
    x: &[i8],
    y: &mut [i8],
    h: &mut [i8],
    c: &mut [i16],
) -> Result<(), Mismatch> {
    steps(&Int8::<Litert>(p, PhantomData), &p.shape, x, y, h, c)
}

/// An LSTM as TFLite Micro computes it: gates by the table of [`crate::logistic`], products scaled by
/// multipliers.
///
/// # Errors
///
/// As [`lstm_i8`].
pub fn lstm_micro_i8(
    p: &LstmI8<'_>,
    x: &[i8],
    y: &mut [i8],
    h: &mut [i8],
    c: &mut [i16],
) -> Result<(), Mismatch> {
    steps(&Int8::<Micro>(p, PhantomData), &p.shape, x, y, h, c)
}

/// An LSTM of f32.
///
/// # Errors
///
/// As [`lstm_i8`].
pub fn lstm_f32(
    p: &LstmF32<'_>,
    x: &[f32],
    y: &mut [f32],
    h: &mut [f32],
    c: &mut [f32],
) -> Result<(), Mismatch> {
    steps(p, &p.shape, x, y, h, c)
}

/// What the forms differ in. Activations and weights have one type.
trait Cell {
    /// How gates are summed.
    type Sums: Arithmetic<X = Self::X, W = Self::X, Acc = Self::Acc>;
    /// Activations and weights.
    type X: Copy;
    /// Sums.
    type Acc: Copy;
    /// The state of a cell.
    type State: Copy;
    /// How gates are summed.
    const SUMS: Self::Sums;

    /// Weights, and where sums begin.
    fn constants(&self) -> Constants<'_, Self::X, Self::Acc>;

    /// The state behind a step, and the output, from the sums over the input and the hidden state.
    fn update(
        &self,
        sums: [Self::Acc; GATES],
        recurrent: [Self::Acc; GATES],
        state: Self::State,
    ) -> (Self::State, Self::X);
}

/// The constants of a layer.
struct Constants<'a, X, Acc> {
    /// Of the input.
    weights: &'a [X],
    /// Of the hidden state.
    recurrent: &'a [X],
    begin: Begin<'a, Acc>,
}

/// What sums begin with: both, or the one for the input, on which the other goes on.
enum Begin<'a, Acc> {
    Apart(&'a [Acc], &'a [Acc]),
    Together(&'a [Acc]),
}

fn steps<C: Cell>(
    cell: &C,
    shape: &LstmShape,
    x: &[C::X],
    y: &mut [C::X],
    h: &mut [C::X],
    c: &mut [C::State],
) -> Result<(), Mismatch> {
    let LstmShape { batches, steps, inputs, cells, time_major } = *shape;
    let Constants { weights, recurrent, begin } = cell.constants();
    if weights.len() != GATES * cells * inputs || recurrent.len() != GATES * cells * cells {
        return Err(Mismatch);
    }
    if h.len() != batches * cells || c.len() != batches * cells || inputs == 0 || cells == 0 {
        return Err(Mismatch);
    }
    for (batch, (h, c)) in h.chunks_exact_mut(cells).zip(c.chunks_exact_mut(cells)).enumerate() {
        for step in 0..steps {
            let row = if time_major { step * batches + batch } else { batch * steps + step };
            let x = x.get(row * inputs..).and_then(|x| x.get(..inputs)).ok_or(Mismatch)?;
            let y = y.get_mut(row * cells..).and_then(|y| y.get_mut(..cells)).ok_or(Mismatch)?;
            let weights = weights.chunks_exact((GATES * inputs).max(1));
            let recurrent = recurrent.chunks_exact((GATES * cells).max(1));
            let rows = weights.zip(recurrent).zip(y.iter_mut().zip(c.iter_mut()));
            for (index, ((weights, recurrent), (y, state))) in rows.enumerate() {
                let four = |bias: &[C::Acc]| -> Result<[C::Acc; GATES], Mismatch> {
                    bias.as_chunks().0.get(index).copied().ok_or(Mismatch)
                };
                let (sums, recurrent) = match begin {
                    Begin::Apart(bias, recurrent_bias) => (
                        gates::<C>(four(bias)?, x, weights)?,
                        gates::<C>(four(recurrent_bias)?, h, recurrent)?,
                    ),
                    Begin::Together(bias) => {
                        let sums = gates::<C>(four(bias)?, x, weights)?;
                        (sums, gates::<C>(sums, h, recurrent)?)
                    }
                };
                (*state, *y) = cell.update(sums, recurrent, *state);
            }
            // Not before: every cell reads the hidden state of all.
            h.copy_from_slice(y);
        }
    }
    Ok(())
}

/// `acc + Σ x·w` of the four gates of a cell.
fn gates<C: Cell>(
    acc: [C::Acc; GATES],
    x: &[C::X],
    weights: &[C::X],
) -> Result<[C::Acc; GATES], Mismatch> {
    let mut rows = weights.chunks_exact(x.len().max(1));
    let mut next = || rows.next().ok_or(Mismatch);
    let (first, second) = ([next()?, next()?], [next()?, next()?]);
    let [a, b, c, d] = acc;
    let [a, b] = C::SUMS.dot([a, b], x, first);
    let [c, d] = C::SUMS.dot([c, d], x, second);
    Ok([a, b, c, d])
}

/// What LiteRT and TFLite Micro differ in.
trait Functions {
    /// What a sum over the hidden state, in Q3.12, adds to a gate.
    fn addend(scaled: i32) -> i32;

    /// The logistic function in Q0 of a number in Q3.
    fn logistic(x: i16) -> i16;

    /// The hyperbolic tangent in Q0 of a number in Q`integer_bits`.
    fn tanh(x: i16, integer_bits: u32) -> i16;

    /// `a × b / 2^exponent`, for an exponent from 15 to 21.
    fn product(a: i16, b: i16, exponent: u32) -> i16;
}

/// LiteRT's arithmetic.
struct Litert;

impl Functions for Litert {
    fn addend(scaled: i32) -> i32 {
        scaled
    }

    fn logistic(x: i16) -> i16 {
        logistic_q3(x)
    }

    fn tanh(x: i16, integer_bits: u32) -> i16 {
        tanh(x, integer_bits)
    }

    fn product(a: i16, b: i16, exponent: u32) -> i16 {
        divide_by_power_of_two(product(a, b), exponent as i32) as i16
    }
}

/// TFLite Micro's arithmetic.
struct Micro;

impl Functions for Micro {
    fn addend(scaled: i32) -> i32 {
        saturate(scaled).into()
    }

    fn logistic(x: i16) -> i16 {
        LogisticI16 { input_multiplier: 3, input_shift: 0 }.logistic(x)
    }

    fn tanh(x: i16, integer_bits: u32) -> i16 {
        let p = match integer_bits.checked_sub(3) {
            Some(left) => LogisticI16 { input_multiplier: 3 << left.min(3), input_shift: 0 },
            None => LogisticI16 { input_multiplier: 3, input_shift: 3 - integer_bits },
        };
        p.tanh(x)
    }

    fn product(a: i16, b: i16, exponent: u32) -> i16 {
        saturate(Double::requantize(product(a, b), 1 << 30, 1 - exponent as i32))
    }
}

/// A layer of int8 in one of the two arithmetics.
struct Int8<'a, F>(&'a LstmI8<'a>, PhantomData<F>);

impl<F: Functions> Cell for Int8<'_, F> {
    type Sums = dot::I8;
    type X = i8;
    type Acc = i32;
    type State = i16;
    const SUMS: dot::I8 = dot::I8;

    fn constants(&self) -> Constants<'_, i8, i32> {
        let LstmI8 { weights, recurrent, bias, recurrent_bias, .. } = *self.0;
        Constants { weights, recurrent, begin: Begin::Apart(bias, recurrent_bias) }
    }

    fn update(&self, sums: [i32; GATES], recurrent: [i32; GATES], state: i16) -> (i16, i8) {
        let p = self.0;
        let scales = Fixed::<Double>::new(p.scales);
        let mut gates = [0_i16; GATES];
        for (gate, (value, (sum, more))) in
            gates.iter_mut().zip(sums.into_iter().zip(recurrent)).enumerate()
        {
            let sum = i32::from(saturate(scales.rescale(sum, gate)));
            *value = saturate(sum.saturating_add(F::addend(scales.rescale(more, GATES + gate))));
        }
        let [input, forget, cell, output] = gates;
        let cell_bits = p.cell_bits.min(MAX_CELL_BITS);
        let kept = F::product(F::logistic(forget), state, 15);
        let added = F::product(F::logistic(input), F::tanh(cell, 3), 15 + cell_bits);
        let mut state = kept.saturating_add(added);
        if p.cell_clip != 0 {
            state = state.max(p.cell_clip.saturating_neg()).min(p.cell_clip);
        }
        let (multiplier, shift) = p.output_scale;
        let hidden = product(F::logistic(output), F::tanh(state, cell_bits));
        let hidden = Double::requantize(hidden, multiplier, shift);
        (state, hidden.saturating_add(p.zero_point).clamp(-128, 127) as i8)
    }
}

fn saturate(x: i32) -> i16 {
    x.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn product(a: i16, b: i16) -> i32 {
    i32::from(a) * i32::from(b)
}

impl Cell for LstmF32<'_> {
    type Sums = dot::F32;
    type X = f32;
    type Acc = f32;
    type State = f32;
    const SUMS: dot::F32 = dot::F32;

    fn constants(&self) -> Constants<'_, f32, f32> {
        let begin = Begin::Together(self.bias);
        Constants { weights: self.weights, recurrent: self.recurrent, begin }
    }

    fn update(
        &self,
        _: [f32; GATES],
        [input, forget, cell, output]: [f32; GATES],
        state: f32,
    ) -> (f32, f32) {
        let kept = functions::logistic(forget) * state;
        let mut state = kept + functions::logistic(input) * functions::tanh(cell);
        if self.cell_clip > 0.0 {
            state = state.max(-self.cell_clip).min(self.cell_clip);
        }
        (state, functions::logistic(output) * functions::tanh(state))
    }
}

#[cfg(test)]
mod tests;
