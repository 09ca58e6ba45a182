//! Copies windows of an image one behind the other, sixteen bytes at a time.

/// Windows of equal shape: runs of bytes, of which each window has the same number.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// Windows, rows of a window, and bytes of a row.
    pub windows: usize,
    pub rows: usize,
    pub length: usize,
    /// Bytes from a window to the next, where it is read and where it is written to.
    pub window_pitch: [usize; 2],
    /// The same of rows.
    pub row_pitch: [usize; 2],
}

impl Runs {
    /// Copies all from `from` to `to`. `None` where one of them does not reach so far.
    #[inline(never)]
    pub fn copy(&self, from: &[i8], to: &mut [i8]) -> Option<()> {
        let Self { windows, rows, length, window_pitch, row_pitch } = *self;
        if windows == 0 || rows == 0 || length == 0 {
            return Some(());
        }
        let end = |window: usize, row: usize| {
            let last = (windows - 1).checked_mul(window)?;
            last.checked_add((rows - 1).checked_mul(row)?)?.checked_add(length)
        };
        let ([from_window, to_window], [from_row, to_row]) = (window_pitch, row_pitch);
        if end(from_window, from_row)? > from.len() || end(to_window, to_row)? > to.len() {
            return None;
        }
        // SAFETY: both have all bytes of all rows, as has been compared, of which there are some.
        unsafe { copy(self, from, to) };
        Some(())
    }
}

/// See [`Runs::copy`].
///
/// # Safety
///
/// There are windows and rows, which are not empty, and both slices have all of them.
#[cfg(helium)]
#[inline(always)]
unsafe fn copy(runs: &Runs, from: &[i8], to: &mut [i8]) {
    let Runs { windows, rows, length, window_pitch, row_pitch } = *runs;
    let vectors = length.next_multiple_of(16);
    // From where a row, or a window, has been read to, to the next.
    let [from_row, to_row] = row_pitch.map(|pitch| pitch.wrapping_sub(vectors));
    let [from_window, to_window] =
        [0, 1].map(|i| window_pitch[i].wrapping_sub(rows.wrapping_mul(row_pitch[i])));
    let moves = Moves {
        from: from.as_ptr(),
        to: to.as_mut_ptr(),
        from_row,
        to_row,
        length,
        rows,
        windows,
        from_window,
        to_window,
    };
    // SAFETY: the caller's.
    unsafe { moved(&raw const moves) };
}

/// What the loop reads from memory, in the order of its registers.
#[cfg(helium)]
#[repr(C)]
struct Moves {
    from: *const i8,
    to: *mut i8,
    from_row: usize,
    to_row: usize,
    length: usize,
    rows: usize,
    windows: usize,
    from_window: usize,
    to_window: usize,
}

/// r0 to r8 what [`Moves`] has, r9 rows that are left.
///
/// # Safety
///
/// There are windows and rows, which are not empty, at all places that [`Moves`] says.
#[cfg(helium)]
#[unsafe(naked)]
unsafe extern "C" fn moved(moves: *const Moves) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r9, lr}}",
        "ldm r0, {{r0-r8}}",
        "1:",
        "mov r9, r5",
        "2:",
        "dlstp.8 lr, r4",
        "3:",
        "vldrb.u8 q0, [r0], #16",
        "vstrb.8 q0, [r1], #16",
        "letp lr, 3b",
        "add r0, r2",
        "add r1, r3",
        "subs r9, #1",
        "bne 2b",
        "add r0, r7",
        "add r1, r8",
        "subs r6, #1",
        "bne 1b",
        "pop {{r4-r9, pc}}",
    )
}

/// See [`Runs::copy`].
///
/// # Safety
///
/// None: what there is not is not copied.
#[cfg(not(helium))]
unsafe fn copy(runs: &Runs, from: &[i8], to: &mut [i8]) {
    let Runs { windows, rows, length, window_pitch, row_pitch } = *runs;
    for window in 0..windows {
        for row in 0..rows {
            let [from_at, to_at] = [0, 1].map(|i| window * window_pitch[i] + row * row_pitch[i]);
            to[to_at..][..length].copy_from_slice(&from[from_at..][..length]);
        }
    }
}
