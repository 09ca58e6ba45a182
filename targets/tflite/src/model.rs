//! Models in TFLite's hands.

use std::{path::Path, ptr::NonNull, sync::Arc};

use crate::{Error, Library, Result, api::RawModel, log::Log};

/// A `.tflite` model. Cheap to clone; interpreters keep it alive.
#[derive(Debug, Clone)]
pub struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raw: NonNull<RawModel>,
    library: Library,
    /// TFLite reads the model in place.
    _bytes: Arc<[u8]>,
    /// TFLite may report to it as long as the model is there.
    _log: Log,
}

// SAFETY: TFLite documents models as immutable and shared by interpreters on any thread; the log is
// behind a lock.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Model {
    /// A model in memory.
    ///
    /// # Errors
    /// [`Error::Model`] with TFLite's words.
    pub fn from_bytes(library: &Library, bytes: impl Into<Arc<[u8]>>) -> Result<Self> {
        // Flatbuffers are read in place, with the alignment of their largest field.
        let bytes: Arc<[u8]> = bytes.into();
        let log = Log::default();
        let (data, length) = (bytes.as_ptr().cast(), bytes.len());
        let api = library.api();
        // SAFETY: the bytes are kept, unchanged, as long as the model; so is the log.
        let raw = unsafe {
            match api.model_create_reporting {
                Some(create) => create(data, length, Log::REPORTER, log.argument()),
                None => (api.model_create)(data, length),
            }
        };
        let Some(raw) = NonNull::new(raw) else {
            return Err(Error::Model { log: log.take().trim_end().to_owned() });
        };
        Ok(Self(Arc::new(Inner { raw, library: library.clone(), _bytes: bytes, _log: log })))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Read`], or as [`Self::from_bytes`].
    pub fn from_file(library: &Library, path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|why| Error::Read { path: path.to_owned(), why: why.to_string() })?;
        Self::from_bytes(library, bytes)
    }

    /// The library that the model is for.
    pub fn library(&self) -> &Library {
        &self.0.library
    }

    pub(crate) fn raw(&self) -> *const RawModel {
        self.0.raw.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: made by the same library, and used by nobody any more: interpreters hold a clone.
        unsafe { (self.library.api().model_delete)(self.raw.as_ptr()) }
    }
}
