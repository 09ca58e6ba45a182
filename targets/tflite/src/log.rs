//! What TFLite reports, caught for error messages.

use std::{
    ffi::{c_char, c_void},
    panic::catch_unwind,
    sync::Mutex,
};

use crate::{api::Reporter, error::Error, library};

/// Words of TFLite since they were last taken. Its address is given to TFLite, hence the box.
#[derive(Debug, Default)]
pub(crate) struct Log(Box<Mutex<String>>);

impl Log {
    /// What TFLite is to call.
    pub(crate) const REPORTER: Reporter = report;

    /// The argument of [`Self::REPORTER`], valid as long as the log is.
    pub(crate) fn argument(&self) -> *mut c_void {
        (&raw const *self.0).cast_mut().cast()
    }

    /// The words so far; the log is empty afterwards.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// What was reported, as an error: the operator that nobody knows, or what `other` makes of it.
    pub(crate) fn error(&self, other: impl FnOnce(String) -> Error) -> Error {
        let log = self.take();
        match unresolved(&log) {
            Some(name) => Error::Unresolved { name: name.to_owned() },
            None => other(log.trim_end().to_owned()),
        }
    }
}

/// The custom operator that TFLite reports as unknown.
fn unresolved(log: &str) -> Option<&str> {
    let (_, rest) = log.split_once("unresolved custom op: ")?;
    let name = rest.lines().next()?;
    Some(name.split(". ").next().unwrap_or(name).trim_end_matches('.'))
}

/// Appends one message. Called from any thread of TFLite's; must not unwind into it.
unsafe extern "C" fn report(log: *mut c_void, format: *const c_char, arguments: *mut c_void) {
    let _ = catch_unwind(|| {
        // SAFETY: TFLite passes on a format and the arguments for it.
        let message = unsafe { formatted(format, arguments) };
        // SAFETY: TFLite calls with `Log::argument` while the log's owner, an interpreter or a
        // model that is being made, is alive.
        let log = unsafe { &*log.cast::<Mutex<String>>() };
        let mut log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A model that fails at each run must not fill the memory.
        if log.len() < 1 << 16 {
            log.push_str(message.trim_end());
            log.push('\n');
        }
    });
}

/// A message as `printf` would print it.
///
/// # Safety
/// `arguments` is a `va_list` of what `format` names.
#[cfg(unix)]
unsafe fn formatted(format: *const c_char, arguments: *mut c_void) -> String {
    unsafe extern "C" {
        // The last argument is a `va_list`, which x86-64, AArch64 and Arm pass as a pointer.
        fn vsnprintf(to: *mut c_char, size: usize, format: *const c_char, va: *mut c_void) -> i32;
    }
    let mut buffer = [0 as c_char; 1024];
    // SAFETY: at most `size` bytes are written, the last of them zero; the rest is vouched for.
    unsafe {
        vsnprintf(buffer.as_mut_ptr(), buffer.len(), format, arguments);
        library::text(buffer.as_ptr())
    }
}

/// A message without its arguments, where their layout is not known.
///
/// # Safety
/// `format` is a C text.
#[cfg(not(unix))]
unsafe fn formatted(format: *const c_char, _: *mut c_void) -> String {
    // SAFETY: a C text, by the caller.
    unsafe { library::text(format) }
}

#[cfg(test)]
mod tests {
    use super::unresolved;

    #[test]
    fn the_operator_is_found_in_tflites_words() {
        let log = "Encountered unresolved custom op: edgetpu-custom-op.\nSee instructions: x\n";
        assert_eq!(unresolved(log), Some("edgetpu-custom-op"));
        assert_eq!(unresolved("Encountered unresolved custom op: a.b. See"), Some("a.b"));
        assert_eq!(unresolved("Node number 0 failed to invoke."), None);
    }
}
