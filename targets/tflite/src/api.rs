//! The functions of TFLite's C API that are used, resolved all at once.

use std::ffi::{c_char, c_int, c_void};

use crate::{
    error::Failure,
    sys::{self, QuantizationParams, TensorQuantization},
};

/// `TfLiteModel`.
pub(crate) enum RawModel {}
/// `TfLiteInterpreterOptions`.
pub(crate) enum RawOptions {}
/// `TfLiteInterpreter`.
pub(crate) enum RawInterpreter {}
/// `TfLiteSignatureRunner`.
pub(crate) enum RawSignature {}

/// Called by TFLite with a format and a `va_list`, which is passed as a pointer by all supported
/// conventions.
pub(crate) type Reporter = unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void);

/// `TfLiteXNNPackDelegateOptions`, with room to grow: the library writes as much as it knows.
#[repr(C)]
pub(crate) struct XnnpackOptions {
    pub(crate) num_threads: i32,
    rest: [u64; 63],
}

macro_rules! api {
    (
        required: { $($name:ident = $symbol:literal: fn($($arg:ty),*) $(-> $ret:ty)?;)* }
        optional: { $($maybe:ident = $other:literal: fn($($oarg:ty),*) $(-> $oret:ty)?;)* }
    ) => {
        /// Functions of one TFLite library.
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
            $(pub(crate) $maybe: Option<unsafe extern "C" fn($($oarg),*) $(-> $oret)?>,)*
            /// Keeps the functions where they are.
            _library: libloading::Library,
        }

        impl Api {
            /// Resolves everything.
            pub(crate) fn resolve(library: libloading::Library) -> Result<Self, Failure> {
                let mut missing = Vec::new();
                $(
                    // SAFETY: the type is the function's in TFLite's C headers; a library that
                    // exports its name is trusted to be TFLite.
                    let $name = unsafe {
                        library.get::<unsafe extern "C" fn($($arg),*) $(-> $ret)?>($symbol.as_bytes())
                    };
                    let $name = $name.map(|symbol| *symbol).ok();
                    if $name.is_none() {
                        missing.push($symbol);
                    }
                )*
                $(
                    // SAFETY: as above.
                    let $maybe = unsafe {
                        library.get::<unsafe extern "C" fn($($oarg),*) $(-> $oret)?>($other.as_bytes())
                    };
                    let $maybe = $maybe.map(|symbol| *symbol).ok();
                )*
                match ($($name,)*) {
                    ($(Some($name),)*) => Ok(Self { $($name,)* $($maybe,)* _library: library }),
                    _ => Err(Failure::MissingSymbols(missing)),
                }
            }
        }
    };
}

