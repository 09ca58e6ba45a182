//! What stands between our code and TFLite's: panics and errors become statuses.

use std::{
    any::Any,
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
};

use systole_tflite::sys;

use crate::host::Host;

/// Why something cannot be done, for people to read.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// Runs `work`; a panic is an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(message(&*panic)))
}

/// Runs `work`; what goes wrong is reported to the host.
pub(crate) fn status(host: Host, work: impl FnOnce() -> Result<()>) -> c_int {
    match caught(work) {
        Ok(()) => sys::OK,
        Err(problem) => {
            host.report(&problem);
            sys::ERROR
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    format!("internal error: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        let text = caught::<()>(|| panic!("a number: {}", 7));
        assert_eq!(text, Err("internal error: a number: 7".to_owned()));
        let other = caught::<()>(|| std::panic::panic_any(7));
        assert_eq!(other, Err("internal error: unknown".to_owned()));
        assert_eq!(caught(|| Ok(7)), Ok(7));
    }
}
