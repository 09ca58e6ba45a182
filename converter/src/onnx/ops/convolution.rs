//! Conv and ConvTranspose, over one or two spatial axes.

use systole_core::DType;

use super::super::{
    attributes::Attributes,
    importer::{Importer, NodeOf},
    kind::Kind,
    value::{Value, channels_last},
};
use crate::{
    error::{Result, bail},
    graph::{TensorId, check_shape},
    ops::{
        Op,
        concatenation::Concatenation,
        conv2d::Conv2d,
        depthwise_conv2d::DepthwiseConv2d,
        strided_slice::{Steps, StridedSlice},
        transpose_conv2d::TransposeConv2d,
        window::{Padding2d, Window},
    },
    scale::Activation,
};

/// Largest stride, dilation, kernel or padding that is taken seriously: a record has 16 bits.
const MAX_EXTENT: usize = 65_535;

/// An image with channels last and two spatial axes; of a value with one, rows are 1.
pub(super) struct Image {
    /// `[n, h, w, c]`.
    pub id: TensorId,
    /// Dimensions of the value, 3 or 4.
    pub rank: usize,
}

impl Image {
    /// The image that a value is.
    ///
    /// # Errors
    /// `UnsupportedFeature` for three and more spatial axes.
    pub(super) fn of(importer: &mut Importer, value: &Value) -> Result<Self> {
        let rank = importer.shape(value).len();
        if !(3..=4).contains(&rank) {
            bail!(
                UnsupportedFeature,
                "{} spatial axes; one and two are supported",
                rank.saturating_sub(2)
            );
        }
        let id = importer.stored(value, &channels_last(rank))?;
        let id = match importer.graph()[id].shape[..] {
            [n, w, c] => importer.reshape(id, vec![n, 1, w, c])?,
            _ => id,
        };
        Ok(Self { id, rank })
    }

    /// `[n, h, w, c]`.
    pub(super) fn shape(&self, importer: &Importer) -> [usize; 4] {
        let mut shape = [1; 4];
        for (dim, &of) in shape.iter_mut().zip(&importer.graph()[self.id].shape) {
            *dim = of;
        }
        shape
    }

    /// The value that a result is, which has the form of this image.
    pub(super) fn value(&self, importer: &mut Importer, id: TensorId) -> Result<Value> {
        let id = match (self.rank, &importer.graph()[id].shape[..]) {
            (3, &[n, _, w, c]) => importer.reshape(id, vec![n, w, c])?,
            _ => id,
        };
        Ok(Value::ordered(id, channels_last(self.rank)))
    }

    /// What an attribute says of rows and columns; of rows it is `default` where there are none.
    pub(super) fn sizes(
        &self,
        attributes: Attributes<'_>,
        name: &str,
        default: usize,
    ) -> Result<[usize; 2]> {
        let sizes = match self.rank {
            3 => attributes.sizes::<1>(name, default).map(|[columns]| [default, columns]),
            _ => attributes.sizes::<2>(name, default),
        }?;
        if sizes.iter().any(|&size| size > MAX_EXTENT) {
            bail!(TooLarge, "attribute {name} is {sizes:?}; at most {MAX_EXTENT} is supported");
        }
        Ok(sizes)
    }

    /// The padding that `pads` states: rows and columns before and behind.
    pub(super) fn pads(&self, attributes: Attributes<'_>) -> Result<Padding2d> {
        let padding = match self.rank {
            3 => {
                let [before, behind] = attributes.sizes::<2>("pads", 0)?;
                Padding2d { rows: [0, 0], columns: [before, behind] }
            }
            _ => {
                let [top, left, bottom, right] = attributes.sizes::<4>("pads", 0)?;
                Padding2d { rows: [top, bottom], columns: [left, right] }
            }
        };
        limited(padding)
    }
}

