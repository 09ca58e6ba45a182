//! Stands in for `libedgetpu` where no device is: claims `edgetpu-custom-op` and computes what the
//! device would, by running the model that was compiled for it, the CPU twin, inside of TFLite.
//!
//! Loaded at run time, as the real library is. It has the six functions of `edgetpu_c.h` and the
//! pair of external delegates, and takes the real options' names without effect, and of its own:
//!
//! | option | effect |
//! | --- | --- |
//! | `Simulated.Twin` | path of the CPU twin, required |
//! | `Simulated.Library` | path of TFLite's library |
//! | `Simulated.Layout` | `current`, or `old`: structures as of TFLite 2.5 |
//! | `Simulated.Fail` | `create`, `prepare`, or `invoke:N`: fails in the run N, from 0 |
//!
//! It tests how delegates are loaded and called. It says nothing of the device's arithmetic or
//! speed.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use systole_tflite::{
    Interpreter, Library, Model, Options,
    sys::{
        self, Context, DelegateHead, DelegateParams, FullDelegate, FullRegistration, IntArray,
        Node, Registration, ReplaceNodes, ReplaceNodesFull,
    },
};

const OPERATOR: &CStr = c"edgetpu-custom-op";

/// `edgetpu_device`.
#[repr(C)]
#[derive(Debug)]
pub struct Device {
    kind: c_int,
    path: *const c_char,
}

/// `edgetpu_option`.
#[repr(C)]
#[derive(Debug)]
pub struct EdgeTpuOption {
    name: *const c_char,
    value: *const c_char,
}

/// What the delegate's kernels know of it.
struct State {
    options: HashMap<String, String>,
    runs: AtomicUsize,
}

/// The delegate and, behind it, what a reader of a larger structure must not find.
#[repr(C)]
struct Old {
    head: DelegateHead,
    garbage: [u8; 64],
}

/// How many devices are pretended, PCI and USB: `SIMULATED_EDGETPU_DEVICES`, else one and two.
fn devices() -> (usize, usize) {
    let text = std::env::var("SIMULATED_EDGETPU_DEVICES").unwrap_or_default();
    let counts = text.split_once(',').and_then(|(pci, usb)| {
        Some((pci.trim().parse::<u8>().ok()?, usb.trim().parse::<u8>().ok()?))
    });
    counts.map_or((1, 2), |(pci, usb)| (pci.into(), usb.into()))
}

/// Lists the devices.
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgetpu_list_devices(count: *mut usize) -> *mut Device {
    let (pci, usb) = devices();
    let pci = (0..pci).map(|index| (0, format!("/dev/apex_{index}")));
    let usb = (0..usb).map(|index| (1, format!("/sys/bus/usb/devices/2-{index}")));
    let device =
        |(kind, path)| Device { kind, path: CString::new(path).unwrap_or_default().into_raw() };
    // The last one has no path: `edgetpu_free_devices` is not told how many there are.
    let end = Device { kind: 0, path: ptr::null() };
    let devices: Vec<Device> = pci.chain(usb).map(device).chain([end]).collect();
    // SAFETY: by the caller.
    unsafe { *count = devices.len() - 1 };
    if devices.len() == 1 {
        return ptr::null_mut();
    }
    Box::into_raw(devices.into_boxed_slice()).cast()
}

/// Frees a list.
///
/// # Safety
/// `devices` is null or what [`edgetpu_list_devices`] returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgetpu_free_devices(devices: *mut Device) {
    if devices.is_null() {
        return;
    }
    let mut length = 0;
    // SAFETY: the list ends with a device without a path, and was a box of that length.
    unsafe {
        while !(*devices.add(length)).path.is_null() {
            drop(CString::from_raw((*devices.add(length)).path.cast_mut()));
            length += 1;
        }
        drop(Box::from_raw(ptr::slice_from_raw_parts_mut(devices, length + 1)));
    }
}

/// Makes a delegate; null where `path` is no device.
///
/// # Safety
/// `path` is null or a C text, `options` has `count` options of C texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgetpu_create_delegate(
    kind: c_int,
    path: *const c_char,
    options: *const EdgeTpuOption,
    count: usize,
) -> *mut DelegateHead {
    // SAFETY: by the caller.
    let (path, pairs) = unsafe {
        let path = if path.is_null() { String::new() } else { text(path) };
        let pair = |index| {
            let option: &EdgeTpuOption = &*options.add(index);
            (text(option.name), text(option.value))
        };
        (path, (0..count).map(pair).collect())
    };
    let there = match kind {
        0 => path.is_empty() || path.starts_with("/dev/apex_"),
        _ => path.is_empty() || path.starts_with("/sys/bus/usb/"),
    };
    if there { create(pairs) } else { ptr::null_mut() }
}

