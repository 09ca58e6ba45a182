//! What a conversion did, and what the model costs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    apart::Apart,
    compile::Compiled,
    lower::Source,
    memories::{Division, Filled},
    passes::Applied,
    predict::Prediction,
    quantize::mixed::Mixed,
};

/// The figures of a conversion. The keys of [`Report::to_json`] are part of the interface.
#[derive(Debug, Clone)]
pub struct Report {
    /// Bytes of the source model.
    pub source_bytes: usize,
    /// Bytes of the `.systole` file.
    pub file_bytes: usize,
    /// Bytes of constants: weights, biases, scales and tables.
    pub weight_bytes: usize,
    /// Bytes of arena.
    pub arena_bytes: usize,
    /// The largest sum of tensors alive at once.
    pub arena_lower_bound: usize,
    /// Whether no smaller arena exists for this order of operators.
    pub arena_optimal: bool,
    /// Whether none exists for any order of operators, as a whole each.
    pub arena_optimal_in_any_order: bool,
    /// Multiply-accumulates.
    pub macs: u64,
    /// How many operators of each kind the file has.
    pub operators: BTreeMap<&'static str, usize>,
    /// Operators of the source model, after constants were folded.
    pub imported: usize,
    /// Operators that write over an input.
    pub in_place: usize,
    /// Operators that run on bands of rows.
    pub banded: usize,
    /// Bytes that an inference moves for them.
    pub moved: usize,
    /// Tensors that are views of others.
    pub views: usize,
    /// What each pass changed.
    pub passes: Vec<Applied>,
    /// What a search for layers of higher precision found.
    pub mixed: Option<Mixed>,
    /// The memories that tensors were divided among.
    pub memories: Vec<Filled>,
    /// What that division is worth.
    pub division: Option<Division>,
    /// Weights in a file of their own.
    pub apart: Option<Apart>,
    /// What weights in pairs of 16 bits take.
    pub pairs: Option<Pairs>,
    /// What is predicted of it on the microcontroller that it is for.
    pub prediction: Option<Prediction>,
}

/// What it takes to have weights in pairs, and what the same model takes with plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pairs {
    /// Bytes of constants that it has more.
    pub constants: usize,
    /// Bytes of code that are predicted for plain weights.
    pub plain_code: u64,
    /// Instructions that are predicted for plain weights; 0 where nothing is known.
    pub plain_instructions: u64,
}

impl Report {
    /// Collects the figures.
    pub fn new(
        source_bytes: usize,
        imported: usize,
        passes: Vec<Applied>,
        compiled: &Compiled,
    ) -> Self {
        let mut operators = BTreeMap::new();
        for instruction in &compiled.program.instructions {
            *operators.entry(instruction.opcode.name()).or_default() += 1;
        }
        let plan = &compiled.layout.plan;
        let slots = &compiled.program.slots;
        Self {
            source_bytes,
            file_bytes: compiled.written.bytes.len(),
            weight_bytes: compiled.written.constant_bytes,
            arena_bytes: plan.arena_bytes,
            arena_lower_bound: plan.lower_bound,
            arena_optimal: plan.optimal,
            arena_optimal_in_any_order: compiled.any_order,
            macs: compiled.program.macs(),
            operators,
            imported,
            in_place: compiled.layout.in_place,
            banded: compiled.banded,
            moved: compiled.moved,
            views: slots.iter().filter(|slot| matches!(slot.source, Source::View(_))).count(),
            passes,
            mixed: None,
            memories: compiled.layout.memories.clone(),
            division: compiled.layout.division,
            apart: None,
            pairs: None,
            prediction: None,
        }
    }

