//! What all other kernels do, counted from shapes: pools, sums, functions, and what moves elements.

use systole_core::{
    DType, Opcode, Operator, TensorInfo,
    ops::{add, concatenation, pool, sum_quantized},
};
use systole_kernels::window::Window;

use super::work::{Work, by_rounding, dims};

/// Channels whose sums pools hold at once.
const CHANNELS: usize = 64;

/// Whether operands are stored as int8.
fn int8<const N: usize>(infos: [&TensorInfo<'_>; N]) -> Option<()> {
    infos.iter().all(|info| info.stored_dtype() == DType::I8).then_some(())
}

/// AVERAGE_POOL_2D and MAX_POOL_2D.
pub(super) fn pool_2d(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
    int8([&x, &y])?;
    let max = operator.opcode() == Opcode::MaxPool2d;
    let params: pool::Params = record.params();
    if params.half_up != 0 {
        return None;
    }
    let ([_, input_h, input_w, _], [batches, height, width, channels]) = (dims(&x), dims(&y));
    let [kernel_h, kernel_w] = params.kernel.map(usize::from);
    let window = Window {
        stride_h: params.stride[0].into(),
        stride_w: params.stride[1].into(),
        pad_top: params.padding[0].into(),
        pad_left: params.padding[1].into(),
        ..Window::UNIT
    };
    let taps = |outputs, of: &dyn Fn(usize) -> usize| (0..outputs).map(of).sum::<usize>();
    let rows = taps(height, &|y| window.rows(y, kernel_h, input_h).inside.len());
    let columns = taps(width, &|x| window.columns(x, kernel_w, input_w).inside.len());
    let mut work = Work::of(if max { "max_pool_2d" } else { "average_pool_2d" });
    let (taps, blocks) = (batches * rows * columns, channels.div_ceil(CHANNELS));
    let windows = batches * height * width;
    work.add("window", windows).add("block", windows * blocks).add("output", windows * channels);
    work.add("tap", taps * blocks).add("element", taps * channels);
    work.add("tap_row", batches * rows * width * blocks);
    // What is left of vectors.
    work.add("rest", taps * (channels % 4)).add("vector", taps * channels.div_ceil(16));
    Some(work)
}

/// MEAN of int8.
pub(super) fn mean(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
    int8([&x, &y])?;
    let params: sum_quantized::Params = record.params();
    let innermost = x.rank().checked_sub(1)?;
    // Rows of numbers that are summed are another loop.
    if params.as_unsigned != 0 || params.axes >> innermost & 1 != 0 {
        return None;
    }
    let inner = dims(&x)[3];
    let mut work = Work::of("sum_quantized");
    let runs = x.len().checked_div(inner)? * inner.div_ceil(CHANNELS);
    work.add("element", x.len()).add("run", runs).add(by_rounding(operator)?, y.len());
    work.add("vector", runs * inner.min(CHANNELS).div_ceil(16));
    work.add("block", y.len().div_ceil(CHANNELS));
    Some(work)
}

/// ADD, SUB and MUL of tensors of one shape.
pub(super) fn binary(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (a, b, y) = (record.input(0).ok()?, record.input(1).ok()?, record.output(0).ok()?);
    int8([&a, &b, &y])?;
    if a.shape().dims() != y.shape().dims() || b.shape().dims() != y.shape().dims() {
        return None;
    }
    // The result in place of an operand is another loop.
    let lies = |info: &TensorInfo<'_>| (info.is_constant(), info.arena(), info.offset());
    let in_place = [&a, &b].into_iter().any(|info| lies(info) == lies(&y));
    let family = match (operator.opcode(), in_place) {
        (Opcode::Add, _) if record.params::<add::Params>().operation > 1 => return None,
        (Opcode::Add, false) => "add",
        (Opcode::Add, true) => "add_in_place",
        (Opcode::Mul, false) => "mul",
        (Opcode::Mul, true) => "mul_in_place",
        _ => return None,
    };
    let mut work = Work::of(family);
    work.add(by_rounding(operator)?, y.len()).add("rest", y.len() % 4);
    Some(work)
}

/// SOFTMAX of int8.
pub(super) fn softmax(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
    int8([&x, &y])?;
    let depth = x.shape().dims().last().map_or(1, |&dim| dim as usize);
    let mut work = Work::of("softmax");
    work.add("row", x.len().checked_div(depth)?).add("element", x.len());
    Some(work)
}

/// Functions of one int8, changes of scale, and conversions from and to floats: all by elements.
pub(super) fn by_elements(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
    let (from, to) = (x.stored_dtype(), y.stored_dtype());
    let family = match (operator.opcode(), from, to) {
        (Opcode::Lut, DType::I8, DType::I8) => "lut",
        (Opcode::Requantize, DType::I8, DType::I8) => "requantize",
        (Opcode::Quantize, DType::F32, DType::I8) => "quantize",
        (Opcode::Dequantize, DType::I8, DType::F32) => "dequantize",
        _ => return None,
    };
    let element = if family == "requantize" { by_rounding(operator)? } else { "element" };
    let mut work = Work::of(family);
    work.add(element, y.len());
    Some(work)
}

/// CONCATENATION of bytes: each input in rows.
pub(super) fn concatenation(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let y = record.output(0).ok()?;
    int8([&y])?;
    let axis = usize::from(record.params::<concatenation::Params>().axis);
    let rows: usize = y.shape().dims().iter().take(axis).map(|&dim| dim as usize).product();
    let mut work = Work::of("concatenation");
    work.add("input", record.input_count()).add("row", record.input_count() * rows);
    work.add("element", y.len()).add("word", y.len() / 4);
    Some(work)
}

/// PAD of bytes.
pub(super) fn pad(operator: &Operator<'_>) -> Option<Work> {
    let record = operator.record();
    let (x, y) = (record.input(0).ok()?, record.output(0).ok()?);
    int8([&x, &y])?;
    let ([.., width, depth], [.., out_width, out_depth]) = (dims(&x), dims(&y));
    let mut work = Work::of("pad");
    // Rows of the image that are copied, and rows of the border.
    let rows = x.len().checked_div(width * depth)?;
    let all = y.len().checked_div(out_width * out_depth)?;
    work.add("row", rows).add("border_row", all - rows.min(all));
    work.add("element", x.len()).add("border", y.len() - x.len().min(y.len()));
    Some(work)
}
