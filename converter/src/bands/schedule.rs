//! Which rows each operator of a group computes in which band.

use super::group::Stage;
use crate::lower::{Program, SlotId};

/// Operators that run on bands of rows, the output of each being the input of the next.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub stages: Vec<Stage>,
    /// Rows of the last output in a band.
    pub band: usize,
}

/// Rows of a tensor that a step reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// Of a tensor that is there as a whole, from a row on.
    Of(SlotId, usize),
    /// Of the line buffer behind a stage of the group, from one of its rows on.
    Line(usize, usize),
}

/// A step of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Rows of a line buffer that are needed again move to its front.
    Keep { stage: usize, from: usize, to: usize, rows: usize },
    /// A stage computes rows.
    Run {
        stage: usize,
        padding: usize,
        input: (Rows, usize),
        side: Option<Rows>,
        output: (Rows, usize),
    },
}

/// The steps of a group, and what they need.
#[derive(Debug)]
pub(super) struct Schedule {
    /// The steps of each band.
    pub bands: Vec<Vec<Step>>,
    /// Rows of the line buffer behind each stage but the last.
    pub lines: Vec<usize>,
    /// Whether the output may lie on the rows that the last stage adds.
    pub on_side: bool,
    /// How many bytes the output has to lie below the first stage's input, to lie on what has been read of it.
    pub below: usize,
    /// Bytes that are moved within line buffers.
    pub moved: usize,
}

/// The most steps of a group. Windows that are much higher than their stride need many for each band.
const MAX_STEPS: usize = 1 << 17;

/// What is known of a stage between bands.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Behind the last row that it has computed.
    end: usize,
    /// The row of its output that is the first of its line buffer.
    base: usize,
}

impl Schedule {
    /// The steps of a group; `None` where a window lies outside of its image as a whole, and where there are
    /// too many.
    pub(super) fn new(program: &Program, group: &Group) -> Option<Self> {
        let stages = &group.stages;
        let last = stages.len() - 1;
        let height = |slot: SlotId| Stage::rows(program, slot).0;
        let row_bytes = |slot: SlotId| Stage::rows(program, slot).1;
        let (x, y) = (stages[0].input, stages[last].output);
        let mut state = vec![State::default(); stages.len()];
        let mut schedule = Self {
            bands: Vec::new(),
            lines: vec![0; last],
            on_side: stages[last].side.is_some(),
            below: 0,
            moved: 0,
        };
        let bands = height(y).div_ceil(group.band);
        let mut left = MAX_STEPS;
        for band in 0..bands {
            // What each stage computes, from the last to the first.
            let mut spans = vec![(0, 0); stages.len()];
            let (mut start, mut end) = (band * group.band, height(y).min((band + 1) * group.band));
            let mut starts = vec![0; stages.len()];
            for (m, stage) in stages.iter().enumerate().rev() {
                spans[m] = (start.max(state[m].end), end);
                let rows = height(stage.input);
                starts[m] = stage.window.start(spans[m].0, rows);
                (start, end) = (starts[m], stage.window.end(end, rows));
                if spans[m].0 < spans[m].1 && start >= end {
                    return None;
                }
                if m > 0 {
                    end = end.max(state[m - 1].end);
                }
            }
            if band > 0 {
                // What the bands before have written must not be needed any more.
                let written = band * group.band;
                let below = (written * row_bytes(y)).saturating_sub(starts[0] * row_bytes(x));
                schedule.below = schedule.below.max(below);
                let side = stages[last].side.map(|(_, side)| program.root(side));
                if side == Some(program.root(x)) {
                    schedule.on_side &= starts[0] >= written;
                }
            }
            left = left.checked_sub(stages.len())?;
            let mut steps = Vec::new();
            for (m, stage) in stages.iter().enumerate() {
                let (first, end) = spans[m];
                if first >= end {
                    continue;
                }
                if m < last {
                    let base = starts[m + 1];
                    let (shift, kept) = (base - state[m].base, state[m].end.saturating_sub(base));
                    if shift > 0 {
                        // In pieces that do not overlap.
                        let mut at = 0;
                        left = left.checked_sub(kept.div_ceil(shift))?;
                        while at < kept {
                            let rows = shift.min(kept - at);
                            steps.push(Step::Keep { stage: m, from: at + shift, to: at, rows });
                            schedule.moved += rows * row_bytes(stage.output);
                            at += rows;
                        }
                    }
                    state[m].base = base;
                    schedule.lines[m] = schedule.lines[m].max(end - base);
                }
                let top = first * stage.window.stride;
                let padding = stage.window.padding.saturating_sub(top);
                let rows = stage.window.end(end, height(stage.input)) - starts[m];
                let from = match m {
                    0 => Rows::Of(x, starts[0]),
                    _ => Rows::Line(m - 1, starts[m] - state[m - 1].base),
                };
                let to = match m == last {
                    true => Rows::Of(y, first),
                    false => Rows::Line(m, first - state[m].base),
                };
                if stage.copies {
                    schedule.moved += (end - first) * row_bytes(stage.output);
                }
                steps.push(Step::Run {
                    stage: m,
                    padding,
                    input: (from, rows),
                    side: stage.side.map(|(_, slot)| Rows::Of(slot, first)),
                    output: (to, end - first),
                });
                state[m].end = end;
            }
            schedule.bands.push(steps);
        }
        Some(schedule)
    }
}
