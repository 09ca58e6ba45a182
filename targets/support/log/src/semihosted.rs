//! Frames on QEMU's standard output.

use core::cell::UnsafeCell;

use critical_section::RestoreState;
use defmt::Encoder;
use heapless::Vec;
use semihosting::io::{Write, stdout};

#[defmt::global_logger]
struct Logger;

/// A frame in the making. Logging inside of a `Format` implementation is an error, as `defmt` says:
/// the frame is lost then.
struct Frame {
    depth: u32,
    outer: RestoreState,
    encoder: Encoder,
    bytes: Vec<u8, 128>,
}

struct Shared(UnsafeCell<Frame>);

// SAFETY: the frame is touched in the critical section between `acquire` and `release` only.
unsafe impl Sync for Shared {}

static FRAME: Shared = Shared(UnsafeCell::new(Frame {
    depth: 0,
    outer: RestoreState::invalid(),
    encoder: Encoder::new(),
    bytes: Vec::new(),
}));

/// The frame.
///
/// # Safety
/// To be called between `critical_section::acquire` and `release`, and the last reference must be
/// gone.
unsafe fn frame() -> &'static mut Frame {
    // SAFETY: the caller's promise.
    unsafe { &mut *FRAME.0.get() }
}

/// Collects bytes, so that a frame is written at once.
fn collect(bytes: &mut Vec<u8, 128>, more: &[u8]) {
    if bytes.extend_from_slice(more).is_err() {
        flush(bytes);
        // More than fits at all is dropped; the decoder skips the frame.
        let _ = bytes.extend_from_slice(more);
    }
}

fn flush(bytes: &mut Vec<u8, 128>) {
    if let Ok(mut out) = stdout() {
        // A host that does not listen is found out by what it misses.
        let _ = out.write_all(bytes);
    }
    bytes.clear();
}

// SAFETY: `acquire` enters a critical section that `release` leaves.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` leaves it.
        let outer = unsafe { critical_section::acquire() };
        // SAFETY: in the critical section.
        let frame = unsafe { frame() };
        if frame.depth == 0 {
            frame.outer = outer;
        }
        frame.depth = frame.depth.wrapping_add(1);
        frame.encoder.start_frame(|more| collect(&mut frame.bytes, more));
    }

    unsafe fn flush() {
        // SAFETY: `defmt` calls this between `acquire` and `release`.
        flush(&mut unsafe { frame() }.bytes);
    }

    unsafe fn release() {
        // SAFETY: as above.
        let frame = unsafe { frame() };
        frame.encoder.end_frame(|more| collect(&mut frame.bytes, more));
        flush(&mut frame.bytes);
        frame.depth = frame.depth.wrapping_sub(1);
        if frame.depth == 0 {
            // SAFETY: this is what the outermost `acquire` got.
            unsafe { critical_section::release(frame.outer) };
        }
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: as above.
        let frame = unsafe { frame() };
        frame.encoder.write(bytes, |more| collect(&mut frame.bytes, more));
    }
}
