//! Delegates: what claims operators of a model and runs them elsewhere.

use std::{
    cell::RefCell,
    ffi::{c_char, c_int},
    panic::catch_unwind,
    path::{Path, PathBuf},
    ptr, slice,
    sync::Arc,
};

use crate::{
    Error, Library, Result,
    error::Failure,
    library::{first, text},
    signature::c_text,
    sys::DelegateHead,
};

/// What is known of the layout of a delegate's structures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Abi {
    /// Nothing: the delegate may be built with headers of another version than TFLite's. Such
    /// delegates are bridged on x86-64 and AArch64, and refused elsewhere.
    #[default]
    Any,
    /// The delegate is built with the headers of the very TFLite that loads it, which then uses it
    /// as it is. Crashes where this is not true.
    Matching,
}

/// A delegate, ready for one interpreter, which takes it and frees it at its end.
///
/// Delegates and interpreters stay on the thread that made them: some delegates demand it.
pub struct Delegate {
    /// What the host is given: the shim's delegate, or the library's own.
    host: *mut DelegateHead,
    /// The library's own.
    raw: *mut DelegateHead,
    destroy: Destroy,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    shim: Option<Box<crate::shim::Shim>>,
    path: PathBuf,
}

/// How a delegate is freed, and what keeps the function loaded.
enum Destroy {
    Plugin(Plugin),
    EdgeTpu(Arc<crate::edgetpu::Api>),
    Xnnpack(Library),
}

impl std::fmt::Debug for Delegate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "delegate of {}", self.path.display())
    }
}

type Report = unsafe extern "C" fn(*const c_char);

/// The functions of a delegate that is a plugin.
struct Plugin {
    create: unsafe extern "C" fn(
        *const *const c_char,
        *const *const c_char,
        usize,
        Report,
    ) -> *mut DelegateHead,
    destroy: unsafe extern "C" fn(*mut DelegateHead),
    _library: libloading::Library,
}

impl Plugin {
    fn resolve(library: libloading::Library) -> Result<Self, Failure> {
        const CREATE: &str = "tflite_plugin_create_delegate";
        const DESTROY: &str = "tflite_plugin_destroy_delegate";
        // SAFETY: the types are those of TFLite's header for external delegates; a library that
        // exports these names is trusted to follow it.
        let (create, destroy) =
            unsafe { (library.get(CREATE.as_bytes()), library.get(DESTROY.as_bytes())) };
        match (create.map(|it| *it), destroy.map(|it| *it)) {
            (Ok(create), Ok(destroy)) => Ok(Self { create, destroy, _library: library }),
            (create, destroy) => {
                let missing = [create.err().map(|_| CREATE), destroy.err().map(|_| DESTROY)];
                Err(Failure::MissingSymbols(missing.into_iter().flatten().collect()))
            }
        }
    }
}

