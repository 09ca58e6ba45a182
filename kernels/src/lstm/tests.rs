use proptest::prelude::*;
use std::{vec, vec::Vec};

use super::*;

/// Numbers in [-1, 1).
fn reals(n: usize) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-1.0..1.0_f32, n)
}

/// A shape, an input, weights, recurrent weights and biases.
type Case = (LstmShape, Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>);

fn cases() -> impl Strategy<Value = Case> {
    (1..4_usize, 1..6_usize, 1..12_usize, 1..12_usize, any::<bool>()).prop_flat_map(
        |(batches, steps, inputs, cells, time_major)| {
            let shape = LstmShape { batches, steps, inputs, cells, time_major };
            (
                Just(shape),
                reals(batches * steps * inputs),
                reals(4 * cells * inputs),
                reals(4 * cells * cells),
                reals(4 * cells),
            )
        },
    )
}

/// The formula of the module, by itself, in f64, on tensors that are not time major.
fn naive((shape, x, w, r, bias): &Case, h: &mut [f64], c: &mut [f64]) -> Vec<f64> {
    let LstmShape { batches, steps, inputs, cells, .. } = *shape;
    let logistic = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let mut y = Vec::new();
    for batch in 0..batches {
        for step in 0..steps {
            let mut next = Vec::new();
            for cell in 0..cells {
                let gate = |gate: usize| {
                    let row = 4 * cell + gate;
                    let input = |i: usize| f64::from(x[(batch * steps + step) * inputs + i]);
                    let sum: f64 =
                        (0..inputs).map(|i| f64::from(w[row * inputs + i]) * input(i)).sum();
                    let recurrent = |i: usize| f64::from(r[row * cells + i]) * h[batch * cells + i];
                    sum + (0..cells).map(recurrent).sum::<f64>() + f64::from(bias[row])
                };
                let state = &mut c[batch * cells + cell];
                *state = logistic(gate(1)) * *state + logistic(gate(0)) * libm::tanh(gate(2));
                next.push(logistic(gate(3)) * libm::tanh(*state));
            }
            h[batch * cells..][..cells].copy_from_slice(&next);
            y.extend(next);
        }
    }
    y
}

/// From `[batches, steps, n]` to `[steps, batches, n]`.
fn time_major<T: Copy>(shape: &LstmShape, n: usize, of: &[T]) -> Vec<T> {
    let LstmShape { batches, steps, .. } = *shape;
    let rows = (0..steps).flat_map(|step| (0..batches).map(move |batch| batch * steps + step));
    rows.flat_map(|row| of[row * n..][..n].to_vec()).collect()
}

fn quantized(reals: &[f32], scale: f32, zero_point: i32) -> Vec<i8> {
    let stored = |x: &f32| (libm::roundf(x / scale) as i32 + zero_point).clamp(-128, 127) as i8;
    reals.iter().map(stored).collect()
}

/// Multiplier and shift of a scale, as TFLite's `QuantizeMultiplier` finds them.
fn fixed(scale: f64) -> (i32, i32) {
    let (mantissa, exponent) = libm::frexp(scale);
    ((mantissa * 2_147_483_648.0) as i32, exponent)
}

