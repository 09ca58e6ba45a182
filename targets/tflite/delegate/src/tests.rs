//! The delegate in a host made here, which has what TFLite's structures have and no more: a graph
//! `y = relu(x + c)` of floats. What TFLite itself does with it is in `tests/tests/delegate.rs`.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    ptr,
};

use systole_tflite::sys::{
    self, Context, DelegateHead, DelegateParams, FullRegistration, IntArray, Node,
    QuantizationParams, Registration, ReplaceNodesFull, Tensor, TensorQuantization,
    parameters::Add,
};
use tract_tflite::tflite::BuiltinOperator;

use crate::{tflite_plugin_create_delegate, tflite_plugin_destroy_delegate};

/// The tensors.
const X: usize = 0;
const C: usize = 1;
const SUM: usize = 2;
const Y: usize = 3;

const FLOAT32: c_int = 1;
const READ_ONLY: c_int = 1;
const ARENA: c_int = 2;

/// What the fake graph is made of; the context points back at it.
struct Fake {
    context: Context,
    tensors: Vec<Tensor>,
    /// Length and numbers of each tensor's dimensions.
    dims: Vec<Vec<c_int>>,
    data: Vec<Vec<f32>>,
    nodes: Vec<(Node, Registration)>,
    /// Arrays that the structures above point at.
    _arrays: Vec<Vec<c_int>>,
    _add: Box<Add>,
    plan: Vec<c_int>,
    /// The kernel that the delegate gave, its parameters, and its node.
    kernel: Option<(FullRegistration, Node)>,
    claimed: Vec<c_int>,
    params: DelegateParams,
    _param_arrays: [Vec<c_int>; 3],
}

fn registration(code: BuiltinOperator) -> Registration {
    Registration {
        init: None,
        free: None,
        prepare: None,
        invoke: None,
        profiling_string: ptr::null(),
        builtin_code: code.0,
        custom_name: ptr::null(),
        version: 1,
    }
}

fn array(numbers: &[c_int]) -> Vec<c_int> {
    [&[numbers.len() as c_int], numbers].concat()
}

fn node(inputs: *mut IntArray, outputs: *mut IntArray, builtin_data: *mut c_void) -> Node {
    Node {
        inputs,
        outputs,
        intermediates: ptr::null_mut(),
        temporaries: ptr::null_mut(),
        user_data: ptr::null_mut(),
        builtin_data,
        custom_initial_data: ptr::null(),
        custom_initial_data_size: 0,
        delegate: ptr::null_mut(),
    }
}

impl Fake {
    fn new() -> Box<Self> {
        let mut arrays: Vec<Vec<c_int>> =
            [&[0, 1][..], &[2], &[2], &[3]].map(array).into_iter().collect();
        let mut add = Box::new(Add { activation: 0, pot_scale_int16: false });
        let mut at = |index: usize| arrays[index].as_mut_ptr().cast::<IntArray>();
        let nodes = vec![
            (node(at(0), at(1), (&raw mut *add).cast()), registration(BuiltinOperator::ADD)),
            (node(at(2), at(3), ptr::null_mut()), registration(BuiltinOperator::RELU)),
        ];
        let mut param_arrays = [array(&[0, 1]), array(&[0, 1]), array(&[3])];
        let [nodes_to_replace, input_tensors, output_tensors] =
            param_arrays.each_mut().map(|array| array.as_mut_ptr().cast::<IntArray>());
        let delegate = ptr::null_mut();
        let params = DelegateParams { delegate, nodes_to_replace, input_tensors, output_tensors };
        let context = Context {
            tensors_size: 4,
            get_execution_plan: Some(get_plan),
            tensors: ptr::null_mut(),
            inner: ptr::null_mut(),
            resize_tensor: Some(resize),
            report_error: None,
            add_tensors: ptr::null(),
            get_node_and_registration: Some(get_node),
            replace_nodes: replace as ReplaceNodesFull as *const c_void,
            recommended_threads: -1,
            external_context: ptr::null(),
            set_external_context: ptr::null(),
            allow_float16: false,
            profiler: ptr::null_mut(),
            allocate_persistent: ptr::null(),
            allocate_for_run: ptr::null(),
            request_scratch: ptr::null(),
            scratch: ptr::null(),
            resize_tensor_explicit: ptr::null(),
            preview_partitioning: Some(preview),
        };
        let mut fake = Box::new(Self {
            context,
            tensors: Vec::new(),
            dims: vec![array(&[1, 3]); 4],
            data: vec![vec![0.0; 3]; 4],
            nodes,
            _arrays: arrays,
            _add: add,
            plan: array(&[0, 1]),
            kernel: None,
            claimed: Vec::new(),
            params,
            _param_arrays: param_arrays,
        });
        fake.data[C] = vec![1.0, -1.0, 0.5];
        for index in 0..4 {
            let tensor = fake.tensor(index);
            fake.tensors.push(tensor);
        }
        fake.context.tensors = fake.tensors.as_mut_ptr();
        fake.context.inner = (&raw mut *fake).cast();
        fake
    }

