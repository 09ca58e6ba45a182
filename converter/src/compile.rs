//! From a graph to a file's bytes: lowering, memory plan, writing.

use crate::{
    arena::Layout,
    bands::{self, Chosen},
    error::{Result, bail, error},
    graph::Graph,
    lower::{self, Program},
    options::Options,
    write::{self, Written},
};

/// A compiled graph.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Records and tensors.
    pub program: Program,
    /// The arena.
    pub layout: Layout,
    /// The file.
    pub written: Written,
    /// How many operators run on bands of rows.
    pub banded: usize,
    /// Bytes that an inference moves within line buffers.
    pub moved: usize,
}

/// Compiles a graph as it is: passes have run before.
///
/// # Errors
/// Those of lowering and writing; `TooLarge` for an arena above the limit.
pub fn compile(graph: &Graph, options: &Options) -> Result<Compiled> {
    let program = lower::lower(graph, options.matching.of(graph.format)?)?;
    check_limit(graph, &program, options.max_arena)?;
    let Chosen { program, layout, banded, moved } =
        bands::apply(program, options.memory, options.plan_budget)?;
    if layout.plan.arena_bytes > options.max_arena {
        bail!(
            TooLarge,
            "the arena would take {} bytes; the limit is {} (--max-arena)",
            layout.plan.arena_bytes,
            options.max_arena
        );
    }
    let written = write::write(&program, &layout, options)?;
    Ok(Compiled { program, layout, written, banded, moved })
}

/// Refuses at once what no plan can fit: a single tensor above the limit.
fn check_limit(graph: &Graph, program: &Program, limit: usize) -> Result<()> {
    let activations = program.slots.iter().filter(|slot| slot.source == lower::Source::Arena);
    match activations.max_by_key(|slot| slot.bytes()) {
        Some(slot) if slot.bytes() > limit => {
            let name = slot.tensor.map_or_else(String::new, |id| graph[id].to_string());
            Err(error!(
                TooLarge,
                "{name} takes {} bytes of arena; the limit is {limit} (--max-arena)",
                slot.bytes()
            ))
        }
        _ => Ok(()),
    }
}
