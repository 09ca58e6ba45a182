//! What Coral publishes of the operators that its compiler maps: a row per operator, with the first
//! runtime that has it, and its limits.
//!
//! Source: "TensorFlow models on the Edge TPU", sections "Model requirements" and "Supported operations"
//! (coral.ai/docs/edgetpu/models-intro), the table for runtimes up to 14. Its first edition, for runtimes
//! up to 12, had narrower limits for some operators ([`wider`]); the operators that came with runtime 13
//! are in the release notes of google-coral/edgetpu, too.

use tract_tflite::tflite::{ActivationFunctionType, BuiltinOperator, TensorType};

use super::{
    Reason,
    view::{OperatorView, TensorView},
};
/// The runtime that the oldest models need.
pub(super) const FIRST_RUNTIME: u32 = 10;

/// The runtime with wider limits for some operators.
const WIDER_RUNTIME: u32 = 13;

/// The longest vector that SOFTMAX takes.
const LONGEST_SOFTMAX: i64 = 16_000;

/// Dimensions that may be larger than 1, counted from the innermost.
const INNER: usize = 3;

/// A limit of an operator.
type Limit = fn(&OperatorView<'_>, &mut Vec<Reason>);

macro_rules! operators {
    ($($code:ident $runtime:literal [$($limit:ident),*],)*) => {
        /// The first runtime with the operator, and its limits.
        fn row(code: BuiltinOperator) -> Option<(u32, &'static [Limit])> {
            match code {
                $(BuiltinOperator::$code => Some(($runtime, &[$($limit),*])),)*
                _ => None,
            }
        }
    };
}

operators! {
    ADD 10 [],
    AVERAGE_POOL_2D 10 [no_activation],
    CONCATENATION 10 [no_activation, constant_part_is_zero],
    CONV_2D 10 [constant_weights, same_dilation],
    DEPTHWISE_CONV_2D 10 [constant_weights, same_dilation],
    EXPAND_DIMS 13 [],
    FULLY_CONNECTED 10 [constant_weights, default_weights_format, one_vector],
    L2_NORMALIZATION 10 [],
    LOGISTIC 10 [],
    MAXIMUM 10 [],
    MAX_POOL_2D 10 [no_activation],
    MEAN 10 [not_over_batch, depth_by_four],
    MINIMUM 10 [],
    MUL 10 [],
    PACK 13 [not_along_batch],
    PAD 10 [batch_not_padded],
    PRELU 13 [slopes_by_channel],
    QUANTIZE 13 [],
    REDUCE_MAX 14 [not_over_batch],
    REDUCE_MIN 14 [not_over_batch],
    RELU 10 [],
    RELU6 10 [],
    RELU_N1_TO_1 10 [],
    RESHAPE 10 [],
    RESIZE_BILINEAR 10 [],
    RESIZE_NEAREST_NEIGHBOR 10 [],
    RSQRT 14 [],
    SLICE 10 [],
    SOFTMAX 10 [one_vector, short_vector],
    SPACE_TO_DEPTH 10 [],
    SPLIT 10 [not_along_batch],
    SQUARED_DIFFERENCE 14 [],
    SQUEEZE 10 [],
    STRIDED_SLICE 10 [plain_slice],
    SUB 10 [],
    SUM 13 [not_over_batch],
    TANH 10 [],
    TRANSPOSE 14 [],
    TRANSPOSE_CONV 13 [constant_weights],
    UNIDIRECTIONAL_SEQUENCE_LSTM 14 [],
}

/// What would do the work of an operator that the device does not have.
fn instead(code: BuiltinOperator) -> &'static str {
    match code {
        BuiltinOperator::LEAKY_RELU | BuiltinOperator::ELU | BuiltinOperator::GELU => {
            "train with RELU, RELU6 or PRELU"
        }
        BuiltinOperator::HARD_SWISH => "train with RELU6",
        BuiltinOperator::DEQUANTIZE => {
            "leave the output quantized (inference_output_type), and dequantize it behind the model"
        }
        BuiltinOperator::CAST => "give and take the model's own types",
        BuiltinOperator::BATCH_MATMUL => "a product with constant weights is FULLY_CONNECTED",
        BuiltinOperator::PADV2 => "PAD fills with the zero point",
        BuiltinOperator::UNPACK => "SPLIT and RESHAPE do the same",
        BuiltinOperator::DIV => "MUL by the inverse, where it is a constant",
        BuiltinOperator::DEPTH_TO_SPACE => "TRANSPOSE_CONV or a RESIZE enlarges pictures",
        _ => "leave it behind all operators that map, or out of the model",
    }
}