    fn tensor(&mut self, index: usize) -> Tensor {
        Tensor {
            dtype: FLOAT32,
            data: self.data[index].as_mut_ptr().cast(),
            dims: self.dims[index].as_mut_ptr().cast(),
            params: QuantizationParams { scale: 0.0, zero_point: 0 },
            allocation_type: if index == C { READ_ONLY } else { ARENA },
            bytes: size_of_val(&self.data[index][..]),
            allocation: ptr::null(),
            name: c"tensor".as_ptr(),
            delegate: ptr::null_mut(),
            buffer_handle: -1,
            data_is_stale: false,
            is_variable: false,
            quantization: TensorQuantization { kind: 0, params: ptr::null() },
            sparsity: ptr::null_mut(),
            dims_signature: ptr::null(),
        }
    }

    /// Gives a tensor another shape, with memory for it elsewhere.
    fn shape(&mut self, index: usize, shape: &[c_int]) {
        self.dims[index] = array(shape);
        self.data[index] = vec![0.0; shape.iter().product::<c_int>() as usize];
        let tensor = self.tensor(index);
        // Through the pointer that the context has.
        // SAFETY: it points at this fake's tensors.
        unsafe { *self.context.tensors.add(index) = tensor };
    }

    /// Lets a delegate with these options claim what it likes.
    fn delegate(&mut self, options: &[(&str, &str)]) -> (Delegate, c_int) {
        let delegate = Delegate::new(options).expect("the options are right");
        // SAFETY: a context with what the delegate uses, and the delegate.
        let status = unsafe {
            let prepare = (*delegate.0).prepare.expect("it has one");
            prepare(&raw mut self.context, delegate.0)
        };
        (delegate, status)
    }

    fn prepare(&mut self) -> c_int {
        let (registration, node) = self.kernel.as_mut().expect("a kernel was given");
        let prepare = registration.common.prepare.expect("it has one");
        // SAFETY: the kernel's node.
        unsafe { prepare(&raw mut self.context, node) }
    }

    fn invoke(&mut self) -> c_int {
        let (registration, node) = self.kernel.as_mut().expect("a kernel was given");
        let invoke = registration.common.invoke.expect("it has one");
        // SAFETY: the kernel's node.
        unsafe { invoke(&raw mut self.context, node) }
    }

    fn run(&mut self, x: &[f32]) -> Vec<f32> {
        self.data[X].copy_from_slice(x);
        assert_eq!(self.invoke(), sys::OK);
        self.data[Y].clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some((registration, node)) = &self.kernel {
            let free = registration.common.free.expect("it has one");
            // SAFETY: the state of the kernel, freed once.
            unsafe { free(&raw mut self.context, node.user_data) }
        }
    }
}

/// A delegate, destroyed in the end.
struct Delegate(*mut DelegateHead);

impl Delegate {
    fn new(options: &[(&str, &str)]) -> Option<Self> {
        let texts = |each: fn(&(&str, &str)) -> String| -> Vec<CString> {
            let texts = options.iter().map(each).map(|text| CString::new(text).expect("no zeros"));
            texts.collect()
        };
        let (keys, values) = (texts(|(key, _)| (*key).into()), texts(|(_, value)| (*value).into()));
        let pointers =
            |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
        let (keys, values) = (pointers(&keys), pointers(&values));
        // SAFETY: arrays of as many texts as there are options.
        let raw = unsafe {
            tflite_plugin_create_delegate(keys.as_ptr(), values.as_ptr(), options.len(), None)
        };
        (!raw.is_null()).then_some(Self(raw))
    }
}

impl Drop for Delegate {
    fn drop(&mut self) {
        // SAFETY: made by the same library, used by nobody any more.
        unsafe { tflite_plugin_destroy_delegate(self.0) }
    }
}

unsafe fn fake<'f>(context: *mut Context) -> &'f mut Fake {
    // SAFETY: contexts here point at their fakes.
    unsafe { &mut *(*context).inner.cast::<Fake>() }
}

