//! The C structures that TFLite shares with delegates, field by field.
//!
//! These are the layouts of `tensorflow/lite/core/c/common.h`, which hosts and classic delegates
//! must agree on. They only ever grew at the end: [`Registration`] and [`DelegateHead`] are what
//! all versions since TFLite 2.3 have, [`FullRegistration`] and [`FullDelegate`] what 2.14 to 2.17
//! read. Of [`Context`] the fields that a delegate needs are named.

pub mod parameters;

use std::ffi::{c_char, c_int, c_void};

/// `TfLiteStatus`: everything went well.
pub const OK: c_int = 0;
/// `TfLiteStatus`: the runtime failed.
pub const ERROR: c_int = 1;

/// `TfLiteIntArray`: a length, and that many integers after it.
#[repr(C)]
#[derive(Debug)]
pub struct IntArray {
    /// How many integers follow.
    pub size: c_int,
    /// The first of them.
    pub data: [c_int; 0],
}

impl IntArray {
    /// The integers; none for a null pointer.
    ///
    /// # Safety
    /// `array` is null, or points at a `TfLiteIntArray` that nobody changes during `'a`.
    pub unsafe fn as_slice<'a>(array: *const Self) -> &'a [c_int] {
        if array.is_null() {
            return &[];
        }
        // SAFETY: not null, so that the caller vouches for the header and the integers after it.
        // The pointer to them is computed from `array`, not from a reference to the header alone.
        unsafe {
            let length = usize::try_from((*array).size).unwrap_or(0);
            std::slice::from_raw_parts((&raw const (*array).data).cast(), length)
        }
    }
}

/// `TfLiteFloatArray`: a length, and that many floats after it.
#[repr(C)]
#[derive(Debug)]
pub struct FloatArray {
    /// How many floats follow.
    pub size: c_int,
    /// The first of them.
    pub data: [f32; 0],
}

impl FloatArray {
    /// The floats; none for a null pointer.
    ///
    /// # Safety
    /// `array` is null, or points at a `TfLiteFloatArray` that nobody changes during `'a`.
    pub unsafe fn as_slice<'a>(array: *const Self) -> &'a [f32] {
        if array.is_null() {
            return &[];
        }
        // SAFETY: as for the integers above.
        unsafe {
            let length = usize::try_from((*array).size).unwrap_or(0);
            std::slice::from_raw_parts((&raw const (*array).data).cast(), length)
        }
    }
}

/// `TfLiteQuantizationParams`: scale 0 where a tensor is not quantized.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct QuantizationParams {
    /// Real value of one step.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
}

/// `TfLiteQuantization`: kind 1 has parameters of type [`AffineQuantization`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TensorQuantization {
    /// 0: none, 1: affine.
    pub kind: c_int,
    /// An [`AffineQuantization`] where kind is 1.
    pub params: *const c_void,
}

/// `TfLiteAffineQuantization`: one scale and zero point for all, or one for each channel.
#[repr(C)]
#[derive(Debug)]
pub struct AffineQuantization {
    /// One scale per channel, or a single one.
    pub scale: *const FloatArray,
    /// As many zero points.
    pub zero_point: *const IntArray,
    /// The dimension that channels are along.
    pub quantized_dimension: i32,
}

/// `TfLiteTensor`.
#[repr(C)]
#[derive(Debug)]
pub struct Tensor {
    /// `TfLiteType`.
    pub dtype: c_int,
    /// The elements.
    pub data: *mut c_void,
    /// Dimensions.
    pub dims: *mut IntArray,
    /// Scale and zero point.
    pub params: QuantizationParams,
    /// `TfLiteAllocationType`.
    pub allocation_type: c_int,
    /// Size of the elements in bytes.
    pub bytes: usize,
    /// The mapping that holds the elements.
    pub allocation: *const c_void,
    /// Name, ended by 0.
    pub name: *const c_char,
    /// The delegate that holds the elements, or null.
    pub delegate: *mut DelegateHead,
    /// Their place in it.
    pub buffer_handle: c_int,
    /// Whether the delegate's copy is newer.
    pub data_is_stale: bool,
    /// Whether the tensor lasts between runs.
    pub is_variable: bool,
    /// Quantization, per channel too.
    pub quantization: TensorQuantization,
    /// Sparsity.
    pub sparsity: *mut c_void,
    /// Dimensions as in the file, -1 where open.
    pub dims_signature: *const IntArray,
}

