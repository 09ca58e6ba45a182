//! Coral's Edge TPU, by the functions of `libedgetpu`.

use std::{
    ffi::{CString, c_char, c_int},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use crate::{
    Abi, Delegate, Error, Result,
    delegate::{c_integer, elements},
    error::{Failure, LoadError},
    library::{candidates, first, text},
    signature::c_text,
    sys::DelegateHead,
};

/// The environment variable that names the Edge TPU's library.
const LIBRARY_PATH: &str = "EDGETPU_LIBRARY_PATH";

#[cfg(not(any(windows, target_os = "macos")))]
const USUAL_NAMES: &[&str] = &["libedgetpu.so.1", "libedgetpu.so"];
#[cfg(target_os = "macos")]
const USUAL_NAMES: &[&str] = &["libedgetpu.1.dylib"];
#[cfg(windows)]
const USUAL_NAMES: &[&str] = &["edgetpu.dll"];

/// `edgetpu_device`.
#[repr(C)]
struct RawDevice {
    kind: c_int,
    path: *const c_char,
}

/// `edgetpu_option`.
#[repr(C)]
struct RawOption {
    name: *const c_char,
    value: *const c_char,
}

/// The functions of the Edge TPU's library.
pub(crate) struct Api {
    list_devices: unsafe extern "C" fn(*mut usize) -> *mut RawDevice,
    free_devices: unsafe extern "C" fn(*mut RawDevice),
    create_delegate:
        unsafe extern "C" fn(c_int, *const c_char, *const RawOption, usize) -> *mut DelegateHead,
    pub(crate) free_delegate: unsafe extern "C" fn(*mut DelegateHead),
    verbosity: unsafe extern "C" fn(c_int),
    version: unsafe extern "C" fn() -> *const c_char,
    _library: libloading::Library,
}

impl Api {
    fn resolve(library: libloading::Library) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        macro_rules! resolve {
            ($name:literal) => {{
                // SAFETY: the type is the function's in edgetpu_c.h; a library that exports its
                // name is trusted to follow it.
                let symbol = unsafe { library.get($name.as_bytes()) };
                let symbol = symbol.map(|symbol| *symbol).ok();
                if symbol.is_none() {
                    missing.push($name);
                }
                symbol
            }};
        }
        let functions = (
            resolve!("edgetpu_list_devices"),
            resolve!("edgetpu_free_devices"),
            resolve!("edgetpu_create_delegate"),
            resolve!("edgetpu_free_delegate"),
            resolve!("edgetpu_verbosity"),
            resolve!("edgetpu_version"),
        );
        let (
            Some(list_devices),
            Some(free_devices),
            Some(create_delegate),
            Some(free_delegate),
            Some(verbosity),
            Some(version),
        ) = functions
        else {
            return Err(Failure::MissingSymbols(missing));
        };
        Ok(Self {
            list_devices,
            free_devices,
            create_delegate,
            free_delegate,
            verbosity,
            version,
            _library: library,
        })
    }
}

/// How a device is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// PCI Express: M.2 and Mini PCIe cards, the Dev Board.
    Pci,
    /// USB: the accelerator stick.
    Usb,
}

/// An Edge TPU that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// How it is attached.
    pub kind: DeviceKind,
    /// Its path in the system, as `/dev/apex_0`.
    pub path: String,
}

/// Which of the devices: of a kind, or any; the first, or the one of an index among those.
///
/// As text: nothing, `usb`, `pci`, `usb:N`, `pci:N` or `:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceChoice {
    /// Only devices that are attached so.
    pub kind: Option<DeviceKind>,
    /// Which of them, from 0.
    pub index: usize,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::Choice(text.to_owned());
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        let kind = match kind {
            "" => None,
            "usb" => Some(DeviceKind::Usb),
            "pci" => Some(DeviceKind::Pci),
            _ => return Err(unknown()),
        };
        Ok(Self { kind, index })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            None => "",
            Some(DeviceKind::Usb) => "usb",
            Some(DeviceKind::Pci) => "pci",
        };
        write!(f, "{kind}:{}", self.index)
    }
}

/// How fast, and how warm, the device may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Performance {
    /// An eighth of the highest clock.
    Low,
    /// A quarter.
    Medium,
    /// Half.
    High,
    /// The highest.
    Max,
}

/// What a delegate of the Edge TPU may be told. Nothing is passed on for what is `None`.
#[derive(Debug, Clone, Default)]
pub struct EdgeTpuOptions {
    /// `Performance`.
    pub performance: Option<Performance>,
    /// `Usb.AlwaysDfu`: whether a stick's firmware is loaded each time.
    pub usb_always_dfu: Option<bool>,
    /// `Usb.MaxBulkInQueueLength`: transfers from a stick that are under way at once, 0 to 255.
    pub usb_max_bulk_in_queue_length: Option<u8>,
    /// Further options by name.
    pub other: Vec<(String, String)>,
    /// Whether the library is known to be built for the very TFLite that is used.
    pub abi: Abi,
}

