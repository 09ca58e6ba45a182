//! Convolution with transformed weights against convolution by its definition.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::arch::{Conv2dWinogradI8, Kernels};
use crate::conv2d::conv2d_large_i8;
use crate::testing::shapes::sizes;
use crate::testing::{Scales, Values, check, output_stage};

/// Images, channels and outputs of layers, with padding that may leave windows outside.
fn layers() -> impl Strategy<Value = Geometry> {
    let padding = (0..3_usize, 0..3_usize, 0..3_usize, 0..3_usize);
    let sizes = (1..3_usize, sizes::<4>(2_000));
    (sizes, padding).prop_filter_map("windows", |((n, [h, w, depth, outputs]), pads)| {
        let (top, left, bottom, right) = pads;
        let [out_h, out_w] = [h + top + bottom, w + left + right].map(|it| it.checked_sub(2));
        Some(Geometry {
            input: [n, h, w, depth * CHANNELS],
            output: [n, out_h.filter(|&it| it > 0)?, out_w.filter(|&it| it > 0)?, outputs],
            kernel: [KERNEL; 2],
            window: Window { pad_top: top, pad_left: left, ..Window::UNIT },
        })
    })
}

/// Holds a level's kernel against convolution by its definition.
pub(crate) fn holds(kernels: &Kernels, cases: u32) {
    let kernel = kernels.conv2d_winograd_i8;
    check(kernels.level, cases, (layers(), any::<u64>()), |(g, seed)| {
        gives_the_convolution(kernel, &g, seed)
    });
}

fn gives_the_convolution(
    kernel: Conv2dWinogradI8,
    g: &Geometry,
    seed: u64,
) -> Result<(), TestCaseError> {
    let ([.., depth], [.., channels]) = (g.input, g.output);
    let filter = KERNEL * KERNEL * depth;
    let mut values = Values::new(seed);
    let mut weights = values.i8s(filter * channels);
    let mut zero_point =
        if values.next().is_multiple_of(2) { 0 } else { values.i32s(1, -128, 127)[0] };
    // As large as they may be.
    while !fits(&weights, zero_point, filter) {
        weights.iter_mut().for_each(|w| *w -= *w / 4);
        zero_point -= zero_point / 4;
    }
    let mut transformed = vec![77; len(channels, depth).unwrap()];
    pack(&weights, zero_point, depth, &mut transformed).unwrap();
    // One in eight as large as they get: what is added to them wraps.
    let bias = match values.next() % 8 {
        0 => values.i32s(channels, i32::MIN.into(), i32::MAX.into()),
        _ => values.i32s(channels, -100_000, 100_000),
    };
    let scales = Scales::new(&mut values, channels);
    let output_stage = output_stage(&mut values);
    let x = values.i8s(g.input.iter().product());
    for requantize in scales.all() {
        let layer = Conv2dI8 {
            input: g.input,
            output: g.output,
            kernel: g.kernel,
            window: g.window,
            weights: &weights[..],
            weights_zero_point: zero_point,
            input_zero_point: values.i32s(1, -128, 127)[0],
            bias: &bias,
            requantize,
            output_stage,
        };
        let p = Winograd { weights: &transformed, layer: Conv2dI8 { weights: &[], ..layer } };
        let len = g.output.iter().product();
        let (mut y, mut expected) = (vec![1; len], vec![2; len]);
        prop_assert_eq!(kernel(&p, &x, &mut y), Ok(()));
        conv2d_large_i8(&layer, &x, &mut expected).unwrap();
        prop_assert_eq!(&y, &expected, "{:?}", requantize);
    }
    Ok(())
}

/// A layer of a filter of sixteen channels over one pixel more than its window.
fn refused(change: impl Fn(&mut Winograd<'_, Conv2dI8<'_>>)) -> Result<(), Mismatch> {
    let weights = vec![0; len(1, CHANNELS).unwrap()];
    let scales = crate::requantize::FixedScales { multiplier: &[1 << 30], shift: &[-1] };
    let layer = Conv2dI8 {
        input: [1, 3, 4, CHANNELS],
        output: [1, 1, 2, 1],
        kernel: [KERNEL; 2],
        window: Window::UNIT,
        weights: &[],
        weights_zero_point: 0,
        input_zero_point: 0,
        bias: &[0],
        requantize: crate::requantize::Requantize::Single(scales),
        output_stage: crate::requantize::Output {
            output_offset: 0,
            activation_min: -128,
            activation_max: 127,
        },
    };
    let mut p = Winograd { weights: &weights, layer };
    change(&mut p);
    conv2d_winograd_i8(&p, &[0; 3 * 4 * CHANNELS], &mut [0; 2])
}

