//! The arena over time: which tensor lies where while which operator runs. Several arenas are drawn one
//! behind the other.

use std::collections::HashMap;

use systole_core::Model;

use crate::planner::{
    Buffer, Plan,
    map::{self, MapRow},
};

/// A map of a model's arena.
#[derive(Debug, Clone)]
pub struct ArenaMap {
    rows: Vec<MapRow>,
    operators: Vec<String>,
    plan: Plan,
}

impl ArenaMap {
    /// The map of a model: a row per buffer, which views and in-place operators share.
    pub fn new(model: &Model<'_>) -> Self {
        let mut rows = Rows { model, rows: Vec::new(), offsets: Vec::new(), of: HashMap::new() };
        for input in model.inputs() {
            rows.touch(input.index(), 0, false);
        }
        let mut operators = Vec::new();
        for step in 0..model.operator_count() {
            let Some(operator) = model.operator(step as u16) else { continue };
            let record = operator.record();
            operators.push(operator.opcode().name().to_owned());
            let inputs = record.input_count();
            for operand in 0..inputs + record.output_count() {
                if let Some(index) = record.operand(operand) {
                    rows.touch(index, step, operand < inputs);
                }
            }
        }
        let last = model.operator_count().saturating_sub(1);
        for output in model.outputs() {
            rows.touch(output.index(), last, true);
        }
        for (tensor, arena, offset) in model.residents() {
            rows.resident(tensor, arena, offset, last);
        }
        let plan = Plan {
            offsets: rows.offsets,
            arena_bytes: model.arena_bytes(),
            lower_bound: model.arena_lower_bound(),
            optimal: model.arena_bytes() == model.arena_lower_bound(),
        };
        Self { rows: rows.rows, operators, plan }
    }

    /// The map as text of at most `width` columns.
    pub fn text(&self, width: usize) -> String {
        map::text(&self.rows, &self.operators, &self.plan, width)
    }

    /// The map as an SVG picture.
    pub fn svg(&self) -> String {
        map::svg(&self.rows, &self.operators, &self.plan)
    }
}

/// The rows found so far.
struct Rows<'a, 'm> {
    model: &'a Model<'m>,
    rows: Vec<MapRow>,
    offsets: Vec<usize>,
    /// The row of each tensor.
    of: HashMap<u16, usize>,
}

impl Rows<'_, '_> {
    /// Weights that are brought into an arena, and are there all the time.
    fn resident(&mut self, tensor: u16, arena: usize, offset: usize, last: usize) {
        let Some(info) = self.model.tensor(tensor) else { return };
        let before = self.model.arenas().take(arena);
        let base = before.fold(0, |base: usize, bytes| (base + bytes).next_multiple_of(16));
        let name = info.name().map_or_else(|| format!("weights {tensor}"), str::to_owned);
        let buffer = Buffer { bytes: info.bytes(), first: 0, last };
        self.rows.push(MapRow { name, buffer });
        self.offsets.push(base + offset);
    }

    /// Notes that `step` uses a tensor. One that is read before it was seen, or that begins where a
    /// tensor of the same step lies, continues that one's row: a view, or work in place.
    fn touch(&mut self, index: u16, step: usize, read: bool) {
        let Some(info) = self.model.tensor(index).filter(|info| !info.is_constant()) else {
            return;
        };
        let known = self.of.get(&index).copied();
        let continued = || {
            (0..self.rows.len()).rev().find(|&row| {
                let buffer = &self.rows[row].buffer;
                self.offsets[row] == info.offset_in_all()
                    && buffer.bytes == info.bytes()
                    && (read || buffer.last == step)
            })
        };
        let row = known.or_else(continued).unwrap_or_else(|| {
            // TFLite joins the names of all operators that were fused, with semicolons.
            let first = info.name().and_then(|name| name.split(';').next());
            let name = first.map_or_else(|| format!("tensor {index}"), str::to_owned);
            let buffer = Buffer { bytes: info.bytes(), first: step, last: step };
            self.rows.push(MapRow { name, buffer });
            self.offsets.push(info.offset_in_all());
            self.rows.len() - 1
        });
        self.of.insert(index, row);
        let buffer = &mut self.rows[row].buffer;
        buffer.last = buffer.last.max(step);
    }
}