/// Frees a delegate.
///
/// # Safety
/// `delegate` is null or one that this library made, and not in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edgetpu_free_delegate(delegate: *mut DelegateHead) {
    if delegate.is_null() {
        return;
    }
    // SAFETY: made by `create`: one of two boxes, told apart by the options of its state.
    unsafe {
        let state = Box::from_raw((*delegate).data.cast::<State>());
        match is_old(&state) {
            true => drop(Box::from_raw(delegate.cast::<Old>())),
            false => drop(Box::from_raw(delegate.cast::<FullDelegate>())),
        }
    }
}

/// Takes any level; nothing is ever printed.
#[unsafe(no_mangle)]
pub extern "C" fn edgetpu_verbosity(_: c_int) {}

/// Says that this is no real library.
#[unsafe(no_mangle)]
pub extern "C" fn edgetpu_version() -> *const c_char {
    c"Simulated, RuntimeVersion(14)".as_ptr()
}

/// Makes a delegate for the first device.
///
/// # Safety
/// `keys` and `values` have `count` C texts each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tflite_plugin_create_delegate(
    keys: *const *const c_char,
    values: *const *const c_char,
    count: usize,
    report: Option<unsafe extern "C" fn(*const c_char)>,
) -> *mut DelegateHead {
    let refuse = |why: &CStr| {
        if let Some(report) = report {
            // SAFETY: a C text that lasts for the call.
            unsafe { report(why.as_ptr()) }
        }
        ptr::null_mut()
    };
    if devices() == (0, 0) {
        return refuse(c"no Edge TPU is attached");
    }
    // SAFETY: by the caller.
    let pair = |index| unsafe { (text(*keys.add(index)), text(*values.add(index))) };
    let delegate = create((0..count).map(pair).collect());
    if delegate.is_null() { refuse(c"an option is not known") } else { delegate }
}

/// Frees a delegate.
///
/// # Safety
/// As [`edgetpu_free_delegate`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tflite_plugin_destroy_delegate(delegate: *mut DelegateHead) {
    // SAFETY: by the caller.
    unsafe { edgetpu_free_delegate(delegate) }
}

fn is_old(state: &State) -> bool {
    state.options.get("Simulated.Layout").is_some_and(|layout| layout == "old")
}

fn create(options: HashMap<String, String>) -> *mut DelegateHead {
    let known = |name: &String| {
        name.starts_with("Simulated.")
            || name.starts_with("Usb.")
            || ["Performance", "device"].contains(&name.as_str())
    };
    let fails = options.get("Simulated.Fail").is_some_and(|fail| fail == "create");
    if fails || !options.keys().all(known) {
        return ptr::null_mut();
    }
    let state = State { options, runs: AtomicUsize::new(0) };
    let old = is_old(&state);
    let head = DelegateHead {
        data: Box::into_raw(Box::new(state)).cast(),
        prepare: Some(prepare),
        copy_from_buffer: None,
        copy_to_buffer: None,
        free_buffer: None,
        flags: 1,
    };
    match old {
        true => Box::into_raw(Box::new(Old { head, garbage: [0xA5; 64] })).cast(),
        false => {
            let full = FullDelegate { head, opaque_delegate_builder: ptr::null() };
            Box::into_raw(Box::new(full)).cast()
        }
    }
}

/// Claims every node that is compiled for the device.
unsafe extern "C" fn prepare(context: *mut Context, delegate: *mut DelegateHead) -> c_int {
    // SAFETY: TFLite calls with a valid context, and the delegate, or one with the same data.
    unsafe {
        let state = &*(*delegate).data.cast::<State>();
        if state.options.get("Simulated.Fail").is_some_and(|fail| fail == "prepare") {
            return sys::ERROR;
        }
        let (Some(plan_of), Some(node_of)) =
            ((*context).get_execution_plan, (*context).get_node_and_registration)
        else {
            return sys::ERROR;
        };
        let mut plan = ptr::null_mut();
        if plan_of(context, &raw mut plan) != sys::OK {
            return sys::ERROR;
        }
        // A length, and the nodes: the layout of `TfLiteIntArray`.
        let mut claimed: Vec<c_int> = vec![0];
        for &index in IntArray::as_slice(plan) {
            let (mut node, mut registration) = (ptr::null_mut(), ptr::null_mut());
            if node_of(context, index, &raw mut node, &raw mut registration) != sys::OK {
                return sys::ERROR;
            }
            let name = (*registration).custom_name;
            if !name.is_null() && CStr::from_ptr(name) == OPERATOR {
                claimed.push(index);
            }
        }
        claimed[0] = c_int::try_from(claimed.len() - 1).unwrap_or(0);
        let nodes = claimed.as_ptr().cast::<IntArray>();
        let common = Registration {
            init: Some(init),
            free: Some(free),
            prepare: Some(ready),
            invoke: Some(invoke),
            profiling_string: ptr::null(),
            builtin_code: 0,
            custom_name: OPERATOR.as_ptr(),
            version: 1,
        };
        let replace = (*context).replace_nodes;
        match is_old(state) {
            true => {
                let replace = std::mem::transmute::<*const c_void, ReplaceNodes>(replace);
                replace(context, common, nodes, delegate)
            }
            false => {
                let registration = FullRegistration {
                    common,
                    registration_external: ptr::null(),
                    async_kernel: ptr::null(),
                    inplace_operator: 0,
                };
                let replace = std::mem::transmute::<*const c_void, ReplaceNodesFull>(replace);
                replace(context, registration, nodes, delegate)
            }
        }
    }
}

