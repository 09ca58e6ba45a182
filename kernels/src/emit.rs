//! Kernel parameters as Rust source: what models that are compiled in are made of.
//!
//! [`Emit`] prints a value as the expression that makes it again. Slices that lie in a model's
//! constants become references to statics of their own, so that a program holds only the constants
//! that its kernels read. All of this runs on the computer that compiles, never on the device.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use core::fmt::Write;

pub use systole_kernels_derive::Emit;

use crate::requantize::{Accumulate16, FixedScales, Float32, Float64, Requantize};

/// A value that can be printed as a constant expression of Rust.
pub trait Emit {
    /// Writes the expression.
    fn emit(&self, source: &mut Source<'_>);

    /// The Rust type, if arrays of it are among the constants of models.
    fn element() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }
}

/// A piece of the model's constants that the source refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constant {
    /// The Rust type of its elements.
    pub element: &'static str,
    /// First byte, from the start of the constants.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// Bytes of an element.
    pub element_bytes: usize,
}

impl Constant {
    /// The name of the local that holds it where it was brought into memory.
    pub fn resident(&self) -> String {
        format!("{RESIDENT}{}_{}_{}", self.offset, self.len, self.element)
    }

    /// The name of the static that holds it.
    pub fn name(&self) -> String {
        format!("CONSTANT_{}_{}_{}", self.offset, self.len, self.element.to_ascii_uppercase())
    }
}

/// What names of constants that are brought into memory begin with.
const RESIDENT: &str = "resident_";

/// Source text that is being written, and what it refers to.
#[derive(Debug)]
pub struct Source<'c> {
    /// The expressions.
    pub text: String,
    /// The constants that they refer to, in order of first use.
    pub constants: Vec<Constant>,
    /// Constants that are brought into memory, by their first byte and their bytes.
    pub residents: BTreeSet<(usize, usize)>,
    /// Those of them that the expressions refer to, by [`Constant::resident`].
    pub brought: Vec<Constant>,
    /// The modules of this crate that they name.
    pub modules: BTreeSet<String>,
    /// The model's constants, of which slices are told by their addresses.
    section: &'c [u8],
    /// Whether the next item of a list follows another.
    separate: Vec<bool>,
}

impl<'c> Source<'c> {
    /// Nothing yet, about a model with these constants.
    pub fn new(section: &'c [u8]) -> Self {
        let modules = BTreeSet::new();
        Self {
            text: String::new(),
            constants: Vec::new(),
            residents: BTreeSet::new(),
            brought: Vec::new(),
            modules,
            section,
            separate: Vec::new(),
        }
    }

    /// The name of a type or function of this crate, from the path that the compiler states:
    /// `module::Name`, with the module noted.
    pub fn path(&mut self, path: &str) -> String {
        let inner = path.strip_prefix("systole_kernels::").unwrap_or(path);
        if let Some((module, _)) = inner.split_once("::") {
            self.modules.insert(String::from(module));
        }
        String::from(inner)
    }

    /// Writes the name of a unit struct or variant, of the module that the compiler calls `module`.
    pub fn name(&mut self, module: &str, name: &str) {
        let path = self.path(&format!("{module}::{name}"));
        self.text.push_str(&path);
    }

    /// Begins a struct or a variant, of the module that the compiler calls `module`.
    pub fn open(&mut self, module: &str, name: &str, bracket: &str) {
        self.name(module, name);
        self.text.push_str(bracket);
        self.separate.push(false);
    }

    /// One field of the struct that was opened last.
    pub fn field(&mut self, name: &str, value: &dyn Emit) {
        self.comma();
        let _ = write!(self.text, "{name}: ");
        value.emit(self);
    }

    /// One item of the tuple or array that was opened last.
    pub fn item(&mut self, value: &dyn Emit) {
        self.comma();
        value.emit(self);
    }

    /// Ends what was opened last.
    pub fn close(&mut self, bracket: &str) {
        if bracket == "}" {
            self.text.push(' ');
        }
        self.text.push_str(bracket);
        self.separate.pop();
    }

    fn comma(&mut self) {
        if let Some(separate) = self.separate.last_mut()
            && core::mem::replace(separate, true)
        {
            self.text.push_str(", ");
        }
    }

