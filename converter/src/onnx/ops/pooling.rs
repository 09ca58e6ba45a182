//! MaxPool, AveragePool, LpPool, and the global ones.

use systole_core::DType;

use super::{
    super::{
        importer::{Importer, NodeOf},
        kind::Kind,
        value::Value,
    },
    convolution::{Image, at_least_one, padding},
};
use crate::{
    error::{Result, bail, error},
    graph::TensorId,
    ops::{
        Op,
        average_pool_2d::AveragePool2d,
        binary::Arithmetic::{Add, Div, Maximum, Mul, Pow},
        gather::Gather,
        max_pool_2d::MaxPool2d,
        pad::Pad,
        pool::Pooling,
        reduce::{Kind as Reduction, Reduce},
        unary::Unary,
        window::{Padding2d, Window},
    },
    scale::Activation,
};

/// What a node says of its windows.
struct Pool {
    image: Image,
    pooling: Pooling,
}

impl Pool {
    fn of(importer: &mut Importer, node: &NodeOf<'_>, x: &Value) -> Result<Self> {
        let attributes = node.attributes;
        let image = Image::of(importer, x)?;
        let [_, height, width, _] = image.shape(importer);
        if !attributes.has("kernel_shape") {
            bail!(InvalidGraph, "attribute kernel_shape is missing");
        }
        let kernel = image.sizes(attributes, "kernel_shape", 1)?;
        let stride = image.sizes(attributes, "strides", 1)?;
        let dilation = image.sizes(attributes, "dilations", 1)?;
        at_least_one([kernel, stride, dilation])?;
        let input = [height, width];
        let mut padding = padding(&image, attributes, input, kernel, stride, dilation)?;
        if attributes.flag("ceil_mode", false) {
            let more = |axis: usize, [before, after]: [usize; 2]| {
                let span = (kernel[axis] - 1) * dilation[axis] + 1;
                let room = (input[axis] + before + after).saturating_sub(span);
                let mut windows = room.div_ceil(stride[axis]) + 1;
                // No window begins behind the input.
                if (windows - 1) * stride[axis] >= input[axis] + before {
                    windows -= 1;
                }
                let needed = (windows - 1) * stride[axis] + span;
                [before, needed.saturating_sub(input[axis] + before).max(after)]
            };
            padding = Padding2d { rows: more(0, padding.rows), columns: more(1, padding.columns) };
        }
        let window = Window { stride, dilation, padding };
        Ok(Self { image, pooling: Pooling { window, kernel, activation: Activation::None } })
    }

    fn apply(&self, importer: &mut Importer, x: TensorId, average: bool) -> Result<TensorId> {
        let kind = Kind::of(&importer.graph()[x]);
        self.apply_to(importer, x, average, &kind)
    }

    fn apply_to(
        &self,
        importer: &mut Importer,
        x: TensorId,
        average: bool,
        kind: &Kind,
    ) -> Result<TensorId> {
        if self.pooling.window.dilation != [1, 1] {
            let tensor = &importer.graph()[x];
            if tensor.dtype != DType::F32 {
                bail!(UnsupportedFeature, "dilations of a pool of {tensor}; of float32 they are");
            }
            let y = self.along(importer, x, 0, average)?;
            return self.along(importer, y, 1, average);
        }
        let pooling = self.pooling.clone();
        let op = match average {
            true => Op::AveragePool2d(AveragePool2d(pooling)),
            false => Op::MaxPool2d(MaxPool2d(pooling)),
        };
        importer.apply_kind(op, vec![Some(x)], kind)
    }

