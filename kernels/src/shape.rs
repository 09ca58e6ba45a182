//! Shapes of up to six dimensions, without heap.

/// The most dimensions a tensor may have.
pub const MAX_RANK: usize = 6;

/// The dimensions of a tensor, outermost first; rank 0 is a scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    rank: u8,
    dims: [u32; MAX_RANK],
}

impl Shape {
    /// The shape with these dimensions, or `None` where there are more than [`MAX_RANK`] of them
    /// or their product does not fit `u32`.
    pub fn new(dims: &[u32]) -> Option<Self> {
        let mut shape = Self { rank: u8::try_from(dims.len()).ok()?, dims: [1; MAX_RANK] };
        shape.dims.get_mut(..dims.len())?.copy_from_slice(dims);
        dims.iter().try_fold(1_u32, |product, &dim| product.checked_mul(dim))?;
        Some(shape)
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[u32] {
        self.dims.get(..self.rank()).unwrap_or_default()
    }

    /// How many dimensions there are, 0 to [`MAX_RANK`].
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// The dimension at `axis`, 1 beyond the rank.
    pub fn dim(&self, axis: usize) -> usize {
        self.dims.get(axis).map_or(1, |&dim| dim as usize)
    }

    /// The innermost dimension, 1 for a scalar.
    pub fn last(&self) -> usize {
        self.rank().checked_sub(1).map_or(1, |axis| self.dim(axis))
    }

    /// The number of elements: the product of the dimensions, 1 for a scalar.
    // A shape is no container; "empty" would say nothing of it.
    #[expect(clippy::len_without_is_empty, reason = "a shape is not a container")]
    pub fn len(&self) -> usize {
        self.dims().iter().map(|&dim| dim as usize).product()
    }

    /// All six dimensions, with ones in front: what broadcasting compares.
    pub fn extended(&self) -> [usize; MAX_RANK] {
        let mut extended = [1; MAX_RANK];
        for (to, &from) in extended.iter_mut().rev().zip(self.dims().iter().rev()) {
            *to = from as usize;
        }
        extended
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Shape {
    fn format(&self, formatter: defmt::Formatter<'_>) {
        defmt::write!(formatter, "{}", self.dims());
    }
}

impl core::fmt::Debug for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.dims(), f)
    }
}

/// Distances, in elements, from one index to the next along each axis of a dense row-major tensor.
pub fn strides(dims: &[usize; MAX_RANK]) -> [usize; MAX_RANK] {
    let mut strides = [1; MAX_RANK];
    let mut stride = 1_usize;
    for (to, &dim) in strides.iter_mut().zip(dims).rev() {
        *to = stride;
        stride = stride.saturating_mul(dim);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_knows_its_length_and_extends_to_the_left() {
        let shape = Shape::new(&[2, 3, 5]).unwrap();
        assert_eq!((shape.len(), shape.last(), shape.dim(9)), (30, 5, 1));
        assert_eq!(shape.extended(), [1, 1, 1, 2, 3, 5]);
        assert_eq!(strides(&shape.extended()), [30, 30, 30, 15, 5, 1]);
        assert_eq!(Shape::new(&[]).unwrap().len(), 1);
    }

    #[test]
    fn too_many_dimensions_or_elements_are_refused() {
        assert_eq!(Shape::new(&[1; 7]), None);
        assert_eq!(Shape::new(&[1 << 16, 1 << 16]), None);
    }
}
