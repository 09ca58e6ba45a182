//! Which operators of a graph the delegate takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::c_int,
    fs::OpenOptions,
    io::Write,
    sync::{Mutex, PoisonError},
};

use serde_json::json;
use systole_converter::convert_source;
use systole_tflite::sys::DelegateHead;
use tract_tflite::tflite::BuiltinOperator;

use crate::{
    encode::{Network, Shapes},
    guard::Result,
    host::{Host, Node, Partition},
    kernel,
    options::Options,
    part::{self, Part},
};

/// What a delegate knows.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) options: Options,
    /// Parts that were converted while a delegate prepared itself, for the kernels that TFLite makes
    /// of them right after.
    ready: Mutex<Vec<Ready>>,
}

#[derive(Debug)]
struct Ready {
    graph: usize,
    partition: Partition,
    network: Network,
    part: Part,
}

/// What a look at every node of a graph gave.
#[derive(Debug, Default)]
struct Survey {
    nodes: BTreeMap<c_int, Node>,
    /// Why nodes are not claimed, in their order.
    refused: Vec<(c_int, String)>,
    /// Tensors that the importer knows without running anything, and the nodes that it needs for it.
    folded: BTreeMap<c_int, BTreeSet<c_int>>,
    /// Shapes that follow from the inputs, of tensors that the file states others of.
    shapes: Shapes,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, ready: Mutex::default() }
    }

    /// Claims what can be claimed of the host's graph.
    pub(crate) fn claim(&self, host: Host, delegate: *mut DelegateHead) -> Result<()> {
        let plan = host.plan()?;
        let mut survey = self.survey(host, &plan)?;
        let mut ready = Vec::new();
        // Without a part that is not worth it, the host may divide the rest in another way.
        loop {
            let supported: Vec<c_int> =
                plan.iter().copied().filter(|index| survey.supports(*index)).collect();
            let partitions = host.partitions(&supported)?;
            ready.retain(|ready: &Ready| partitions.contains(&ready.partition));
            let mut all = true;
            for partition in partitions {
                if ready.iter().any(|ready| ready.partition == partition) {
                    continue;
                }
                match self.convert(host, &survey, partition) {
                    Ok(part) => ready.push(part),
                    Err((nodes, why)) => {
                        survey.refused.extend(nodes.into_iter().map(|node| (node, why.clone())));
                        all = false;
                    }
                }
            }
            if all {
                self.tell(&survey, &plan, supported.len(), ready.len())?;
                let nothing = ready.is_empty();
                self.lock().append(&mut ready);
                let replaced = match nothing {
                    true => Ok(()),
                    false => host.replace(kernel::registration(), &supported, delegate),
                };
                // Kernels have taken theirs.
                self.lock().retain(|ready| ready.graph != host.address());
                return replaced;
            }
        }
    }

    /// Looks at every node by itself.
    fn survey(&self, host: Host, plan: &[c_int]) -> Result<Survey> {
        let mut survey = Survey::default();
        for &index in plan {
            let node = host.node(index)?;
            survey.nodes.insert(index, node);
            if let Err(why) = self.judge(host, &mut survey, index) {
                survey.refused.push((index, why));
            }
        }
        Ok(survey)
    }

    /// Whether the converter takes a node: a network of this node alone is converted, with the nodes
    /// before it that its constants are made of.
    fn judge(&self, host: Host, survey: &mut Survey, index: c_int) -> Result<()> {
        let node = &survey.nodes[&index];
        if let Some(name) = &node.custom {
            return Err(format!("custom operator '{name}'"));
        }
        // Of optional inputs, which have no tensor, the importer knows.
        for &tensor in node.inputs.iter().chain(&node.outputs).filter(|&&tensor| tensor >= 0) {
            if host.tensor(tensor)?.is_variable {
                return Err("a tensor that lasts from run to run".to_owned());
            }
        }
        let needed = survey.needed(node);
        let nodes = needed.iter().chain([&index]).map(|index| survey.nodes[index].clone());
        let network = Network::new(host, nodes.collect(), node.outputs.clone())?;
        let options = part::conversion(self.options.matching);
        let source = part::import(host, &network, &survey.shapes, &options)?;
        let outputs = source.graph.outputs.iter().zip(&node.outputs);
        let mut constant = Vec::new();
        let mut shapes = Shapes::new();
        for (&id, &tensor) in outputs {
            if source.graph[id].is_constant() {
                constant.push(tensor);
            }
            if host.shape(tensor)? != source.graph[id].shape {
                shapes.insert(tensor, source.graph[id].shape.clone());
            }
        }
        // In structures of before version 8 nothing says whether ends count from the beginnings. Where
        // both give one shape, they give one slice.
        if node.code == BuiltinOperator::STRIDED_SLICE.0 && node.version < 8 && !shapes.is_empty() {
            return Err("its output has another shape than its parameters give".to_owned());
        }
        convert_source(source, &options).map_err(|error| error.to_string())?;
        survey.shapes.append(&mut shapes);
        for tensor in constant {
            let nodes = needed.iter().copied().chain([index]).collect();
            survey.folded.insert(tensor, nodes);
        }
        Ok(())
    }

    /// Converts a part for the kernel that TFLite is going to make; or the nodes, and why they are
    /// not claimed.
    fn convert(
        &self,
        host: Host,
        survey: &Survey,
        partition: Partition,
    ) -> std::result::Result<Ready, (Vec<c_int>, String)> {
        let (count, least) = (partition.nodes.len(), self.options.min_nodes);
        if count < least {
            let why = format!("a part of {count} operators; min_nodes is {least}");
            return Err((partition.nodes, why));
        }
        let made = survey.network(host, &partition).and_then(|network| {
            let part = Part::new(host, &network, &survey.shapes, &self.options)?;
            Ok((network, part))
        });
        match made {
            Ok((network, part)) => Ok(Ready { graph: host.address(), partition, network, part }),
            Err(why) => Err((partition.nodes, why)),
        }
    }

    /// The part for a kernel that TFLite makes while the delegate prepares itself.
    pub(crate) fn part(&self, host: Host, partition: &Partition) -> Result<(Network, Part)> {
        let mut ready = self.lock();
        let same = |ready: &Ready| {
            ready.graph == host.address() && ready.partition.nodes == partition.nodes
        };
        let at = ready.iter().position(same).ok_or("the graph is divided in another way")?;
        let ready = ready.swap_remove(at);
        Ok((ready.network, ready.part))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Ready>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what was claimed: on the standard error, and in the file for it.
    fn tell(&self, survey: &Survey, plan: &[c_int], claimed: usize, parts: usize) -> Result<()> {
        let (all, kernels) = (plan.len(), systole_kernels::arch::kernels().level.name());
        if self.options.verbosity > 0 {
            eprintln!(
                "Systole: {claimed} of {all} operators in {parts} parts; kernels for {kernels}"
            );
        }
        if self.options.verbosity > 1 {
            for (index, why) in &survey.refused {
                eprintln!("Systole: operator {index} ({}) stays: {why}", survey.name(*index));
            }
        }
        let Some(path) = &self.options.report else { return Ok(()) };
        let refused = survey.refused.iter().map(
            |(index, why)| json!({ "operator": index, "name": survey.name(*index), "why": why }),
        );
        let line = json!({
            "operators": all,
            "claimed": claimed,
            "parts": parts,
            "kernels": kernels,
            "refused": refused.collect::<Vec<_>>(),
        });
        let file = OpenOptions::new().create(true).append(true).open(path);
        // At once, so that lines of several graphs do not mix.
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.map_err(|problem| format!("{}: cannot be written: {problem}", path.display()))
    }
}

