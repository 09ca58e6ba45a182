//! [`crate::dot`] in steps of 16 products, which spend less on the loop itself.
//!
//! Two by two needs four loads for four multiplications where a single product needs two for one.
//! Its four sums, four addresses and four factors are what the registers of a Cortex-M hold: 2.3
//! instructions a product, one by two is 2.7.

use crate::dot;

/// Products of a step.
const STEP: usize = 16;

/// `acc[o] + Σ x·w[o]`; the runs have one length.
#[inline(always)]
pub fn dot_i8(mut acc: [i32; 2], x: &[i8], [w0, w1]: [&[i8]; 2]) -> [i32; 2] {
    let (x, x_rest) = x.as_chunks::<STEP>();
    let (w0, w0_rest) = w0.as_chunks::<STEP>();
    let (w1, w1_rest) = w1.as_chunks::<STEP>();
    for ((x, w0), w1) in x.iter().zip(w0).zip(w1) {
        acc = dot::dot_i8(acc, x, [w0, w1]);
    }
    dot::dot_i8(acc, x_rest, [w0_rest, w1_rest])
}

/// `acc[p][o] + Σ x[p]·w[o]`; the runs have one length.
#[inline(always)]
pub fn dots_i8(
    mut acc: [[i32; 2]; 2],
    [x0, x1]: [&[i8]; 2],
    [w0, w1]: [&[i8]; 2],
) -> [[i32; 2]; 2] {
    let ((x0, x0_rest), (x1, x1_rest)) = (x0.as_chunks::<STEP>(), x1.as_chunks::<STEP>());
    let ((w0, w0_rest), (w1, w1_rest)) = (w0.as_chunks::<STEP>(), w1.as_chunks::<STEP>());
    for (((x0, x1), w0), w1) in x0.iter().zip(x1).zip(w0).zip(w1) {
        acc = dot::dots_i8(acc, [x0, x1], [w0, w1]);
    }
    dot::dots_i8(acc, [x0_rest, x1_rest], [w0_rest, w1_rest])
}
