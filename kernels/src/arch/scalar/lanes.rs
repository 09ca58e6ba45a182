//! Products of rows of weights with activations that have been widened to words before.
//!
//! As in [`super::super::dsp`], but that a word holds one activation: each weight is loaded once for
//! four positions, whose activations lie beside each other and are loaded by one instruction. On a
//! Cortex-M3:
//!
//! ```text
//! ldrsb lr, [r1], #1              a weight
//! ldm   r0!, {r8-r11}             its element of positions 0 1 2 3
//! mla   r4, r8, lr, r4            position 0
//! …                               three more
//! ```
//!
//! 1.5 instructions a product. A Cortex-M0 has no MLA, needs the sums' registers named in an ADD of
//! their own, and counts the weights' address up by itself: 2.75.

#[cfg(any(armv6m, armv7m))]
use super::assembly;

/// Elements whose activations are widened together.
pub(super) const STEP: usize = 1;

/// Elements of four windows that are widened at once.
pub(super) const DEPTH: usize = 48;

/// An element of `P` positions.
pub(super) type Quad<const P: usize> = [[i32; P]; STEP];

/// Widens `x` to the elements of position `lane`.
#[inline(always)]
pub(super) fn widen<const P: usize>(x: &[i8], lane: usize, quads: &mut [Quad<P>]) {
    widen_words(x.as_chunks().0, lane, quads);
}

/// [`widen`], for those who have elements one by one.
#[inline(never)]
pub(super) fn widen_words<const P: usize>(x: &[[i8; STEP]], lane: usize, quads: &mut [Quad<P>]) {
    for (&[x], [quad]) in x.iter().zip(quads) {
        quad[lane % P] = x.into();
    }
}

/// Gives all elements of position `lane` this value.
pub(super) fn fill<const P: usize>(x: i8, lane: usize, quads: &mut [Quad<P>]) {
    for [quad] in quads {
        quad[lane % P] = x.into();
    }
}

/// `Σ x` of each position.
#[inline(never)]
pub(super) fn sums<const P: usize>(quads: &[Quad<P>], sums: &mut [i32; P]) {
    for quad in quads.as_flattened() {
        for (sum, x) in sums.iter_mut().zip(quad) {
            *sum = sum.wrapping_add(*x);
        }
    }
}

/// Adds to `accs[r][p]`, which is 0 where it is the `first` part, the product of row `r` of weights
/// with position `p`. Row `r` begins at `weights[r × pitch]` and is read as far as there are
/// activations; where it is shorter, the sums are not what they should be.
#[inline(never)]
pub(super) fn multiply(
    accs: &mut [[i32; 4]],
    first: bool,
    quads: &[Quad<4>],
    weights: &[i8],
    pitch: usize,
) {
    let last = accs.len().checked_sub(1).and_then(|rows| rows.checked_mul(pitch));
    let end = last.and_then(|last| last.checked_add(quads.len()));
    if quads.is_empty() || end.is_none_or(|end| end > weights.len()) {
        return;
    }
    rows_by_four(accs, first, quads.as_flattened(), weights, pitch);
}

/// [`multiply`] where there are rows, elements, and all weights.
#[cfg(not(any(armv6m, armv7m)))]
fn rows_by_four(accs: &mut [[i32; 4]], first: bool, x: &[[i32; 4]], weights: &[i8], pitch: usize) {
    if first {
        accs.fill([0; 4]);
    }
    let row = |r: usize| weights.get(r * pitch..).unwrap_or_default();
    let (pairs, rest) = accs.as_chunks_mut::<2>();
    for (r, pair) in pairs.iter_mut().enumerate() {
        *pair = two_rows(*pair, x, [row(2 * r), row(2 * r + 1)]);
    }
    // What is left goes with itself.
    if let [acc] = rest {
        let row = row(2 * pairs.len());
        [*acc, _] = two_rows([*acc; 2], x, [row, row]);
    }
}

/// Adds the products of two rows, which have the registers of a RISC-V.
#[cfg(not(any(armv6m, armv7m)))]
#[inline(always)]
fn two_rows([acc0, acc1]: [[i32; 4]; 2], x: &[[i32; 4]], [w0, w1]: [&[i8]; 2]) -> [[i32; 4]; 2] {
    let [mut acc00, mut acc01, mut acc02, mut acc03] = acc0;
    let [mut acc10, mut acc11, mut acc12, mut acc13] = acc1;
    for ((&[x0, x1, x2, x3], &w0), &w1) in x.iter().zip(w0).zip(w1) {
        let (w0, w1) = (i32::from(w0), i32::from(w1));
        acc00 = acc00.wrapping_add(x0.wrapping_mul(w0));
        acc01 = acc01.wrapping_add(x1.wrapping_mul(w0));
        acc02 = acc02.wrapping_add(x2.wrapping_mul(w0));
        acc03 = acc03.wrapping_add(x3.wrapping_mul(w0));
        acc10 = acc10.wrapping_add(x0.wrapping_mul(w1));
        acc11 = acc11.wrapping_add(x1.wrapping_mul(w1));
        acc12 = acc12.wrapping_add(x2.wrapping_mul(w1));
        acc13 = acc13.wrapping_add(x3.wrapping_mul(w1));
    }
    [[acc00, acc01, acc02, acc03], [acc10, acc11, acc12, acc13]]
}

/// What the loop reads from memory.
#[cfg(any(armv6m, armv7m))]
#[repr(C)]
pub(super) struct Product {
    accs: *mut [i32; 4],
    accs_end: *mut [i32; 4],
    x: *const [i32; 4],
    x_end: *const [i32; 4],
    weights: *const i8,
    /// Bytes from the end of what is read of a row to the beginning of the next.
    skip: isize,
    /// Whether there are sums already; else 0.
    continued: u32,
}

/// [`multiply`] where there are rows, elements, and all weights.
#[cfg(any(armv6m, armv7m))]
#[inline(always)]
fn rows_by_four(accs: &mut [[i32; 4]], first: bool, x: &[[i32; 4]], weights: &[i8], pitch: usize) {
    let accs = accs.as_mut_ptr_range();
    let product = Product {
        accs: accs.start,
        accs_end: accs.end,
        x: x.as_ptr(),
        x_end: x.as_ptr_range().end,
        weights: weights.as_ptr(),
        skip: pitch.wrapping_sub(x.len()) as isize,
        continued: (!first).into(),
    };
    // SAFETY: there are sums, of which the loop reads and writes the ones between the pointers, and
    // elements, of which it reads all for each; of weights it reads one for each element, row by row,
    // which the caller says there are.
    unsafe { assembly::by_four(&raw const product) }
}
