//! Statics that can be written.

use core::cell::{Cell, UnsafeCell};

use critical_section::Mutex;

/// A static that is handed out once, so that large things are in `.bss`, where the linker counts
/// them, and not on the stack.
pub struct Singleton<T> {
    taken: Mutex<Cell<bool>>,
    value: UnsafeCell<T>,
}

// SAFETY: only the one caller of `take` that finds it free ever refers to the value, and the flag
// is read and written in a critical section.
unsafe impl<T: Send> Sync for Singleton<T> {}

impl<T> Singleton<T> {
    /// One that has not been handed out.
    pub const fn new(value: T) -> Self {
        Self { taken: Mutex::new(Cell::new(false)), value: UnsafeCell::new(value) }
    }

    /// The value, the first time.
    // The caller that gets it is the only one.
    #[expect(clippy::mut_from_ref, reason = "handed out once")]
    pub fn take(&'static self) -> Option<&'static mut T> {
        let taken = critical_section::with(|section| self.taken.borrow(section).replace(true));
        // SAFETY: the flag was not set before, so that no other reference exists or will.
        (!taken).then(|| unsafe { &mut *self.value.get() })
    }
}