/// A claimed node: the twin, ready to run.
struct Kernel {
    state: *const State,
    twin: Mutex<Interpreter>,
}

/// Null where the twin cannot be loaded, which `ready` then reports.
unsafe extern "C" fn init(_: *mut Context, params: *const c_char, _: usize) -> *mut c_void {
    let made = catch_unwind(|| {
        // SAFETY: TFLite gives the parameters of a delegate's kernel, whose delegate has our data.
        let state = unsafe {
            let params = &*params.cast::<DelegateParams>();
            (*params.delegate).data.cast::<State>().cast_const()
        };
        // SAFETY: the delegate outlives its kernels.
        let options = unsafe { &(*state).options };
        let library = options.get("Simulated.Library").map(PathBuf::from);
        let library = Library::load(library.as_deref()).ok()?;
        let model = Model::from_file(&library, options.get("Simulated.Twin")?.as_ref()).ok()?;
        let twin = Interpreter::new(&model, Options::default()).ok()?;
        Some(Box::into_raw(Box::new(Kernel { state, twin: Mutex::new(twin) })))
    });
    made.ok().flatten().unwrap_or(ptr::null_mut()).cast()
}

unsafe extern "C" fn free(_: *mut Context, kernel: *mut c_void) {
    if !kernel.is_null() {
        // SAFETY: what `init` made, freed once.
        drop(unsafe { Box::from_raw(kernel.cast::<Kernel>()) });
    }
}

unsafe extern "C" fn ready(_: *mut Context, node: *mut Node) -> c_int {
    // SAFETY: TFLite calls with the node whose kernel `init` made.
    if unsafe { (*node).user_data.is_null() } { sys::ERROR } else { sys::OK }
}

unsafe extern "C" fn invoke(context: *mut Context, node: *mut Node) -> c_int {
    // SAFETY: as in `ready`; the node's tensors are the context's during the call.
    let done = catch_unwind(AssertUnwindSafe(|| unsafe { run(context, node) }));
    if done.ok().flatten().is_some() { sys::OK } else { sys::ERROR }
}

/// Runs the twin on the node's inputs; tensors belong together by name, since the compiler changes
/// their order.
///
/// # Safety
/// `node` is one of `context`, and its state a [`Kernel`].
unsafe fn run(context: *mut Context, node: *mut Node) -> Option<()> {
    // SAFETY: by the caller.
    let (kernel, inputs, outputs) = unsafe {
        let kernel = &*(*node).user_data.cast::<Kernel>();
        (kernel, IntArray::as_slice((*node).inputs), IntArray::as_slice((*node).outputs))
    };
    // SAFETY: the delegate outlives its kernels.
    let state = unsafe { &*kernel.state };
    let run = state.runs.fetch_add(1, Ordering::SeqCst);
    if state.options.get("Simulated.Fail").is_some_and(|fail| *fail == format!("invoke:{run}")) {
        return None;
    }
    let mut twin = kernel.twin.lock().ok()?;
    // SAFETY: the tensors are the context's, and there are as many bytes as they say.
    let tensor = |index: c_int| unsafe {
        let tensor = (*context).tensors.add(usize::try_from(index).ok()?);
        let state = (*tensor).is_variable;
        Some((text((*tensor).name), (*tensor).data.cast::<u8>(), (*tensor).bytes, state))
    };
    // Each run starts from the beginning: the node's own state is not the twin's.
    twin.reset_state().ok()?;
    for &index in inputs {
        let (name, data, length, state) = tensor(index)?;
        if state {
            continue;
        }
        let named = |&at: &usize| twin.input(at).is_ok_and(|tensor| tensor.name() == name);
        let at = (0..twin.input_count()).find(named)?;
        let mut input = twin.input_mut(at).ok()?;
        // SAFETY: an input of the node holds as many bytes as it says.
        let bytes = unsafe { std::slice::from_raw_parts(data, length) };
        let to = input.bytes_mut().ok()?;
        if to.len() != bytes.len() {
            return None;
        }
        to.copy_from_slice(bytes);
    }
    twin.invoke().ok()?;
    for &index in outputs {
        let (name, data, length, _) = tensor(index)?;
        let mut all = (0..twin.output_count()).filter_map(|at| twin.output(at).ok());
        let output = all.find(|tensor| tensor.name() == name)?;
        let bytes = output.bytes().ok()?;
        if bytes.len() != length {
            return None;
        }
        // SAFETY: an output of the node has room for as many bytes as it says.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data, length) };
    }
    Some(())
}

/// # Safety
/// `text` is a C text.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