thread_local! {
    /// What a plugin says while it makes a delegate; its callback has no argument to tell it by.
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Must not unwind into the plugin.
unsafe extern "C" fn report(message: *const c_char) {
    let _ = catch_unwind(|| {
        // SAFETY: plugins pass a C text.
        let message = unsafe { text(message) };
        SAID.with_borrow_mut(|said| {
            said.push_str(message.trim_end());
            said.push('\n');
        });
    });
}

impl Delegate {
    /// A vendor's delegate: the library at `path` with options that its documentation names.
    ///
    /// # Errors
    /// [`Error::Load`] for what is no delegate's library, [`Error::Refused`] where it gives none,
    /// [`Error::Abi`] on architectures on which layouts cannot be bridged.
    pub fn external(path: &Path, options: &[(&str, &str)], abi: Abi) -> Result<Self> {
        let (plugin, path) = first("the delegate", vec![path.to_owned()], None, Plugin::resolve)?;
        let texts = |each: fn(&(&str, &str)) -> String| {
            let texts = options.iter().map(|pair| c_text("an option", &each(pair)));
            texts.collect::<Result<Vec<_>>>()
        };
        let (keys, values) =
            (texts(|(key, _)| (*key).to_owned())?, texts(|(_, value)| (*value).to_owned())?);
        let pointers = |texts: &[std::ffi::CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).collect()
        };
        let (key_pointers, value_pointers) = (pointers(&keys), pointers(&values));
        SAID.take();
        // SAFETY: both arrays have as many texts as there are options, and last for the call.
        let raw = unsafe {
            (plugin.create)(key_pointers.as_ptr(), value_pointers.as_ptr(), options.len(), report)
        };
        let log = SAID.take();
        // SAFETY: the plugin's own delegate, to be freed by the plugin.
        unsafe { Self::new(raw, Destroy::Plugin(plugin), path, abi, log) }
    }

    /// XNNPACK, of the library itself.
    pub(crate) fn xnnpack(library: &Library, threads: u16) -> Result<Self> {
        let api = library.api();
        let (Some(create), Some(_)) = (api.xnnpack_create, api.xnnpack_delete) else {
            return Err(Error::Lacks { version: library.version(), what: "XNNPACK" });
        };
        // Before 2.14 the options may be so small that they are returned in registers: defaults.
        let options = api.xnnpack_options.filter(|_| library.at_least(2, 14)).map(|default| {
            // SAFETY: the library writes its options, which are larger than two registers and
            // smaller than ours, where the caller has room for them.
            let mut options = unsafe { default() };
            options.num_threads = i32::from(threads.max(1));
            options
        });
        let pointer = options.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: options of this very library, or null for its defaults.
        let raw = unsafe { create(pointer) };
        let (destroy, path) = (Destroy::Xnnpack(library.clone()), library.path().to_owned());
        // SAFETY: the library's own delegate, which matches it, to be freed by the library.
        unsafe { Self::new(raw, destroy, path, Abi::Matching, String::new()) }
    }

    /// A delegate of the Edge TPU's library.
    ///
    /// # Safety
    /// `raw` is null, or a delegate that `api` made.
    pub(crate) unsafe fn edgetpu(
        raw: *mut DelegateHead,
        api: Arc<crate::edgetpu::Api>,
        path: PathBuf,
        abi: Abi,
    ) -> Result<Self> {
        // SAFETY: by the caller; the library that made it frees it.
        unsafe { Self::new(raw, Destroy::EdgeTpu(api), path, abi, String::new()) }
    }

    /// # Safety
    /// `raw` is null, or a delegate that `destroy` frees.
    unsafe fn new(
        raw: *mut DelegateHead,
        destroy: Destroy,
        path: PathBuf,
        abi: Abi,
        log: String,
    ) -> Result<Self> {
        if raw.is_null() {
            return Err(Error::Refused { library: path, log: log.trim_end().to_owned() });
        }
        // SAFETY: not null, and all versions have these fields. Opaque delegates have no `prepare`
        // and no layout to agree on.
        let bridged = abi == Abi::Any && unsafe { (*raw).prepare.is_some() };
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            // SAFETY: it has a `prepare`; it is freed after the shim's last use.
            let shim = bridged.then(|| unsafe { crate::shim::Shim::new(raw) });
            let host = shim.as_ref().map_or(raw, |shim| shim.outer());
            Ok(Self { host, raw, destroy, shim, path })
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            let delegate = Self { host: raw, raw, destroy, path };
            match bridged {
                true => Err(Error::Abi { library: delegate.path.clone() }),
                false => Ok(delegate),
            }
        }
    }

    /// The library that the delegate is of.
    pub fn library(&self) -> &Path {
        &self.path
    }

    /// How many operators it has claimed of the model of its interpreter; `None` where it is not
    /// bridged, and so not listened to.
    pub(crate) fn claimed(&self) -> Option<usize> {
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        {
            self.shim.as_ref().map(|shim| shim.claimed())
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        None
    }

    pub(crate) fn host(&self) -> *mut DelegateHead {
        self.host
    }
}

impl Drop for Delegate {
    fn drop(&mut self) {
        // SAFETY: the delegate is freed by what made it; the interpreter that used it is gone.
        unsafe {
            match &self.destroy {
                Destroy::Plugin(plugin) => (plugin.destroy)(self.raw),
                Destroy::EdgeTpu(api) => (api.free_delegate)(self.raw),
                Destroy::Xnnpack(library) => {
                    if let Some(delete) = library.api().xnnpack_delete {
                        delete(self.raw);
                    }
                }
            }
        }
    }
}

/// The elements of a C array; none for null.
///
/// # Safety
/// `first` is null, or points at `count` elements that stay as they are during `'a`.
pub(crate) unsafe fn elements<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: not null; the rest is the caller's.
        false => unsafe { slice::from_raw_parts(first, count) },
    }
}

/// An integer of the C interface.
pub(crate) fn c_integer(what: &'static str, value: u32) -> Result<c_int> {
    c_int::try_from(value).map_err(|_| Error::Argument { what, value: value.to_string() })
}