/// `TfLiteNode`, as far as all versions have it.
#[repr(C)]
#[derive(Debug)]
pub struct Node {
    /// Indices of input tensors.
    pub inputs: *mut IntArray,
    /// Indices of output tensors.
    pub outputs: *mut IntArray,
    /// Indices of intermediate tensors.
    pub intermediates: *mut IntArray,
    /// Indices of temporary tensors.
    pub temporaries: *mut IntArray,
    /// What `init` returned.
    pub user_data: *mut c_void,
    /// Parameters of a builtin operator.
    pub builtin_data: *mut c_void,
    /// Options of a custom operator.
    pub custom_initial_data: *const c_void,
    /// Their length in bytes.
    pub custom_initial_data_size: c_int,
    /// The delegate that the node belongs to, or null.
    pub delegate: *mut DelegateHead,
}

/// `TfLiteContext`, up to the functions that delegates call.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    /// Number of tensors.
    pub tensors_size: usize,
    /// Indices of all nodes in the order of execution.
    pub get_execution_plan: Option<unsafe extern "C" fn(*mut Self, *mut *mut IntArray) -> c_int>,
    /// All tensors.
    pub tensors: *mut Tensor,
    /// TFLite's own.
    pub inner: *mut c_void,
    /// Gives a tensor another shape; the array is TFLite's from then on, who frees it with `free`.
    pub resize_tensor: Option<unsafe extern "C" fn(*mut Self, *mut Tensor, *mut IntArray) -> c_int>,
    /// Reports a failure; variadic.
    pub report_error: Option<unsafe extern "C" fn(*mut Self, *const c_char, ...)>,
    /// Adds tensors.
    pub add_tensors: *const c_void,
    /// A node and its registration by index.
    pub get_node_and_registration: Option<
        unsafe extern "C" fn(*mut Self, c_int, *mut *mut Node, *mut *mut Registration) -> c_int,
    >,
    /// Gives nodes to a delegate. The registration is passed by value, with the size that the
    /// caller knows; see [`ReplaceNodes`] and [`ReplaceNodesFull`].
    pub replace_nodes: *const c_void,
    /// How many threads kernels should use; -1 says that the host has no opinion.
    pub recommended_threads: c_int,
    /// Gives contexts of other kinds.
    pub external_context: *const c_void,
    /// Takes contexts of other kinds.
    pub set_external_context: *const c_void,
    /// Whether float32 may be computed in float16.
    pub allow_float16: bool,
    /// The profiler, or null.
    pub profiler: *mut c_void,
    /// Allocates for as long as the interpreter lives.
    pub allocate_persistent: *const c_void,
    /// Allocates for one run.
    pub allocate_for_run: *const c_void,
    /// Asks for scratch memory.
    pub request_scratch: *const c_void,
    /// Gives scratch memory.
    pub scratch: *const c_void,
    /// Gives a tensor another shape, which is copied.
    pub resize_tensor_explicit: *const c_void,
    /// Which kernels would result from giving these nodes to a delegate: an array of parameters,
    /// which the context owns, and its length.
    pub preview_partitioning: Option<
        unsafe extern "C" fn(
            *mut Self,
            *const IntArray,
            *mut *mut DelegateParams,
            *mut c_int,
        ) -> c_int,
    >,
}

