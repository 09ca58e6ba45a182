//! Operators: one module each, holding its parameter record, its checks and its dispatch to
//! kernels. No arithmetic is done here.
//!
//! The list at the end of this file is the registry: a row per operator. `docs/adding-an-operator.md`
//! says how to add one.

use systole_kernels::Mismatch;

use crate::{DType, OperatorError, Record, Row, call::Machine, memory::Only};

mod axis;
mod elementwise;
pub(crate) mod linear;
mod movement;
pub mod pool;
mod reduction;
pub mod resize;
pub(crate) mod window;

/// An operator decoded from its record, ready to run.
pub(crate) trait Operator<'m>: Sized {
    /// Inputs on which the first output may lie, byte for byte.
    const IN_PLACE: &'static [usize] = &[];

    /// Checks operands, types, shapes and parameters, completely: what passes here cannot fail in
    /// [`Operator::run`].
    fn decode(record: &Record<'m>) -> Result<Self, OperatorError>;

    /// Upper bound of the elementary steps of a run: elements read and written, and products or
    /// comparisons where there are more of those. The record has been decoded before.
    fn work(record: &Record<'m>) -> u64 {
        record.elements()
    }

    /// Hands the kernel's call to the machine.
    fn run<M: Machine>(&self, machine: &mut M) -> Result<(), Mismatch>;
}

/// Expands the registry: the modules, [`Opcode`], its names, and the rows by which operators are called.
macro_rules! registry {
    ($($code:literal $variant:ident $module:ident $name:literal $doc:literal,)*) => {
        $(pub mod $module;)*

        /// The operators of this version. The discriminants are the codes of the file format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u16)]
        pub enum Opcode {
            $(#[doc = $doc] $variant = $code,)*
        }

        impl Opcode {
            /// All operators, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The operator with this code of the file format.
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name that tools print.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The fields of the operator's parameter record.
            pub const fn fields(self) -> &'static [crate::format::Field] {
                match self {
                    $(Self::$variant => <$module::Params as crate::format::Params>::FIELDS,)*
                }
            }

            /// Inputs on which the first output may lie, byte for byte.
            pub const fn in_place_inputs(self) -> &'static [usize] {
                match self {
                    $(Self::$variant => <$module::$variant<'_> as Operator<'_>>::IN_PLACE,)*
                }
            }
        }

        impl Opcode {
            /// What a program links of the operator: its kernels whose first output has the type
            /// with the code `OUTPUT`, or all where that is 0. To be evaluated while compiling: in a
            /// running program it would link all operators.
            #[doc(hidden)]
            pub const fn row<const OUTPUT: u8>(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        opcode: self,
                        output: DType::from_code(OUTPUT),
                        validate: |record| $module::$variant::decode(record).map(|_| ()),
                        work: |record| $module::$variant::work(record),
                        #[cfg(not(feature = "std"))]
                        run: |record, memory| {
                            let operator = $module::$variant::decode(record);
                            operator.map_err(|_| Mismatch)?.run(&mut memory.only::<Only<OUTPUT>>())
                        },
                        #[cfg(feature = "std")]
                        decode: |record| {
                            let operator = $module::$variant::decode(record).ok()?;
                            Some(alloc::boxed::Box::new(move |memory| {
                                operator.run(&mut memory.only::<Only<OUTPUT>>())
                            }))
                        },
                    },)*
                }
            }
        }

        /// All operators, in the order of the list.
        pub(crate) const ROWS: &[Row] = &[$(Opcode::$variant.row::<0>(),)*];

        /// Hands the calls of an operator to a machine that writes them down.
        #[cfg(feature = "emit")]
        pub(crate) fn describe(
            opcode: Opcode,
            record: &Record<'_>,
            machine: &mut impl Machine,
        ) -> Result<(), Mismatch> {
            match opcode {
                $(Opcode::$variant => {
                    $module::$variant::decode(record).map_err(|_| Mismatch)?.run(machine)
                })*
            }
        }
    };
}