impl EdgeTpuOptions {
    fn pairs(&self) -> Vec<(String, String)> {
        let performance = self.performance.map(|level| ("Performance", format!("{level:?}")));
        let title = |on| if on { "True" } else { "False" };
        let dfu = self.usb_always_dfu.map(|on| ("Usb.AlwaysDfu", title(on).to_owned()));
        let queue = self.usb_max_bulk_in_queue_length;
        let queue = queue.map(|length| ("Usb.MaxBulkInQueueLength", length.to_string()));
        let named = [performance, dfu, queue].into_iter().flatten();
        let named = named.map(|(name, value)| (name.to_owned(), value));
        named.chain(self.other.iter().cloned()).collect()
    }
}

/// The Edge TPU's library, loaded. Cheap to clone.
#[derive(Clone)]
pub struct EdgeTpu {
    api: Arc<Api>,
    path: PathBuf,
}

impl fmt::Debug for EdgeTpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.version(), self.path.display())
    }
}

impl EdgeTpu {
    /// Loads the library at `path`, and no other. Without a path, what `EDGETPU_LIBRARY_PATH`
    /// names, then `libedgetpu.so.1` and `libedgetpu.so` on the loader's own search path.
    ///
    /// # Errors
    /// Every candidate, and why it was not taken.
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let candidates = match path {
            Some(path) => vec![path.to_owned()],
            None => candidates(LIBRARY_PATH, USUAL_NAMES),
        };
        let variable = path.is_none().then_some(LIBRARY_PATH);
        let (api, path) = first("the Edge TPU's library", candidates, variable, Api::resolve)?;
        Ok(Self { api: Arc::new(api), path })
    }

    /// The library's version, in its own words.
    pub fn version(&self) -> String {
        // SAFETY: the library returns a constant text.
        unsafe { text((self.api.version)()) }
    }

    /// How much the library prints: 0, only errors, to 10, everything.
    ///
    /// # Errors
    /// [`Error::Argument`] for levels that are no C integer.
    pub fn set_verbosity(&self, level: u32) -> Result<()> {
        let level = c_integer("a level", level)?;
        // SAFETY: no requirements.
        unsafe { (self.api.verbosity)(level) }
        Ok(())
    }

    /// All devices, in the library's order.
    pub fn devices(&self) -> Vec<Device> {
        let mut count = 0;
        // SAFETY: the library writes the count of the devices that it returns, which it frees when
        // told so, after they were copied.
        unsafe {
            let first = (self.api.list_devices)(&raw mut count);
            let device = |raw: &RawDevice| Device {
                kind: if raw.kind == 0 { DeviceKind::Pci } else { DeviceKind::Usb },
                path: text(raw.path),
            };
            let devices = elements(first, count).iter().map(device).collect();
            if !first.is_null() {
                (self.api.free_devices)(first);
            }
            devices
        }
    }

    /// A delegate for one of the devices.
    ///
    /// # Errors
    /// [`Error::NoDevice`] where it is not there, [`Error::Refused`] where the library cannot open
    /// it or does not take an option, [`Error::Abi`] as for [`Delegate::external`].
    pub fn delegate(&self, choice: DeviceChoice, options: &EdgeTpuOptions) -> Result<Delegate> {
        let devices = self.devices();
        let matches = |device: &&Device| choice.kind.is_none_or(|kind| kind == device.kind);
        let Some(device) = devices.iter().filter(matches).nth(choice.index) else {
            return Err(Error::NoDevice { choice, count: devices.len() });
        };
        let pairs: Vec<(CString, CString)> = options
            .pairs()
            .iter()
            .map(|(name, value)| Ok((c_text("an option", name)?, c_text("an option", value)?)))
            .collect::<Result<_>>()?;
        let raw: Vec<RawOption> = pairs
            .iter()
            .map(|(name, value)| RawOption { name: name.as_ptr(), value: value.as_ptr() })
            .collect();
        let path = c_text("a device's path", &device.path)?;
        let kind = match device.kind {
            DeviceKind::Pci => 0,
            DeviceKind::Usb => 1,
        };
        // SAFETY: path and options are C texts that last for the call.
        let delegate =
            unsafe { (self.api.create_delegate)(kind, path.as_ptr(), raw.as_ptr(), raw.len()) };
        // SAFETY: made just now by this library.
        unsafe { Delegate::edgetpu(delegate, self.api.clone(), self.path.clone(), options.abi) }
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceChoice, DeviceKind};

    #[test]
    fn choices_are_read_and_written() {
        let choice = |text: &str| text.parse::<DeviceChoice>();
        let usb = Some(DeviceKind::Usb);
        assert_eq!(choice(""), Ok(DeviceChoice { kind: None, index: 0 }));
        assert_eq!(choice("usb"), Ok(DeviceChoice { kind: usb, index: 0 }));
        assert_eq!(choice("pci:1"), Ok(DeviceChoice { kind: Some(DeviceKind::Pci), index: 1 }));
        assert_eq!(choice(":12"), Ok(DeviceChoice { kind: None, index: 12 }));
        for wrong in ["gpu", "usb:", "usb:x", "usb:-1", ":", "usb:1:2", "USB"] {
            let text = choice(wrong).map_err(|error| error.to_string());
            assert!(text.is_err_and(|text| text.starts_with(&format!("'{wrong}' names no"))));
        }
    }
}
