//! STRIDED_SLICE, and SLICE and REVERSE_V2, which are slices too.

use systole_core::{Opcode, format::RoundingCode, ops::strided_slice::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{intermediate, per_axis, same_type, sizes},
    reduce::normalized_axis,
    reshape::Reshape,
};
use crate::{
    error::{Result, bail, error},
    graph::{NodeView, Tensor, TensorId},
    lower::Lowering,
    tflite::Importer,
};

/// Every `stride`-th element from `begin` on, along each axis.
#[derive(Debug, Clone, PartialEq)]
pub struct StridedSlice {
    /// One per axis of the input.
    pub axes: Vec<Steps>,
}

/// Which indices of an axis are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first.
    pub begin: usize,
    /// From one to the next, not 0.
    pub stride: i64,
    /// How many, at least 1.
    pub count: usize,
}

impl Steps {
    /// All of an axis of `dim`.
    pub fn all(dim: usize) -> Self {
        Self { begin: 0, stride: 1, count: dim }
    }

    /// `count` neighbours from `begin` on.
    pub fn range(begin: usize, count: usize) -> Self {
        Self { begin, stride: 1, count }
    }
}

/// Reads SLICE from TFLite; a size of −1 goes to the end.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_slice(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let shape = importer.input(0)?.shape.clone();
    let (begins, counts) = (sizes(importer, 1)?, importer.input(2)?.integers()?);
    if begins.len() != shape.len() || counts.len() != shape.len() {
        bail!(
            InvalidShape,
            "{} beginnings and {} sizes for {} axes",
            begins.len(),
            counts.len(),
            shape.len()
        );
    }
    let steps = |((&dim, &begin), &count): ((&usize, &usize), &i64)| {
        let count = if count == -1 { dim.saturating_sub(begin) as i64 } else { count };
        let count = usize::try_from(count)
            .map_err(|_| error!(InvalidShape, "a size of {count}; −1 or more is possible"))?;
        Ok(Steps::range(begin, count))
    };
    let axes = shape.iter().zip(&begins).zip(&counts).map(steps).collect::<Result<_>>()?;
    add(importer, StridedSlice { axes })
}

/// Reads REVERSE_V2 from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_reverse(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let shape = &importer.input(0)?.shape;
    let mut axes: Vec<Steps> = shape.iter().map(|&dim| Steps::all(dim)).collect();
    for axis in importer.input(1)?.integers()? {
        let axis = normalized_axis(axis, shape.len())?;
        axes[axis] = Steps { begin: shape[axis] - 1, stride: -1, count: shape[axis] };
    }
    add(importer, StridedSlice { axes })
}

fn add(importer: &mut Importer, slice: StridedSlice) -> Result<()> {
    let x = importer.input_id(0)?;
    importer.add_node(Op::StridedSlice(slice), vec![Some(x)], importer.outputs().to_vec())
}

/// Reads STRIDED_SLICE from TFLite, with all of its masks.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, operator: &tflite::Operator<'_>) -> Result<()> {
    let options = operator
        .builtin_options_as_strided_slice_options()
        .ok_or_else(|| error!(InvalidGraph, "its options are missing"))?;
    // `offset`, the sixth field, is younger than the schema; it is only written where it is true.
    if options._tab.vtable().get(OFFSET_FIELD) != 0 {
        bail!(UnsupportedFeature, "ends given as offsets from the beginnings are not supported");
    }
    let (x, y) = (importer.input_id(0)?, importer.output_id(0)?);
    let numbers = |input: usize| importer.input(input)?.integers();
    let spec = Spec {
        begin: numbers(1)?,
        end: numbers(2)?,
        stride: numbers(3)?,
        begin_mask: options.begin_mask(),
        end_mask: options.end_mask(),
        ellipsis_mask: options.ellipsis_mask(),
        new_axis_mask: options.new_axis_mask(),
        shrink_axis_mask: options.shrink_axis_mask(),
    };
    let Resolved { seen_as, axes, removed } = spec.resolve(&importer.tensor(x).shape)?;
    let counts: Vec<usize> = axes.iter().map(|axis| axis.count).collect();
    if importer.infers_shapes() {
        let kept = counts.iter().zip(&removed).filter(|&(_, &removed)| !removed);
        importer.set_shape(y, kept.map(|(&count, _)| count).collect())?;
    }
    let from = viewed(importer, x, seen_as)?;
    let to = if importer.tensor(y).shape == counts { y } else { intermediate(importer, x, counts)? };
    let slice = Op::StridedSlice(StridedSlice { axes });
    importer.add_node(slice, vec![Some(from)], vec![to])?;
    if to == y {
        return Ok(());
    }
    importer.add_node(Op::Reshape(Reshape), vec![Some(to)], vec![y])
}