/// Padding by `auto_pad`, or as `pads` states it.
///
/// # Errors
/// `UnsupportedFeature` for schemes that are not known, `TooLarge`.
pub(super) fn padding(
    image: &Image,
    attributes: Attributes<'_>,
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<Padding2d> {
    let scheme = attributes.text("auto_pad", "NOTSET")?;
    let same = |axis: usize| {
        let wanted = input[axis].div_ceil(stride[axis]);
        let span = (kernel[axis] - 1) * dilation[axis] + 1;
        let total = ((wanted - 1) * stride[axis] + span).saturating_sub(input[axis]);
        let less = total / 2;
        if scheme == "SAME_LOWER" { [total - less, less] } else { [less, total - less] }
    };
    let padding = match scheme {
        "NOTSET" | "" => image.pads(attributes)?,
        "VALID" => Padding2d::default(),
        "SAME_UPPER" | "SAME_LOWER" => Padding2d { rows: same(0), columns: same(1) },
        other => bail!(UnsupportedFeature, "auto_pad {other} is not known"),
    };
    limited(padding)
}

fn limited(padding: Padding2d) -> Result<Padding2d> {
    let Padding2d { rows, columns } = padding;
    if rows.iter().chain(&columns).any(|&pad| pad > MAX_EXTENT) {
        bail!(
            TooLarge,
            "a padding of {rows:?} rows and {columns:?} columns; at most {MAX_EXTENT} is supported"
        );
    }
    Ok(padding)
}

/// Fails where a stride, a dilation or a kernel is 0.
pub(super) fn at_least_one(sizes: [[usize; 2]; 3]) -> Result<()> {
    let [kernel, stride, dilation] = sizes;
    if sizes.as_flattened().contains(&0) {
        bail!(
            InvalidShape,
            "kernel {kernel:?}, strides {stride:?}, dilations {dilation:?}: each at least 1"
        );
    }
    Ok(())
}

/// The weights of an input that has to be a constant of as many axes as the image, with rows of 1
/// where the image has none.
fn weights(
    importer: &mut Importer,
    image: &Image,
    value: &Value,
) -> Result<(TensorId, [usize; 4])> {
    let tensor = importer.tensor(value);
    if !tensor.is_constant() {
        bail!(UnsupportedFeature, "{tensor}, the weights, must be a constant");
    }
    importer.expect_finite(value.id)?;
    let shape = match (image.rank, &importer.shape(value)[..]) {
        (3, &[o, i, w]) => [o, i, 1, w],
        (4, &[o, i, h, w]) => [o, i, h, w],
        _ => bail!(InvalidShape, "{tensor} must have {} dimensions", image.rank),
    };
    let id = importer.stored_plain(value)?;
    Ok((importer.reshape(id, shape.to_vec())?, shape))
}

/// Fails where `kernel_shape` is stated to be another than that of the weights.
fn check_kernel(image: &Image, attributes: Attributes<'_>, kernel: [usize; 2]) -> Result<()> {
    let stated = image.sizes(attributes, "kernel_shape", 1)?;
    if attributes.has("kernel_shape") && stated != kernel {
        bail!(
            InvalidShape,
            "attribute kernel_shape is {stated:?}, but that of the weights {kernel:?}"
        );
    }
    Ok(())
}

/// The bias, which has to be a constant as long as there are channels.
fn bias(importer: &Importer, value: Option<&Value>, channels: usize) -> Result<Option<TensorId>> {
    let Some(value) = value else {
        return Ok(None);
    };
    let tensor = importer.tensor(value);
    if !tensor.is_constant() || tensor.shape != [channels] {
        bail!(UnsupportedFeature, "{tensor}, the bias, must be a constant of {channels} elements");
    }
    importer.expect_finite(value.id)?;
    Ok(Some(value.id))
}

/// Weights `[.., h, w]` with zeros between the taps, and the size of the kernel that they then have.
fn dilated(
    importer: &mut Importer,
    weights: TensorId,
    dilation: [usize; 2],
) -> Result<(TensorId, [usize; 2])> {
    let tensor = &importer.graph()[weights];
    let [outer, inner, height, width] = tensor.dims()?;
    let span = |size: usize, dilation: usize| {
        (size - 1).checked_mul(dilation).and_then(|span| span.checked_add(1))
    };
    let (Some(rows @ ..=MAX_EXTENT), Some(columns @ ..=MAX_EXTENT)) =
        (span(height, dilation[0]), span(width, dilation[1]))
    else {
        bail!(TooLarge, "dilations {dilation:?} of a kernel of {height} × {width}");
    };
    if dilation == [1, 1] {
        return Ok((weights, [height, width]));
    }
    check_shape(&[outer, inner, rows, columns], DType::F32)?;
    let values = tensor.values::<f32>()?;
    importer.spend(outer * inner * rows * columns)?;
    let mut spread = vec![0.0_f32; outer * inner * rows * columns];
    let planes = values.chunks_exact(height * width).zip(spread.chunks_exact_mut(rows * columns));
    for (taps, plane) in planes {
        for (place, &tap) in taps.iter().enumerate() {
            let (row, column) = (place / width * dilation[0], place % width * dilation[1]);
            plane[row * columns + column] = tap;
        }
    }
    let id = importer.constant(vec![outer, inner, rows, columns], &spread);
    Ok((id, [rows, columns]))
}

/// Conv.
///
/// # Errors
/// As [`Importer::apply`].
pub fn conv(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, weights) = (node.input(0)?, node.input(1)?);
    let kind = Kind::from(DType::F32);
    convolved(importer, node.attributes, x, weights, node.optional(2), &kind, Activation::None)
}

