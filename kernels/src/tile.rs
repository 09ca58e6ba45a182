//! TILE: a tensor repeated along its axes. BROADCAST_TO and FILL are tiles of axes of extent 1.
//!
//! `y[i…] = x[i mod dim…]`, for any element type and up to six axes.

use crate::error::Mismatch;
use crate::shape::{MAX_RANK, Shape};

/// A tile of a shape, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "emit", derive(crate::emit::Emit))]
pub struct Tile {
    /// Merged dimensions of the input, outermost first, ones in front.
    pub dims: [usize; MAX_RANK],
    /// How often each is repeated.
    pub repeats: [usize; MAX_RANK],
}

impl Tile {
    /// The tile that makes `y` of `x`, axes counted from the last; `None` unless each extent of `y`
    /// is a multiple of that of `x`.
    pub fn new(x: &Shape, y: &Shape) -> Option<Self> {
        let mut tile = Self { dims: [1; MAX_RANK], repeats: [1; MAX_RANK] };
        if x.len() == 0 || y.len() == 0 {
            tile.repeats = [0; MAX_RANK];
            return (y.len() == 0).then_some(tile);
        }
        let mut merged = MAX_RANK;
        for (&dim, &extent) in x.extended().iter().zip(&y.extended()).rev() {
            let repeat = extent.checked_div(dim)?;
            if repeat.checked_mul(dim)? != extent {
                return None;
            }
            if extent == 1 {
                continue;
            }
            // An axis continues the one inside of it where that one is not repeated, and where it
            // is nothing but repeats itself.
            let inner = tile.dims.get_mut(merged).zip(tile.repeats.get_mut(merged));
            match inner {
                Some((inner, inner_repeat)) if *inner_repeat == 1 => {
                    *inner = inner.checked_mul(dim)?;
                    *inner_repeat = repeat;
                }
                Some((_, inner_repeat)) if dim == 1 => {
                    *inner_repeat = inner_repeat.checked_mul(repeat)?;
                }
                _ => {
                    merged = merged.checked_sub(1)?;
                    *tile.dims.get_mut(merged)? = dim;
                    *tile.repeats.get_mut(merged)? = repeat;
                }
            }
        }
        Some(tile)
    }

    fn input_len(&self) -> usize {
        self.dims.iter().product()
    }

    fn output_len(&self) -> usize {
        self.dims.iter().zip(&self.repeats).map(|(dim, repeat)| dim * repeat).product()
    }
}

/// Repeats `x` into `y`.
///
/// # Errors
///
/// [`Mismatch`] where a buffer does not have as many elements as its shape.
pub fn tile<T: Copy>(p: &Tile, x: &[T], y: &mut [T]) -> Result<(), Mismatch> {
    if y.len() != p.output_len() {
        return Err(Mismatch);
    }
    if y.is_empty() {
        return Ok(());
    }
    if x.len() != p.input_len() {
        return Err(Mismatch);
    }
    let [outer @ .., run] = &p.dims;
    let [outer_repeats @ .., repeat] = &p.repeats;
    let run = *run;
    // Per axis: the index in the input, and how many whole repeats are done.
    let mut index = [(0_usize, 0_usize); MAX_RANK - 1];
    for row in y.chunks_exact_mut((run * repeat).max(1)) {
        let at = index.iter().zip(outer).fold(0, |at, (&(i, _), dim)| at * dim + i);
        let from = x.chunks_exact(run.max(1)).nth(at).ok_or(Mismatch)?;
        match from {
            [value] => row.fill(*value),
            _ => row.chunks_exact_mut(run.max(1)).for_each(|to| to.copy_from_slice(from)),
        }
        for (((i, done), dim), repeats) in index.iter_mut().zip(outer).zip(outer_repeats).rev() {
            *i += 1;
            if *i < *dim {
                break;
            }
            *i = 0;
            *done += 1;
            if *done < *repeats {
                break;
            }
            *done = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn shape(dims: &[u32]) -> Shape {
        Shape::new(dims).unwrap()
    }

    fn run(x_dims: &[u32], y_dims: &[u32], x: &[u16]) -> Vec<u16> {
        let (x_shape, y_shape) = (shape(x_dims), shape(y_dims));
        let mut y = vec![0; y_shape.len()];
        tile(&Tile::new(&x_shape, &y_shape).unwrap(), x, &mut y).unwrap();
        y
    }

    proptest! {
        #[test]
        fn every_element_is_the_one_at_the_index_modulo_the_extent(
            axes in prop::collection::vec((1..4_u32, 1..4_u32), 0..=6),
            leading in 0..7_usize,
        ) {
            let y_dims: Vec<u32> = axes.iter().map(|(dim, repeat)| dim * repeat).collect();
            // Leading axes of extent 1 may be left out of the input's shape.
            let ones = axes.iter().take_while(|(dim, _)| *dim == 1).count().min(leading);
            let x_dims: Vec<u32> = axes.iter().skip(ones).map(|axis| axis.0).collect();
            let x: Vec<u16> = (0..shape(&x_dims).len() as u16).collect();
            let y = run(&x_dims, &y_dims, &x);
            for (flat, &value) in y.iter().enumerate() {
                let (mut rest, mut from, mut distance) = (flat, 0, 1);
                for &(dim, repeat) in axes.iter().rev() {
                    let (dim, extent) = (dim as usize, (dim * repeat) as usize);
                    from += rest % extent % dim * distance;
                    distance *= dim;
                    rest /= extent;
                }
                prop_assert_eq!(value, from as u16);
            }
        }

        #[test]
        fn any_shapes_are_taken_or_refused(
            x in prop::collection::vec(prop_oneof![0..3_u32, any::<u32>()], 0..=6),
            y in prop::collection::vec(prop_oneof![0..3_u32, any::<u32>()], 0..=6),
        ) {
            if let (Some(x), Some(y)) = (Shape::new(&x), Shape::new(&y)) {
                let _ = Tile::new(&x, &y);
            }
        }
    }

    #[test]
    fn rows_and_columns_repeat() {
        assert_eq!(run(&[2, 2], &[2, 6], &[1, 2, 3, 4]), [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]);
        assert_eq!(run(&[2, 2], &[4, 2], &[1, 2, 3, 4]), [1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(run(&[2, 1], &[3, 2, 2], &[1, 2]), [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(run(&[], &[2, 3], &[7]), [7; 6]);
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        assert_eq!(Tile::new(&shape(&[2, 2]), &shape(&[2, 3])), None);
        assert_eq!(Tile::new(&shape(&[0]), &shape(&[3])), None);
        assert_eq!(Tile::new(&shape(&[2, 2]), &shape(&[2])), None);
        let empty = Tile::new(&shape(&[3]), &shape(&[0])).unwrap();
        assert_eq!(tile(&empty, &[1, 2, 3], &mut []), Ok(()));
        let twice = Tile::new(&shape(&[3]), &shape(&[6])).unwrap();
        assert_eq!(tile(&twice, &[1, 2], &mut [0; 6]), Err(Mismatch));
        assert_eq!(tile(&twice, &[1, 2, 3], &mut [0; 5]), Err(Mismatch));
    }
}
