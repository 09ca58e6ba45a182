use super::*;
use crate::arch::Kernels;
use crate::requantize::FixedScales;
use crate::testing::shapes::channelwise;
use crate::testing::{self, Scales, Values, fold, output_stage, real, requantized};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// The kernel that the weights need; the asymmetric one has to give the same where both do.
fn any_depthwise_conv2d_i8(
    p: &DepthwiseConv2dI8<'_>,
    x: &[i8],
    y: &mut [i8],
) -> Result<(), Mismatch> {
    let result = depthwise_conv2d_asymmetric_i8(p, x, y);
    if p.weights_zero_point == 0 {
        let mut symmetric = vec![0; y.len()];
        assert_eq!(depthwise_conv2d_multiplied_i8(p, x, &mut symmetric), result);
        if p.input[3] == p.output[3] {
            let mut plain = vec![0; y.len()];
            assert_eq!(depthwise_conv2d_i8(p, x, &mut plain), result);
            assert_eq!(plain, symmetric);
        }
        if result.is_ok() {
            assert_eq!(y, symmetric);
        }
    }
    result
}

/// Holds a level's kernels against the definitions.
pub(crate) fn holds(kernels: &Kernels, cases: u32) {
    holds_with(kernels, cases, kernels.depthwise_conv2d_i8, |_| 0);
}

/// The same of weights that have a zero point.
pub(crate) fn holds_asymmetric(kernels: &Kernels, cases: u32) {
    holds_with(kernels, cases, kernels.depthwise_conv2d_asymmetric_i8, |values| {
        values.i32s(1, -128, 127)[0]
    });
}

/// Holds a level's kernel for f32 against the definition.
pub(crate) fn holds_f32(kernels: &Kernels, cases: u32) {
    let strategy = (channelwise(), 0..4, any::<u64>());
    testing::check(kernels.level, cases, strategy, |(mut g, kind, seed)| {
        // One in four is what most are, and one has an input that several outputs share.
        if kind == 0 {
            g.kernel = [3, 3];
        }
        if kind == 1 {
            g.output[3] *= 2;
        }
        let mut values = Values::new(seed);
        let x = values.floats(g.input.iter().product());
        let weights = values.floats(g.kernel[0] * g.kernel[1] * g.output[3]);
        let bias = values.floats(g.output[3]);
        let p = DepthwiseConv2dF32 {
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            window: g.window,
            weights: &weights,
            bias: &bias,
            activation: values.activation(),
        };
        let len = g.output.iter().product();
        let (mut y, mut expected) = (vec![1.0; len], vec![2.0; len]);
        prop_assert_eq!((kernels.depthwise_conv2d_f32)(&p, &x, &mut y), Ok(()));
        portable_f32(&p, &x, &mut expected).unwrap();
        testing::same_or_fused(kernels.level, &y, &expected, |y| {
            definition_f32(testing::Fused, &p, &x, y)
        })
    });
}