/// Where the vtable of STRIDED_SLICE's options has the field `offset`.
const OFFSET_FIELD: u16 = 14;

/// `x` in another shape.
fn viewed(importer: &mut Importer, x: TensorId, shape: Vec<usize>) -> Result<TensorId> {
    if importer.tensor(x).shape == shape {
        return Ok(x);
    }
    let view = intermediate(importer, x, shape)?;
    importer.add_node(Op::Reshape(Reshape), vec![Some(x)], vec![view])?;
    Ok(view)
}

/// STRIDED_SLICE as TFLite states it: numbers and masks by position in the specification.
struct Spec {
    begin: Vec<i64>,
    end: Vec<i64>,
    stride: Vec<i64>,
    begin_mask: i32,
    end_mask: i32,
    ellipsis_mask: i32,
    new_axis_mask: i32,
    shrink_axis_mask: i32,
}

/// The input's shape with new axes in it, what is taken of each, and which are removed then.
struct Resolved {
    seen_as: Vec<usize>,
    axes: Vec<Steps>,
    removed: Vec<bool>,
}

impl Spec {
    fn resolve(&self, shape: &[usize]) -> Result<Resolved> {
        let length = self.begin.len();
        if self.end.len() != length || self.stride.len() != length || length > 31 {
            bail!(
                InvalidShape,
                "{length} beginnings, {} ends and {} strides; as many of each are needed",
                self.end.len(),
                self.stride.len()
            );
        }
        let set = |mask: i32, position: usize| mask & (1 << position) != 0;
        let is_ellipsis = |position: usize| set(self.ellipsis_mask, position);
        let is_new = |at: usize| set(self.new_axis_mask, at) && !is_ellipsis(at);
        let ellipses = (0..length).filter(|&position| is_ellipsis(position)).count();
        let named = (0..length).filter(|&at| !is_new(at) && !is_ellipsis(at)).count();
        let Some(left_out) = shape.len().checked_sub(named).filter(|_| ellipses <= 1) else {
            bail!(
                InvalidShape,
                "names {named} axes and {ellipses} ellipses; the input has {} axes",
                shape.len()
            );
        };
        let mut dims = shape.iter().copied();
        let mut resolved =
            Resolved { seen_as: Vec::new(), axes: Vec::new(), removed: Vec::new() };
        let mut put = |dim: usize, steps: Steps, removed: bool| {
            resolved.seen_as.push(dim);
            resolved.axes.push(steps);
            resolved.removed.push(removed);
        };
        for position in 0..length {
            if is_ellipsis(position) {
                dims.by_ref().take(left_out).for_each(|dim| put(dim, Steps::all(dim), false));
            } else if is_new(position) {
                put(1, Steps::all(1), false);
            } else if let Some(dim) = dims.next() {
                put(dim, self.steps(position, dim)?, set(self.shrink_axis_mask, position));
            }
        }
        // Axes that are not named are taken whole.
        dims.for_each(|dim| put(dim, Steps::all(dim), false));
        Ok(resolved)
    }

    /// What position `at` of the specification takes of an axis of `dim`.
    fn steps(&self, at: usize, dim: usize) -> Result<Steps> {
        let set = |mask: i32| mask & (1 << at) != 0;
        let stride = self.stride[at];
        if stride == 0 {
            bail!(InvalidShape, "a stride of 0");
        }
        let dim = dim as i64;
        let (lowest, highest) = if stride > 0 { (0, dim) } else { (-1, dim - 1) };
        let clamped = |index: i64| {
            let index = if index < 0 { index.saturating_add(dim) } else { index };
            index.clamp(lowest, highest)
        };
        let begin = match set(self.begin_mask) {
            false => clamped(self.begin[at]),
            true if stride > 0 => 0,
            true => dim - 1,
        };
        let count = if set(self.shrink_axis_mask) {
            i64::from((0..dim).contains(&begin))
        } else {
            let end = match set(self.end_mask) {
                false => clamped(self.end[at]),
                true => if stride > 0 { dim } else { -1 },
            };
            let distance = if stride > 0 { end - begin } else { begin - end };
            (distance.max(0) as u64).div_ceil(stride.unsigned_abs()) as i64
        };
        if count == 0 {
            bail!(
                InvalidShape,
                "nothing is taken of an axis of {dim} from {} to {} in steps of {stride}",
                self.begin[at],
                self.end[at]
            );
        }
        Ok(Steps { begin: begin as usize, stride, count: count as usize })
    }
}

