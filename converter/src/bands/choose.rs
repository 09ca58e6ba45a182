//! Which operators run on bands of rows, so that a model fits the memory that there is.

use super::{
    group::Stage,
    rewrite::{Fused, Output, rewrite},
    schedule::{Group, Schedule},
};
use crate::{
    arena::{self, Layout},
    error::{Result, bail},
    lower::{Program, SlotId, Source},
    options::Memory,
};

/// The most operators of a group.
const MAX_STAGES: usize = 16;
/// Rows of the output in a band, those with the least overhead first.
const BANDS: [usize; 4] = [8, 4, 2, 1];
/// The most bands of a group, so that images of any height are planned in time.
const MAX_BANDS: usize = 4_096;
/// What a step costs beside its kernel's work, in bytes moved: reading its record, the kernel's beginning.
const STEP: usize = 1_000;

/// A program that fits, and its arena.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The program, with bands where it needs them.
    pub program: Program,
    /// Its arena.
    pub layout: Layout,
    /// How many operators run on bands.
    pub banded: usize,
    /// Bytes that an inference moves within line buffers.
    pub moved: usize,
}

/// Lays out a program in the memory that is asked for, with as few operators on bands of rows as need
/// be; `layout` is that of the program as it is.
///
/// # Errors
/// `TooLarge` where it does not fit, with the least that it fits into.
pub fn apply(program: Program, layout: Layout, memory: Memory, budget: usize) -> Result<Chosen> {
    let whole = layout.plan.arena_bytes;
    let choices = match memory {
        Memory::Whole => return Ok(Chosen::unchanged(program, layout)),
        Memory::AtMost(limit) if whole <= limit => return Ok(Chosen::unchanged(program, layout)),
        Memory::Sums => Choices::new(&program, true),
        Memory::Least | Memory::AtMost(_) => Choices::new(&program, false),
    };
    let planner = Planner { program: &program, choices, budget };
    if let Memory::AtMost(limit) = memory
        && let Some(chosen) = planner.at_most(limit)
    {
        return Ok(chosen);
    }
    let least = planner.least().filter(|chosen| chosen.arena_bytes() < whole);
    let least = least.unwrap_or_else(|| Chosen::unchanged(program, layout));
    match memory {
        Memory::AtMost(limit) if least.arena_bytes() > limit => bail!(
            TooLarge,
            "an arena of {limit} bytes is asked for (--ram); the smallest that was found has {}",
            least.arena_bytes()
        ),
        _ => Ok(least),
    }
}

impl Chosen {
    fn unchanged(program: Program, layout: Layout) -> Self {
        Self { program, layout, banded: 0, moved: 0 }
    }

    fn arena_bytes(&self) -> usize {
        self.layout.plan.arena_bytes
    }
}

/// Chooses by an estimate, which knows nothing of how buffers lie beside each other, and looks at what comes
/// out.
struct Planner<'p> {
    program: &'p Program,
    choices: Choices,
    budget: usize,
}

impl Planner<'_> {
    /// The program with the cheapest groups that should need no more than `target` bytes.
    fn plan(&self, target: usize) -> Option<Chosen> {
        let groups = self.choices.cheapest(target)?;
        let program = rewrite(self.program, &groups)?;
        let schedules = groups.iter().filter_map(|it| Schedule::new(self.program, &it.group));
        let stages = groups.iter().flat_map(|it| &it.group.stages);
        Some(Chosen {
            layout: arena::plan(&program, self.budget),
            program,
            banded: stages.filter(|stage| !stage.copies).count(),
            moved: schedules.map(|schedule| schedule.moved).sum(),
        })
    }

    /// A program that needs no more than `limit` bytes, by ever lower targets.
    fn at_most(&self, limit: usize) -> Option<Chosen> {
        let step = (limit / 64).max(arena::ALIGNMENT);
        let mut target = limit;
        for _ in 0..ATTEMPTS {
            let chosen = self.plan(target)?;
            let over = chosen.arena_bytes().saturating_sub(limit);
            if over == 0 {
                return Some(chosen);
            }
            target = target.checked_sub(step.max(over))?;
        }
        None
    }

    /// The program that needs the least of those that are tried.
    fn least(&self) -> Option<Chosen> {
        let start = self.choices.least();
        let mut best: Option<Chosen> = None;
        for attempt in 0..ATTEMPTS {
            let target = start + attempt * (start / 64).max(arena::ALIGNMENT);
            if best.as_ref().is_some_and(|best| target >= best.arena_bytes()) {
                break;
            }
            if let Some(chosen) = self.plan(target)
                && best.as_ref().is_none_or(|best| chosen.arena_bytes() < best.arena_bytes())
            {
                best = Some(chosen);
            }
        }
        while let Some(better) = self.at_most(best.as_ref()?.arena_bytes().checked_sub(1)?) {
            best = Some(better);
        }
        best
    }
}