    /// The report for machines.
    pub fn to_json(&self) -> Value {
        let passes: serde_json::Map<String, Value> =
            self.passes.iter().map(|pass| (pass.name.to_owned(), json!(pass.count))).collect();
        json!({
            "source_bytes": self.source_bytes,
            "file_bytes": self.file_bytes,
            "weight_bytes": self.weight_bytes,
            "arena_bytes": self.arena_bytes,
            "arena_lower_bound": self.arena_lower_bound,
            "arena_optimal": self.arena_optimal,
            "arena_optimal_in_any_order": self.arena_optimal_in_any_order,
            "macs": self.macs,
            "operators": self.operators,
            "in_place": self.in_place,
            "banded": self.banded,
            "moved_bytes": self.moved,
            "views": self.views,
            "passes": passes,
            "memories": self.memories.iter().map(|filled| json!({
                "name": filled.name,
                "bytes": filled.bytes,
                "cost": filled.cost,
                "arena_bytes": filled.arena_bytes(),
                "arena_optimal": filled.plan.optimal,
                "tensors": filled.buffers.len(),
                "touched_bytes": filled.touched,
                "resident_weights": filled.resident.len(),
                "resident_bytes": filled.resident_bytes(),
                "resident_touched_bytes": filled.all_touched() - filled.touched,
            })).collect::<Vec<_>>(),
            "flash_touched_bytes": self.division.and_then(|it| it.flash).map(|[bytes, _]| bytes),
            "memory_cost": self.division.map(|division| division.cost),
            "memory_cost_bound": self.division.map(|division| division.bound),
            "weights_apart": self.apart.as_ref().map(Apart::to_json),
            "mixed_precision": self.mixed.as_ref().map(Mixed::to_json),
            "pairs": self.pairs.as_ref().map(|pairs| json!({
                "constants_more": pairs.constants,
                "plain_instructions": pairs.plain_instructions,
                "plain_flash_bytes": pairs.plain_code,
            })),
            "prediction": self.prediction.as_ref().map(Prediction::to_json),
        })
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let total: usize = self.operators.values().sum();
        let list: Vec<String> =
            self.operators.iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(f, "operators  {total}: {}", list.join(", "))?;
        writeln!(
            f,
            "flash      {} bytes (weights and tables {}); the source has {}",
            self.file_bytes, self.weight_bytes, self.source_bytes
        )?;
        if let Some(apart) = &self.apart {
            writeln!(f, "{apart}")?;
        }
        let gap = self.arena_bytes.saturating_sub(self.arena_lower_bound) as f64;
        let percent = 100.0 * gap / self.arena_lower_bound.max(1) as f64;
        writeln!(
            f,
            "arena      {} bytes; lower bound {} (gap {percent:.1} %{})",
            self.arena_bytes,
            self.arena_lower_bound,
            match (self.arena_optimal, self.arena_optimal_in_any_order) {
                (_, true) => ", proved optimal in any order",
                (true, false) => ", proved optimal",
                (false, false) => "",
            }
        )?;
        self.memories(f)?;
        writeln!(f, "work       {} multiply-accumulates", self.macs)?;
        let mut done: Vec<String> = Vec::new();
        for pass in self.passes.iter().filter(|pass| pass.count > 0) {
            done.push(format!("{} {}", pass.count, pass.what));
        }
        if self.views > 0 {
            done.push(format!("{} reshapes became views", self.views));
        }
        if self.in_place > 0 {
            done.push(format!("{} operators work in place", self.in_place));
        }
        if !done.is_empty() {
            writeln!(f, "folded     {}", done.join(", "))?;
        }
        if self.banded > 0 {
            writeln!(
                f,
                "bands      {} operators run on bands of rows; {} bytes are moved for them",
                self.banded, self.moved
            )?;
        }
        if let Some(mixed) = &self.mixed {
            write!(f, "{mixed}")?;
        }
        if let Some(pairs) = &self.pairs {
            pairs.write(f, self.prediction.as_ref())?;
        }
        match &self.prediction {
            Some(prediction) => write!(f, "{prediction}"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// What lies in which memory, and what that costs.
    fn memories(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(division) = self.division else { return Ok(()) };
        let touched = self.memories.iter().map(Filled::all_touched);
        let in_flash = division.flash.map_or(0, |[bytes, _]| bytes);
        let touched: u64 = touched.fold(in_flash, u64::saturating_add);
        let share = |bytes: u64| 100.0 * bytes as f64 / touched.max(1) as f64;
        for filled in &self.memories {
            let resident = match filled.resident.len() {
                0 => String::new(),
                count => format!(", weights of {count} layers ({} bytes)", filled.resident_bytes()),
            };
            writeln!(
                f,
                "memory     {}: {} of {} bytes, {} tensors{resident}, {:.1} % of the bytes read and written at {} each",
                filled.name,
                filled.arena_bytes(),
                filled.bytes,
                filled.buffers.len(),
                share(filled.all_touched()),
                filled.cost,
            )?;
        }
        if let Some([bytes, cost]) = division.flash {
            let share = share(bytes);
            writeln!(
                f,
                "flash      {share:.1} % of the bytes read and written, weights, at {cost} each"
            )?;
        }
        let Division { cost, bound, .. } = division;
        match division.proved() {
            true => writeln!(f, "division   costs {cost}; proved that none costs less"),
            false => {
                let gap = 100.0 * (cost - bound) as f64 / bound.max(1) as f64;
                writeln!(
                    f,
                    "division   costs {cost}; none costs less than {bound} (gap {gap:.1} %)"
                )
            }
        }
    }
}

impl Pairs {
    /// A line or two: bytes more, instructions less.
    fn write(
        &self,
        f: &mut std::fmt::Formatter<'_>,
        prediction: Option<&Prediction>,
    ) -> std::fmt::Result {
        if self.constants == 0 {
            return writeln!(f, "pairs      no layer has weights for which they are made");
        }
        writeln!(f, "pairs      {} bytes of flash more for weights", self.constants)?;
        let Some(prediction) = prediction.filter(|prediction| prediction.unknown() == 0) else {
            return Ok(());
        };
        let (now, plain) = (prediction.instructions(), self.plain_instructions);
        let percent = 100.0 * (1.0 - now as f64 / plain.max(1) as f64);
        let code = prediction.code.round() as i64 - self.plain_code as i64;
        writeln!(
            f,
            "           about {now} instructions instead of {plain}, {percent:.1} % less; {code:+} bytes of code"
        )
    }
}
