//! Vectors of f32, which kernels for floats are written over.

/// As many f32 as the processor takes at once. Each operation is that of IEEE 754 in every lane,
/// rounded to nearest.
///
/// # Safety
///
/// All functions: the processor has the instructions. Pointers: as many elements as there are lanes
/// are there; they need no alignment.
pub(super) trait Vector: Copy {
    /// Elements.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self;

    unsafe fn load(from: *const f32) -> Self;

    /// The f16 of these bits.
    unsafe fn load_halves(from: *const u16) -> Self;

    unsafe fn store(self, to: *mut f32);

    unsafe fn add(self, other: Self) -> Self;

    /// `self + x·w`, rounded once where the level has an instruction for it, else twice: see
    /// [`Level::fuses`](super::Level::fuses).
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self;

    /// [`ActivationRange::clamp`](crate::pool::ActivationRange::clamp): NaN stays.
    unsafe fn clamp(self, min: Self, max: Self) -> Self;
}

/// What a weight is stored as.
pub(super) trait Weight: crate::tiles_f32::Weight {
    /// As many weights as there are lanes.
    ///
    /// # Safety
    ///
    /// As [`Vector::load`].
    unsafe fn load<V: Vector>(from: *const Self) -> V;
}

impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: as the caller says.
        unsafe { V::load(from) }
    }
}

impl Weight for u16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: as the caller says.
        unsafe { V::load_halves(from) }
    }
}

/// One f32: for what is left where there is no vector, on levels that round products and sums each.
impl Vector for f32 {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        x
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the caller says.
        unsafe { *from }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> Self {
        // SAFETY: as the caller says.
        crate::tiles_f32::Weight::widen(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the caller says.
        unsafe { *to = self }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    unsafe fn multiply_add(self, x: Self, w: Self) -> Self {
        self + x * w
    }

    #[inline(always)]
    unsafe fn clamp(self, min: Self, max: Self) -> Self {
        crate::pool::ActivationRange { min, max }.clamp(self)
    }
}
