//! Walks over runs of elements: rows, images, and what lies beside them.

use crate::Mismatch;

/// Each `x_run` elements of `x` beside each `y_run` of `y`, as many as both have; a length of zero
/// counts as one. As `zip` of `chunks_exact`, which divides, and where that is not inlined could
/// divide by zero for all that the compiler knows.
#[inline(always)]
pub(crate) fn runs<'a, X, Y>(
    x: &'a [X],
    x_run: usize,
    y: &'a mut [Y],
    y_run: usize,
) -> impl Iterator<Item = (&'a [X], &'a mut [Y])> {
    let mut x = x.chunks_exact(x_run.max(1));
    y.chunks_exact_mut(y_run.max(1)).map_while(move |y| Some((x.next()?, y)))
}

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
    for (x, y) in runs(x, depth, y, depth) {
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