// Match patterns of tuples have no limit of length; only traits of tuples do.
api! {
    required: {
        version = "TfLiteVersion": fn() -> *const c_char;
        model_create = "TfLiteModelCreate": fn(*const c_void, usize) -> *mut RawModel;
        model_delete = "TfLiteModelDelete": fn(*mut RawModel);
        options_create = "TfLiteInterpreterOptionsCreate": fn() -> *mut RawOptions;
        options_delete = "TfLiteInterpreterOptionsDelete": fn(*mut RawOptions);
        options_threads = "TfLiteInterpreterOptionsSetNumThreads": fn(*mut RawOptions, i32);
        options_delegate = "TfLiteInterpreterOptionsAddDelegate":
            fn(*mut RawOptions, *mut sys::DelegateHead);
        options_reporter = "TfLiteInterpreterOptionsSetErrorReporter":
            fn(*mut RawOptions, Reporter, *mut c_void);
        create = "TfLiteInterpreterCreate":
            fn(*const RawModel, *const RawOptions) -> *mut RawInterpreter;
        delete = "TfLiteInterpreterDelete": fn(*mut RawInterpreter);
        input_count = "TfLiteInterpreterGetInputTensorCount": fn(*const RawInterpreter) -> i32;
        input = "TfLiteInterpreterGetInputTensor":
            fn(*const RawInterpreter, i32) -> *mut sys::Tensor;
        output_count = "TfLiteInterpreterGetOutputTensorCount": fn(*const RawInterpreter) -> i32;
        output = "TfLiteInterpreterGetOutputTensor":
            fn(*const RawInterpreter, i32) -> *const sys::Tensor;
        resize_input = "TfLiteInterpreterResizeInputTensor":
            fn(*mut RawInterpreter, i32, *const c_int, i32) -> c_int;
        allocate = "TfLiteInterpreterAllocateTensors": fn(*mut RawInterpreter) -> c_int;
        invoke = "TfLiteInterpreterInvoke": fn(*mut RawInterpreter) -> c_int;
        tensor_type = "TfLiteTensorType": fn(*const sys::Tensor) -> c_int;
        tensor_dims = "TfLiteTensorNumDims": fn(*const sys::Tensor) -> i32;
        tensor_dim = "TfLiteTensorDim": fn(*const sys::Tensor, i32) -> i32;
        tensor_bytes = "TfLiteTensorByteSize": fn(*const sys::Tensor) -> usize;
        tensor_data = "TfLiteTensorData": fn(*const sys::Tensor) -> *mut c_void;
        tensor_name = "TfLiteTensorName": fn(*const sys::Tensor) -> *const c_char;
        tensor_params = "TfLiteTensorQuantizationParams":
            fn(*const sys::Tensor) -> QuantizationParams;
    }
    optional: {
        model_create_reporting = "TfLiteModelCreateWithErrorReporter":
            fn(*const c_void, usize, Reporter, *mut c_void) -> *mut RawModel;
        tensor_at = "TfLiteInterpreterGetTensor":
            fn(*const RawInterpreter, c_int) -> *mut sys::Tensor;
        reset_variables = "TfLiteInterpreterResetVariableTensors":
            fn(*mut RawInterpreter) -> c_int;
        tensor_quantization = "TfLiteOpaqueTensorGetQuantization":
            fn(*const sys::Tensor) -> TensorQuantization;
        signature_count = "TfLiteInterpreterGetSignatureCount": fn(*const RawInterpreter) -> i32;
        signature_key = "TfLiteInterpreterGetSignatureKey":
            fn(*const RawInterpreter, i32) -> *const c_char;
        signature_create = "TfLiteInterpreterGetSignatureRunner":
            fn(*const RawInterpreter, *const c_char) -> *mut RawSignature;
        signature_delete = "TfLiteSignatureRunnerDelete": fn(*mut RawSignature);
        signature_inputs = "TfLiteSignatureRunnerGetInputCount": fn(*const RawSignature) -> usize;
        signature_input_name = "TfLiteSignatureRunnerGetInputName":
            fn(*const RawSignature, i32) -> *const c_char;
        signature_input = "TfLiteSignatureRunnerGetInputTensor":
            fn(*mut RawSignature, *const c_char) -> *mut sys::Tensor;
        signature_outputs = "TfLiteSignatureRunnerGetOutputCount":
            fn(*const RawSignature) -> usize;
        signature_output_name = "TfLiteSignatureRunnerGetOutputName":
            fn(*const RawSignature, i32) -> *const c_char;
        signature_output = "TfLiteSignatureRunnerGetOutputTensor":
            fn(*const RawSignature, *const c_char) -> *const sys::Tensor;
        signature_allocate = "TfLiteSignatureRunnerAllocateTensors":
            fn(*mut RawSignature) -> c_int;
        signature_invoke = "TfLiteSignatureRunnerInvoke": fn(*mut RawSignature) -> c_int;
        xnnpack_options = "TfLiteXNNPackDelegateOptionsDefault": fn() -> XnnpackOptions;
        xnnpack_create = "TfLiteXNNPackDelegateCreate":
            fn(*const XnnpackOptions) -> *mut sys::DelegateHead;
        xnnpack_delete = "TfLiteXNNPackDelegateDelete": fn(*mut sys::DelegateHead);
    }
}