/// The first runtime that has the operator, and what keeps it from the device.
pub(super) fn check(operator: &OperatorView<'_>) -> (u32, Vec<Reason>) {
    let mut reasons = Vec::new();
    let Some((runtime, limits)) = row(operator.code) else {
        let why = "the device has no such operator".to_owned();
        return (0, vec![Reason { why, cure: instead(operator.code).to_owned() }]);
    };
    for tensor in operator.activations().chain(&operator.outputs) {
        eight_bits(tensor, &mut reasons);
        fixed_shape(tensor, &mut reasons);
    }
    for limit in limits {
        limit(operator, &mut reasons);
    }
    let runtime = if wider(operator) { runtime.max(WIDER_RUNTIME) } else { runtime };
    (runtime, reasons)
}

/// Whether an operator does what runtimes before [`WIDER_RUNTIME`] do not: dilated depthwise convolution,
/// MEAN over channels, PAD along channels, and SQUEEZE of other dimensions than leading ones.
fn wider(operator: &OperatorView<'_>) -> bool {
    let rank = operator.input(0).map_or(0, |x| x.shape.len());
    match operator.code {
        BuiltinOperator::DEPTHWISE_CONV_2D => {
            let options = operator.options.builtin_options_as_depthwise_conv_2_doptions();
            options.is_some_and(|it| it.dilation_h_factor() > 1 || it.dilation_w_factor() > 1)
        }
        BuiltinOperator::MEAN => {
            axes(operator).is_some_and(|axes| axes.contains(&rank.saturating_sub(1)))
        }
        BuiltinOperator::PAD => {
            let padding = operator.input(1).and_then(TensorView::integers).unwrap_or_default();
            padding.iter().skip(2 * rank.saturating_sub(1)).any(|&count| count != 0)
        }
        BuiltinOperator::SQUEEZE => {
            let inner = |tensor: Option<&TensorView<'_>>| -> Vec<i32> {
                let shape = tensor.map(|tensor| tensor.shape.iter().copied()).into_iter().flatten();
                shape.skip_while(|&dim| dim == 1).collect()
            };
            inner(operator.input(0)) != inner(operator.outputs.first())
        }
        _ => false,
    }
}

fn refuse(reasons: &mut Vec<Reason>, why: impl Into<String>, cure: &str) {
    reasons.push(Reason { why: why.into(), cure: cure.to_owned() });
}

/// Activations are int8 or uint8, with one scale.
fn eight_bits(tensor: &TensorView<'_>, reasons: &mut Vec<Reason>) {
    let state = tensor.tensor.is_variable() && tensor.kind() == TensorType::INT16;
    let (name, kind) = (tensor.name(), tensor.kind_name());
    if ![TensorType::INT8, TensorType::UINT8].contains(&tensor.kind()) && !state {
        let cure = match tensor.kind() {
            TensorType::FLOAT32 | TensorType::FLOAT16 => {
                "quantize the whole model to int8, inputs and outputs too (inference_input_type, \
                 inference_output_type)"
            }
            TensorType::INT16 => "quantize to int8 activations instead of int16",
            _ => "use int8 or uint8 here, or leave the operator out of the model",
        };
        refuse(reasons, format!("'{name}' is {kind}, not int8 or uint8"), cure);
    } else if tensor.scales() != 1 && !state {
        let scales = tensor.scales();
        let cure = "quantize the whole model to int8";
        refuse(reasons, format!("'{name}' has {scales} scales, not one"), cure);
    }
}

/// Shapes are known, and at most the three innermost dimensions are larger than 1. An open first
/// dimension is the batch, of which there is one.
fn fixed_shape(tensor: &TensorView<'_>, reasons: &mut Vec<Reason>) {
    let name = tensor.name();
    let signature = tensor.tensor.shape_signature().unwrap_or_default();
    if signature.iter().skip(1).chain(tensor.shape.iter().copied()).any(|dim| dim < 0) {
        let shape: Vec<i32> = signature.iter().collect();
        let cure = "convert the model with fixed shapes";
        refuse(reasons, format!("'{name}' has a dynamic shape, {shape:?}"), cure);
    }
    let outer = tensor.shape.len().saturating_sub(INNER);
    if tensor.shape.iter().take(outer).any(|&dim| dim > 1) {
        let why = format!(
            "'{name}' has shape {:?}: only the inner {INNER} dimensions may be larger \
                           than 1",
            tensor.shape
        );
        refuse(reasons, why, "use a batch of 1, and reshape what has more dimensions");
    }
}

