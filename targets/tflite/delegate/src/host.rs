//! TFLite's graph as it lies in its structures, read into ours.

use std::{
    ffi::{CString, c_int, c_void},
    ptr, slice,
};

use systole_tflite::sys::{
    self, AffineQuantization, Context, DelegateHead, DelegateParams, FloatArray, FullRegistration,
    IntArray, ReplaceNodesFull,
};

use crate::guard::Result;

/// `kTfLiteMmapRo`: constants of the model.
const READ_ONLY: c_int = 1;

unsafe extern "C" {
    /// The C library's, which TFLite frees with.
    fn malloc(size: usize) -> *mut c_void;
}

/// The context of one of TFLite's callbacks, during that callback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    context: *mut Context,
}

/// An operator of the graph.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// `BuiltinOperator`.
    pub(crate) code: i32,
    /// Version of the operator.
    pub(crate) version: c_int,
    /// Name of a custom operator.
    pub(crate) custom: Option<String>,
    /// Indices of tensors; -1 for one that is not given.
    pub(crate) inputs: Vec<c_int>,
    /// Indices of tensors.
    pub(crate) outputs: Vec<c_int>,
    /// Its parameters, which TFLite keeps as long as the graph.
    pub(crate) parameters: *const c_void,
}

/// A tensor as it is during the callback.
#[derive(Debug)]
pub(crate) struct Tensor<'h> {
    /// The name; empty where it has none.
    pub(crate) name: String,
    /// `TfLiteType`.
    pub(crate) kind: c_int,
    /// Dimensions.
    pub(crate) shape: Vec<usize>,
    /// Scales, zero points and the dimension that they are along, where it is quantized.
    pub(crate) quantization: Option<(&'h [f32], &'h [c_int], i32)>,
    /// The elements of a constant.
    pub(crate) constant: Option<&'h [u8]>,
    /// Whether it lasts from run to run.
    pub(crate) is_variable: bool,
    /// Whether elements are left out.
    pub(crate) is_sparse: bool,
}

impl Host {
    /// # Safety
    /// `context` is the one that TFLite passes to the callback that runs; the host is not used after
    /// it, and nothing else changes the graph meanwhile.
    pub(crate) unsafe fn new(context: *mut Context) -> Self {
        Self { context }
    }

    /// The address of the context, which tells graphs apart.
    pub(crate) fn address(self) -> usize {
        self.context.addr()
    }

    /// Indices of all nodes in their order; only while a delegate prepares itself.
    pub(crate) fn plan(self) -> Result<Vec<c_int>> {
        let mut plan = ptr::null_mut();
        // SAFETY: a valid context, by construction; its function is called as declared, and the array
        // that it gives is copied before anything else is called.
        unsafe {
            let plan_of = (*self.context).get_execution_plan.ok_or("the host gives no plan")?;
            match plan_of(self.context, &raw mut plan) {
                sys::OK => Ok(IntArray::as_slice(plan).to_vec()),
                status => Err(format!("the host gives no plan: status {status}")),
            }
        }
    }

    /// A node by index; only while a delegate prepares itself.
    pub(crate) fn node(self, index: c_int) -> Result<Node> {
        let (mut node, mut registration) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a valid context, by construction; node and registration are TFLite's and are read
        // before anything else is called.
        unsafe {
            let node_of = (*self.context).get_node_and_registration;
            let node_of = node_of.ok_or("the host gives no nodes")?;
            let status = node_of(self.context, index, &raw mut node, &raw mut registration);
            if status != sys::OK || node.is_null() || registration.is_null() {
                return Err(format!("the host gives no node {index}: status {status}"));
            }
            let custom = (*registration).custom_name;
            let text = |text| std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned();
            Ok(Node {
                code: (*registration).builtin_code,
                version: (*registration).version,
                custom: (!custom.is_null()).then(|| text(custom)),
                inputs: IntArray::as_slice((*node).inputs).to_vec(),
                outputs: IntArray::as_slice((*node).outputs).to_vec(),
                parameters: (*node).builtin_data,
            })
        }
    }

