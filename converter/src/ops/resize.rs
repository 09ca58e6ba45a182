//! What RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR share.

use systole_core::{DType, ops::resize::Params};

use super::same_scale::same_scale;
use crate::{
    error::{Result, bail},
    graph::NodeView,
    tflite::Importer,
};

/// The attributes of a resizing operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// Height and width of the output.
    pub size: [usize; 2],
    /// Whether the corner pixels of input and output are at the same place.
    pub align_corners: bool,
    /// Whether a pixel's place is its centre.
    pub half_pixel_centers: bool,
}

/// The size of the output, which TFLite passes as a tensor.
///
/// # Errors
/// `UnsupportedFeature` where it is no constant, `InvalidShape` where it is no size.
pub(super) fn size(importer: &Importer) -> Result<[usize; 2]> {
    let size = importer.input(1)?;
    let sides: Vec<Option<usize>> =
        size.integers()?.into_iter().map(|side| usize::try_from(side).ok()).collect();
    match sides[..] {
        [Some(height @ 1..), Some(width @ 1..)] => Ok([height, width]),
        _ => bail!(InvalidShape, "{size} must hold a height and a width, each at least 1"),
    }
}

impl Resize {
    /// The shape of the output, where the input is of one of `types`.
    ///
    /// # Errors
    /// `UnsupportedFeature` and `InvalidShape`.
    pub(super) fn infer(&self, node: &NodeView<'_>, types: &[DType]) -> Result<Vec<Vec<usize>>> {
        let (x, y) = (node.expect_types(0, types)?, node.output(0)?);
        if x.dtype != y.dtype {
            bail!(UnsupportedFeature, "{x} and {y} must be of one type");
        }
        let [batches, _, _, channels] = x.dims()?;
        let [height, width] = self.size;
        Ok(vec![vec![batches, height, width, channels]])
    }

    /// The parameters of the record.
    ///
    /// # Errors
    /// `InvalidQuantization` where input and output have different scales.
    pub(super) fn params(&self, node: &NodeView<'_>) -> Result<Params> {
        same_scale(node.input(0)?, node.output(0)?)?;
        Ok(Params {
            align_corners: self.align_corners.into(),
            half_pixel_centers: self.half_pixel_centers.into(),
            unsigned: 0,
        })
    }
}