/// Weights and biases are constants; several scales belong to output channels, without zero points.
fn constant_weights(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let (weights, bias, axis) = match operator.code {
        BuiltinOperator::TRANSPOSE_CONV => (1, 3, 0),
        BuiltinOperator::DEPTHWISE_CONV_2D => (1, 2, 3),
        _ => (1, 2, 0),
    };
    for (what, input) in [("weights", weights), ("bias", bias)] {
        if operator.input(input).is_some_and(|tensor| tensor.data.is_none()) {
            let cure = "freeze the model: parameters are constants when it is compiled";
            refuse(reasons, format!("its {what} are no constant"), cure);
        }
    }
    let Some(weights) = operator.input(weights).filter(|tensor| tensor.data.is_some()) else {
        return;
    };
    if ![TensorType::INT8, TensorType::UINT8].contains(&weights.kind()) {
        let why = format!("its weights are {}, not int8 or uint8", weights.kind_name());
        return refuse(reasons, why, "quantize the whole model to int8");
    }
    let Some(stated) = weights.tensor.quantization().filter(|_| weights.scales() > 1) else {
        return;
    };
    if operator.code == BuiltinOperator::FULLY_CONNECTED {
        let cure = "convert with _experimental_disable_per_channel_quantization_for_dense_layers";
        return refuse(reasons, "its weights have a scale for each output", cure);
    }
    if weights.kind() == TensorType::UINT8 {
        let cure = "quantize weights to int8, or with one scale";
        return refuse(reasons, "its uint8 weights have a scale for each channel", cure);
    }
    if stated.quantized_dimension() != axis {
        let why = format!("its scales are along dimension {}", stated.quantized_dimension());
        return refuse(reasons, why, "quantize weights along their output channels");
    }
    if stated.zero_point().unwrap_or_default().iter().any(|zero_point| zero_point != 0) {
        let cure = "quantize weights symmetrically";
        refuse(reasons, "its weights have zero points other than 0", cure);
    }
}

fn same_dilation(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let options = &operator.options;
    let conv = options.builtin_options_as_conv_2_doptions();
    let conv = conv.map(|conv| (conv.dilation_h_factor(), conv.dilation_w_factor()));
    let depthwise = options.builtin_options_as_depthwise_conv_2_doptions();
    let depthwise = depthwise.map(|conv| (conv.dilation_h_factor(), conv.dilation_w_factor()));
    if let Some((y, x)) = conv.or(depthwise).filter(|(y, x)| y != x) {
        let why = format!("it dilates by {y} along y and by {x} along x");
        refuse(reasons, why, "dilate both alike");
    }
}

fn no_activation(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let options = &operator.options;
    let pool = options.builtin_options_as_pool_2_doptions();
    let pool = pool.map(|pool| pool.fused_activation_function());
    let joined = options.builtin_options_as_concatenation_options();
    let joined = joined.map(|joined| joined.fused_activation_function());
    let none = ActivationFunctionType::NONE;
    if let Some(activation) = pool.or(joined).filter(|&activation| activation != none) {
        let name = activation.variant_name().unwrap_or("an activation");
        let why = format!("{name} is fused into it");
        refuse(reasons, why, "use an operator of its own for the activation, in front of this one");
    }
}

fn constant_part_is_zero(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let constants: Vec<&TensorView<'_>> =
        operator.inputs.iter().flatten().filter(|tensor| tensor.data.is_some()).collect();
    let zero_point = |tensor: &TensorView<'_>| {
        let stated = tensor.tensor.quantization().and_then(|stated| stated.zero_point());
        stated.and_then(|zeros| zeros.iter().next()).unwrap_or(0) as u8
    };
    let zeros = |tensor: &&TensorView<'_>| {
        let zero = zero_point(tensor);
        tensor.data.unwrap_or_default().iter().all(|&byte| byte == zero)
    };
    if !constants.is_empty() && (operator.inputs.len() != 2 || !constants.iter().all(zeros)) {
        let why = "it joins a constant that is not zero, or more than two tensors with a constant";
        refuse(reasons, why, "join results alone; zeros may be appended to one of them");
    }
}

