//! SELECT and SELECT_V2: elements of one tensor or another, as a third says, with broadcasting.
//!
//! Conditions are bytes, any that is not 0 is true. SELECT's condition of rank one, which picks
//! whole rows, is one of shape `[n, 1, …]` here.

use crate::broadcast::{Walk, ternary};
use crate::error::Mismatch;

/// `y = a where condition, else b`, for any element type. `walk` is that of the shapes of
/// `condition`, `a` and `b`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have the length that `walk` needs.
pub fn select<T: Copy>(
    walk: &Walk<3>,
    condition: &[u8],
    a: &[T],
    b: &[T],
    y: &mut [T],
) -> Result<(), Mismatch> {
    ternary(walk, condition, a, b, y, |condition, a, b| if condition != 0 { a } else { b })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    fn walk(shapes: [&[u32]; 3]) -> Walk<3> {
        let [condition, a, b] = shapes.map(|dims| Shape::new(dims).unwrap());
        Walk::new([&condition, &a, &b]).unwrap()
    }

    #[test]
    fn elements_rows_and_wholes_are_selected() {
        let (a, b) = ([1, 2, 3, 4], [-1, -2, -3, -4]);
        let mut y = [0; 4];
        select(&walk([&[2, 2]; 3]), &[1, 0, 0, 7], &a, &b, &mut y).unwrap();
        assert_eq!(y, [1, -2, -3, 4]);
        select(&walk([&[2, 1], &[2, 2], &[2, 2]]), &[0, 1], &a, &b, &mut y).unwrap();
        assert_eq!(y, [-1, -2, 3, 4]);
        select(&walk([&[], &[2, 2], &[]]), &[1], &a, &[9], &mut y).unwrap();
        assert_eq!(y, a);
        select(&walk([&[2], &[], &[2, 1]]), &[1, 0], &[5], &[8, 9], &mut y).unwrap();
        assert_eq!(y, [5, 8, 5, 9]);
    }

    #[test]
    fn short_buffers_are_refused() {
        let mut y = [0; 4];
        assert_eq!(select(&walk([&[4]; 3]), &[1; 3], &[1; 4], &[2; 4], &mut y), Err(Mismatch));
    }
}
