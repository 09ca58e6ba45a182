//! From a graph to a file's bytes: lowering, memory plan, writing.

use crate::{
    arena::{self, Layout},
    bands::{self, Chosen},
    error::{Result, bail, error},
    graph::Graph,
    lower::{self, Program},
    memories,
    options::Options,
    order,
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
    /// Whether no order of the operators, as a whole each, needs less.
    pub any_order: bool,
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
    let layout = arena::plan(&program, options.plan_budget);
    let (program, layout, least_of_all) = in_least_order(program, layout, options.plan_budget);
    let Chosen { program, layout, banded, moved } =
        bands::apply(program, layout, options.memory, options.plan_budget)?;
    let layout = match &options.memories[..] {
        [] => layout,
        memories => memories::lay_out(&program, layout, memories, options.plan_budget)?,
    };
    if layout.plan.arena_bytes > options.max_arena {
        bail!(
            TooLarge,
            "the arena would take {} bytes; the limit is {} (--max-arena)",
            layout.plan.arena_bytes,
            options.max_arena
        );
    }
    let written = write::write(&program, &layout, options)?;
    let any_order = banded == 0
        && options.memories.is_empty()
        && least_of_all.is_some_and(|least| layout.plan.arena_bytes <= least);
    Ok(Compiled { program, layout, written, any_order, banded, moved })
}

/// The program in the order in which its arena is the smallest, if another than it has is better than
/// `layout`; and the least that any order needs, where that is known.
fn in_least_order(
    program: Program,
    layout: Layout,
    budget: usize,
) -> (Program, Layout, Option<usize>) {
    // A state takes time by the number of operators.
    let states = budget.checked_div(4 * (program.instructions.len() + 1)).unwrap_or(0);
    let Some(order) = order::least(&program, states) else { return (program, layout, None) };
    let least = Some(order.peak);
    if order.peak < layout.plan.arena_bytes {
        let reordered = order::reordered(&program, &order.order);
        let smaller = arena::plan(&reordered, budget);
        if smaller.plan.arena_bytes < layout.plan.arena_bytes {
            return (reordered, smaller, least);
        }
    }
    (program, layout, least)
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