    /// Pools rows or columns alone, whatever lies between the taps: a gather for each tap. Both one
    /// after the other are the whole pool, since what lies in the padding does so by row or by column.
    fn along(
        &self,
        importer: &mut Importer,
        x: TensorId,
        spatial: usize,
        average: bool,
    ) -> Result<TensorId> {
        let Window { stride, dilation, padding } = self.pooling.window;
        let [before, after] = [padding.rows, padding.columns][spatial];
        let (kernel, stride, dilation) =
            (self.pooling.kernel[spatial], stride[spatial], dilation[spatial]);
        let axis = spatial + 1;
        let input = importer.graph()[x].shape.get(axis).copied().unwrap_or(1);
        let room = (input + before + after).checked_sub((kernel - 1) * dilation + 1);
        let Some(output) = room.map(|room| room / stride + 1) else {
            bail!(
                InvalidShape,
                "a window of {kernel} with dilation {dilation} does not fit {input}"
            );
        };
        importer.spend(output.saturating_mul(kernel))?;
        // The element at each tap of each window, where that is inside.
        let inside = |window: usize, tap: usize| {
            (window * stride + tap * dilation).checked_sub(before).filter(|&at| at < input)
        };
        // Of each window an element, and what each counts in the mean.
        let mut windows = Vec::with_capacity(output);
        for window in 0..output {
            let taps = (0..kernel).filter_map(|tap| inside(window, tap));
            let Some(first) = taps.clone().next() else {
                bail!(InvalidShape, "window {window} along axis {axis} lies in the padding alone");
            };
            windows.push((first, 1.0 / taps.count() as f32));
        }
        let (mut result, combined) = (None, if average { Add } else { Maximum });
        for tap in 0..kernel {
            // What is outside counts nothing: its weight is 0, or it is another element of the window.
            let (places, weights): (Vec<i32>, Vec<f32>) = windows
                .iter()
                .enumerate()
                .map(|(window, &(first, weight))| match inside(window, tap) {
                    Some(at) => (at as i32, weight),
                    None => (first as i32, 0.0),
                })
                .unzip();
            let places = importer.constant(vec![output], &places);
            let op = Op::Gather(Gather { axis, batch_dims: 0 });
            let mut part = importer.apply(op, &[x, places], DType::F32)?;
            if average {
                let mut shape = vec![1; 4];
                shape[axis] = output;
                let weights = importer.constant(shape, &weights);
                part = importer.binary(Mul, part, weights)?;
            }
            result = Some(match result {
                None => part,
                Some(result) => importer.binary(combined, result, part)?,
            });
        }
        result.ok_or_else(|| error!(InvalidShape, "a window of 0"))
    }

    /// Pads with zeros, which then count like any other element: as many as the node states, not
    /// those that only rounding up adds.
    fn pad(&mut self, importer: &mut Importer, node: &NodeOf<'_>, all: bool) -> Result<()> {
        let stated = match all {
            true => self.pooling.window.padding,
            false => self.image.pads(node.attributes)?,
        };
        let Padding2d { rows, columns } = stated;
        let padding = vec![[0, 0], rows, columns, [0, 0]];
        let op = Op::Pad(Pad { padding, value: None });
        let dtype = importer.graph()[self.image.id].dtype;
        self.image.id = importer.apply(op, &[self.image.id], dtype)?;
        let left = &mut self.pooling.window.padding;
        left.rows = [0, left.rows[1].saturating_sub(rows[1])];
        left.columns = [0, left.columns[1].saturating_sub(columns[1])];
        Ok(())
    }
}

/// MaxPool.
///
/// # Errors
/// As [`Importer::apply`]; `UnsupportedFeature` where indices are asked for.
pub fn max(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    node.no_output(1, "the indices")?;
    let pool = Pool::of(importer, node, node.input(0)?)?;
    let y = pool.apply(importer, pool.image.id, false)?;
    Ok(vec![pool.image.value(importer, y)?])
}

/// AveragePool.
///
/// # Errors
/// As [`Importer::apply`].
pub fn average(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let kind = Kind::of(importer.tensor(x));
    averaged(importer, node, x, &kind)
}

/// The mean of windows of an image, to any kind of output.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn averaged(
    importer: &mut Importer,
    node: &NodeOf<'_>,
    x: &Value,
    kind: &Kind,
) -> Result<Vec<Value>> {
    let mut pool = Pool::of(importer, node, x)?;
    if node.attributes.flag("count_include_pad", false)
        && pool.pooling.window.padding != Padding2d::default()
    {
        let all = !node.attributes.flag("ceil_mode", false);
        pool.pad(importer, node, all)?;
    }
    let y = pool.apply_to(importer, pool.image.id, true, kind)?;
    Ok(vec![pool.image.value(importer, y)?])
}

