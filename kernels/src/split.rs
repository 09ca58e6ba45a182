//! Layers in parts, for several threads.
//!
//! A band of a convolution's output rows is a convolution itself: over the rows of the image that its
//! windows see, with what is left of the padding. Where there is one position, as in a fully connected
//! layer of one row, so are some of its channels. Kernels know nothing of parts, and each output is
//! computed as it is in the whole: the bits do not depend on the number of threads.

mod layers;
#[cfg(test)]
mod tests;

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

use crate::Mismatch;
use crate::arch::{self, Level, Threads};
pub use crate::convolve::Geometry;
use crate::convolve::volume;
use crate::window::Window;

/// What a part costs at least, in multiply-accumulates of an int8 convolution.
///
/// Handing a part to a thread that is awake and seeing that it is done takes about a microsecond, and some
/// kernels begin with as much: it is to be about 5 µs of work, at 50 GMAC/s, as convolutions run with AVX2,
/// or the more of levels with products of four.
fn least(level: Level) -> usize {
    match level {
        Level::Avx512Vnni => 1 << 20,
        Level::AvxVnni | Level::NeonDot | Level::NeonI8mm => 1 << 19,
        _ => 1 << 18,
    }
}

/// Parts for each thread: more than one, so that one who comes late does less.
const EACH: usize = 2;

/// Channels of a part of a single position are multiples of this: whole blocks of tiles.
const CHANNELS: usize = 64;

/// A layer over an image, some outputs of which can be computed by themselves.
pub trait Split: Copy + Send + Sync {
    /// An input's element.
    type X: Sync;

    /// An output's element.
    type Y: Send;

    /// Shapes and window.
    fn geometry(&self) -> Geometry;

    /// Rows of outputs that are computed at a time: parts have whole ones of them.
    fn rows_at_once(&self) -> usize {
        1
    }

    /// What an output costs, in multiply-accumulates of an int8 convolution.
    fn cost(&self) -> usize;

    /// The same layer over another image.
    fn over(self, g: &Geometry) -> Self;

    /// These output channels alone, from a multiple of `CHANNELS` on; `None` where each sees other
    /// inputs.
    fn channels(self, channels: Range<usize>) -> Option<Self>;
}

/// A part of a layer, with what it reads and writes of the whole.
struct Part<P> {
    layer: P,
    x: Range<usize>,
    y: Range<usize>,
}

/// How a layer is divided.
enum Division {
    /// Into images, or rows, so many at a time, or, where an output sees one position, positions: bands of
    /// a single image.
    Rows(Geometry, usize),
    /// Into blocks of channels of a single position.
    Channels(Geometry),
}

impl Division {
    fn new<P: Split>(p: &P) -> Option<Self> {
        let mut g = p.geometry();
        let ([batches, height, width, depth], [.., out_h, out_w, channels]) = (g.input, g.output);
        let count = volume([batches, out_h, out_w]).ok()?;
        if g.kernel == [1, 1] && g.window == Window::UNIT && [height, width] == [out_h, out_w] {
            (g.input, g.output) = ([1, count, 1, depth], [1, count, 1, channels]);
        }
        match count {
            1 => Some(Self::Channels(g)),
            _ => Some(Self::Rows(g, p.rows_at_once().max(1))),
        }
    }

    /// How many outputs there are that can be apart from each other.
    fn units(&self) -> usize {
        match self {
            Self::Rows(Geometry { output: [1, rows, ..], .. }, at_once) => rows.div_ceil(*at_once),
            Self::Rows(Geometry { output: [batches, ..], .. }, _) => *batches,
            Self::Channels(Geometry { output: [.., channels], .. }) => channels.div_ceil(CHANNELS),
        }
    }

    /// The outputs `units`, of which there is at least one; `None` where they see nothing.
    fn part<P: Split>(&self, p: &P, units: Range<usize>) -> Option<Part<P>> {
        match self {
            Self::Rows(g, at_once) if g.output[0] == 1 => {
                let [_, height, ..] = g.output;
                rows(p, g, units.start * at_once..(units.end * at_once).min(height))
            }
            Self::Rows(g, _) => {
                let part = |[_, h, w, c]: [usize; 4]| {
                    let image = volume([h, w, c]).ok()?;
                    let elements = image.checked_mul(units.start)?..image.checked_mul(units.end)?;
                    Some(([units.len(), h, w, c], elements))
                };
                let ((input, x), (output, y)) = (part(g.input)?, part(g.output)?);
                Some(Part { layer: p.over(&Geometry { input, output, ..*g }), x, y })
            }
            Self::Channels(g) => {
                let [.., channels] = g.output;
                let y = units.start * CHANNELS..(units.end * CHANNELS).min(channels);
                let [_, h, w, c] = g.input;
                Some(Part { layer: p.channels(y.clone())?, x: 0..volume([h, w, c]).ok()?, y })
            }
        }
    }
}

