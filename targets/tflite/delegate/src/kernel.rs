//! The kernel that stands for a part of the graph: TFLite's four callbacks.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
};

use systole_tflite::sys::{
    self, Context, DelegateParams, FullRegistration, Node as RawNode, Registration,
};

use crate::{
    claim::State,
    encode::{Network, Shapes},
    guard::{Result, caught, status},
    host::{Host, Partition},
    options::Options,
    part::Part,
};

/// The state of a kernel.
struct Kernel {
    network: Network,
    /// The tensors that TFLite gives.
    given: Vec<c_int>,
    options: Options,
    part: Part,
}

/// The kernels' registration, of the full size.
pub(crate) fn registration() -> FullRegistration {
    FullRegistration {
        common: Registration {
            init: Some(init),
            free: Some(free),
            prepare: Some(prepare),
            invoke: Some(invoke),
            profiling_string: ptr::null(),
            builtin_code: 0,
            custom_name: c"SystoleDelegate".as_ptr(),
            version: 1,
        },
        registration_external: ptr::null(),
        async_kernel: ptr::null(),
        inplace_operator: 0,
    }
}

/// Null where the part cannot be made, which `prepare` then reports.
unsafe extern "C" fn init(context: *mut Context, params: *const c_char, _: usize) -> *mut c_void {
    // SAFETY: the context of this callback.
    let host = unsafe { Host::new(context) };
    let made = caught(|| {
        let params = params.cast::<DelegateParams>();
        // SAFETY: TFLite passes the parameters of a delegate's kernel, whose delegate is ours, or one
        // with the same data.
        let (state, partition) = unsafe {
            let state = &*(*(*params).delegate).data.cast::<State>();
            (state, Partition::read(params))
        };
        let (network, part) = state.part(host, &partition)?;
        let (given, options) = (partition.inputs, state.options.clone());
        Ok(Box::into_raw(Box::new(Kernel { network, given, options, part })))
    });
    match made {
        Ok(kernel) => kernel.cast(),
        Err(problem) => {
            host.report(&problem);
            ptr::null_mut()
        }
    }
}

unsafe extern "C" fn free(_: *mut Context, kernel: *mut c_void) {
    let _ = caught(|| {
        if !kernel.is_null() {
            // SAFETY: what `init` made, freed once.
            drop(unsafe { Box::from_raw(kernel.cast::<Kernel>()) });
        }
        Ok(())
    });
}

unsafe extern "C" fn prepare(context: *mut Context, node: *mut RawNode) -> c_int {
    // SAFETY: the context of this callback.
    let host = unsafe { Host::new(context) };
    status(host, || {
        // SAFETY: the node of a kernel of ours.
        let kernel = unsafe { state(node) }?;
        if !kernel.part.fits(host)? {
            // Constants that were made of shapes of other parts would not be known.
            let given = |input: &c_int| kernel.given.contains(input);
            if !kernel.network.inputs.iter().all(given) {
                return Err("a graph that computes with shapes cannot be resized".to_owned());
            }
            let (network, shapes) = (&kernel.network, Shapes::new());
            kernel.part = Part::new(host, network, &shapes, &kernel.options)?;
        }
        kernel.part.shape_outputs(host)
    })
}

unsafe extern "C" fn invoke(context: *mut Context, node: *mut RawNode) -> c_int {
    // SAFETY: the context of this callback.
    let host = unsafe { Host::new(context) };
    status(host, || {
        // SAFETY: the node of a kernel of ours, which TFLite runs; it does not run others meanwhile.
        unsafe {
            let kernel = state(node)?;
            kernel.part.run(host, &kernel.given)
        }
    })
}

/// # Safety
/// `node` is one of our kernels, and nobody else uses its state.
unsafe fn state<'k>(node: *mut RawNode) -> Result<&'k mut Kernel> {
    // SAFETY: by the caller; the state is what `init` made, or null.
    unsafe { (*node).user_data.cast::<Kernel>().as_mut() }
        .ok_or_else(|| "the part of the graph was not prepared".to_owned())
}

/// `Prepare` of the delegate.
pub(crate) unsafe extern "C" fn prepare_delegate(
    context: *mut Context,
    delegate: *mut sys::DelegateHead,
) -> c_int {
    // SAFETY: the context of this callback.
    let host = unsafe { Host::new(context) };
    status(host, || {
        // SAFETY: TFLite passes the delegate that it was given: ours, or one with the same data.
        let state = unsafe { &*(*delegate).data.cast::<State>() };
        state.claim(host, delegate)
    })
}
