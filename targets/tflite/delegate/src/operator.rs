//! Parameters of operators, from TFLite's structures to the options of a `.tflite` file.

use std::ffi::c_int;

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};
use systole_tflite::sys::parameters as c;
use tract_tflite::tflite::{self, ActivationFunctionType, BuiltinOperator, BuiltinOptions};

use crate::{guard::Result, host::Node};

/// Options of a file's operator: their type, and where they are.
pub(crate) type Options = (BuiltinOptions, Option<WIPOffset<UnionWIPOffset>>);

/// The structure behind a node's parameters.
fn read<P: c::Parameters>(node: &Node) -> Result<P> {
    match node.parameters.is_null() {
        true => Err("its parameters are missing".to_owned()),
        // SAFETY: TFLite keeps parameters of the operator's type as long as the graph is there, which
        // outlives all that is made of its nodes. The caller asks for the operator's type.
        false => Ok(unsafe { node.parameters.cast::<P>().read() }),
    }
}

fn padding(padding: c::Padding) -> Result<tflite::Padding> {
    match padding {
        c::PADDING_SAME => Ok(tflite::Padding::SAME),
        c::PADDING_VALID => Ok(tflite::Padding::VALID),
        other => Err(format!("padding {other}; known are 1 (same) and 2 (valid)")),
    }
}

/// As many numbers as are stated.
fn first(numbers: &[i32], count: c_int) -> Result<&[i32]> {
    let stated = usize::try_from(count).ok().and_then(|count| numbers.get(..count));
    stated.ok_or_else(|| format!("{count} numbers of at most {}", numbers.len()))
}

fn activation(activation: c::Activation) -> Result<ActivationFunctionType> {
    // Both enumerations have the same numbers. What the importer does not know, it refuses.
    let number = i8::try_from(activation).map_err(|_| format!("fused activation {activation}"))?;
    Ok(ActivationFunctionType(number))
}

