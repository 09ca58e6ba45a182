//! A session that owns its model.

use std::ptr::NonNull;

use systole_core::{AlignedBytes, Model, Session};

use crate::guard::Result;

/// A model ready to run, with the memory that it lies and works in.
#[derive(Debug)]
pub(crate) struct Runner {
    /// `None` only while the runner is dropped.
    session: Option<Session<'static, 'static>>,
    /// What the session borrows, in boxes of their own so that they stay where they are.
    model: NonNull<Model<'static>>,
    arena: NonNull<AlignedBytes>,
    /// What the model borrows.
    file: NonNull<AlignedBytes>,
}

// SAFETY: the session and what it borrows are memory and functions, of which nothing belongs to a
// thread; all of it moves together, and is used by one thread at a time.
unsafe impl Send for Runner {}

impl Runner {
    /// Prepares the `.systole` file `file`, whose weights are packed for this processor, to be run on so
    /// many threads.
    pub(crate) fn new(file: AlignedBytes, threads: usize) -> Result<Self> {
        let packed = systole_core::pack(file.as_slice()).map_err(|error| error.to_string())?;
        let file = boxed(packed.unwrap_or(file));
        // SAFETY: the box is freed by `drop` alone, after the model, and nobody writes it.
        let bytes: &'static [u8] = unsafe { file.as_ref() }.as_slice();
        let model = match Model::from_bytes(bytes) {
            Ok(model) => boxed(model),
            Err(error) => {
                // SAFETY: nothing borrows the file any more.
                drop(unsafe { Box::from_raw(file.as_ptr()) });
                return Err(error.to_string());
            }
        };
        // SAFETY: the box is freed by `drop` alone, after the session, and nobody writes it.
        let borrowed: &'static Model<'static> = unsafe { model.as_ref() };
        let mut arena = boxed(AlignedBytes::zeroed(borrowed.arena_bytes()));
        // SAFETY: the box is freed by `drop` alone, after the session, which alone uses it.
        let memory: &'static mut [u8] = unsafe { arena.as_mut() }.as_mut_slice();
        let session = Session::new(borrowed, memory).map(|mut session| {
            session.set_threads(threads);
            session
        });
        let mut runner = Self { session: None, model, arena, file };
        runner.session = Some(session.map_err(|error| error.to_string())?);
        Ok(runner)
    }

    /// The session.
    pub(crate) fn session(&mut self) -> Result<&mut Session<'static, 'static>> {
        self.session.as_mut().ok_or_else(|| "the session is gone".to_owned())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.session = None;
        // SAFETY: all three are boxes of `new`, freed once; the session, which borrowed model and
        // arena, is gone, and the model, which borrowed the file, goes before it.
        unsafe {
            drop(Box::from_raw(self.arena.as_ptr()));
            drop(Box::from_raw(self.model.as_ptr()));
            drop(Box::from_raw(self.file.as_ptr()));
        }
    }
}

fn boxed<T>(value: T) -> NonNull<T> {
    NonNull::from(Box::leak(Box::new(value)))
}