fn default_weights_format(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let options = operator.options.builtin_options_as_fully_connected_options();
    if options.is_some_and(|options| options.weights_format().0 != 0) {
        let cure = "convert without shuffled weights";
        refuse(reasons, "its weights are shuffled", cure);
    }
}

/// The output has one dimension larger than 1.
fn one_vector(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let Some(y) = operator.outputs.first() else { return };
    if y.shape.iter().filter(|&&dim| dim > 1).count() > 1 {
        let why = format!("its output of shape {:?} is no single vector", y.shape);
        let cure = match operator.code {
            BuiltinOperator::FULLY_CONNECTED => "a CONV_2D of 1x1 computes many vectors",
            _ => "leave it behind the model, or take one vector at a time",
        };
        refuse(reasons, why, cure);
    }
}

fn short_vector(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let Some(y) = operator.outputs.first() else { return };
    let elements = y.shape.iter().fold(1i64, |product, &dim| product.saturating_mul(dim.into()));
    if elements > LONGEST_SOFTMAX {
        let why = format!("{elements} elements; at most {LONGEST_SOFTMAX}");
        refuse(reasons, why, "leave SOFTMAX behind the model: it does not change the order");
    }
}

/// The axes of a reduction, counted from the outermost; `None` where they are no constant.
fn axes(operator: &OperatorView<'_>) -> Option<Vec<usize>> {
    let rank = i32::try_from(operator.input(0)?.shape.len()).ok()?;
    let axes = operator.input(1)?.integers()?;
    axes.into_iter()
        .map(|axis| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok())
        .collect()
}

fn not_over_batch(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    match axes(operator) {
        None => refuse(reasons, "its axes are no constant", "fix the axes"),
        Some(axes) if axes.contains(&0) => {
            refuse(reasons, "it reduces the batch dimension", "reduce other dimensions alone");
        }
        Some(_) => {}
    }
}

fn depth_by_four(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let (Some(axes), Some(x)) = (axes(operator), operator.input(0)) else { return };
    let depth = x.shape.last().copied().unwrap_or(1);
    if axes.contains(&x.shape.len().saturating_sub(1)) && depth % 4 != 0 {
        let why = format!("it reduces {depth} channels, which is no multiple of 4");
        refuse(reasons, why, "use a multiple of 4 channels");
    }
}

fn not_along_batch(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let (axis, rank) = match operator.code {
        BuiltinOperator::PACK => {
            let options = operator.options.builtin_options_as_pack_options();
            let rank = operator.outputs.first().map_or(0, |y| y.shape.len());
            (options.map(|options| options.axis()), rank)
        }
        _ => {
            let axis = operator.input(0).and_then(TensorView::integers);
            let rank = operator.input(1).map_or(0, |x| x.shape.len());
            (axis.and_then(|axis| axis.first().copied()), rank)
        }
    };
    let outermost = |axis: i32| axis == 0 || axis.checked_add(rank as i32) == Some(0);
    if axis.is_none_or(outermost) {
        refuse(reasons, "it works along the batch dimension", "use another dimension");
    }
}

fn batch_not_padded(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let padding = operator.input(1).and_then(TensorView::integers);
    match padding.as_deref() {
        None => refuse(reasons, "its padding is no constant", "fix the padding"),
        Some(padding) if padding.iter().take(2).any(|&count| count != 0) => {
            refuse(reasons, "it pads the batch dimension", "pad other dimensions alone");
        }
        Some(_) => {}
    }
}

fn slopes_by_channel(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let Some(slopes) = operator.input(1) else { return };
    let outer = slopes.shape.len().saturating_sub(1);
    if slopes.shape.iter().take(outer).any(|&dim| dim > 1) {
        let why = format!("its slopes have shape {:?}, not one for each channel", slopes.shape);
        refuse(reasons, why, "share the slopes over rows and columns (Keras: shared_axes=[1, 2])");
    }
}

fn plain_slice(operator: &OperatorView<'_>, reasons: &mut Vec<Reason>) {
    let strides = operator.input(3).and_then(TensorView::integers);
    if strides.is_none_or(|strides| strides.iter().any(|&stride| stride != 1)) {
        refuse(reasons, "it takes strides other than 1", "use SLICE, or strides of 1");
    }
    let options = operator.options.builtin_options_as_strided_slice_options();
    if options.is_some_and(|options| options.ellipsis_mask() != 0 || options.new_axis_mask() != 0) {
        refuse(reasons, "it has an ellipsis or new axes", "use SLICE and RESHAPE");
    }
}