impl Survey {
    fn supports(&self, index: c_int) -> bool {
        !self.refused.iter().any(|(refused, _)| *refused == index)
    }

    /// A node's operator, as TFLite spells it.
    fn name(&self, index: c_int) -> String {
        let Some(node) = self.nodes.get(&index) else { return String::new() };
        let builtin = BuiltinOperator(node.code).variant_name().map(str::to_owned);
        node.custom.clone().or(builtin).unwrap_or_else(|| format!("code {}", node.code))
    }

    /// The nodes that the constants among a node's inputs are made of.
    fn needed(&self, node: &Node) -> BTreeSet<c_int> {
        node.inputs.iter().filter_map(|input| self.folded.get(input)).flatten().copied().collect()
    }

    /// The network of a part. Constants that it is given as tensors are made in it again: kernels need
    /// to know them.
    fn network(&self, host: Host, partition: &Partition) -> Result<Network> {
        let mut indices: Vec<c_int> = Vec::new();
        for index in &partition.nodes {
            let node = self.nodes.get(index).ok_or_else(|| format!("no node {index}"))?;
            let needed = self.needed(node);
            for index in needed.into_iter().chain([*index]) {
                if !indices.contains(&index) {
                    indices.push(index);
                }
            }
        }
        let nodes = indices.iter().map(|index| self.nodes[index].clone()).collect();
        Network::new(host, nodes, partition.outputs.clone())
    }
}