/// Holds a level's kernel for int16 against the definition.
pub(crate) fn holds_i16(kernels: &Kernels, cases: u32) {
    let strategy = (channelwise(), 0..8, any::<u64>());
    testing::check(kernels.level, cases, strategy, |(mut g, kind, seed)| {
        let mut values = Values::new(seed);
        // Half are what most are, and some have an input that several outputs share.
        if kind < 4 {
            g.kernel = [3, 3];
        }
        if kind % 4 == 0 {
            let multiplier = 1 + values.next() as usize % 40;
            g.input[3] = g.input[3].div_ceil(multiplier);
            g.output[3] = g.input[3] * multiplier;
        }
        let channels = g.output[3];
        let mut x = values.i16s(g.input.iter().product());
        let mut weights = values.i8s(g.kernel[0] * g.kernel[1] * channels);
        if values.next().is_multiple_of(8) {
            // The largest products.
            x.fill(i16::MIN);
            weights.fill(i8::MIN);
        }
        // Of usual size, as large as is scaled in f64 and more, or any.
        let most: i64 = 1 << [25, 25, 35, 36, 61][values.next() as usize % 5];
        let wide = values.integers(channels, -most, most);
        let most = most.min(i32::MAX.into());
        let narrow = values.i32s(channels, -most - 1, most);
        let mut output_stage = Output {
            output_offset: 0,
            activation_min: i16::MIN.into(),
            activation_max: i16::MAX.into(),
        };
        match values.next() % 8 {
            0 => output_stage.output_offset = values.i32s(1, -32_768, 32_767)[0],
            1 => output_stage.activation_min = 0,
            2 => output_stage.activation_max = values.i32s(1, -70_000, 70_000)[0],
            _ => {}
        }
        let scales = Scales::new(&mut values, channels);
        let narrow = scales.all().map(|scales| Accumulate16::Narrow(&narrow, scales));
        let wide = scales.wide().map(|scales| Accumulate16::Wide(&wide, scales));
        for accumulate in narrow.into_iter().chain(wide) {
            let p = DepthwiseConv2dI16 {
                input: g.input,
                output: g.output,
                kernel: g.kernel,
                window: g.window,
                weights: &weights,
                accumulate,
                output_stage,
            };
            let len = g.output.iter().product();
            let (mut y, mut expected) = (vec![1; len], vec![2; len]);
            prop_assert_eq!((kernels.depthwise_conv2d_i16)(&p, &x, &mut y), Ok(()));
            portable_i16(&p, &x, &mut expected).unwrap();
            prop_assert_eq!(&y, &expected, "{:?}", accumulate);
        }
        Ok(())
    });
}

fn holds_with(
    kernels: &Kernels,
    cases: u32,
    kernel: arch::DepthwiseConv2dI8Kernel,
    zero_point: impl Fn(&mut Values) -> i32,
) {
    let strategy = (channelwise(), 0..8, any::<u64>());
    testing::check(kernels.level, cases, strategy, |(mut g, kind, seed)| {
        // Two in three are what most are.
        match kind {
            0 => g.kernel = [3, 3],
            1 => g.kernel = [5, 5],
            2 => g.kernel[0] = 1,
            3 | 4 => {
                g.kernel = if kind == 3 { [3, 3] } else { [1, 1 + g.kernel[1] % 16] };
                (g.window.dilation_h, g.window.dilation_w) = (1, 1);
                let channels = g.output[3].next_multiple_of(8);
                (g.input[3], g.output[3]) = (channels, channels);
            }
            _ => {}
        }
        let channels = g.output[3];
        let mut values = Values::new(seed);
        let x = values.i8s(g.input.iter().product());
        let weights = values.i8s(g.kernel[0] * g.kernel[1] * channels);
        let bias = match values.next() % 8 {
            0 => values.i32s(channels, i32::MIN.into(), i32::MAX.into()),
            _ => values.i32s(channels, -30_000, 30_000),
        };
        let output_stage = output_stage(&mut values);
        let scales = Scales::new(&mut values, channels);
        let input_zero_point = values.i32s(1, -128, 127)[0];
        let weights_zero_point = zero_point(&mut values);
        for requantize in scales.all() {
            let p = DepthwiseConv2dI8 {
                input: g.input,
                output: g.output,
                kernel: g.kernel,
                window: g.window,
                weights: &weights,
                weights_zero_point,
                input_zero_point,
                bias: &bias,
                requantize,
                output_stage,
            };
            let len = g.output.iter().product();
            let (mut y, mut expected) = (vec![1; len], vec![2; len]);
            prop_assert_eq!(kernel(&p, &x, &mut y), Ok(()));
            portable_asymmetric(&p, &x, &mut expected).unwrap();
            prop_assert_eq!(&y, &expected, "{:?}", requantize);
        }
        Ok(())
    });
}

