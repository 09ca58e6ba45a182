//! The arguments of `systole convert` that quantize.

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use systole_converter::{
    Class, Converted, Error, Match, Options, Result, Source, metric,
    npz::{self, Array},
    quantize::{
        Effort, Job, LayerRule, PortType, Precision, Recipe, Scheme, WeightType, convert_quantized,
        mixed::Bound,
    },
};

/// Quantization of float models.
#[derive(Debug, Args)]
#[command(next_help_heading = "Quantization of float models")]
pub(super) struct Quantization {
    /// Quantize with these samples: an array per input, of its name; the first axis
    /// counts samples. Some hundred that cover what the model will meet
    #[arg(long, value_name = "X.npz")]
    calibrate: Option<PathBuf>,
    /// What the model becomes [default: int8 where there is something to calibrate with]
    #[arg(long, value_enum, value_name = "TYPE")]
    quantize: Option<Quantize>,
    /// How weights of int8 layers are stored: int4 takes half a byte each, for models that must be
    /// smaller; --effort high rounds them best
    #[arg(long, value_enum, value_name = "TYPE")]
    weights: Option<Weights>,
    /// With int4 weights, let so many weights of an output channel share a scale [default: all]
    #[arg(long, value_name = "WEIGHTS")]
    group: Option<usize>,
    /// How activation ranges are chosen: min-max, percentile, percentile:99.9, mse or entropy
    /// [default: mse]
    #[arg(long, value_name = "OBSERVER")]
    observer: Option<String>,
    /// Save what calibration has seen, to be merged with that of other samples
    #[arg(long, value_name = "A.json")]
    calibration_out: Option<PathBuf>,
    /// Quantize with what calibrations of the same model have seen; added up with --calibrate
    #[arg(long, value_name = "A.json", num_args = 1..)]
    calibration_in: Vec<PathBuf>,
    /// Keep the layers float whose name matches; * and ? are wildcards
    #[arg(long, value_name = "PATTERN")]
    keep_float: Vec<String>,
    /// Compute the layers whose name matches in int16
    #[arg(long, value_name = "PATTERN")]
    int16: Vec<String>,
    /// Raise layers to int16, or float, until quantization costs no more than this: percentage points
    /// where --validate holds `labels`. Without labels, the least ratio of signal to noise in dB
    #[arg(long, value_name = "D", requires = "validate")]
    max_drop: Option<f64>,
    /// Samples to measure --max-drop on, with an array `labels` of classes or values
    #[arg(long, value_name = "X.npz", requires = "max_drop")]
    validate: Option<PathBuf>,
    /// Start from this recipe; other arguments change it
    #[arg(long, value_name = "R.toml")]
    recipe: Option<PathBuf>,
    /// Write the whole recipe, with which the result can be reproduced and edited
    #[arg(long, value_name = "R.toml")]
    recipe_out: Option<PathBuf>,
    /// The type of inputs: f32, or the quantized type itself [default: f32, as in the model]
    #[arg(long, value_enum, value_name = "TYPE")]
    input_type: Option<Port>,
    /// The type of outputs
    #[arg(long, value_enum, value_name = "TYPE")]
    output_type: Option<Port>,
    /// Subtract these from the input's channels in front of the model, folded into its first layer
    /// where that is possible: the samples and the device then give what comes before normalization
    #[arg(long, value_name = "M,M,M", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Vec<f32>,
    /// Divide the input's channels by these behind --mean
    #[arg(long, value_name = "S,S,S", value_delimiter = ',')]
    std: Vec<f32>,
    /// One scale for all weights of a layer, instead of one per output channel
    #[arg(long)]
    per_tensor: bool,
    /// Do not equalize the ranges of channels
    #[arg(long)]
    no_equalization: bool,
    /// Do not correct biases for rounded weights
    #[arg(long)]
    no_bias_correction: bool,
    /// Compute the last layer and the softmax behind it in int8 too
    #[arg(long)]
    no_precise_output: bool,
    /// `high` rounds weights so that outputs change least on the samples; takes longer
    #[arg(long, value_enum, value_name = "EFFORT")]
    effort: Option<WeightEffort>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Quantize {
    /// 8-bit integers
    Int8,
    /// 16-bit activations and 8-bit weights
    Int16,
    /// Float, with weights stored in float16
    F16,
    /// As it is
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Weights {
    /// A byte each
    Int8,
    /// Half a byte each
    Int4,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Port {
    /// float32
    F32,
    /// The quantized type, signed
    Int8,
    /// uint8
    Uint8,
}

impl From<Port> for PortType {
    fn from(port: Port) -> Self {
        match port {
            Port::F32 => Self::F32,
            Port::Int8 => Self::Int8,
            Port::Uint8 => Self::Uint8,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeightEffort {
    /// Every weight to the nearest level
    Normal,
    /// Weights up or down as the outputs ask for
    High,
}

impl Quantization {
    /// Whether a quantization is asked for.
    pub(super) fn asked(&self) -> bool {
        self.calibrate.is_some()
            || !self.calibration_in.is_empty()
            || self.quantize.is_some()
            || self.recipe.is_some()
            || !(self.mean.is_empty() && self.std.is_empty())
    }

    /// Quantizes `source`. The arithmetic is our own unless `--match` says otherwise.
    pub(super) fn convert(
        &self,
        source: Source,
        options: &mut Options,
        matching_given: bool,
    ) -> Result<Converted> {
        let recipe = self.recipe()?;
        if options.matching == Match::Ort {
            return Err(Error::new(
                Class::UnsupportedFeature,
                "--match ort is for ONNX models that are quantized already",
            ));
        }
        if !matching_given && recipe.quantize.precision() != Precision::Float {
            options.matching = Match::Native;
        }
        let job = Job {
            recipe,
            samples: self.samples()?,
            states: self.calibration_in.clone(),
            save: self.calibration_out.clone(),
            bound: self.bound()?,
        };
        let bar = progress(job.samples.as_deref());
        let quantized = convert_quantized(source, options, &job, &|| bar.inc(1));
        bar.finish_and_clear();
        let quantized = quantized?;
        if let Some(path) = &self.recipe_out {
            super::write_whole(path, quantized.recipe.to_toml()?.as_bytes())?;
        }
        Ok(quantized.converted)
    }

    /// The samples; labels that lie beside them are not looked at.
    fn samples(&self) -> Result<Option<Vec<Array>>> {
        let arrays = self.calibrate.as_deref().map(npz::read).transpose()?;
        Ok(arrays.map(|arrays| metric::split_labels(arrays).0))
    }

    fn bound(&self) -> Result<Option<Bound>> {
        let (Some(most), Some(path)) = (self.max_drop, &self.validate) else { return Ok(None) };
        let (inputs, labels) = metric::split_labels(npz::read(path)?);
        Ok(Some(Bound { most, inputs, labels }))
    }

    fn recipe(&self) -> Result<Recipe> {
        let mut recipe = match &self.recipe {
            Some(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|problem| {
                    Error::new(Class::Io, format!("{place}: cannot be read: {problem}"))
                })?;
                Recipe::from_toml(&text).map_err(|error| error.within(place))?
            }
            None => Recipe::default(),
        };
        if let Some(quantize) = self.quantize {
            recipe.quantize = match quantize {
                Quantize::Int8 => Scheme::Int8,
                Quantize::Int16 => Scheme::Int16,
                Quantize::F16 => Scheme::F16,
                Quantize::None => Scheme::None,
            };
        }
        match self.weights {
            Some(Weights::Int8) => recipe.weights = WeightType::Int8,
            Some(Weights::Int4) => recipe.weights = WeightType::Int4,
            None => {}
        }
        recipe.group = self.group.unwrap_or(recipe.group);
        if let Some(observer) = &self.observer {
            recipe.observer = observer.parse()?;
        }
        if let Some(port) = self.input_type {
            recipe.input_type = port.into();
        }
        if let Some(port) = self.output_type {
            recipe.output_type = port.into();
        }
        if !self.mean.is_empty() {
            recipe.mean.clone_from(&self.mean);
        }
        if !self.std.is_empty() {
            recipe.std.clone_from(&self.std);
        }
        recipe.per_channel &= !self.per_tensor;
        recipe.equalize &= !self.no_equalization;
        recipe.bias_correction &= !self.no_bias_correction;
        recipe.precise_output &= !self.no_precise_output;
        match self.effort {
            Some(WeightEffort::Normal) => recipe.effort = Effort::Normal,
            Some(WeightEffort::High) => recipe.effort = Effort::High,
            None => {}
        }
        let rule = |precision| move |name: &String| LayerRule { name: name.clone(), precision };
        recipe.layers.extend(self.int16.iter().map(rule(Precision::Int16)));
        recipe.layers.extend(self.keep_float.iter().map(rule(Precision::Float)));
        Ok(recipe)
    }
}

/// A bar over the samples, where somebody sees it.
fn progress(samples: Option<&[Array]>) -> ProgressBar {
    let count = samples.and_then(|arrays| arrays.first()?.shape.first().copied()).unwrap_or(0);
    if !std::io::stderr().is_terminal() || count < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("calibrating {bar:40} {pos}/{len} {eta}");
    let bar = ProgressBar::new(count as u64);
    style.map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}