/// LpPool: the root of the sum of powers, which is the mean times the window's size.
///
/// # Errors
/// As [`Importer::apply`].
pub fn lp(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let p = node.attributes.int("p", 2);
    if p < 1 {
        bail!(InvalidShape, "p = {p}; it must be at least 1");
    }
    let mut pool = Pool::of(importer, node, node.input(0)?)?;
    pool.pad(importer, node, true)?;
    let powers = match p {
        2 => importer.unary(Unary::Square, pool.image.id)?,
        _ => {
            let magnitudes = importer.unary(Unary::Abs, pool.image.id)?;
            importer.with_number(Pow, magnitudes, p as f64)?
        }
    };
    let mean = pool.apply(importer, powers, true)?;
    let [height, width] = pool.pooling.kernel;
    let sum = importer.with_number(Mul, mean, (height * width) as f64)?;
    let y = match p {
        2 => importer.unary(Unary::Sqrt, sum)?,
        _ => importer.with_number(Pow, sum, 1.0 / p as f64)?,
    };
    Ok(vec![pool.image.value(importer, y)?])
}

/// Reduces all axes but batch and channels, which stay with extent 1.
///
/// # Errors
/// As [`Importer::apply`].
pub(super) fn global(
    importer: &mut Importer,
    x: &Value,
    reduction: Reduction,
    kind: &Kind,
) -> Result<Value> {
    let rank = importer.shape(x).len();
    if rank < 3 {
        bail!(InvalidShape, "{} has no spatial axes", importer.tensor(x));
    }
    let mut axes: Vec<usize> = (2..rank).map(|axis| x.stored_axis(axis)).collect();
    axes.sort_unstable();
    let op = Op::Reduce(Reduce { kind: reduction, axes, keep_dims: true });
    Ok(x.like(importer.apply_kind(op, vec![Some(x.id)], kind)?))
}

/// GlobalAveragePool.
///
/// # Errors
/// As [`Importer::apply`].
pub fn global_average(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let kind = Kind::of(importer.tensor(x));
    Ok(vec![global(importer, x, Reduction::Mean, &kind)?])
}

/// GlobalMaxPool.
///
/// # Errors
/// As [`Importer::apply`].
pub fn global_max(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let x = node.input(0)?;
    let kind = Kind::of(importer.tensor(x));
    Ok(vec![global(importer, x, Reduction::Max, &kind)?])
}

/// LRN: `x / (bias + alpha / size × Σ x²)^beta`, the sum over neighbouring channels: a mean over
/// them, as a pool along the channels.
///
/// # Errors
/// As [`Importer::apply`].
pub fn local_response(importer: &mut Importer, node: &NodeOf<'_>) -> Result<Vec<Value>> {
    let (x, attributes) = (node.input(0)?, node.attributes);
    let Ok(size @ 1..=65_535) = usize::try_from(attributes.int("size", 0)) else {
        bail!(InvalidShape, "attribute size is {}", attributes.int("size", 0));
    };
    let order = super::super::value::channels_last(importer.shape(x).len());
    let id = importer.stored(x, &order)?;
    let shape = importer.graph()[id].shape.clone();
    let channels = shape.last().copied().unwrap_or(1);
    let pixels = importer.graph()[id].elements() / channels;
    // Channels as the columns of an image with one channel.
    let squares = importer.unary(Unary::Square, id)?;
    let squares = importer.reshape(squares, vec![1, pixels, channels, 1])?;
    let before = (size - 1) / 2;
    let padding = vec![[0, 0], [0, 0], [before, size - 1 - before], [0, 0]];
    let squares = importer.apply(Op::Pad(Pad { padding, value: None }), &[squares], DType::F32)?;
    let window = Window { stride: [1, 1], dilation: [1, 1], padding: Padding2d::default() };
    let pooling = Pooling { window, kernel: [1, size], activation: Activation::None };
    let op = Op::AveragePool2d(AveragePool2d(pooling));
    let mean = importer.apply(op, &[squares], DType::F32)?;
    let mean = importer.reshape(mean, shape)?;
    let alpha = f64::from(attributes.float("alpha", 0.0001));
    let scaled = importer.with_number(Mul, mean, alpha)?;
    let bias = f64::from(attributes.float("bias", 1.0));
    let moved = importer.with_number(Add, scaled, bias)?;
    let beta = f64::from(attributes.float("beta", 0.75));
    let divisor = importer.with_number(Pow, moved, beta)?;
    Ok(vec![Value::ordered(importer.binary(Div, id, divisor)?, order)])
}