    fn raw(self, index: c_int) -> Result<*mut sys::Tensor> {
        // SAFETY: a valid context, by construction.
        let (tensors, count) = unsafe { ((*self.context).tensors, (*self.context).tensors_size) };
        match usize::try_from(index) {
            // SAFETY: TFLite has that many tensors there.
            Ok(at) if at < count && !tensors.is_null() => Ok(unsafe { tensors.add(at) }),
            _ => Err(format!("tensor {index} of {count}")),
        }
    }

    /// A tensor by index.
    pub(crate) fn tensor<'h>(self, index: c_int) -> Result<Tensor<'h>> {
        let raw = self.raw(index)?;
        // SAFETY: a tensor of the context, whose arrays and texts are TFLite's or null. What is lent of
        // them is constant while the graph is there.
        unsafe {
            let tensor = &*raw;
            let constant = tensor.allocation_type == READ_ONLY && !tensor.data.is_null();
            let name = match tensor.name.is_null() {
                true => String::new(),
                false => std::ffi::CStr::from_ptr(tensor.name).to_string_lossy().into_owned(),
            };
            let quantization = tensor.quantization;
            let quantization =
                (quantization.kind == 1 && !quantization.params.is_null()).then(|| {
                    let affine = &*quantization.params.cast::<AffineQuantization>();
                    let scales = FloatArray::as_slice(affine.scale);
                    (scales, IntArray::as_slice(affine.zero_point), affine.quantized_dimension)
                });
            Ok(Tensor {
                name,
                kind: tensor.dtype,
                shape: self.shape(index)?,
                quantization,
                constant: constant
                    .then(|| slice::from_raw_parts(tensor.data.cast_const().cast(), tensor.bytes)),
                is_variable: tensor.is_variable,
                is_sparse: !tensor.sparsity.is_null(),
            })
        }
    }

    /// The dimensions of a tensor.
    pub(crate) fn shape(self, index: c_int) -> Result<Vec<usize>> {
        let raw = self.raw(index)?;
        // SAFETY: a tensor of the context; its dimensions are an array of TFLite's, or null.
        let dims = unsafe { IntArray::as_slice((*raw).dims) };
        let dim = |&dim: &c_int| {
            usize::try_from(dim).map_err(|_| format!("tensor {index} has a dimension of {dim}"))
        };
        dims.iter().map(dim).collect()
    }

    /// Gives an output another shape; only while a kernel is prepared.
    pub(crate) fn resize(self, index: c_int, shape: &[usize]) -> Result<()> {
        let raw = self.raw(index)?;
        let dim = |&dim: &usize| c_int::try_from(dim).map_err(|_| format!("a dimension of {dim}"));
        let dims = int_array(&shape.iter().map(dim).collect::<Result<Vec<c_int>>>()?)?;
        // SAFETY: a valid context and one of its tensors. TFLite takes the array and frees it with
        // `free`, for which it is memory of `malloc`, large enough for what is copied there.
        let status = unsafe {
            let resize = (*self.context).resize_tensor.ok_or("the host resizes no tensors")?;
            let array = malloc(size_of_val(dims.as_slice())).cast::<c_int>();
            if array.is_null() {
                return Err("out of memory".to_owned());
            }
            array.copy_from_nonoverlapping(dims.as_ptr(), dims.len());
            resize(self.context, raw, array.cast())
        };
        match status {
            sys::OK => Ok(()),
            status => Err(format!("tensor {index} cannot be resized: status {status}")),
        }
    }

    /// The elements of a tensor, to be read during a run.
    ///
    /// # Safety
    /// Nobody writes them as long as they are borrowed.
    pub(crate) unsafe fn bytes<'h>(self, index: c_int) -> Result<&'h [u8]> {
        let (data, length) = self.memory(index)?;
        // SAFETY: TFLite holds that many bytes there during a run; the rest is the caller's.
        Ok(unsafe { slice::from_raw_parts(data, length) })
    }

    /// The elements of a tensor, to be written during a run.
    ///
    /// # Safety
    /// Nobody else reads or writes them as long as they are borrowed.
    pub(crate) unsafe fn bytes_mut<'h>(self, index: c_int) -> Result<&'h mut [u8]> {
        let (data, length) = self.memory(index)?;
        // SAFETY: as above.
        Ok(unsafe { slice::from_raw_parts_mut(data, length) })
    }