/// Writes the options of `node`; none for operators without any that matter.
pub(crate) fn options(b: &mut FlatBufferBuilder<'_>, node: &Node) -> Result<Options> {
    macro_rules! options {
        ($name:ident, $arguments:ident { $($field:ident: $value:expr),* $(,)? }) => {{
            let arguments = tflite::$arguments { $($field: $value,)* };
            let options = tflite::$name::create(b, &arguments);
            Ok((BuiltinOptions::$name, Some(options.as_union_value())))
        }};
    }
    match BuiltinOperator(node.code) {
        BuiltinOperator::CONV_2D => {
            let p: c::Conv = read(node)?;
            options!(
                Conv2DOptions,
                Conv2DOptionsArgs {
                    padding: padding(p.padding)?,
                    stride_w: p.stride_width,
                    stride_h: p.stride_height,
                    fused_activation_function: activation(p.activation)?,
                    dilation_w_factor: p.dilation_width,
                    dilation_h_factor: p.dilation_height,
                }
            )
        }
        BuiltinOperator::DEPTHWISE_CONV_2D => {
            let p: c::DepthwiseConv = read(node)?;
            options!(
                DepthwiseConv2DOptions,
                DepthwiseConv2DOptionsArgs {
                    padding: padding(p.padding)?,
                    stride_w: p.stride_width,
                    stride_h: p.stride_height,
                    depth_multiplier: p.depth_multiplier,
                    fused_activation_function: activation(p.activation)?,
                    dilation_w_factor: p.dilation_width,
                    dilation_h_factor: p.dilation_height,
                }
            )
        }
        BuiltinOperator::AVERAGE_POOL_2D
        | BuiltinOperator::MAX_POOL_2D
        | BuiltinOperator::L2_POOL_2D => {
            let p: c::Pool = read(node)?;
            options!(
                Pool2DOptions,
                Pool2DOptionsArgs {
                    padding: padding(p.padding)?,
                    stride_w: p.stride_width,
                    stride_h: p.stride_height,
                    filter_width: p.filter_width,
                    filter_height: p.filter_height,
                    fused_activation_function: activation(p.activation)?,
                }
            )
        }
        BuiltinOperator::FULLY_CONNECTED => {
            let p: c::FullyConnected = read(node)?;
            let format = i8::try_from(p.weights_format).map_err(|_| "its format of weights")?;
            options!(
                FullyConnectedOptions,
                FullyConnectedOptionsArgs {
                    fused_activation_function: activation(p.activation)?,
                    weights_format: tflite::FullyConnectedOptionsWeightsFormat(format),
                    keep_num_dims: p.keep_num_dims,
                    asymmetric_quantize_inputs: p.asymmetric_quantize_inputs,
                }
            )
        }
        BuiltinOperator::TRANSPOSE_CONV => {
            let (p, fused) = match node.version {
                4.. => {
                    let p: c::TransposeConvFrom4 = read(node)?;
                    (p.common, p.activation)
                }
                _ => (read(node)?, 0),
            };
            options!(
                TransposeConvOptions,
                TransposeConvOptionsArgs {
                    padding: padding(p.padding)?,
                    stride_w: p.stride_width,
                    stride_h: p.stride_height,
                    fused_activation_function: activation(fused)?,
                }
            )
        }
        BuiltinOperator::BATCH_MATMUL => {
            let p: c::BatchMatMul = read(node)?;
            options!(
                BatchMatMulOptions,
                BatchMatMulOptionsArgs {
                    adj_x: p.adj_x,
                    adj_y: p.adj_y,
                    asymmetric_quantize_inputs: p.asymmetric_quantize_inputs,
                }
            )
        }
        BuiltinOperator::SOFTMAX => {
            let p: c::Softmax = read(node)?;
            options!(SoftmaxOptions, SoftmaxOptionsArgs { beta: p.beta })
        }
        BuiltinOperator::CONCATENATION => {
            let p: c::Concatenation = read(node)?;
            options!(
                ConcatenationOptions,
                ConcatenationOptionsArgs {
                    axis: p.axis,
                    fused_activation_function: activation(p.activation)?,
                }
            )
        }
        BuiltinOperator::ADD => {
            let p: c::Add = read(node)?;
            options!(
                AddOptions,
                AddOptionsArgs {
                    fused_activation_function: activation(p.activation)?,
                    pot_scale_int16: p.pot_scale_int16,
                }
            )
        }
        BuiltinOperator::SUB => {
            let p: c::Add = read(node)?;
            options!(
                SubOptions,
                SubOptionsArgs {
                    fused_activation_function: activation(p.activation)?,
                    pot_scale_int16: p.pot_scale_int16,
                }
            )
        }
        BuiltinOperator::MUL => {
            let p: c::Activated = read(node)?;
            options!(
                MulOptions,
                MulOptionsArgs { fused_activation_function: activation(p.activation)? }
            )
        }
        BuiltinOperator::DIV => {
            let p: c::Activated = read(node)?;
            options!(
                DivOptions,
                DivOptionsArgs { fused_activation_function: activation(p.activation)? }
            )
        }
        BuiltinOperator::L2_NORMALIZATION => {
            let p: c::Activated = read(node)?;
            options!(
                L2NormOptions,
                L2NormOptionsArgs { fused_activation_function: activation(p.activation)? }
            )
        }
        BuiltinOperator::RESIZE_BILINEAR => {
            let p: c::Resize = read(node)?;
            options!(
                ResizeBilinearOptions,
                ResizeBilinearOptionsArgs {
                    align_corners: p.align_corners,
                    half_pixel_centers: p.half_pixel_centers,
                }
            )
        }
        BuiltinOperator::RESIZE_NEAREST_NEIGHBOR => {
            let p: c::Resize = read(node)?;
            options!(
                ResizeNearestNeighborOptions,
                ResizeNearestNeighborOptionsArgs {
                    align_corners: p.align_corners,
                    half_pixel_centers: p.half_pixel_centers,
                }
            )
        }
        BuiltinOperator::SPACE_TO_DEPTH => {
            let p: c::Block = read(node)?;
            options!(SpaceToDepthOptions, SpaceToDepthOptionsArgs { block_size: p.block_size })
        }
        BuiltinOperator::DEPTH_TO_SPACE => {
            let p: c::Block = read(node)?;
            options!(DepthToSpaceOptions, DepthToSpaceOptionsArgs { block_size: p.block_size })
        }
        BuiltinOperator::GATHER => {
            let p: c::Gather = read(node)?;
            options!(GatherOptions, GatherOptionsArgs { axis: p.axis, batch_dims: p.batch_dims })
        }
        BuiltinOperator::SUM
        | BuiltinOperator::MEAN
        | BuiltinOperator::REDUCE_PROD
        | BuiltinOperator::REDUCE_MAX
        | BuiltinOperator::REDUCE_MIN
        | BuiltinOperator::REDUCE_ANY
        | BuiltinOperator::REDUCE_ALL => {
            let p: c::Reducer = read(node)?;
            options!(ReducerOptions, ReducerOptionsArgs { keep_dims: p.keep_dims })
        }
        BuiltinOperator::STRIDED_SLICE => {
            let p = match node.version {
                8.. => {
                    let p: c::StridedSliceFrom8 = read(node)?;
                    if p.offset {
                        return Err("ends given as offsets from the beginnings".to_owned());
                    }
                    p.common
                }
                _ => read(node)?,
            };
            options!(
                StridedSliceOptions,
                StridedSliceOptionsArgs {
                    begin_mask: p.begin_mask,
                    end_mask: p.end_mask,
                    ellipsis_mask: p.ellipsis_mask,
                    new_axis_mask: p.new_axis_mask,
                    shrink_axis_mask: p.shrink_axis_mask,
                }
            )
        }
        BuiltinOperator::PACK => {
            let p: c::Pack = read(node)?;
            options!(PackOptions, PackOptionsArgs { values_count: p.count, axis: p.axis })
        }
        BuiltinOperator::UNPACK => {
            let p: c::Pack = read(node)?;
            options!(UnpackOptions, UnpackOptionsArgs { num: p.count, axis: p.axis })
        }
        BuiltinOperator::SQUEEZE => {
            let p: c::Squeeze = read(node)?;
            let axes = first(&p.axes, p.count)?;
            let axes = Some(b.create_vector(axes));
            options!(SqueezeOptions, SqueezeOptionsArgs { squeeze_dims: axes })
        }
        // The shape is an input in all but old models, which state it here.
        BuiltinOperator::RESHAPE if node.inputs.len() < 2 => {
            let p: c::Reshape = read(node)?;
            let shape = first(&p.shape, p.count)?;
            let shape = Some(b.create_vector(shape));
            options!(ReshapeOptions, ReshapeOptionsArgs { new_shape: shape })
        }
        BuiltinOperator::ONE_HOT => {
            let p: c::OneHot = read(node)?;
            options!(OneHotOptions, OneHotOptionsArgs { axis: p.axis })
        }
        BuiltinOperator::LEAKY_RELU => {
            let p: c::LeakyRelu = read(node)?;
            options!(LeakyReluOptions, LeakyReluOptionsArgs { alpha: p.alpha })
        }
        BuiltinOperator::CUMSUM => {
            let p: c::Cumsum = read(node)?;
            options!(
                CumsumOptions,
                CumsumOptionsArgs { exclusive: p.exclusive, reverse: p.reverse }
            )
        }
        BuiltinOperator::GELU => {
            let p: c::Gelu = read(node)?;
            options!(GeluOptions, GeluOptionsArgs { approximate: p.approximate })
        }
        BuiltinOperator::MIRROR_PAD => {
            let p: c::MirrorPadding = read(node)?;
            let mode = match p.mode {
                1 => tflite::MirrorPadMode::REFLECT,
                2 => tflite::MirrorPadMode::SYMMETRIC,
                other => return Err(format!("mirroring of mode {other}; known are 1 and 2")),
            };
            options!(MirrorPadOptions, MirrorPadOptionsArgs { mode: mode })
        }
        _ => Ok((BuiltinOptions::NONE, None)),
    }
}