proptest! {
    #[test]
    fn floats_are_the_formula(case in cases()) {
        let (shape, x, w, r, bias) = &case;
        let states = shape.batches * shape.cells;
        let (mut h, mut c) = (vec![0.0; states], vec![0.0; states]);
        let expected = naive(&case, &mut h, &mut c);
        let given = if shape.time_major { time_major(shape, shape.inputs, x) } else { x.clone() };
        let mut y = vec![0.0; shape.batches * shape.steps * shape.cells];
        let (mut own_h, mut own_c) = (vec![0.0; states], vec![0.0; states]);
        let p = LstmF32 { shape: *shape, weights: w, recurrent: r, bias, cell_clip: 0.0 };
        lstm_f32(&p, &given, &mut y, &mut own_h, &mut own_c).unwrap();
        let expected = match shape.time_major {
            true => time_major(shape, shape.cells, &expected),
            false => expected,
        };
        for (got, expected) in y.iter().chain(&own_c).zip(expected.iter().chain(&c)) {
            prop_assert!((f64::from(*got) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn int8_is_near_the_formula_and_goes_on_where_it_ended(
        case in cases(), zero_point in -20..20_i32, micro: bool,
    ) {
        let (shape, x, w, r, bias) = case;
        let shape = LstmShape { time_major: false, ..shape };
        let LstmShape { batches, steps, inputs, cells, .. } = shape;
        let (x_scale, w_scale, y_scale) = (1.0 / 127.0_f32, 1.0 / 127.0_f32, 1.0 / 110.0_f32);
        let (x_zero_point, y_zero_point) = (zero_point / 2, zero_point);
        let (x, w, r) = (
            quantized(&x, x_scale, x_zero_point),
            quantized(&w, w_scale, 0),
            quantized(&r, w_scale, 0),
        );
        let back = |of: &[i8], scale: f32, zero_point: i32| -> Vec<f32> {
            of.iter().map(|&q| (i32::from(q) - zero_point) as f32 * scale).collect()
        };
        let real = (
            shape,
            back(&x, x_scale, x_zero_point),
            back(&w, w_scale, 0),
            back(&r, w_scale, 0),
            bias.clone(),
        );
        let states = batches * cells;
        let expected = naive(&real, &mut vec![0.0; states], &mut vec![0.0; states]);

        let sum = |row: &[i8]| row.iter().map(|&w| i32::from(w)).sum::<i32>();
        let folded: Vec<i32> = bias
            .iter()
            .zip(w.chunks_exact(inputs))
            .map(|(bias, row)| libm::roundf(bias / (x_scale * w_scale)) as i32 - x_zero_point * sum(row))
            .collect();
        let recurrent_bias: Vec<i32> =
            r.chunks_exact(cells).map(|row| -y_zero_point * sum(row)).collect();
        let (over_x, over_h) = (
            fixed(f64::from(x_scale * w_scale) * 4096.0),
            fixed(f64::from(y_scale * w_scale) * 4096.0),
        );
        let scales = [over_x, over_x, over_x, over_x, over_h, over_h, over_h, over_h];
        let (multiplier, shift) = (scales.map(|it| it.0), scales.map(|it| it.1 as i8));
        let p = LstmI8 {
            shape,
            weights: &w,
            recurrent: &r,
            bias: &folded,
            recurrent_bias: &recurrent_bias,
            scales: FixedScales { multiplier: &multiplier, shift: &shift },
            cell_bits: 4,
            cell_clip: 0,
            output_scale: fixed(1.0 / (1_u32 << 30) as f64 / f64::from(y_scale)),
            zero_point: y_zero_point,
        };
        let run = if micro { lstm_micro_i8 } else { lstm_i8 };
        let mut y = vec![0; batches * steps * cells];
        let (mut h, mut c) = (vec![y_zero_point as i8; states], vec![0; states]);
        run(&p, &x, &mut y, &mut h, &mut c).unwrap();
        for (got, expected) in y.iter().zip(expected) {
            let got = f64::from(i32::from(*got) - y_zero_point) * f64::from(y_scale);
            // Each step rounds the hidden state, of which at most 11 are summed.
            prop_assert!((got - expected).abs() < 0.08, "{got} {expected}");
        }

        // A step at a time: what one call leaves is what the next begins with.
        let one = LstmI8 { shape: LstmShape { steps: 1, time_major: true, ..shape }, ..p };
        let (mut stepwise_h, mut stepwise_c) = (vec![y_zero_point as i8; states], vec![0; states]);
        let (x, y) = (time_major(&shape, inputs, &x), time_major(&shape, cells, &y));
        for (x, y) in x.chunks_exact(batches * inputs).zip(y.chunks_exact(states)) {
            let mut got = vec![0; states];
            run(&one, x, &mut got, &mut stepwise_h, &mut stepwise_c).unwrap();
            prop_assert_eq!(&got[..], y);
        }
        prop_assert_eq!(stepwise_c, c);
    }

    #[test]
    fn nothing_panics(
        x: [i8; 6], w: [i8; 24], r: [i8; 16], bias: [i32; 8], multiplier: [i32; 8],
        shift: [i8; 8], cell_bits: u32, cell_clip: i16, output_scale: (i32, i32), zero_point: i32, state: [i16; 2],
    ) {
        let shape = LstmShape { batches: 1, steps: 2, inputs: 3, cells: 2, time_major: false };
        let p = LstmI8 {
            shape, weights: &w, recurrent: &r, bias: &bias, recurrent_bias: &bias,
            scales: FixedScales { multiplier: &multiplier, shift: &shift }, cell_bits, cell_clip, output_scale, zero_point,
        };
        for run in [lstm_i8, lstm_micro_i8] {
            let (mut y, mut h, mut c) = ([0; 4], [0; 2], state);
            prop_assert_eq!(run(&p, &x, &mut y, &mut h, &mut c), Ok(()));
            prop_assert_eq!(&y[2..], &h);
            prop_assert_eq!(run(&p, &x[1..], &mut y, &mut h, &mut c), Err(Mismatch));
        }
    }
}