proptest! {
    #[test]
    fn depthwise_conv2d_i8_is_its_formula(
        mut g in testing::geometry(), channels in 1..21_usize, multiplier in 1..12_usize,
        zero_points in (-128..128, -128..128), kind in 0..4, seed: u64,
    ) {
        let input_zero_point = zero_points.0;
        let weights_zero_point = if kind < 2 { 0 } else { zero_points.1 };
        let multiplier = if kind % 2 == 0 { 1 } else { multiplier };
        (g.input[3], g.output[3]) = (channels, channels * multiplier);
        let mut values = Values::new(seed);
        let x = values.i8s(g.input.iter().product());
        let weights = values.i8s(g.kernel[0] * g.kernel[1] * g.output[3]);
        let bias = values.i32s(g.output[3], -30_000, 30_000);
        let output_stage = output_stage(&mut values);
        let scales = Scales::new(&mut values, g.output[3]);

        let w = real(&weights, weights_zero_point);
        let sums = testing::depthwise_conv2d(&g, &real(&x, input_zero_point), &w);
        let folded = fold(&bias, input_zero_point, &w, |i| i % g.output[3]);
        for requantize in scales.all() {
            let p = DepthwiseConv2dI8 {
                input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                weights: &weights, weights_zero_point, input_zero_point, bias: &folded,
                requantize, output_stage,
            };
            let mut y = vec![0; sums.len()];
            any_depthwise_conv2d_i8(&p, &x, &mut y).unwrap();
            let y: Vec<i32> = y.into_iter().map(i32::from).collect();
            prop_assert_eq!(y, requantized(&sums, &bias, requantize, &output_stage));
        }
    }

    #[test]
    fn depthwise_conv2d_i16_is_its_formula(
        mut g in testing::geometry(), channels in 1..21_usize, multiplier in 1..4_usize,
        seed: u64,
    ) {
        (g.input[3], g.output[3]) = (channels, channels * multiplier);
        let mut values = Values::new(seed);
        let x = values.i16s(g.input.iter().product());
        let weights = values.i8s(g.kernel[0] * g.kernel[1] * g.output[3]);
        let sums = testing::depthwise_conv2d(&g, &real(&x, 0), &real(&weights, 0));
        testing::requantized_16(&mut values, g.output[3], &sums, |accumulate, output_stage| {
            let p = DepthwiseConv2dI16 {
                input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                weights: &weights, accumulate, output_stage,
            };
            let mut y = vec![0; sums.len()];
            depthwise_conv2d_i16(&p, &x, &mut y).unwrap();
            y
        })?;
    }

    #[test]
    fn depthwise_conv2d_f32_is_its_formula(
        mut g in testing::geometry(), channels in 1..21_usize, multiplier in 1..4_usize,
        seed: u64,
    ) {
        (g.input[3], g.output[3]) = (channels, channels * multiplier);
        let mut values = Values::new(seed);
        let x = values.f32s(g.input.iter().product());
        let weights = values.f32s(g.kernel[0] * g.kernel[1] * g.output[3]);
        let bias = values.f32s(g.output[3]);
        let p = DepthwiseConv2dF32 {
            input: g.input, output: g.output, kernel: g.kernel, window: g.window,
            weights: &weights, bias: &bias, activation: ActivationRange { min: -1.0, max: 2.0 },
        };
        let mut y = vec![0.0; g.output.iter().product()];
        depthwise_conv2d_f32(&p, &x, &mut y).unwrap();
        let sums = testing::depthwise_conv2d(&g, &real(&x, 0), &real(&weights, 0));
        for (i, (y, sum)) in y.iter().zip(sums).enumerate() {
            let wanted = (sum + f64::from(bias[i % bias.len()])).clamp(-1.0, 2.0);
            prop_assert!((f64::from(*y) - wanted).abs() < 1e-4, "{} for {}", y, wanted);
        }
    }

    #[test]
    fn depthwise_conv2d_hybrid_is_its_formula(
        mut g in testing::geometry(), channels in 1..21_usize, multiplier in 1..4_usize,
        seed: u64,
    ) {
        (g.input[3], g.output[3]) = (channels, channels * multiplier);
        let mut values = Values::new(seed);
        let x = values.f32s(g.input.iter().product());
        let weights = values.i8s(g.kernel[0] * g.kernel[1] * g.output[3]);
        let w = real(&weights, 0);
        let weight_sums = fold(&vec![0; g.output[3]], -1, &w, |i| i % g.output[3]);
        let sums = |x: &[f64]| testing::depthwise_conv2d(&g, x, &w);
        testing::hybrid(&mut values, g.input[0], &x, &weight_sums, sums, |output_stage| {
            let p = DepthwiseConv2dHybrid {
                input: g.input, output: g.output, kernel: g.kernel, window: g.window,
                weights: &weights, output_stage,
            };
            let mut y = vec![0.0; g.output.iter().product()];
            let scratch = &mut vec![0; x.len() / g.input[0]];
            depthwise_conv2d_hybrid(&p, &x, &mut y, scratch).unwrap();
            y
        })?;
    }
}

