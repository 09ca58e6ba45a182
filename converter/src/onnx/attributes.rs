//! The attributes of a node, by name.

use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use crate::error::{Result, bail, error};

/// The attributes of a node.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'m>(pub(super) &'m NodeProto);

impl<'m> Attributes<'m> {
    fn find(self, name: &str) -> Option<&'m AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// Whether there is one of this name.
    pub fn has(self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// An integer, or what it is without the attribute.
    pub fn int(self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |attribute| attribute.i)
    }

    /// Whether an integer is not 0.
    pub fn flag(self, name: &str, default: bool) -> bool {
        self.int(name, default.into()) != 0
    }

    /// A float, or what it is without the attribute.
    pub fn float(self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |attribute| attribute.f)
    }

    /// Integers, if there are any.
    pub fn ints(self, name: &str) -> Option<&'m [i64]> {
        self.find(name).map(|attribute| &attribute.ints[..])
    }

    /// Floats, if there are any.
    pub fn floats(self, name: &str) -> Option<&'m [f32]> {
        self.find(name).map(|attribute| &attribute.floats[..])
    }

    /// Text, or what it is without the attribute.
    ///
    /// # Errors
    /// `Corrupt` where it is not UTF-8.
    pub fn text(self, name: &str, default: &'static str) -> Result<&'m str> {
        match self.find(name) {
            None => Ok(default),
            Some(attribute) => str::from_utf8(&attribute.s)
                .map_err(|_| error!(Corrupt, "attribute {name} is not UTF-8")),
        }
    }

    /// A tensor, if there is one.
    pub fn tensor(self, name: &str) -> Option<&'m TensorProto> {
        self.find(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// Positive integers of as many axes as `N`, or `default` for each.
    ///
    /// # Errors
    /// `InvalidShape`.
    pub fn sizes<const N: usize>(self, name: &str, default: usize) -> Result<[usize; N]> {
        let Some(ints) = self.ints(name) else {
            return Ok([default; N]);
        };
        let sizes: Vec<usize> = ints.iter().filter_map(|&int| usize::try_from(int).ok()).collect();
        match <[usize; N]>::try_from(sizes) {
            Ok(sizes) => Ok(sizes),
            Err(_) => bail!(InvalidShape, "attribute {name} is {ints:?}; {N} sizes are needed"),
        }
    }
}