impl Operator for StridedSlice {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        self.check(x)?;
        Ok(vec![self.axes.iter().map(|axis| axis.count).collect()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        let params = self.params()?;
        lowering.emit_unary(node, Opcode::StridedSlice, RoundingCode::None, &params, &[])
    }
}

impl StridedSlice {
    fn check(&self, x: &Tensor) -> Result<()> {
        let inside = |(axis, &dim): (&Steps, &usize)| {
            let last = axis.stride.saturating_mul(axis.count as i64 - 1);
            let last = last.saturating_add(axis.begin as i64);
            axis.count > 0 && axis.begin < dim && (0..dim as i64).contains(&last)
        };
        if self.axes.len() != x.shape.len() || !self.axes.iter().zip(&x.shape).all(inside) {
            let ranges: Vec<String> = self.axes.iter().map(Steps::to_string).collect();
            bail!(InvalidShape, "the slice [{}] is not inside of {x}", ranges.join(", "));
        }
        Ok(())
    }

    /// The parameters as the record holds them.
    ///
    /// # Errors
    /// `UnsupportedFeature` for numbers that do not fit.
    pub(super) fn params(&self) -> Result<Params> {
        let begin: Vec<usize> = self.axes.iter().map(|axis| axis.begin).collect();
        // A single step has no distance: whatever was stated, however large.
        let stride = |axis: &Steps| if axis.count == 1 { 1 } else { axis.stride };
        let stride: Vec<i64> = self.axes.iter().map(stride).collect();
        Ok(Params { begin: per_axis(&begin)?, stride: per_axis(&stride)? })
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {} in steps of {}", self.count, self.begin, self.stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(begin: &[i64], end: &[i64], stride: &[i64]) -> Spec {
        Spec {
            begin: begin.to_vec(),
            end: end.to_vec(),
            stride: stride.to_vec(),
            begin_mask: 0,
            end_mask: 0,
            ellipsis_mask: 0,
            new_axis_mask: 0,
            shrink_axis_mask: 0,
        }
    }

    fn steps(spec: &Spec, dim: usize) -> Option<(usize, i64, usize)> {
        let resolved = spec.resolve(&[dim]).ok()?;
        let Steps { begin, stride, count } = resolved.axes[0];
        Some((begin, stride, count))
    }

    #[test]
    fn positions_count_from_the_end_and_are_clamped_as_in_numpy() {
        assert_eq!(steps(&spec(&[1], &[4], &[1]), 5), Some((1, 1, 3)));
        assert_eq!(steps(&spec(&[-3], &[100], &[2]), 5), Some((2, 2, 2)));
        assert_eq!(steps(&spec(&[-100], &[-1], &[1]), 5), Some((0, 1, 4)));
        assert_eq!(steps(&spec(&[4], &[0], &[-2]), 5), Some((4, -2, 2)));
        assert_eq!(steps(&spec(&[100], &[-100], &[-1]), 5), Some((4, -1, 5)));
        assert_eq!(steps(&spec(&[3], &[3], &[1]), 5), None);
        assert_eq!(steps(&spec(&[0], &[3], &[0]), 5), None);
    }

    #[test]
    fn masks_take_whole_axes_add_axes_and_remove_them() {
        let masked = Spec { begin_mask: 1, end_mask: 1, ..spec(&[3], &[3], &[-2]) };
        assert_eq!(steps(&masked, 5), Some((4, -2, 3)));
        let shrunk = Spec { shrink_axis_mask: 1, ..spec(&[-1], &[0], &[1]) };
        assert_eq!(steps(&shrunk, 5), Some((4, 1, 1)));
        let outside = Spec { shrink_axis_mask: 1, ..spec(&[5], &[6], &[1]) };
        assert_eq!(steps(&outside, 5), None);
        // [new, ..., 1:2] of three axes.
        let both = Spec {
            new_axis_mask: 1,
            ellipsis_mask: 2,
            ..spec(&[0, 0, 1], &[0, 0, 2], &[1, 1, 1])
        };
        let resolved = both.resolve(&[2, 3, 4]).unwrap();
        assert_eq!(resolved.seen_as, [1, 2, 3, 4]);
        let whole = [Steps::all(1), Steps::all(2), Steps::all(3), Steps::range(1, 1)];
        assert_eq!(resolved.axes, whole);
    }

    #[test]
    fn axes_that_are_not_named_are_taken_whole() {
        let resolved = spec(&[1], &[2], &[1]).resolve(&[4, 6]).unwrap();
        assert_eq!(resolved.axes, [Steps::range(1, 1), Steps::all(6)]);
        assert!(spec(&[0, 0], &[1, 1], &[1, 1]).resolve(&[4]).is_err());
    }
}