#[test]
fn layers_that_are_another_kernel_are_refused() {
    assert_eq!(refused(|_| ()), Ok(()));
    assert_eq!(refused(|p| p.weights = &p.weights[1..]), Err(Mismatch));
    assert_eq!(refused(|p| p.layer.kernel = [3, 4]), Err(Mismatch));
    assert_eq!(refused(|p| p.layer.window.stride_w = 2), Err(Mismatch));
    assert_eq!(refused(|p| p.layer.window.dilation_h = 2), Err(Mismatch));
    assert_eq!(refused(|p| p.layer.bias = &[]), Err(Mismatch));
    assert_eq!(refused(|p| p.layer.output = [1, 1, 3, 1]), Err(Mismatch));
}

#[test]
fn weights_that_sums_could_outgrow_are_refused() {
    let pack = |weight: i8, zero_point, depth: usize| {
        let mut transformed = vec![0; len(1, depth).unwrap()];
        pack(&vec![weight; KERNEL * KERNEL * depth], zero_point, depth, &mut transformed)
    };
    // 9·208·127 is below 2^18, 9·240·127 is not.
    assert_eq!(pack(127, 0, 208), Ok(()));
    assert_eq!(pack(127, 0, 240), Err(Mismatch));
    // 144·227 is below 2^15, 144·228 is not.
    assert_eq!(pack(127, -100, 16), Ok(()));
    assert_eq!(pack(127, -101, 16), Err(Mismatch));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let pack = |weights: usize, depth, transformed: usize| {
        pack(&vec![1; weights], 0, depth, &mut vec![0; transformed])
    };
    assert_eq!(pack(144, 16, 9216), Ok(()));
    assert_eq!(pack(145, 16, 9216), Err(Mismatch));
    assert_eq!(pack(144, 16, 9215), Err(Mismatch));
    assert_eq!(pack(72, 8, 4608), Err(Mismatch));
    assert_eq!(pack(0, 0, 0), Err(Mismatch));
    assert_eq!(len(usize::MAX, 16), None);
    assert_eq!(len(1, usize::MAX / 16 * 16), None);
}

#[test]
fn weights_are_transformed_by_the_matrices_of_the_picture() {
    let g = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];
    let b = [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ];
    let a = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 4]];
    let by = |row: &[i32], column: &[i32]| row.iter().zip(column).map(|(a, b)| a * b).sum();
    let column = [5, -7, 11, 2, -3, 13];
    let product =
        |rows: &[[i32; SIDE]]| -> Vec<i32> { rows.iter().map(|row| by(row, &column)).collect() };
    assert_eq!(&input_line(column)[..], product(&b));
    assert_eq!(&output_line(column)[..], product(&a));
    let filter = [3, -8, 5];
    let expected: Vec<i32> = g.iter().map(|row| by(row, &filter)).collect();
    assert_eq!(&weights_line(filter)[..], expected);
}

#[test]
fn it_pays_for_the_layers_it_is_for() {
    let layer = |size: usize, depth, channels| Geometry {
        input: [1, size, size, depth],
        output: [1, size, size, channels],
        kernel: [KERNEL; 2],
        window: Window { pad_top: 1, pad_left: 1, ..Window::UNIT },
    };
    let (halves, bytes) = (&Limits::HALVES, &Limits::BYTES);
    for (size, depth, channels) in [(8, 64, 64), (28, 128, 128), (56, 32, 32)] {
        assert!(pays(&layer(size, depth, channels), halves), "{size} {depth} {channels}");
        assert!(pays(&layer(size, depth, channels), bytes), "{size} {depth} {channels}");
    }
    // Bytes are faster for few channels, and for many.
    for (size, depth, channels) in [(32, 16, 16), (14, 256, 64), (14, 128, 256)] {
        assert!(pays(&layer(size, depth, channels), halves), "{size} {depth} {channels}");
        assert!(!pays(&layer(size, depth, channels), bytes), "{size} {depth} {channels}");
    }
    // Few channels, few tiles, tiles that stand out, weights that are too many, another kernel.
    for (size, depth, channels) in
        [(32, 8, 64), (4, 64, 64), (5, 64, 64), (14, 256, 272), (14, 512, 16)]
    {
        assert!(!pays(&layer(size, depth, channels), halves), "{size} {depth} {channels}");
    }
    assert!(!pays(&Geometry { kernel: [1, 1], ..layer(32, 16, 16) }, halves));
    let window = Window { stride_h: 2, ..layer(32, 16, 16).window };
    assert!(!pays(&Geometry { window, ..layer(32, 16, 16) }, halves));
}