/// `ReplaceNodeSubsetsWithDelegateKernels` as delegates of the older layout call it.
pub type ReplaceNodes =
    unsafe extern "C" fn(*mut Context, Registration, *const IntArray, *mut DelegateHead) -> c_int;

/// `ReplaceNodeSubsetsWithDelegateKernels` as current hosts define it.
pub type ReplaceNodesFull = unsafe extern "C" fn(
    *mut Context,
    FullRegistration,
    *const IntArray,
    *mut DelegateHead,
) -> c_int;

/// `TfLiteRegistration` as of TFLite 2.3 to 2.8, and the beginning of all later ones.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// Makes the kernel's state; for delegates the buffer is a [`DelegateParams`].
    pub init: Option<unsafe extern "C" fn(*mut Context, *const c_char, usize) -> *mut c_void>,
    /// Frees it.
    pub free: Option<unsafe extern "C" fn(*mut Context, *mut c_void)>,
    /// Shapes are known.
    pub prepare: Option<unsafe extern "C" fn(*mut Context, *mut Node) -> c_int>,
    /// Computes.
    pub invoke: Option<unsafe extern "C" fn(*mut Context, *mut Node) -> c_int>,
    /// A name for profiles.
    pub profiling_string: *const c_void,
    /// `BuiltinOperator`.
    pub builtin_code: i32,
    /// Name of a custom operator.
    pub custom_name: *const c_char,
    /// Version of the operator.
    pub version: c_int,
}

/// `TfLiteRegistration` as of TFLite 2.14 to 2.17.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FullRegistration {
    /// What all versions have.
    pub common: Registration,
    /// The registration of a host's own kind, or null.
    pub registration_external: *const c_void,
    /// An asynchronous kernel, or null.
    pub async_kernel: *const c_void,
    /// Which outputs may share the memory of inputs.
    pub inplace_operator: u64,
}

/// `TfLiteDelegateParams`: what a delegate's kernel is made of.
#[repr(C)]
#[derive(Debug)]
pub struct DelegateParams {
    /// The delegate.
    pub delegate: *mut DelegateHead,
    /// The nodes that the kernel stands for.
    pub nodes_to_replace: *mut IntArray,
    /// Tensors that come from outside of them.
    pub input_tensors: *mut IntArray,
    /// Tensors that go out of them.
    pub output_tensors: *mut IntArray,
}

/// `Prepare` of a delegate.
pub type PrepareDelegate = unsafe extern "C" fn(*mut Context, *mut DelegateHead) -> c_int;
/// `CopyFromBufferHandle` and `CopyToBufferHandle` of a delegate.
pub type CopyBuffer =
    unsafe extern "C" fn(*mut Context, *mut DelegateHead, c_int, *mut Tensor) -> c_int;
/// `FreeBufferHandle` of a delegate.
pub type FreeBuffer = unsafe extern "C" fn(*mut Context, *mut DelegateHead, *mut c_int);

/// `TfLiteDelegate` as of TFLite 2.3 to 2.9, and the beginning of all later ones.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct DelegateHead {
    /// The delegate's own.
    pub data: *mut c_void,
    /// Claims nodes; null for delegates of the opaque kind.
    pub prepare: Option<PrepareDelegate>,
    /// Copies a buffer of the delegate to a tensor.
    pub copy_from_buffer: Option<CopyBuffer>,
    /// Copies a tensor to a buffer of the delegate.
    pub copy_to_buffer: Option<CopyBuffer>,
    /// Frees a buffer of the delegate.
    pub free_buffer: Option<FreeBuffer>,
    /// `TfLiteDelegateFlags`; 1 allows tensors of dynamic size.
    pub flags: i64,
}

/// `TfLiteDelegate` as of TFLite 2.10 and later.
#[repr(C)]
#[derive(Debug)]
pub struct FullDelegate {
    /// What all versions have.
    pub head: DelegateHead,
    /// The builder of an opaque delegate, or null for classic ones.
    pub opaque_delegate_builder: *const c_void,
}