/// A convolution whose weights and bias are constants, to any kind of output.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn convolved(
    importer: &mut Importer,
    attributes: Attributes<'_>,
    x: &Value,
    filters: &Value,
    b: Option<&Value>,
    kind: &Kind,
    activation: Activation,
) -> Result<Vec<Value>> {
    let image = Image::of(importer, x)?;
    let (filters, shape, window) = filters_and_window(importer, attributes, &image, filters)?;
    let [outputs, depth, ..] = shape;
    let [.., channels] = image.shape(importer);
    let bias = bias(importer, b, outputs)?;
    let depthwise = depth == 1 && channels > 1 && outputs.is_multiple_of(channels);
    // OIHW to OHWI, or of one channel each to 1HWO.
    let (order, op) = match depthwise {
        true => ([1, 2, 3, 0], Op::DepthwiseConv2d(DepthwiseConv2d { window, activation })),
        false => ([0, 2, 3, 1], Op::Conv2d(Conv2d { window, activation })),
    };
    let filters = importer.transpose(filters, order.to_vec())?;
    let inputs = vec![Some(image.id), Some(filters), bias];
    let y = importer.apply_kind(op, inputs, kind)?;
    Ok(vec![image.value(importer, y)?])
}

/// The weights of a convolution as OIHW, their shape, and how they move over the image.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn filters_and_window(
    importer: &mut Importer,
    attributes: Attributes<'_>,
    image: &Image,
    filters: &Value,
) -> Result<(TensorId, [usize; 4], Window)> {
    let [_, height, width, channels] = image.shape(importer);
    let (filters, shape) = weights(importer, image, filters)?;
    let [_, depth, kernel_h, kernel_w] = shape;
    let kernel = [kernel_h, kernel_w];
    check_kernel(image, attributes, kernel)?;
    let stride = image.sizes(attributes, "strides", 1)?;
    let dilation = image.sizes(attributes, "dilations", 1)?;
    at_least_one([kernel, stride, dilation])?;
    let padding = padding(image, attributes, [height, width], kernel, stride, dilation)?;
    let groups = attributes.int("group", 1);
    if depth.checked_mul(usize::try_from(groups).unwrap_or(0)) != Some(channels) {
        bail!(
            InvalidShape,
            "{groups} groups of weights over {depth} channels, but the input has {channels}"
        );
    }
    Ok((filters, shape, Window { stride, dilation, padding }))
}