registry! {
    1 FullyConnected fully_connected "fully_connected" "Matrix product with constant weights.",
    2 Conv2d conv2d "conv2d" "Two-dimensional convolution.",
    3 DepthwiseConv2d depthwise_conv2d "depthwise_conv2d" "Convolution of each channel by itself.",
    10 TransposeConv2d transpose_conv2d "transpose_conv2d" "Convolution's gradient: inputs spread over outputs.",
    11 BatchMatMul batch_matmul "batch_matmul" "Product of matrices, both of which may be activations.",
    4 AveragePool2d average_pool_2d "average_pool_2d" "Mean over windows.",
    6 Lstm lstm "lstm" "Long short-term memory over the steps of a sequence.",
    5 Softmax softmax "softmax" "Exponentials over the last axis, divided by their sum.",
    40 MaxPool2d max_pool_2d "max_pool_2d" "Largest value of windows.",
    41 L2Pool2d l2_pool_2d "l2_pool_2d" "Root mean square of windows.",
    42 Reduce reduce "reduce" "Sum, product, extremes, mean along axes, without scales.",
    43 SumQuantized sum_quantized "sum_quantized" "Sum or mean of quantized values along axes.",
    44 ProdQuantized prod_quantized "prod_quantized" "Product of quantized values along axes.",
    45 LogSoftmax log_softmax "log_softmax" "Logarithm of the softmax over the last axis.",
    46 L2Normalization l2_normalization "l2_normalization" "Vectors divided by their length.",
    47 ArgMax arg_max "arg_max" "Index of the largest or smallest value along an axis.",
    48 TopK top_k "top_k" "Largest values of the last axis and their indices.",
    49 CumSum cumsum "cumsum" "Running sums along an axis.",
    50 ResizeBilinear resize_bilinear "resize_bilinear" "Images scaled by interpolation.",
    51 ResizeNearestNeighbor resize_nearest_neighbor "resize_nearest_neighbor" "Images scaled by copying.",
    70 AddFloat32 add_float32 "add_float32" "Sums of quantized tensors in single precision.",
    71 MulFloat32 mul_float32 "mul_float32" "Products of quantized tensors in single precision.",
    72 AveragePoolFloat32 average_pool_float32 "average_pool_float32" "Mean over windows in single precision.",
    73 SoftmaxTable softmax_table "softmax_table" "Softmax of quantized values by a table of exponentials.",
    74 MatMulInteger matmul_integer "matmul_integer" "Product of int8 matrices in int32.",
    75 ConvInteger conv_integer "conv_integer" "Two-dimensional convolution of int8 in int32.",
    76 DynamicScale dynamic_scale "dynamic_scale" "Scale and zero point of a tensor's range.",
    77 DynamicQuantize dynamic_quantize "dynamic_quantize" "From float32 to int8, scale and zero point being tensors.",
    90 Transpose transpose "transpose" "The axes in another order.",
    91 StridedSlice strided_slice "strided_slice" "Every n-th element from a beginning on.",
    92 Pad pad "pad" "A border of one value.",
    93 MirrorPad mirror_pad "mirror_pad" "A border that reflects the tensor.",
    94 Concatenation concatenation "concatenation" "Tensors beside each other.",
    95 Gather gather "gather" "Slices picked by indices.",
    96 GatherNd gather_nd "gather_nd" "Slices picked by tuples of indices.",
    97 Tile tile "tile" "A tensor repeated along its axes.",
    98 OneHot one_hot "one_hot" "One value where an index points, another elsewhere.",
    201 Repeat repeat "repeat" "The next operators, several times, on tensors that move.",
    200 Delegate delegate "delegate" "A part that an accelerator computes.",
    20 Add add "add" "Sums, differences and squared differences of quantized tensors.",
    21 AddPowerOfTwo add_power_of_two "add_power_of_two" "Sums with scales that are powers of two.",
    22 AddN add_n "add_n" "The sum of several quantized tensors.",
    23 Mul mul "mul" "Products and quotients of quantized tensors.",
    24 Arithmetic arithmetic "arithmetic" "Arithmetic on numbers as they are.",
    25 Compare compare "compare" "Comparisons.",
    26 Logical logical "logical" "And, or, not.",
    27 Select select "select" "Elements of one tensor or another, as a condition says.",
    28 Lut lut "lut" "A function of one quantized value, as a table.",
    29 Logistic logistic "logistic" "Logistic function and hyperbolic tangent in int16.",
    30 LeakyRelu leaky_relu "leaky_relu" "Quantized numbers, negative ones times a slope.",
    31 Prelu prelu "prelu" "Numbers, negative ones times slopes that broadcast.",
    32 Requantize requantize "requantize" "Another scale, zero point, range or type.",
    33 Quantize quantize "quantize" "From float32 to quantized values.",
    34 Dequantize dequantize "dequantize" "From quantized values to float32.",
    35 Cast cast "cast" "Another element type.",
    36 Sqrt sqrt "sqrt" "Square roots of quantized int16 values.",
    37 Function function "function" "A function of one number.",
}