unsafe extern "C" fn get_plan(context: *mut Context, plan: *mut *mut IntArray) -> c_int {
    // SAFETY: called by the delegate as TFLite's is.
    unsafe { *plan = fake(context).plan.as_mut_ptr().cast() };
    sys::OK
}

unsafe extern "C" fn get_node(
    context: *mut Context,
    index: c_int,
    node: *mut *mut Node,
    registration: *mut *mut Registration,
) -> c_int {
    // SAFETY: called by the delegate as TFLite's is.
    unsafe {
        let Some((own, of)) = fake(context).nodes.get_mut(index as usize) else {
            return sys::ERROR;
        };
        (*node, *registration) = (own, of);
    }
    sys::OK
}

/// One part of all nodes that are offered, where these are both.
unsafe extern "C" fn preview(
    context: *mut Context,
    nodes: *const IntArray,
    params: *mut *mut DelegateParams,
    count: *mut c_int,
) -> c_int {
    // SAFETY: called by the delegate as TFLite's is.
    unsafe {
        let both = IntArray::as_slice(nodes).len() == 2;
        (*params, *count) = (&raw mut fake(context).params, c_int::from(both));
    }
    sys::OK
}

unsafe extern "C" fn replace(
    context: *mut Context,
    registration: FullRegistration,
    nodes: *const IntArray,
    delegate: *mut DelegateHead,
) -> c_int {
    // SAFETY: called by the delegate as TFLite's is.
    unsafe {
        let fake = fake(context);
        fake.claimed = IntArray::as_slice(nodes).to_vec();
        fake.params.delegate = delegate;
        let init = registration.common.init.expect("it has one");
        let params = (&raw const fake.params).cast::<c_char>();
        let mut node = node(ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        node.user_data = init(context, params, 0);
        fake.kernel = Some((registration, node));
    }
    sys::OK
}

unsafe extern "C" {
    fn free(memory: *mut c_void);
}

unsafe extern "C" fn resize(
    context: *mut Context,
    tensor: *mut Tensor,
    dims: *mut IntArray,
) -> c_int {
    // SAFETY: called by the delegate as TFLite's is: the array was allocated for this.
    unsafe {
        let fake = fake(context);
        let index = tensor.offset_from(fake.context.tensors) as usize;
        let shape = IntArray::as_slice(dims).to_vec();
        free(dims.cast());
        fake.shape(index, &shape);
    }
    sys::OK
}

#[test]
fn a_graph_is_claimed_and_computed() {
    let mut fake = Fake::new();
    let (_delegate, status) = fake.delegate(&[]);
    assert_eq!((status, fake.claimed.clone()), (sys::OK, vec![0, 1]));
    assert_eq!(fake.prepare(), sys::OK);
    assert_eq!(fake.run(&[1.0, 2.0, -3.0]), [2.0, 1.0, 0.0]);
    assert_eq!(fake.run(&[-1.0, 1.0, 0.25]), [0.0, 0.0, 0.75]);
}

#[test]
fn tensors_may_move_between_runs() {
    let mut fake = Fake::new();
    let _delegate = fake.delegate(&[]);
    assert_eq!(fake.prepare(), sys::OK);
    assert_eq!(fake.run(&[1.0, 2.0, 3.0]), [2.0, 1.0, 3.5]);
    let (x, y) = (fake.data[X].as_ptr(), fake.data[Y].as_ptr());
    // The old memory is freed after the new is there, so that the places differ.
    let old = [fake.data[X].clone(), fake.data[Y].clone()];
    let kept = (std::mem::take(&mut fake.data[X]), std::mem::take(&mut fake.data[Y]));
    fake.shape(X, &[1, 3]);
    fake.shape(Y, &[1, 3]);
    assert!(fake.data[X].as_ptr() != x && fake.data[Y].as_ptr() != y);
    drop(kept);
    assert_eq!(fake.run(&[4.0, 5.0, 6.0]), [5.0, 4.0, 6.5]);
    assert_eq!(old[1], [2.0, 1.0, 3.5]);
}

#[test]
fn inputs_of_another_shape_are_prepared_anew() {
    let mut fake = Fake::new();
    let _delegate = fake.delegate(&[]);
    assert_eq!(fake.prepare(), sys::OK);
    // As TFLite, the host says nothing of tensors inside of the part.
    fake.shape(X, &[2, 3]);
    assert_eq!(fake.prepare(), sys::OK);
    assert_eq!(fake.dims[Y], [2, 2, 3]);
    assert_eq!(fake.dims[SUM], [2, 1, 3]);
    let y = fake.run(&[1.0, 2.0, 3.0, -1.0, -2.0, -3.0]);
    assert_eq!(y, [2.0, 1.0, 3.5, 0.0, 0.0, 0.0]);
    // Shapes that do not fit each other are an error, and the way back is open.
    fake.shape(X, &[1, 2]);
    assert_eq!(fake.prepare(), sys::ERROR);
    fake.shape(X, &[1, 3]);
    assert_eq!(fake.prepare(), sys::OK);
    assert_eq!(fake.run(&[1.0, 2.0, 3.0]), [2.0, 1.0, 3.5]);
}

#[test]
fn a_run_that_fails_is_an_error_and_the_next_one_works() {
    let mut fake = Fake::new();
    let _delegate = fake.delegate(&[]);
    assert_eq!(fake.prepare(), sys::OK);
    for (index, bytes) in [(X, 8), (Y, 8), (Y, 0)] {
        // SAFETY: the pointer is to this fake's tensors.
        let tensor = unsafe { &mut *fake.context.tensors.add(index) };
        let right = std::mem::replace(&mut tensor.bytes, bytes);
        assert_eq!(fake.invoke(), sys::ERROR);
        // SAFETY: as above.
        unsafe { (*fake.context.tensors.add(index)).bytes = right };
        assert_eq!(fake.run(&[1.0, 2.0, 3.0]), [2.0, 1.0, 3.5]);
    }
    // SAFETY: as above.
    unsafe { (*fake.context.tensors.add(Y)).data = ptr::null_mut() };
    assert_eq!(fake.invoke(), sys::ERROR);
    // A kernel that could not be made.
    let (_, node) = fake.kernel.as_mut().expect("it was made");
    let state = std::mem::replace(&mut node.user_data, ptr::null_mut());
    assert_eq!((fake.prepare(), fake.invoke()), (sys::ERROR, sys::ERROR));
    fake.kernel.as_mut().expect("it was made").1.user_data = state;
}

#[test]
fn parts_that_are_too_small_stay() {
    let mut fake = Fake::new();
    let (_delegate, status) = fake.delegate(&[("min_nodes", "3")]);
    assert_eq!(status, sys::OK);
    assert!(fake.kernel.is_none());
}

#[test]
fn nodes_without_parameters_or_of_unknown_types_stay() {
    let breaks: [fn(&mut Fake); 5] = [
        |fake| fake.nodes[0].0.builtin_data = ptr::null_mut(),
        |fake| fake.nodes[0].1.builtin_code = 100_000,
        |fake| fake.nodes[0].1.custom_name = c"FlexAdd".as_ptr(),
        // SAFETY: the pointer is to this fake's tensors.
        |fake| unsafe { (*fake.context.tensors.add(SUM)).dtype = 5 },
        // SAFETY: as above.
        |fake| unsafe { (*fake.context.tensors.add(X)).is_variable = true },
    ];
    for (i, break_it) in breaks.into_iter().enumerate() {
        let mut fake = Fake::new();
        break_it(&mut fake);
        let (_delegate, status) = fake.delegate(&[]);
        assert_eq!(status, sys::OK);
        assert!(fake.kernel.is_none(), "break {i}");
    }
}

#[test]
fn hosts_that_fail_are_an_error() {
    let breaks: [fn(&mut Fake); 4] = [
        |fake| fake.context.get_execution_plan = None,
        |fake| fake.context.preview_partitioning = None,
        |fake| fake.context.replace_nodes = ptr::null(),
        |fake| fake.plan = array(&[0, 1, 2]),
    ];
    for break_it in breaks {
        let mut fake = Fake::new();
        break_it(&mut fake);
        let (_delegate, status) = fake.delegate(&[]);
        assert_eq!(status, sys::ERROR);
        assert!(fake.kernel.is_none());
    }
}

#[test]
fn delegates_are_made_only_of_right_options() {
    assert!(Delegate::new(&[("threads", "1")]).is_some());
    assert!(Delegate::new(&[("threads", "one")]).is_none());
    // SAFETY: no options are read of what is null.
    let raw = unsafe { tflite_plugin_create_delegate(ptr::null(), ptr::null(), 1, None) };
    assert!(raw.is_null());
    // SAFETY: null is allowed.
    unsafe { tflite_plugin_destroy_delegate(ptr::null_mut()) };
}
