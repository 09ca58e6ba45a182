//! CONCATENATION, one input at a time: a tensor is placed into its strip of a larger one.
//!
//! Along an axis, the output is made of strips, one per input. Seen as `outer` rows, each row of
//! the output holds a row of each input. PACK is the same with an axis of extent 1. For any element
//! type. Inputs are placed one after the other, so that there may be any number of them.

use crate::error::Mismatch;

/// Where an input lies in the output. Lengths are in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Place {
    /// Elements of a row of the input: its extents from the axis on, multiplied.
    pub x_row: usize,
    /// Elements of a row of the output.
    pub y_row: usize,
    /// Where the input begins in each row of the output.
    pub offset: usize,
}

/// Copies the rows of `x` to their places in `y`; the rest of `y` stays as it is.
///
/// # Errors
///
/// [`Mismatch`] where the buffers are not the same number of whole rows, or a row of `x` does not
/// fit.
pub fn place<T: Copy>(p: &Place, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    let x_rows = x.chunks_exact(p.x_row.max(1));
    let y_rows = y.chunks_exact_mut(p.y_row.max(1));
    // An input of no elements has no rows, and places nothing.
    let placed = p.x_row > 0 || !x.is_empty();
    if !x_rows.remainder().is_empty() || (placed && x_rows.len() != y_rows.len()) {
        return Err(Mismatch);
    }
    for (from, row) in x_rows.zip(y_rows) {
        let to = row.get_mut(p.offset..).and_then(|row| row.get_mut(..from.len()));
        to.ok_or(Mismatch)?.copy_from_slice(from);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn strips_side_by_side_make_up_the_rows(
            rows in 1..5_usize, widths in prop::collection::vec(0..5_usize, 1..6),
        ) {
            let y_row: usize = widths.iter().sum();
            // Each element says which input it is from, and where it was there.
            let inputs: Vec<Vec<(usize, usize)>> = widths
                .iter()
                .enumerate()
                .map(|(input, width)| (0..rows * width).map(|at| (input, at)).collect())
                .collect();
            let mut y = vec![(99, 99); rows * y_row];
            let mut offset = 0;
            for (x, &x_row) in inputs.iter().zip(&widths) {
                place(&Place { x_row, y_row, offset }, x, &mut y).unwrap();
                offset += x_row;
            }
            let wanted: Vec<(usize, usize)> = (0..rows)
                .flat_map(|row| {
                    let strip = move |(input, &width): (usize, &usize)| {
                        (0..width).map(move |i| (input, row * width + i))
                    };
                    widths.iter().enumerate().flat_map(strip)
                })
                .collect();
            prop_assert_eq!(y, wanted);
        }

        #[test]
        fn any_numbers_are_taken_or_refused(
            x_row in prop_oneof![0..9_usize, any::<usize>()],
            y_row in prop_oneof![0..9_usize, any::<usize>()],
            offset in prop_oneof![0..9_usize, any::<usize>()],
        ) {
            let _ = place(&Place { x_row, y_row, offset }, &[1; 8], &mut [0; 16]);
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let mut y = [0; 6];
        let place = |x_row, offset, x: &[i32], y: &mut [i32]| {
            place(&Place { x_row, y_row: 3, offset }, x, y)
        };
        assert_eq!(place(2, 1, &[1, 2, 3, 4], &mut y), Ok(()));
        assert_eq!(y, [0, 1, 2, 0, 3, 4]);
        assert_eq!(place(2, 2, &[1, 2, 3, 4], &mut y), Err(Mismatch));
        assert_eq!(place(2, 0, &[1, 2, 3], &mut y), Err(Mismatch));
        assert_eq!(place(2, 0, &[1, 2], &mut y), Err(Mismatch));
    }
}
