//! Vectors that tiles are transformed in, and how.

use crate::winograd::{SIDE, TILE};

/// A vector of integers.
///
/// # Safety
///
/// All functions: the processor has the instructions.
pub(in crate::arch) trait Lanes: Copy {
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// To the left.
    unsafe fn shift<const BITS: i32>(self) -> Self;
}

/// Integers of 16 bits.
///
/// # Safety
///
/// All functions: the processor has the instructions; pointers: there are as many elements as lanes, of
/// any alignment.
pub(in crate::arch) trait Short: Lanes {
    /// Elements; [`crate::winograd::CHANNELS`] is a multiple.
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn widened(from: *const i8) -> Self;
    unsafe fn store(self, to: *mut i16);
}

/// Integers of 32 bits.
///
/// # Safety
///
/// As [`Short`].
pub(in crate::arch) trait Long: Lanes {
    /// Elements; [`crate::winograd::OUTPUTS`] is a multiple.
    const LANES: usize;
    unsafe fn splat(x: i32) -> Self;
    unsafe fn load(from: *const i32) -> Self;
    unsafe fn store(self, to: *mut i32);
    unsafe fn multiply(self, other: Self) -> Self;
    /// To the right, with the sign.
    unsafe fn halved<const BITS: i32>(self) -> Self;
}

/// Where the pixels are that a tile sees.
pub(super) type Pixels = [[*const i8; SIDE]; SIDE];

/// Transforms a tile; of each point, its channels go to `to`, and the next point's are `pitch` further.
///
/// # Safety
///
/// The processor has the instructions; pixels have `depth` channels, a multiple of the lanes, and there is
/// room.
#[expect(clippy::needless_range_loop, reason = "iterators over arrays may keep these in memory")]
#[inline(always)]
pub(super) unsafe fn input<V: Short>(pixels: &Pixels, depth: usize, to: *mut i16, pitch: usize) {
    for channel in (0..depth).step_by(V::LANES) {
        // SAFETY: as the caller says.
        unsafe {
            let mut columns = [[V::zero(); SIDE]; SIDE];
            for j in 0..SIDE {
                let mut column = columns[j];
                for i in 0..SIDE {
                    column[i] = V::widened(pixels[i][j].add(channel));
                }
                columns[j] = input_line(column);
            }
            for i in 0..SIDE {
                let mut row = columns[0];
                for j in 0..SIDE {
                    row[j] = columns[j][i];
                }
                let row = input_line(row);
                for j in 0..SIDE {
                    row[j].store(to.add((i * SIDE + j) * pitch + channel));
                }
            }
        }
    }
}

/// `Bᵀ` by a column, see [`crate::winograd`].
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
unsafe fn input_line<V: Lanes>([a, b, c, d, e, f]: [V; SIDE]) -> [V; SIDE] {
    // SAFETY: as the caller says.
    unsafe {
        let (even, odd) = (e.sub(c.shift::<2>()), d.sub(b.shift::<2>()));
        let (far, near) = (e.sub(c), d.sub(b));
        let twice = near.shift::<1>();
        let first = a.sub(c).shift::<2>().add(far);
        let last = f.sub(d).sub(near.shift::<2>());
        [first, even.add(odd), even.sub(odd), far.add(twice), far.sub(twice), last]
    }
}

/// `Aᵀ` by a column.
///
/// # Safety
///
/// The processor has the instructions.
#[inline(always)]
pub(super) unsafe fn output_line<V: Lanes>([a, b, c, d, e, f]: [V; SIDE]) -> [V; TILE] {
    // SAFETY: as the caller says.
    unsafe {
        let (near, near_odd) = (b.add(c), b.sub(c));
        let (far, far_odd) = (d.add(e), d.sub(e).shift::<1>());
        [
            a.add(near).add(far),
            near_odd.add(far_odd),
            near.add(far.shift::<2>()),
            near_odd.add(far_odd.add(f).shift::<2>()),
        ]
    }
}