const ONE: DepthwiseConv2dI8<'static> = DepthwiseConv2dI8 {
    input: [1, 2, 2, 3],
    output: [1, 2, 2, 3],
    kernel: [1, 1],
    window: Window::UNIT,
    weights: &[1, 2, 3],
    weights_zero_point: 0,
    input_zero_point: 0,
    bias: &[0, 0, 0],
    requantize: Requantize::Float32(&[1.0]),
    output_stage: Output { output_offset: 0, activation_min: -128, activation_max: 127 },
};

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let run = |p: DepthwiseConv2dI8<'_>| any_depthwise_conv2d_i8(&p, &[1; 12], &mut [0; 12]);
    assert_eq!(run(ONE), Ok(()));
    assert_eq!(depthwise_conv2d_i8(&ONE, &[1; 11], &mut [0; 12]), Err(Mismatch));
    assert_eq!(depthwise_conv2d_i8(&ONE, &[1; 12], &mut [0; 11]), Err(Mismatch));
    assert_eq!(run(DepthwiseConv2dI8 { weights: &[1, 2], ..ONE }), Err(Mismatch));
    assert_eq!(run(DepthwiseConv2dI8 { bias: &[1, 2], ..ONE }), Err(Mismatch));
    assert_eq!(run(DepthwiseConv2dI8 { kernel: [usize::MAX, 0], ..ONE }), Err(Mismatch));
    assert_eq!(run(DepthwiseConv2dI8 { input: [1, 2, 3, 2], ..ONE }), Err(Mismatch));
    assert_eq!(run(DepthwiseConv2dI8 { input: [1, usize::MAX, 4, 3], ..ONE }), Err(Mismatch));
}

#[test]
fn hostile_windows_give_some_answer() {
    let m = usize::MAX;
    let window = Window {
        stride_h: m,
        stride_w: m / 2,
        dilation_h: 0,
        dilation_w: m,
        pad_top: m,
        pad_left: 1,
    };
    let p = DepthwiseConv2dI8 { window, ..ONE };
    assert_eq!(any_depthwise_conv2d_i8(&p, &[1; 12], &mut [0; 12]), Ok(()));
}

proptest! {
    #[test]
    fn windows_of_int16_that_wrap_give_the_definition(
        window in prop::array::uniform6(prop_oneof![
            Just(0), 0..4_usize, Just(usize::MAX), usize::MAX - 4.., any::<usize>(),
        ]),
    ) {
        let [stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left] = window;
        let scales = FixedScales { multiplier: &[1 << 30], shift: &[-3] };
        let p = DepthwiseConv2dI16 {
            input: [1, 4, 4, 8],
            output: [1, 4, 4, 8],
            kernel: [2, 2],
            window: Window { stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left },
            weights: &[3; 32],
            accumulate: Accumulate16::Narrow(&[1; 8], Requantize::Single(scales)),
            output_stage: Output {
                output_offset: 0, activation_min: -32_768, activation_max: 32_767,
            },
        };
        let x: Vec<i16> = (0..128).collect();
        let mut expected = vec![2; 128];
        let done = portable_i16(&p, &x, &mut expected);
        for kernels in arch::available() {
            let mut y = vec![2; 128];
            prop_assert_eq!((kernels.depthwise_conv2d_i16)(&p, &x, &mut y), done);
            prop_assert!(done.is_err() || y == expected);
        }
    }
}