/// ConvTranspose.
///
/// # Errors
/// As [`Importer::apply`].
pub fn conv_transpose(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let attributes = node.attributes;
    let image = Image::of(importer, node.input(0)?)?;
    let [batches, height, width, channels] = image.shape(importer);
    let (filters, [inputs, outputs, kernel_h, kernel_w]) =
        weights(importer, &image, node.input(1)?)?;
    check_kernel(&image, attributes, [kernel_h, kernel_w])?;
    let stride = image.sizes(attributes, "strides", 1)?;
    let dilation = image.sizes(attributes, "dilations", 1)?;
    at_least_one([[kernel_h, kernel_w], stride, dilation])?;
    let (filters, kernel) = dilated(importer, filters, dilation)?;
    let groups = super::super::size(attributes.int("group", 1), "group")?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!(InvalidShape, "{channels} channels in {groups} groups");
    }
    if inputs != channels {
        bail!(InvalidShape, "weights over {inputs} channels, but the input has {channels}");
    }
    let bias = bias(importer, node.optional(2), outputs * groups)?;
    let extra = image.sizes(attributes, "output_padding", 0)?;
    let whole =
        |axis: usize| ([height, width][axis] - 1) * stride[axis] + kernel[axis] + extra[axis];
    let whole = [whole(0), whole(1)];
    let (cut, size) = match (attributes.ints("output_shape"), attributes.text("auto_pad", "")?) {
        (None, "" | "NOTSET") => {
            let pads = image.pads(attributes)?;
            let size = |axis: usize, pads: [usize; 2]| {
                whole[axis].checked_sub(pads[0] + pads[1]).filter(|&size| size > 0)
            };
            let (Some(rows), Some(columns)) = (size(0, pads.rows), size(1, pads.columns)) else {
                bail!(InvalidShape, "nothing is left of {whole:?} after pads of {pads:?}");
            };
            ([pads.rows[0], pads.columns[0]], [rows, columns])
        }
        (stated, scheme) => {
            let size = match stated {
                // Some exporters state all axes.
                Some(shape) => {
                    let spatial = &shape[shape.len().saturating_sub(image.rank - 2)..];
                    let dims: Vec<usize> = spatial
                        .iter()
                        .map(|&dim| super::super::size(dim, "output_shape"))
                        .collect::<Result<_>>()?;
                    check_shape(&dims, DType::F32)?;
                    match dims[..] {
                        [columns] => [1, columns],
                        [rows, columns] => [rows, columns],
                        _ => bail!(InvalidShape, "output_shape is {shape:?}"),
                    }
                }
                None if scheme == "VALID" => whole,
                None => [height * stride[0], width * stride[1]],
            };
            let cut = |axis: usize| {
                let total = whole[axis].saturating_sub(size[axis]);
                // SAME_UPPER puts the odd one behind; so does a stated shape without a scheme.
                if scheme == "SAME_UPPER" { total / 2 } else { total - total / 2 }
            };
            ([cut(0), cut(1)], size)
        }
    };
    let padding = Padding2d { rows: [cut[0], 0], columns: [cut[1], 0] };
    let window = Window { stride, dilation: [1, 1], padding };
    let output = [batches, size[0], size[1], outputs];
    let activation = Activation::None;
    let mut parts = Vec::new();
    for group in 0..groups {
        let part = |importer: &mut Importer, id: TensorId, axis: usize| {
            if groups == 1 {
                return Ok(id);
            }
            let shape = importer.graph()[id].shape.iter().enumerate();
            let axes = shape.map(|(i, &dim)| match i == axis {
                true => Steps::range(group * (dim / groups), dim / groups),
                false => Steps::all(dim),
            });
            let op = Op::StridedSlice(StridedSlice { axes: axes.collect() });
            importer.apply(op, &[id], DType::F32)
        };
        let x = part(importer, image.id, 3)?;
        let filters = part(importer, filters, 0)?;
        // IOHW to OHWI.
        let filters = importer.transpose(filters, vec![1, 2, 3, 0])?;
        let bias = bias.map(|bias| part(importer, bias, 0)).transpose()?;
        let op = Op::TransposeConv2d(TransposeConv2d { window, output, activation });
        let inputs = vec![Some(x), Some(filters), bias];
        parts.extend(importer.apply_all(op, inputs, &[DType::F32])?);
    }
    let y = match parts[..] {
        [y] => y,
        _ => {
            let op = Op::Concatenation(Concatenation { axis: 3 });
            importer.apply(op, &parts, DType::F32)?
        }
    };
    Ok(vec![image.value(importer, y)?])
}