/// Output rows of a single image.
fn rows<P: Split>(p: &P, g: &Geometry, rows: Range<usize>) -> Option<Part<P>> {
    let ([_, height, width, depth], [.., out_w, channels]) = (g.input, g.output);
    let Window { stride_h, dilation_h, pad_top, .. } = g.window;
    // Rows of the image that the windows see, counted from the padding's first.
    let start = rows.start.checked_mul(stride_h)?;
    let reach = (g.kernel[0].checked_sub(1)?).checked_mul(dilation_h)?.checked_add(1)?;
    let end = (rows.end.checked_sub(1)?).checked_mul(stride_h)?.checked_add(reach)?;
    let seen = start.saturating_sub(pad_top)..end.saturating_sub(pad_top).min(height);
    if seen.is_empty() {
        return None;
    }
    let (x_row, y_row) = (width.checked_mul(depth)?, out_w.checked_mul(channels)?);
    let part = Geometry {
        input: [1, seen.len(), width, depth],
        output: [1, rows.len(), out_w, channels],
        window: Window { pad_top: pad_top.saturating_sub(start), ..g.window },
        ..*g
    };
    let x = seen.start.checked_mul(x_row)?..seen.end.checked_mul(x_row)?;
    let y = rows.start.checked_mul(y_row)?..rows.end.checked_mul(y_row)?;
    Some(Part { layer: p.over(&part), x, y })
}

/// Runs `kernel` on as many threads as pays.
///
/// # Errors
///
/// Those of `kernel`.
pub fn run<P: Split>(
    threads: &mut Threads,
    kernel: impl Fn(&P, &[P::X], &mut [P::Y]) -> Result<(), Mismatch> + Sync,
    p: &P,
    x: &[P::X],
    y: &mut [P::Y],
) -> Result<(), Mismatch> {
    let parts = y.len().saturating_mul(p.cost()) / least(arch::kernels().level);
    let most = (EACH * threads.count()).min(Threads::MOST);
    run_in(parts.min(most), threads, kernel, p, x, y)
}

/// Runs `kernel` in at most `count` parts.
fn run_in<P: Split>(
    count: usize,
    threads: &mut Threads,
    kernel: impl Fn(&P, &[P::X], &mut [P::Y]) -> Result<(), Mismatch> + Sync,
    p: &P,
    x: &[P::X],
    y: &mut [P::Y],
) -> Result<(), Mismatch> {
    if count < 2 || threads.count() == 1 {
        return kernel(p, x, y);
    }
    let Some(parts) = divide(count, p, x, y) else { return kernel(p, x, y) };
    let failed = AtomicBool::new(false);
    let done = threads.each(parts.len(), &|i| {
        let Some(part) = parts.get(i) else { return };
        // Each is taken once.
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let (layer, x, y) = &mut *part;
        if kernel(layer, x, y).is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if done && !failed.into_inner() { Ok(()) } else { Err(Mismatch) }
}

/// A part with its input and output, for the thread that takes it.
type Slot<'a, P> = Mutex<(P, &'a [<P as Split>::X], &'a mut [<P as Split>::Y])>;

/// At most `count` parts of about the same size; `None` where the layer cannot be divided, or the
/// lengths do not fit its shapes.
fn divide<'a, P: Split>(
    count: usize,
    p: &P,
    x: &'a [P::X],
    y: &'a mut [P::Y],
) -> Option<Vec<Slot<'a, P>>> {
    let g = p.geometry();
    let elements = |[n, h, w, c]: [usize; 4]| volume([h, w, c]).ok()?.checked_mul(n);
    if elements(g.input) != Some(x.len()) || elements(g.output) != Some(y.len()) {
        return None;
    }
    let division = Division::new(p)?;
    let units = division.units();
    let count = count.min(units);
    let mut parts = Vec::with_capacity(count);
    let mut rest = y;
    let mut written = 0;
    for i in 0..count {
        let part = division.part(p, i * units / count..(i + 1) * units / count)?;
        if part.y.start != written {
            return None;
        }
        let (y, behind) = rest.split_at_mut_checked(part.y.len())?;
        (rest, written) = (behind, part.y.end);
        parts.push(Mutex::new((part.layer, x.get(part.x)?, y)));
    }
    (count > 1 && rest.is_empty()).then_some(parts)
}