/// How many targets are tried.
const ATTEMPTS: usize = 24;

/// A group that can be chosen.
#[derive(Debug, Clone)]
struct Choice {
    fused: Fused,
    first: usize,
    last: usize,
    /// Bytes alive while it runs.
    bytes: usize,
    cost: usize,
    /// Bytes that are there besides until its output is dead, and the operator that reads that last.
    behind: (usize, usize),
}

impl Choice {
    fn input(&self) -> Option<SlotId> {
        self.fused.group.stages.first().map(|stage| stage.input)
    }

    fn output(&self) -> Option<SlotId> {
        self.fused.group.stages.last().map(|stage| stage.output)
    }
}

struct Choices {
    /// Bytes alive while each operator runs as a whole.
    whole: Vec<usize>,
    choices: Vec<Choice>,
}

impl Choices {
    fn new(program: &Program, sums_only: bool) -> Self {
        let lives = arena::Lives::new(program);
        let in_place = arena::Lives::in_place(program);
        let steps = 0..program.instructions.len();
        let whole = steps.map(|step| in_place.bytes(program, step, step)).collect();
        let mut this = Self { whole, choices: Vec::new() };
        for first in 0..program.instructions.len() {
            let mut stages: Vec<Stage> = Vec::new();
            for index in first..program.instructions.len().min(first + MAX_STAGES) {
                let from = stages.last().map(|stage| stage.output);
                let Some(stage) = Stage::new(program, index, from) else { break };
                // What only one operator reads need not be there as a whole.
                if from.is_some_and(|slot| !lives.passes_on(program, slot)) {
                    break;
                }
                let within = |slot: SlotId| {
                    stages.iter().any(|it| program.root(it.output) == program.root(slot))
                };
                if stage.side.is_some_and(|(_, side)| within(side)) {
                    break;
                }
                stages.push(stage);
                this.variants(program, &lives, &stages, sums_only);
            }
        }
        this
    }

    /// The forms that a group of these operators can have.
    fn variants(
        &mut self,
        program: &Program,
        lives: &arena::Lives,
        stages: &[Stage],
        sums_only: bool,
    ) {
        let (Some(head), Some(tail)) = (stages.first(), stages.last()) else { return };
        let (x, y) = (head.input, tail.output);
        let bytes = |slot: SlotId| program.slots[slot.0].bytes();
        let side = tail.side.map(|(_, side)| side);
        let free = |slot: SlotId| lives.ends_with(program, slot, tail.instruction);
        let reads = side.is_some_and(|side| program.root(side) == program.root(x));
        let last = lives.last(program, y);
        let around = lives.bytes(program, head.instruction, tail.instruction);
        if stages.len() > 1 {
            for band in BANDS {
                let group = Group { stages: stages.to_vec(), band };
                let Some((schedule, apart)) = estimate(program, around, &group) else {
                    continue;
                };
                if side.is_some_and(|side| schedule.on_side && free(side)) {
                    if !sums_only || stages.len() == 2 {
                        self.add(&schedule, group, Output::OnSide, apart - bytes(y), (0, 0));
                    }
                    continue;
                }
                if sums_only {
                    continue;
                }
                // Only of the program's input is it known what lies around it before.
                let whole = program.slots[x.0].source == Source::Arena;
                if whole && !reads && head.instruction == 0 && program.inputs == [x] && free(x) {
                    let below = schedule.below.next_multiple_of(arena::ALIGNMENT);
                    let both = (below + bytes(x)).max(bytes(y));
                    if both < bytes(x) + bytes(y) {
                        let needed = apart - bytes(x) - bytes(y) + both;
                        let behind = (both - bytes(y), last);
                        self.add(&schedule, group.clone(), Output::OnInput, needed, behind);
                    }
                }
                self.add(&schedule, group, Output::Apart, apart, (0, 0));
            }
        }
        let in_place = !sums_only && !reads && free(x) && bytes(x) == bytes(y);
        for band in BANDS.into_iter().filter(|_| in_place) {
            let stages = [head.aside()].into_iter().chain(stages.iter().cloned()).collect();
            let group = Group { stages, band };
            if let Some((schedule, apart)) = estimate(program, around, &group)
                && schedule.below == 0
            {
                self.add(&schedule, group, Output::InPlace, apart - bytes(y), (0, 0));
            }
        }
    }

