//! An operator's own parameters: 52 bytes of its record, laid out by a struct per operator.

use super::PARAMS_BYTES;

/// A field of a parameter record, for `docs/format.md` and `systole inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// Its Rust type.
    pub kind: &'static str,
    /// Bytes from the start of the parameters.
    pub offset: usize,
}

/// The parameters of an operator, stored without padding in the order of their fields.
pub trait Params: Sized {
    /// Name, type and offset of each field.
    const FIELDS: &'static [Field];
    /// Reads the fields.
    fn read(bytes: &[u8; PARAMS_BYTES]) -> Self;
    /// Writes the fields, and zeros behind them.
    fn write(&self) -> [u8; PARAMS_BYTES];
}

/// Reads little-endian numbers one after the other; past the end it gives zeros.
#[derive(Debug)]
pub struct ParamsReader<'a>(core::slice::Iter<'a, u8>);

impl<'a> ParamsReader<'a> {
    /// A reader at the start of the parameters.
    pub fn new(bytes: &'a [u8; PARAMS_BYTES]) -> Self {
        Self(bytes.iter())
    }

    /// The next `N` bytes.
    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.0.next().copied().unwrap_or(0))
    }
}

/// Writes little-endian numbers one after the other.
#[derive(Debug)]
pub struct ParamsWriter {
    bytes: [u8; PARAMS_BYTES],
    at: usize,
}

impl Default for ParamsWriter {
    fn default() -> Self {
        Self { bytes: [0; PARAMS_BYTES], at: 0 }
    }
}

impl ParamsWriter {
    /// Appends `bytes`; what does not fit is dropped (the `params!` macro checks the size).
    pub fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(bytes) {
            *to = *from;
        }
        self.at += bytes.len();
    }

    /// The record's bytes.
    pub fn finish(self) -> [u8; PARAMS_BYTES] {
        self.bytes
    }
}

/// Declares a parameter struct whose layout in the file is its list of fields.
///
/// A field is a number (`u8` to `i64`, `f32`) or an array of numbers, `[u16; 6]`.
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* pub $field:ident: $kind:tt,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        impl $crate::format::Params for $name {
            const FIELDS: &'static [$crate::format::Field] = {
                let mut _at = 0_usize;
                &[$($crate::format::Field {
                    name: stringify!($field),
                    kind: stringify!($kind),
                    offset: { let at = _at; _at += core::mem::size_of::<$kind>(); at },
                },)*]
            };

            fn read(bytes: &[u8; $crate::format::PARAMS_BYTES]) -> Self {
                // The bytes of all fields, as an array's length; there may be none.
                type Fields = [u8; 0 $(+ core::mem::size_of::<$kind>())*];
                const { assert!(core::mem::size_of::<Fields>() <= $crate::format::PARAMS_BYTES) };
                let mut _reader = $crate::format::ParamsReader::new(bytes);
                Self { $($field: $crate::format::params!(@read _reader $kind),)* }
            }

            fn write(&self) -> [u8; $crate::format::PARAMS_BYTES] {
                let mut _writer = $crate::format::ParamsWriter::default();
                $($crate::format::params!(@write _writer (self.$field) $kind);)*
                _writer.finish()
            }
        }
    };
    (@read $reader:ident [$kind:ident; $n:tt]) => {
        core::array::from_fn::<$kind, $n, _>(|_| $kind::from_le_bytes($reader.take()))
    };
    (@read $reader:ident $kind:ident) => { $kind::from_le_bytes($reader.take()) };
    (@write $writer:ident ($value:expr) [$kind:ident; $n:tt]) => {
        for value in $value { $writer.put(&value.to_le_bytes()); }
    };
    (@write $writer:ident ($value:expr) $kind:ident) => { $writer.put(&$value.to_le_bytes()) };
}
pub(crate) use params;