    fn memory(self, index: c_int) -> Result<(*mut u8, usize)> {
        let raw = self.raw(index)?;
        // SAFETY: a tensor of the context.
        let (data, length) = unsafe { ((*raw).data.cast::<u8>(), (*raw).bytes) };
        match (data.is_null(), length) {
            (false, length) => Ok((data, length)),
            (true, 0) => Ok((ptr::dangling_mut(), 0)),
            (true, _) => Err(format!("tensor {index} has no memory")),
        }
    }

    /// The parts of the graph that result from giving `nodes` to a delegate: the nodes of each, and
    /// the tensors that it writes for others. Only while a delegate prepares itself.
    pub(crate) fn partitions(self, nodes: &[c_int]) -> Result<Vec<Partition>> {
        let nodes = int_array(nodes)?;
        let (mut parts, mut count) = (ptr::null_mut(), 0);
        // SAFETY: a valid context, by construction, whose function is called as declared; the array is
        // the context's until it is called again, and is copied at once.
        unsafe {
            let preview = (*self.context).preview_partitioning;
            let preview = preview.ok_or("the host does not tell how it would divide the graph")?;
            let status =
                preview(self.context, nodes.as_ptr().cast(), &raw mut parts, &raw mut count);
            if status != sys::OK || (parts.is_null() && count > 0) {
                return Err(format!("the host does not divide the graph: status {status}"));
            }
            let part = |at| Partition::read(parts.add(at));
            Ok((0..usize::try_from(count).unwrap_or(0)).map(part).collect())
        }
    }

    /// Gives `nodes` to `delegate`, with kernels of `registration`. Only while it prepares itself.
    pub(crate) fn replace(
        self,
        registration: FullRegistration,
        nodes: &[c_int],
        delegate: *mut DelegateHead,
    ) -> Result<()> {
        let nodes = int_array(nodes)?;
        // SAFETY: a valid context, by construction. Its function takes a registration of at most this
        // size by value, as an address or on the stack; hosts of older layouts read less of it.
        let status = unsafe {
            let replace = (*self.context).replace_nodes;
            if replace.is_null() {
                return Err("the host does not take kernels".to_owned());
            }
            let replace = std::mem::transmute::<*const c_void, ReplaceNodesFull>(replace);
            replace(self.context, registration, nodes.as_ptr().cast(), delegate)
        };
        match status {
            sys::OK => Ok(()),
            status => Err(format!("the host does not take the kernels: status {status}")),
        }
    }

    /// Tells the host what went wrong.
    pub(crate) fn report(self, problem: &str) {
        let text = CString::new(format!("Systole: {problem}").replace('\0', " "));
        let Ok(text) = text else { return };
        // SAFETY: a valid context, by construction; the format takes one text, which is there.
        unsafe {
            if let Some(report) = (*self.context).report_error {
                report(self.context, c"%s".as_ptr(), text.as_ptr());
            }
        }
    }
}

/// A part of the graph that becomes one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Indices of its nodes, in their order.
    pub(crate) nodes: Vec<c_int>,
    /// Tensors from outside, constants among them.
    pub(crate) inputs: Vec<c_int>,
    /// Tensors that are read outside.
    pub(crate) outputs: Vec<c_int>,
}

impl Partition {
    /// # Safety
    /// `params` points at parameters of TFLite's whose arrays are valid.
    pub(crate) unsafe fn read(params: *const DelegateParams) -> Self {
        // SAFETY: by the caller.
        unsafe {
            let array = |array: *mut IntArray| IntArray::as_slice(array).to_vec();
            Self {
                nodes: array((*params).nodes_to_replace),
                inputs: array((*params).input_tensors),
                outputs: array((*params).output_tensors),
            }
        }
    }
}

/// A length, and the integers: the layout of `TfLiteIntArray`.
fn int_array(integers: &[c_int]) -> Result<Vec<c_int>> {
    let count = c_int::try_from(integers.len()).map_err(|_| "too many nodes")?;
    Ok([&[count], integers].concat())
}
