//! Layers whose weights are int8 beside float activations: the weights become the floats that they
//! stand for, to be quantized together with the activations.

use systole_core::DType;

use crate::{
    error::Result,
    graph::{Graph, Tensor},
    ops::Op,
};

/// Runs over all layers.
///
/// # Errors
/// None for valid graphs.
pub(super) fn run(graph: &mut Graph) -> Result<()> {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let layer = matches!(
            node.op,
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::TransposeConv2d(_) | Op::FullyConnected(_)
        );
        let (Some(&Some(x)), Some(&Some(weights)), true) =
            (node.inputs.first(), node.inputs.get(1), layer)
        else {
            continue;
        };
        if graph[x].dtype != DType::F32 || graph[weights].dtype != DType::I8 {
            continue;
        }
        if let Some(tensor) = dequantized(&graph[weights])? {
            let id = graph.add_tensor(tensor);
            graph.nodes[index].inputs[1] = Some(id);
        }
    }
    Ok(())
}

fn dequantized(weights: &Tensor) -> Result<Option<Tensor>> {
    let Some(quantization) = &weights.quantization else { return Ok(None) };
    let values: Vec<i8> = weights.values()?;
    let inner: usize = weights.shape.iter().skip(quantization.axis + 1).product();
    let several = quantization.scales.len();
    let real = |(index, &q): (usize, &i8)| {
        let channel = if several == 1 { 0 } else { index / inner % several };
        quantization.scales[channel] * (i32::from(q) - quantization.zero_points[channel]) as f32
    };
    let reals: Vec<f32> = values.iter().enumerate().map(real).collect();
    Ok(Some(Tensor::constant(&weights.name[..], weights.shape.clone(), &reals)))
}
