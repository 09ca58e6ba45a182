//! Costs from measurements.

use std::{collections::BTreeMap, fmt::Write};

use systole_converter::predict::{self, Core, Cost, Costs, Family, Work};
use systole_core::{Model, Opcode};

use super::{Recorded, measured::Sample, solve::least_squares};
use crate::{
    error::{Result, failed},
    targets::Target,
};

/// A layer that was measured.
struct Layer {
    work: Work,
    instructions: f64,
}

/// Layers of less are not weighed more than those of this many instructions.
const SMALL: f64 = 1000.0;

/// Whether costs are fitted to the processor's own measurements.
pub fn has_own(target: &Target) -> bool {
    Core::find(target.name).is_some_and(|core| core.costs == core.name)
}

/// Whether the processor multiplies weights in pairs.
pub fn has_pairs(target: &Target) -> bool {
    Core::find(target.name).is_some_and(Core::has_dsp)
}

/// Costs of the kernels in the models that were made.
///
/// # Errors
/// Where a model is refused, or its layers were measured for another file.
pub fn fit(target: &Target, samples: &[Sample]) -> Result<Cost> {
    let core = Core::find(target.name).ok_or_else(|| failed!("no core {}", target.name))?;
    let mut families: BTreeMap<&'static str, Vec<Layer>> = BTreeMap::new();
    let mut programs = Vec::new();
    for sample in samples.iter().filter(|sample| sample.made) {
        let model = open(sample)?;
        let mut program = Program::new(sample, &model, core);
        if sample.figures.layers.is_empty() {
            programs.push(program);
            continue;
        }
        for (index, (work, instructions)) in works(sample, &model, core)?.into_iter().enumerate() {
            let Some(work) = work else {
                return Err(failed!("{}: there is a layer of an unknown kernel", sample.name));
            };
            // What is measured of the first has the copy of the inputs in it.
            if index == 0 {
                program.first = Some(work);
                continue;
            }
            program.around -= instructions;
            families.entry(work.family).or_default().push(Layer { work, instructions });
        }
        programs.push(program);
    }
    let mut cost = Cost::default();
    for (&name, layers) in &families {
        let instructions = instructions(layers);
        cost.families.insert(name.to_owned(), Family { instructions, ..Family::default() });
    }
    let counted = programs.iter().filter(|program| program.first.is_some());
    let around: Vec<Layer> = counted.map(|program| program.around(&cost)).collect();
    let run = Family { instructions: instructions(&around), ..Family::default() };
    cost.families.insert("run".to_owned(), run);
    shares(&programs, &mut cost);
    flash(&programs, &mut cost);
    stack(&programs, &mut cost);
    Ok(cost)
}

/// Instructions of each thing that a kernel does.
fn instructions(layers: &[Layer]) -> BTreeMap<String, f64> {
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in layers.iter().flat_map(|layer| &layer.work.counts) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    // Relative errors count.
    let weight = |layer: &Layer| 1.0 / (layer.instructions.abs() + SMALL);
    let row = |layer: &Layer| {
        let count = |name: &&str| {
            let found = layer.work.counts.iter().find(|(found, _)| found == name);
            found.map_or(0.0, |(_, count)| count * weight(layer))
        };
        names.iter().map(count).collect()
    };
    let rows: Vec<Vec<f64>> = layers.iter().map(row).collect();
    let wanted: Vec<f64> = layers.iter().map(|layer| layer.instructions * weight(layer)).collect();
    let solved = least_squares(&rows, &wanted, names.len());
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    names
        .into_iter()
        .map(str::to_owned)
        .zip(solved.into_iter().map(round))
        .filter(|&(_, value)| value > 0.0)
        .collect()
}

/// A model that was made, in a program.
struct Program<'s> {
    sample: &'s Sample,
    /// The kernels that are part of it, with how many layers each has.
    kernels: Vec<(&'static str, usize)>,
    operators: usize,
    /// Inputs and outputs.
    ports: usize,
    /// What is around the layers.
    run: Work,
    /// What the first layer does, where layers were measured.
    first: Option<Work>,
    /// What all layers do.
    works: Vec<Work>,
    /// Instructions of an inference without those of all layers but the first.
    around: f64,
}

