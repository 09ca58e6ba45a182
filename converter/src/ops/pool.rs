//! What the pooling operators share: windows, the fused activation, and their parameters.

use systole_core::{DType, ops::pool::Params};
use tract_tflite::tflite;

use super::{
    same_scale::same_scale,
    window::{Window, small},
};
use crate::{
    error::{Result, error},
    graph::NodeView,
    scale::Activation,
    tflite::{Importer, activation},
};

/// The attributes of a pooling operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooling {
    /// Strides and padding.
    pub window: Window,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// The fused activation.
    pub activation: Activation,
}

impl Pooling {
    /// Reads the attributes from TFLite.
    ///
    /// # Errors
    /// `InvalidGraph`, `InvalidShape` and `UnsupportedFeature`.
    pub(super) fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<Self> {
        let options = operator
            .builtin_options_as_pool_2_doptions()
            .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
        let [_, height, width, _] = importer.input(0)?.dims()?;
        let kernel = [options.filter_height(), options.filter_width()];
        let kernel = kernel.map(|size| usize::try_from(size).unwrap_or(0));
        let window = Window::from_tflite(
            [options.stride_h(), options.stride_w()],
            [1, 1],
            options.padding(),
            [height, width],
            kernel,
        )?;
        let activation = activation(options.fused_activation_function())?;
        Ok(Self { window, kernel, activation })
    }

    /// The shape of the output, where the input is of one of `types`.
    ///
    /// # Errors
    /// `UnsupportedFeature` and `InvalidShape`.
    pub(super) fn infer(&self, node: &NodeView<'_>, types: &[DType]) -> Result<Vec<Vec<usize>>> {
        let x = node.expect_types(0, types)?;
        let [batches, height, width, channels] = x.dims()?;
        let [out_h, out_w] = self.window.output([height, width], self.kernel)?;
        Ok(vec![vec![batches, out_h, out_w, channels]])
    }

    /// The parameters of the record.
    ///
    /// # Errors
    /// `InvalidQuantization` where input and output have different scales, `UnsupportedFeature` for
    /// windows that are too large.
    pub(super) fn params(&self, node: &NodeView<'_>) -> Result<Params> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        if x.dtype != DType::F32 {
            same_scale(x, y)?;
        }
        self.rescaling_params(node)
    }

    /// As [`Pooling::params`], for operators that go from one scale to another.
    ///
    /// # Errors
    /// As [`Pooling::params`].
    pub(super) fn rescaling_params(&self, node: &NodeView<'_>) -> Result<Params> {
        let (x, y) = (node.input(0)?, node.output(0)?);
        let (stride, _, padding) = self.window.record()?;
        let mut params =
            Params { stride, kernel: small(self.kernel)?, padding, ..Params::default() };
        if x.dtype == DType::F32 {
            (params.real_min, params.real_max) = self.activation.real_range();
        } else {
            (params.activation_min, params.activation_max) = self.activation.quantized_range(y)?;
        }
        Ok(params)
    }
}
