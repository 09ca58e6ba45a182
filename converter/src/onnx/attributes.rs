//! The attributes of a node, by name.

use tract_onnx::pb::{
    AttributeProto, NodeProto, TensorProto,
    attribute_proto::AttributeType::{self, Float, Floats, Int, Ints, String as Text},
};

use crate::error::{Result, bail, error};

/// The types of the attributes that are read; one name has one type, whatever the operator.
const KINDS: &[(&str, AttributeType)] = &[
    ("allowzero", Int),
    ("alpha", Float),
    ("antialias", Int),
    ("approximate", Text),
    ("auto_pad", Text),
    ("axis", Int),
    ("batch_dims", Int),
    ("beta", Float),
    ("bias", Float),
    ("block_size", Int),
    ("blocksize", Int),
    ("ceil_mode", Int),
    ("channels_last", Int),
    ("coordinate_transformation_mode", Text),
    ("count_include_pad", Int),
    ("cubic_coeff_a", Float),
    ("dilations", Ints),
    ("end", Int),
    ("ends", Ints),
    ("epsilon", Float),
    ("equation", Text),
    ("exclude_outside", Int),
    ("exclusive", Int),
    ("fmod", Int),
    ("fused_activation", Text),
    ("fused_operator", Text),
    ("gamma", Float),
    ("group", Int),
    ("k", Int),
    ("keepdims", Int),
    ("kernel_shape", Ints),
    ("lambd", Float),
    ("largest", Int),
    ("mode", Text),
    ("nearest_mode", Text),
    ("noop_with_empty_axes", Int),
    ("num_groups", Int),
    ("num_outputs", Int),
    ("opset", Int),
    ("output_dtype", Int),
    ("output_padding", Ints),
    ("output_shape", Ints),
    ("p", Int),
    ("pads", Ints),
    ("perm", Ints),
    ("reduction", Text),
    ("reverse", Int),
    ("scales", Floats),
    ("select_last_index", Int),
    ("size", Int),
    ("start", Int),
    ("starts", Ints),
    ("strides", Ints),
    ("to", Int),
    ("transA", Int),
    ("transB", Int),
    ("upper", Int),
    ("value_float", Float),
    ("value_floats", Floats),
    ("value_int", Int),
    ("value_ints", Ints),
];

/// The other attributes of the operators that are supported, whose type depends on the operator, or
/// that change nothing here.
const OTHERS: &[&str] = &[
    "axes",
    "broadcast",
    "consumed_inputs",
    "extrapolation_value",
    "height_scale",
    "is_test",
    "keep_aspect_ratio_policy",
    "max",
    "min",
    "momentum",
    "paddings",
    "precision",
    "ratio",
    "round_mode",
    "saturate",
    "seed",
    "shape",
    "sorted",
    "sparse_value",
    "spatial",
    "split",
    "stash_type",
    "storage_order",
    "training_mode",
    "value",
    "value_string",
    "value_strings",
    "width_scale",
];

/// The attributes of a node.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'m>(pub(super) &'m NodeProto);

impl<'m> Attributes<'m> {
    fn find(self, name: &str) -> Option<&'m AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// Fails where an attribute is not known, since it may change what the operator computes, or holds
    /// something else than its type says.
    ///
    /// # Errors
    /// `UnsupportedFeature`, `InvalidGraph`; `InvalidData` for what is not a number.
    pub(super) fn check(self) -> Result<()> {
        for attribute in &self.0.attribute {
            if attribute.f.is_nan() || attribute.floats.iter().any(|value| value.is_nan()) {
                bail!(InvalidData, "attribute {} is not a number", attribute.name);
            }
            let Some((_, wanted)) = KINDS.iter().find(|(name, _)| *name == attribute.name) else {
                if OTHERS.contains(&&*attribute.name) {
                    continue;
                }
                bail!(UnsupportedFeature, "attribute {} is not known", attribute.name);
            };
            // Models of the first versions state no type.
            if attribute.r#type != 0 && attribute.r#type != *wanted as i32 {
                let found = AttributeType::try_from(attribute.r#type)
                    .map_or("of an unknown type", |kind| kind.as_str_name());
                bail!(
                    InvalidGraph,
                    "attribute {} is {found}; it must be {}",
                    attribute.name,
                    wanted.as_str_name()
                );
            }
        }
        Ok(())
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
        let sizes: Option<Vec<usize>> = ints.iter().map(|&int| usize::try_from(int).ok()).collect();
        match sizes.map(<[usize; N]>::try_from) {
            Some(Ok(sizes)) => Ok(sizes),
            _ => bail!(InvalidShape, "attribute {name} is {ints:?}; {N} sizes are needed"),
        }
    }
}
