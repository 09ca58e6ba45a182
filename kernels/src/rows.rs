//! Walks of operators that work on each row, the innermost axis, alone.

use crate::Mismatch;

/// Calls `f` with each row of `x` and `y`.
pub(crate) fn for_each_row<X, Y>(
    rows: usize,
    depth: usize,
    x: &[X],
    y: &mut [Y],
    mut f: impl FnMut(&[X], &mut [Y]),
) -> Result<(), Mismatch> {
    let len = rows.checked_mul(depth).ok_or(Mismatch)?;
    if x.len() != len || y.len() != len {
        return Err(Mismatch);
    }
    // No rows of no elements: a chunk's length is never zero.
    for (x, y) in x.chunks_exact(depth.max(1)).zip(y.chunks_exact_mut(depth.max(1))) {
        f(x, y);
    }
    Ok(())
}

/// Steps `index` to that of the next row in a tensor whose outer axes have `extents`, as an odometer
/// does; after the last row it is the first again.
#[inline]
pub(crate) fn next_row<const N: usize>(index: &mut [usize; N], extents: &[usize; N]) {
    for (i, &extent) in index.iter_mut().zip(extents).rev() {
        *i += 1;
        if *i < extent {
            return;
        }
        *i = 0;
    }
}
