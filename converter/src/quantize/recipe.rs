//! The recipe of a quantization: everything that decides its result besides model and data, as TOML.

use serde::{Deserialize, Serialize};

use crate::{
    calibrate::Observer,
    error::{Result, bail, error},
};

/// How numbers are stored and computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// int8 activations and weights.
    Int8,
    /// int16 activations, int8 weights, 64-bit sums: TFLite's 16x8.
    Int16,
    /// float32.
    Float,
}

/// What becomes of a whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// int8.
    Int8,
    /// 16x8.
    Int16,
    /// Stays float32, with weights stored in float16.
    F16,
    /// Stays float32.
    None,
}

impl Scheme {
    /// The precision of layers that no rule names.
    pub fn precision(self) -> Precision {
        match self {
            Self::Int8 => Precision::Int8,
            Self::Int16 => Precision::Int16,
            Self::F16 | Self::None => Precision::Float,
        }
    }
}

/// The type of inputs or outputs as users see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortType {
    /// float32: the model quantizes inputs and dequantizes outputs itself.
    F32,
    /// What the first, or last, layer computes in, int8 or int16, with its scale and zero point.
    Int8,
    /// uint8, with scale and zero point.
    Uint8,
}

/// How weights of int8 layers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// A byte each.
    Int8,
    /// Half a byte each.
    Int4,
}

/// How much time may go into rounding weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Every weight to the nearest level.
    Normal,
    /// Weights up or down so that the layer's outputs on the calibration data change least.
    High,
}

/// The precision of the layers whose name matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRule {
    /// A pattern, see [`matches`](super::pattern::matches).
    pub name: String,
    /// What they are computed in.
    pub precision: Precision,
}

/// A recipe. Every field has a default, so a file needs to state only what differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What the model becomes.
    pub quantize: Scheme,
    /// How activation ranges of int8 are chosen; int16 always covers all values.
    #[serde(with = "observer")]
    pub observer: Observer,
    /// How weights are stored.
    pub weights: WeightType,
    /// With int4, how many weights of an output channel share a scale; 0 for all of them. Channels of
    /// a number of weights that this does not divide have one scale.
    pub group: usize,
    /// Whether weights have a scale per output channel, or one per tensor.
    pub per_channel: bool,
    /// Whether ranges of channels are equalized across layers.
    pub equalize: bool,
    /// Whether biases make up for the mean error of rounded weights.
    pub bias_correction: bool,
    /// Whether the last layer is computed in int16, and the softmax behind it in float, where that is
    /// a small part of the work and outputs are float: classes that are close are told apart.
    pub precise_output: bool,
    /// How weights are rounded.
    pub effort: Effort,
    /// The type of inputs.
    pub input_type: PortType,
    /// The type of outputs.
    pub output_type: PortType,
    /// What is subtracted from the input's channels, one number per channel or one for all, so that
    /// the model takes what comes before normalization; nothing where it is empty.
    pub mean: Vec<f32>,
    /// What the input's channels are divided by behind that; nothing where it is empty.
    pub std: Vec<f32>,
    /// Layers of another precision than the rest; of several rules that match, the last counts.
    #[serde(rename = "layer")]
    pub layers: Vec<LayerRule>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            quantize: Scheme::Int8,
            observer: Observer::default(),
            weights: WeightType::Int8,
            group: 0,
            per_channel: true,
            equalize: true,
            bias_correction: true,
            precise_output: true,
            effort: Effort::Normal,
            input_type: PortType::F32,
            output_type: PortType::F32,
            mean: Vec::new(),
            std: Vec::new(),
            layers: Vec::new(),
        }
    }
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// `InvalidData` for text that is no TOML, and for keys or values that no recipe has.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|problem| error!(InvalidData, "no recipe: {problem}"))
    }

    /// The recipe as TOML.
    ///
    /// # Errors
    /// None.
    pub fn to_toml(&self) -> Result<String> {
        match toml::to_string(self) {
            Ok(text) => Ok(text),
            Err(problem) => bail!(InvalidData, "the recipe cannot be written: {problem}"),
        }
    }
}

/// Observers in files are what they are on the command line.
mod observer {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::calibrate::Observer;

    pub(super) fn serialize<S: Serializer>(value: &Observer, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Observer, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|problem: crate::Error| de::Error::custom(problem.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_read_as_it_was_written() {
        let recipe = Recipe {
            quantize: Scheme::Int16,
            observer: Observer::Percentile(99.9),
            effort: Effort::High,
            input_type: PortType::Uint8,
            layers: vec![LayerRule { name: "head/*".into(), precision: Precision::Float }],
            ..Recipe::default()
        };
        let text = recipe.to_toml().unwrap();
        assert_eq!(Recipe::from_toml(&text).unwrap(), recipe, "{text}");
        assert_eq!(Recipe::from_toml("").unwrap(), Recipe::default());
    }

    #[test]
    fn what_no_recipe_has_is_refused_by_name() {
        let message = |text: &str| Recipe::from_toml(text).unwrap_err().message;
        assert!(message("quantise = 'int8'").contains("quantise"));
        assert!(message("quantize = 'int7'").contains("int7"));
        assert!(message("observer = 'median'").contains("median"));
        assert!(message("[[layer]]\nname = 'x'").contains("precision"));
    }
}