impl<'s> Program<'s> {
    fn new(sample: &'s Sample, model: &Model<'_>, core: &Core) -> Self {
        let mut kernels: Vec<(&'static str, usize)> = Vec::new();
        let mut works = Vec::new();
        for index in 0..model.operator_count() as u16 {
            let work = model.operator(index).and_then(|operator| predict::work(&operator, core));
            let Some(work) = work else { continue };
            match kernels.iter_mut().find(|(found, _)| *found == work.family) {
                Some((_, count)) => *count += 1,
                None => kernels.push((work.family, 1)),
            }
            works.push(work);
        }
        Self {
            sample,
            kernels,
            operators: model.operator_count(),
            ports: model.input_count() + model.output_count(),
            run: predict::around(model),
            first: None,
            works,
            around: sample.figures.instructions as f64,
        }
    }

    /// What is around all layers.
    fn around(&self, cost: &Cost) -> Layer {
        let first = self.first.as_ref().map_or(0.0, |work| {
            cost.family(work.family).map_or(0.0, |family| family.instructions(work))
        });
        Layer { work: self.run.clone(), instructions: (self.around - first).max(0.0) }
    }
}

/// What a kernel takes where it is compiled for the only layer that it has, from programs of one layer.
fn shares(programs: &[Program<'_>], cost: &mut Cost) {
    for program in programs.iter().filter(|program| program.first.is_none()) {
        let [work] = program.works.as_slice() else { continue };
        let around = cost.family("run").map_or(0.0, |run| run.instructions(&program.run));
        let Some(family) = cost.families.get_mut(work.family) else { continue };
        let taken = (program.around - around).max(0.0) / family.instructions(work).max(1.0);
        family.share_once = (taken * 1000.0).round() / 1000.0;
    }
}

/// Bytes of code: of each kernel, of the output stage that some share, of each call.
fn flash(programs: &[Program<'_>], cost: &mut Cost) {
    // What is counted, and whether a kernel has one layer.
    let mut names = vec![("run", false), ("operator", false), ("port", false), (STAGE, false)];
    for &(name, layers) in programs.iter().flat_map(|program| &program.kernels) {
        if !names.contains(&(name, layers == 1)) {
            names.push((name, layers == 1));
        }
    }
    let row = |program: &Program<'_>| {
        let Program { kernels, operators, ports, .. } = program;
        let has = |yes: bool| usize::from(yes);
        let count = |&(name, once): &(&str, bool)| match name {
            "run" => 1,
            "operator" => *operators,
            "port" => *ports,
            STAGE => has(kernels.iter().any(|(name, _)| predict::has_output_stage(name))),
            name => {
                has(kernels.iter().any(|&(found, layers)| found == name && (layers == 1) == once))
            }
        };
        names.iter().map(|name| count(name) as f64 * code_weight(program)).collect()
    };
    let rows: Vec<Vec<f64>> = programs.iter().map(row).collect();
    let wanted: Vec<f64> =
        programs.iter().map(|p| p.sample.figures.code as f64 * code_weight(p)).collect();
    let solved = least_squares(&rows, &wanted, names.len());
    for ((name, once), bytes) in names.into_iter().zip(solved) {
        match name {
            "operator" => cost.code_per_operator = bytes.round(),
            "port" => cost.code_per_port = bytes.round(),
            name => {
                let family = cost.families.entry(name.to_owned()).or_default();
                if once {
                    family.code_once = bytes.round();
                } else {
                    family.code = bytes.round();
                }
            }
        }
    }
    // Of some there is no program with one layer, or with several.
    for family in cost.families.values_mut() {
        if family.code == 0.0 {
            family.code = family.code_once;
        }
    }
}

/// The code of the output stage, which some kernels share.
const STAGE: &str = "output_stage";

/// Relative errors count, most those of programs that have not many inputs and outputs.
fn code_weight(program: &Program<'_>) -> f64 {
    let usual = if program.ports > 3 { 0.3 } else { 1.0 };
    usual / (program.sample.figures.code as f64 + SMALL)
}

/// Bytes of stack of each kernel: no more than any model has that the kernel is in.
fn stack(programs: &[Program<'_>], cost: &mut Cost) {
    for (name, family) in &mut cost.families {
        let least = |once: bool| {
            let has = |program: &&Program<'_>| {
                program
                    .kernels
                    .iter()
                    .any(|(found, layers)| found == name && (*layers == 1) == once)
            };
            let stacks = programs.iter().filter(has).map(|program| program.sample.figures.stack);
            stacks.min().unwrap_or(0) as f64
        };
        (family.stack, family.stack_once) = (least(false), least(true));
        if family.stack == 0.0 {
            family.stack = family.stack_once;
        }
    }
}

fn open(sample: &Sample) -> Result<Model<'_>> {
    Model::from_bytes(sample.file.as_slice())
        .map_err(|problem| failed!("{}: {problem}", sample.name))
}

/// What each operator does, with its measured instructions; nothing where those are not known.
fn works(sample: &Sample, model: &Model<'_>, core: &Core) -> Result<Vec<(Option<Work>, f64)>> {
    let measured = &sample.figures.layers;
    if measured.is_empty() {
        return Ok(Vec::new());
    }
    if measured.len() != model.operator_count() {
        return Err(failed!("{}: it has other layers than were measured", sample.name));
    }
    let works = (0..).zip(model.repetitions()).zip(measured).filter_map(
        |((index, times), &instructions)| {
            let operator =
                model.operator(index).filter(|found| found.opcode() != Opcode::Repeat)?;
            let each = instructions as f64 / f64::from(times.max(1));
            Some((predict::work(&operator, core), each))
        },
    );
    Ok(works.collect())
}

/// Each layer's prediction beside its measurement.
///
/// # Errors
/// As [`fit`].
pub fn explain(target: &Target, samples: &[Sample], costs: &Costs) -> Result<String> {
    let core = Core::find(target.name).ok_or_else(|| failed!("no core {}", target.name))?;
    let cost = costs.of(core).ok_or_else(|| failed!("there are no costs of {}", core.costs))?;
    let mut out = String::new();
    for sample in samples {
        let model = open(sample)?;
        let _ = writeln!(out, "\n{} on {}", sample.name, target.name);
        for (index, (work, measured)) in works(sample, &model, core)?.into_iter().enumerate() {
            let Some(work) = work else {
                let _ = writeln!(out, "{index:>4} {measured:>10.0} not known");
                continue;
            };
            let predicted =
                cost.family(work.family).map_or(0.0, |family| family.instructions(&work));
            let error = 100.0 * (predicted / measured - 1.0);
            let shape = model.operator(index as u16).map(|operator| {
                let record = operator.record();
                let shape = |info: systole_core::TensorInfo<'_>| format!("{:?}", info.shape());
                let weights = record.given(1).ok().flatten().map_or(String::new(), shape);
                let input = record.input(0).map_or(String::new(), shape);
                format!("{input} {weights}")
            });
            let _ = writeln!(
                out,
                "{index:>4} {measured:>10.0} {predicted:>10.0} {error:>+7.1} % {:<22} {}",
                work.family,
                shape.unwrap_or_default()
            );
        }
        let layers: u64 = sample.figures.layers.iter().sum();
        let Some(predicted) = predict::predict_with(costs, &model, sample.file.as_slice(), core)
        else {
            continue;
        };
        let figures = &sample.figures;
        let _ = writeln!(
            out,
            "  around {} {:.0}; total {} {} {:+.1} %; code {} {:.0}; constants {} {}; arena {} {}; statics {}; stack {} {}",
            figures.instructions as i64 - layers as i64,
            predicted.around,
            figures.instructions,
            predicted.instructions(),
            100.0 * (predicted.instructions() as f64 / figures.instructions as f64 - 1.0),
            figures.code,
            predicted.code,
            figures.constants,
            predicted.constants,
            figures.arena,
            predicted.arena,
            figures.statics,
            figures.stack,
            predicted.stack
        );
    }
    Ok(out)
}

/// The file of costs.
pub fn text(costs: &Costs, recorded: &Recorded) -> String {
    let mut out = String::from(
        "# Written by `cargo xtask fit`: instructions, code and stack of kernels, fitted to measurements of the layers\n\
         # that `xtask/src/fit/layers.rs` makes. `code` and `stack` are bytes, `…_once` where there is one such layer; a number of `instructions` is for\n\
         # each of what `converter/src/predict` counts under that name. Compiled in, `opt-level = 3`, fat LTO.\n",
    );
    for (core, cost) in &costs.cores {
        let compiler = recorded.get(core).map_or("", |record| record.compiler.as_str());
        let _ = writeln!(
            out,
            "\n# {compiler}\n[{core}]\ncode_per_operator = {}\ncode_per_port = {}",
            cost.code_per_operator, cost.code_per_port
        );
        for (name, family) in &cost.families {
            let _ = writeln!(out, "\n[{core}.{name}]");
            for (what, value) in [
                ("code", family.code),
                ("code_once", family.code_once),
                ("stack", family.stack),
                ("stack_once", family.stack_once),
                ("share_once", family.share_once),
            ] {
                if value > 0.0 {
                    let _ = writeln!(out, "{what} = {value}");
                }
            }
            if family.instructions.is_empty() {
                continue;
            }
            let _ = writeln!(out, "[{core}.{name}.instructions]");
            for (what, count) in &family.instructions {
                let _ = writeln!(out, "{what} = {count}");
            }
        }
    }
    out
}
