//! Copies rows of bytes, sixteen at a time.

/// Copies `rows` runs of `length` bytes, which begin `from_pitch` from each other, to places `to_pitch`
/// from each other. `None` where one of them does not reach so far.
#[inline(always)]
pub(super) fn rows(
    from: &[i8],
    from_pitch: usize,
    to: &mut [i8],
    to_pitch: usize,
    [rows, length]: [usize; 2],
) -> Option<()> {
    if rows == 0 || length == 0 {
        return Some(());
    }
    let end = |pitch: usize| (rows - 1).checked_mul(pitch)?.checked_add(length);
    if end(from_pitch)? > from.len() || end(to_pitch)? > to.len() {
        return None;
    }
    // SAFETY: both have all bytes of all rows, as has been compared, of which there are some.
    unsafe { copy(from, from_pitch, to, to_pitch, [rows, length]) };
    Some(())
}

/// See [`rows`].
///
/// # Safety
///
/// There are rows, which are not empty, and both slices have all of them.
#[cfg(helium)]
#[inline(always)]
unsafe fn copy(
    from: &[i8],
    from_pitch: usize,
    to: &mut [i8],
    to_pitch: usize,
    [rows, length]: [usize; 2],
) {
    let vectors = length.next_multiple_of(16);
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "2:",
            "dlstp.8 lr, {length}",
            "3:",
            "vldrb.u8 q0, [{from}], #16",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 3b",
            "add {from}, {from_skip}",
            "add {to}, {to_skip}",
            "subs {rows}, #1",
            "bne 2b",
            from = inout(reg) from.as_ptr() => _,
            from_skip = in(reg) from_pitch.wrapping_sub(vectors),
            to = inout(reg) to.as_mut_ptr() => _,
            to_skip = in(reg) to_pitch.wrapping_sub(vectors),
            rows = inout(reg) rows => _,
            length = in(reg) length,
            out("lr") _,
            out("q0") _,
            options(nostack),
        );
    }
}

/// See [`rows`].
///
/// # Safety
///
/// None: what there is not is not copied.
#[cfg(not(helium))]
unsafe fn copy(
    from: &[i8],
    from_pitch: usize,
    to: &mut [i8],
    to_pitch: usize,
    [rows, length]: [usize; 2],
) {
    for row in 0..rows {
        to[row * to_pitch..][..length].copy_from_slice(&from[row * from_pitch..][..length]);
    }
}
