//! Systole as a module of WebAssembly: models are loaded from `.systole` files, fed, run and read.
//!
//! The exports are those of a C library: numbers and addresses in the module's memory.
//! `js/systole.mjs` makes a class of them. A function that can fail returns 0 where it did not, and
//! else leaves a text, at [`systole_text`].
//!
//! A module has one thread, and so has this.

mod describe;
mod loaded;

use std::cell::RefCell;
use std::slice;

use loaded::Loaded;
use systole::AlignedBytes;

thread_local! {
    /// The last error or description.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn say(text: impl ToString) {
    TEXT.set(text.to_string());
}

/// 0, or 1 and the reason as text.
fn status<E: ToString>(result: Result<(), E>) -> i32 {
    result.map_err(say).is_err().into()
}

/// Memory for `bytes` bytes, at a multiple of 64; to be given back to [`systole_free`].
#[unsafe(no_mangle)]
pub extern "C" fn systole_alloc(bytes: usize) -> *mut Buffer {
    Box::into_raw(Box::new(Buffer(AlignedBytes::zeroed(bytes))))
}

/// Memory that the host writes and reads.
pub struct Buffer(AlignedBytes);

/// Where a buffer's bytes are.
///
/// # Safety
/// `buffer` is from [`systole_alloc`] and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_bytes(buffer: *mut Buffer) -> *mut u8 {
    // SAFETY: as the caller says.
    unsafe { &mut *buffer }.0.as_mut_slice().as_mut_ptr()
}

/// Frees a buffer.
///
/// # Safety
/// As [`systole_bytes`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_free(buffer: *mut Buffer) {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(buffer) });
}

/// The last error, or what [`systole_describe`] has found: UTF-8, [`systole_text_bytes`] of it.
#[unsafe(no_mangle)]
pub extern "C" fn systole_text() -> *const u8 {
    TEXT.with_borrow(|text| text.as_ptr())
}

/// Bytes of the text.
#[unsafe(no_mangle)]
pub extern "C" fn systole_text_bytes() -> usize {
    TEXT.with_borrow(String::len)
}

/// Checks the file in `buffer` and prepares to run it; 0 where it is no model, with the reason as text.
/// The buffer can be freed afterwards.
///
/// # Safety
/// As [`systole_bytes`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_load(buffer: *const Buffer) -> *mut Loaded {
    // SAFETY: as the caller says.
    let file = unsafe { &*buffer }.0.as_slice();
    match Loaded::new(file) {
        Ok(loaded) => Box::into_raw(Box::new(loaded)),
        Err(error) => {
            say(error);
            std::ptr::null_mut()
        }
    }
}

/// Frees a model.
///
/// # Safety
/// `model` is from [`systole_load`] and was not unloaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_unload(model: *mut Loaded) {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(model) });
}

/// Says as text, in JSON, what the model is: its inputs, outputs, operators and labels, and which
/// kernels run it.
///
/// # Safety
/// As [`systole_unload`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_describe(model: *const Loaded) {
    // SAFETY: as the caller says.
    say(describe::model(unsafe { &*model }.session().model()));
}

/// Sets an input: `bytes` bytes of its elements, little-endian.
///
/// # Safety
/// As [`systole_unload`]; there are so many bytes at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_set(
    model: *mut Loaded,
    input: usize,
    data: *const u8,
    bytes: usize,
) -> i32 {
    // SAFETY: as the caller says.
    let (model, data) = unsafe { (&mut *model, slice::from_raw_parts(data, bytes)) };
    status(model.set(input, data))
}

/// Sets an input from `count` real numbers, which are quantized.
///
/// # Safety
/// As [`systole_unload`]; there are so many numbers at `data`, a multiple of 4.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_set_real(
    model: *mut Loaded,
    input: usize,
    data: *const f32,
    count: usize,
) -> i32 {
    // SAFETY: as the caller says.
    let (model, data) = unsafe { (&mut *model, slice::from_raw_parts(data, count)) };
    status(model.set_real(input, data))
}

/// Runs the model once.
///
/// # Safety
/// As [`systole_unload`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_run(model: *mut Loaded) -> i32 {
    // SAFETY: as the caller says.
    status(unsafe { &mut *model }.session_mut().run())
}

/// Runs the next operator: 1 where there are more, 0 after the last, −1 with the reason as text.
///
/// # Safety
/// As [`systole_unload`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_step(model: *mut Loaded) -> i32 {
    // SAFETY: as the caller says.
    match unsafe { &mut *model }.session_mut().step() {
        Ok(more) => more.into(),
        Err(error) => {
            say(error);
            -1
        }
    }
}

/// Copies an output's elements, little-endian, to `bytes` bytes at `data`.
///
/// # Safety
/// As [`systole_set`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_get(
    model: *const Loaded,
    output: usize,
    data: *mut u8,
    bytes: usize,
) -> i32 {
    // SAFETY: as the caller says.
    let (model, data) = unsafe { (&*model, slice::from_raw_parts_mut(data, bytes)) };
    status(model.get(output, data))
}

/// Copies an output's elements as real numbers to `count` floats at `data`.
///
/// # Safety
/// As [`systole_set_real`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn systole_get_real(
    model: *const Loaded,
    output: usize,
    data: *mut f32,
    count: usize,
) -> i32 {
    // SAFETY: as the caller says.
    let (model, data) = unsafe { (&*model, slice::from_raw_parts_mut(data, count)) };
    status(model.get_real(output, data))
}