    fn add(
        &mut self,
        schedule: &Schedule,
        group: Group,
        output: Output,
        bytes: usize,
        behind: (usize, usize),
    ) {
        let steps: usize = schedule.bands.iter().map(Vec::len).sum();
        let ends = (group.stages.first(), group.stages.last());
        let (Some(first), Some(last)) = ends else { return };
        self.choices.push(Choice {
            first: first.instruction,
            last: last.instruction,
            fused: Fused { group, output },
            bytes,
            cost: schedule.moved + steps * STEP,
            behind,
        });
    }

    /// The groups with the least cost in all, none of which needs more than `target` bytes.
    fn cheapest(&self, target: usize) -> Option<Vec<Fused>> {
        let around_input = self.choices.iter().filter(|it| it.fused.output == Output::OnInput);
        let starts = [None].into_iter().chain(around_input.map(Some));
        starts
            .filter_map(|start| self.cheapest_after(start, target))
            .min_by_key(|it| it.0)
            .map(|it| it.1)
    }

    /// The same, where the first group is given.
    fn cheapest_after(&self, start: Option<&Choice>, target: usize) -> Option<(usize, Vec<Fused>)> {
        let count = self.whole.len();
        let extra = |step: usize| match start {
            Some(start) if step > start.last && step <= start.behind.1 => start.behind.0,
            _ => 0,
        };
        // The least cost up to each operator, and the choice that ends there.
        let mut least: Vec<Option<(usize, Option<&Choice>)>> = vec![None; count + 1];
        let begin = match start {
            None => 0,
            Some(start) if start.bytes <= target => start.last + 1,
            Some(_) => return None,
        };
        *least.get_mut(begin)? = Some((start.map_or(0, |start| start.cost), start));
        for at in begin..count {
            let Some((cost, _)) = least[at] else { continue };
            let mut next = Vec::new();
            if self.whole[at] + extra(at) <= target {
                next.push((at + 1, cost, None));
            }
            for choice in self.choices.iter().filter(|it| it.first == at) {
                let fits = choice.bytes + extra(choice.last).max(extra(at)) <= target;
                // Work in place would keep what lies around the first group's output.
                let keeps = choice.fused.output == Output::InPlace
                    && start.is_some_and(|it| it.output() == choice.input());
                if fits && choice.fused.output != Output::OnInput && !keeps {
                    next.push((choice.last + 1, cost + choice.cost, Some(choice)));
                }
            }
            for (to, cost, choice) in next {
                if least[to].is_none_or(|(known, _)| cost < known) {
                    least[to] = Some((cost, choice));
                }
            }
        }
        let (cost, _) = least[count]?;
        let mut groups = Vec::new();
        let mut at = count;
        while at > 0 {
            match least[at] {
                Some((_, Some(choice))) => {
                    groups.push(choice.fused.clone());
                    at = choice.first;
                }
                _ => at -= 1,
            }
        }
        groups.reverse();
        Some((cost, groups))
    }

    /// The least bytes that some choice of groups needs.
    fn least(&self) -> usize {
        let (mut below, mut enough) = (0, self.whole.iter().copied().max().unwrap_or(0));
        while below < enough {
            let middle = below + (enough - below) / 2;
            match self.cheapest(middle) {
                Some(_) => enough = middle,
                None => below = middle + 1,
            }
        }
        enough
    }
}

/// The steps of a group, and the bytes alive while it runs, its output in memory of its own; `around` are
/// alive with whole tensors.
fn estimate(program: &Program, around: usize, group: &Group) -> Option<(Schedule, usize)> {
    let [head, between @ .., tail] = group.stages.as_slice() else { return None };
    let height = program.slots[tail.output.0].shape[1];
    if (group.band > 1 && group.band >= height) || height.div_ceil(group.band) > MAX_BANDS {
        return None;
    }
    let schedule = Schedule::new(program, group)?;
    let lines = schedule.lines.iter().zip(&group.stages);
    let lines: usize = lines.map(|(rows, stage)| rows * Stage::rows(program, stage.output).1).sum();
    // The rows that are put aside are those of the input, which stays.
    let replaced = [head].into_iter().chain(between).filter(|stage| !stage.copies);
    let replaced: usize = replaced.map(|stage| program.slots[stage.output.0].bytes()).sum();
    Some((schedule, around - replaced + lines))
}