    /// The place of `slice` in the model's constants, if it lies there.
    fn find<T>(&self, slice: &[T]) -> Option<usize> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.section.as_ptr() as usize)?;
        (offset.checked_add(size_of_val(slice))? <= self.section.len()).then_some(offset)
    }

    /// The static that holds these elements, if they lie among the constants.
    fn constant<T: Emit>(&mut self, slice: &[T]) -> Option<String> {
        let element = T::element().filter(|_| !slice.is_empty())?;
        let (offset, element_bytes) = (self.find(slice)?, size_of::<T>());
        let constant = Constant { element, offset, len: slice.len(), element_bytes };
        if !self.residents.contains(&(offset, size_of_val(slice))) {
            return Some(self.refer(constant));
        }
        if !self.brought.contains(&constant) {
            self.brought.push(constant);
        }
        Some(format!("*{}", constant.resident()))
    }

    /// The expression for what `constant` holds, an array.
    pub fn refer(&mut self, constant: Constant) -> String {
        if !self.constants.contains(&constant) {
            self.constants.push(constant);
        }
        format!("{}.0", constant.name())
    }

    /// An array with these elements.
    fn array<T: Emit>(&mut self, slice: &[T]) {
        self.text.push('[');
        self.separate.push(false);
        for value in slice {
            self.item(value);
        }
        self.close("]");
    }
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl Emit for $type {
            fn emit(&self, source: &mut Source<'_>) {
                let _ = write!(source.text, "{self}");
            }

            fn element() -> Option<&'static str> {
                Some(stringify!($type))
            }
        }
    )*};
}
integers!(i8 u8 i16 u16 i32 u32 i64 u64 isize usize);

macro_rules! floats {
    ($($type:ident)*) => {$(
        impl Emit for $type {
            fn emit(&self, source: &mut Source<'_>) {
                // The shortest decimal that reads back as the same bits, unless there is none.
                let _ = if self.is_finite() {
                    write!(source.text, "{self:?}")
                } else {
                    write!(source.text, "{}::from_bits({:#x})", stringify!($type), self.to_bits())
                };
            }

            fn element() -> Option<&'static str> {
                Some(stringify!($type))
            }
        }
    )*};
}
floats!(f32 f64);

impl Emit for bool {
    fn emit(&self, source: &mut Source<'_>) {
        let _ = write!(source.text, "{self}");
    }
}

impl<T: Emit> Emit for &[T] {
    fn emit(&self, source: &mut Source<'_>) {
        source.text.push('&');
        match source.constant(self) {
            Some(name) => source.text.push_str(&name),
            None => source.array(self),
        }
    }
}

impl<T: Emit, const N: usize> Emit for [T; N] {
    fn emit(&self, source: &mut Source<'_>) {
        match source.constant(self) {
            Some(name) => source.text.push_str(&name),
            None => source.array(self),
        }
    }
}

/// A parameter that is passed by reference: the device finds it in flash, unless it names what was brought into
/// memory.
impl<T: Emit> Emit for &T {
    fn emit(&self, source: &mut Source<'_>) {
        let before = core::mem::take(&mut source.text);
        (**self).emit(source);
        let value = core::mem::replace(&mut source.text, before);
        let _ = match value.contains(RESIDENT) {
            true => write!(source.text, "&{value}"),
            false => write!(source.text, "const {{ &{value} }}"),
        };
    }
}

impl<A: Emit, B: Emit> Emit for (A, B) {
    fn emit(&self, source: &mut Source<'_>) {
        source.text.push('(');
        source.separate.push(false);
        source.item(&self.0);
        source.item(&self.1);
        source.close(")");
    }
}

impl Emit for Requantize<'_> {
    /// As the type that applies the one rounding, so that only that one is linked.
    fn emit(&self, source: &mut Source<'_>) {
        let fixed = |source: &mut Source<'_>, rounding: &str, scales: &FixedScales<'_>| {
            let constructor = source.path("requantize::Fixed");
            let _ = write!(source.text, "{constructor}::<requantize::{rounding}>::new(");
            scales.emit(source);
            source.text.push(')');
        };
        match self {
            Self::Double(scales) => fixed(source, "Double", scales),
            Self::DoubleUp(scales) => fixed(source, "DoubleUp", scales),
            Self::Single(scales) => fixed(source, "Single", scales),
            Self::Float32(scales) => Float32(scales).emit(source),
            Self::Float64(scales) => Float64(scales).emit(source),
        }
    }
}

impl<R: Emit> Emit for Accumulate16<'_, R> {
    /// Wide sums have no `R` that a compiler could infer: any does.
    fn emit(&self, source: &mut Source<'_>) {
        let path = source.path("requantize::Accumulate16");
        match self {
            Self::Narrow(bias, requantize) => {
                let _ = write!(source.text, "{path}::Narrow(");
                bias.emit(source);
                source.text.push_str(", ");
                requantize.emit(source);
            }
            Self::Wide(bias, requantize) => {
                let _ = write!(
                    source.text,
                    "{path}::<'static, requantize::Fixed<'static, requantize::Double>>::Wide("
                );
                bias.emit(source);
                source.text.push_str(", ");
                requantize.emit(source);
            }
        }
        source.text.push(')');
    }
}
