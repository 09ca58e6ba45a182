//! TILE, and BROADCAST_TO and FILL, which are tiles too.

use systole_core::{Opcode, format::RoundingCode, ops::tile::Params};
use tract_tflite::tflite;

use super::{
    Op, Operator,
    movement::{same_type, sizes},
};
use crate::{
    error::{Result, bail},
    graph::NodeView,
    lower::Lowering,
    tflite::Importer,
};

/// A tensor repeated along its axes, counted from the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    /// The output's shape: of each axis a multiple of the input's.
    pub shape: Vec<usize>,
}

/// Reads TILE from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (x, repeats) = (importer.input(0)?, sizes(importer, 1)?);
    if repeats.len() != x.shape.len() {
        bail!(InvalidShape, "{} numbers for the axes of {x}", repeats.len());
    }
    let shape = x.shape.iter().zip(repeats).map(|(dim, repeat)| dim.saturating_mul(repeat));
    let op = Op::Tile(Tile { shape: shape.collect() });
    let x = importer.input_id(0)?;
    importer.add_node(op, vec![Some(x)], importer.outputs().to_vec())
}

/// Reads BROADCAST_TO from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_broadcast_to(importer: &mut Importer, _: &tflite::Operator<'_>) -> Result<()> {
    let (x, shape) = (importer.input(0)?, sizes(importer, 1)?);
    let from_last = x.shape.iter().rev().zip(shape.iter().rev());
    if x.shape.len() > shape.len() || !from_last.into_iter().all(|(x, y)| x == y || *x == 1) {
        bail!(InvalidShape, "{x} cannot be broadcast to {shape:?}");
    }
    let x = importer.input_id(0)?;
    importer.add_node(Op::Tile(Tile { shape }), vec![Some(x)], importer.outputs().to_vec())
}

/// Reads FILL from TFLite.
///
/// # Errors
/// As [`Importer::add`].
pub fn import_fill(importer: &mut Importer, _operator: &tflite::Operator<'_>) -> Result<()> {
    let (shape, value) = (sizes(importer, 0)?, importer.input(1)?);
    if value.elements() != 1 {
        bail!(InvalidShape, "{value} must hold one value");
    }
    let value = importer.input_id(1)?;
    importer.add_node(Op::Tile(Tile { shape }), vec![Some(value)], importer.outputs().to_vec())
}

impl Operator for Tile {
    fn infer(&self, node: &NodeView<'_>) -> Result<Vec<Vec<usize>>> {
        let x = same_type(node)?;
        let mut axes = x.shape.iter().rev().zip(self.shape.iter().rev());
        // A value of more axes than the output, all of them 1, is a scalar.
        let fits = x.shape.len() <= self.shape.len() || x.elements() == 1;
        if !fits || !axes.all(|(&dim, extent)| extent.is_multiple_of(dim)) {
            bail!(InvalidShape, "{x} cannot be repeated to {:?}", self.shape);
        }
        Ok(vec![self.shape.clone()])
    }

    fn lower(&self, node: &NodeView<'_>, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.emit_unary(node, Opcode::Tile, RoundingCode::None, &Params {}, &[])
    }
}
