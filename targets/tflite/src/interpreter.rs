//! Running models.

use std::{ffi::c_int, ptr::NonNull};

use crate::{
    Delegate, Error, Model, Result, Signature, Tensor, TensorMut,
    api::{Api, RawInterpreter, RawOptions},
    library::text,
    log::Log,
    sys,
};

/// How an interpreter is to run.
#[derive(Debug)]
pub struct Options {
    /// Threads for the operators that use them.
    pub threads: u16,
    /// Whether operators are given to XNNPACK, which is faster and rounds otherwise. Off, TFLite's
    /// own kernels run, unless the library was built to apply XNNPACK unasked.
    pub xnnpack: bool,
    /// Delegates, in the order in which they may claim operators.
    pub delegates: Vec<Delegate>,
}

impl Default for Options {
    /// One thread, no XNNPACK, no delegates.
    fn default() -> Self {
        Self { threads: 1, xnnpack: false, delegates: Vec::new() }
    }
}

/// A model, ready to run. Keeps model and delegates alive.
///
/// A tensor that was read cannot outlast the next run:
///
/// ```compile_fail
/// # fn f(mut interpreter: systole_tflite::Interpreter) -> systole_tflite::Result<()> {
/// let scores = interpreter.output(0)?;
/// interpreter.invoke()?;
/// scores.bytes()?;
/// # Ok(()) }
/// ```
///
/// nor can two inputs be lent for writing at once:
///
/// ```compile_fail
/// # fn f(mut interpreter: systole_tflite::Interpreter) -> systole_tflite::Result<()> {
/// let mut first = interpreter.input_mut(0)?;
/// let mut second = interpreter.input_mut(0)?;
/// first.bytes_mut()?.copy_from_slice(second.bytes_mut()?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Interpreter {
    raw: NonNull<RawInterpreter>,
    /// Whether tensors have memory for their present shapes.
    allocated: bool,
    // Dropped after the interpreter is deleted: it refers to all of them.
    delegates: Vec<Delegate>,
    model: Model,
    log: Log,
}

/// Options in TFLite's form, deleted however this ends.
struct RawGuard<'a> {
    raw: *mut RawOptions,
    api: &'a Api,
}

impl Drop for RawGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: made by the same library; interpreters copy what they need of it.
        unsafe { (self.api.options_delete)(self.raw) }
    }
}

impl Interpreter {
    /// An interpreter with its tensors allocated for the shapes in the file.
    ///
    /// # Errors
    /// [`Error::Unresolved`] for an operator that neither TFLite nor a delegate knows,
    /// [`Error::Interpreter`] and [`Error::Allocate`] for other failures, of delegates too;
    /// [`Error::Lacks`] for XNNPACK in a library without it.
    pub fn new(model: &Model, options: Options) -> Result<Self> {
        let library = model.library();
        let api = library.api();
        let mut delegates = options.delegates;
        if options.xnnpack {
            delegates.push(Delegate::xnnpack(library, options.threads)?);
        }
        let log = Log::default();
        // SAFETY: no requirements.
        let raw = RawGuard { raw: unsafe { (api.options_create)() }, api };
        // SAFETY: the options were just made. The log's address lasts as long as the interpreter,
        // as do the delegates.
        let interpreter = unsafe {
            (api.options_threads)(raw.raw, i32::from(options.threads.max(1)));
            (api.options_reporter)(raw.raw, Log::REPORTER, log.argument());
            for delegate in &delegates {
                (api.options_delegate)(raw.raw, delegate.host());
            }
            (api.create)(model.raw(), raw.raw)
        };
        let Some(interpreter) = NonNull::new(interpreter) else {
            return Err(log.error(|log| Error::Interpreter { log }));
        };
        let model = model.clone();
        let mut interpreter = Self { raw: interpreter, allocated: false, delegates, model, log };
        interpreter.allocate()?;
        Ok(interpreter)
    }

    /// The model that runs.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How many delegates the interpreter has, XNNPACK among them.
    pub fn delegate_count(&self) -> usize {
        self.delegates.len()
    }

    /// How many operators of the model the delegate of this index has claimed, by
    /// [`Options::delegates`]; `None` where that is not known: delegates that are not bridged
    /// ([`crate::Abi`]) are not listened to.
    pub fn claimed(&self, delegate: usize) -> Option<usize> {
        self.delegates.get(delegate)?.claimed()
    }

    /// Number of inputs.
    pub fn input_count(&self) -> usize {
        // SAFETY: the interpreter is alive.
        usize::try_from(unsafe { (self.api().input_count)(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        // SAFETY: the interpreter is alive.
        usize::try_from(unsafe { (self.api().output_count)(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// An input, to be read.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn input(&self, index: usize) -> Result<Tensor<'_>> {
        let raw = self.raw_input(index)?;
        // SAFETY: TFLite's tensors stay as they are while the interpreter is borrowed.
        Ok(unsafe { Tensor::new(raw, self.api()) })
    }

    /// An input, to be written.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn input_mut(&mut self, index: usize) -> Result<TensorMut<'_>> {
        let raw = self.raw_input(index)?;
        // SAFETY: as above, and the interpreter is borrowed for this tensor alone.
        Ok(unsafe { TensorMut::new(raw, self.api()) })
    }

    /// An output.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn output(&self, index: usize) -> Result<Tensor<'_>> {
        let position = position("output", index, self.output_count())?;
        // SAFETY: the interpreter is alive, and has that many outputs.
        let raw = unsafe { (self.api().output)(self.raw.as_ptr(), position) };
        // SAFETY: TFLite's tensors stay as they are while the interpreter is borrowed.
        Ok(unsafe { Tensor::new(non_null(raw, "output", index)?, self.api()) })
    }

    /// Any tensor of the model, by its index in the file.
    ///
    /// # Errors
    /// [`Error::Index`]; [`Error::Lacks`] where the library does not export the function for it.
    pub fn tensor(&self, index: usize) -> Result<Tensor<'_>> {
        let get = self.api().tensor_at.ok_or_else(|| self.lacks("access to all tensors"))?;
        let position = position("tensor", index, i32::MAX as usize)?;
        // SAFETY: the interpreter is alive; TFLite gives null for tensors that it has not.
        let raw = unsafe { get(self.raw.as_ptr(), position) };
        // SAFETY: TFLite's tensors stay as they are while the interpreter is borrowed.
        Ok(unsafe { Tensor::new(non_null(raw, "tensor", index)?, self.api()) })
    }

    /// Gives an input another shape; [`Self::allocate`] must follow.
    ///
    /// # Errors
    /// [`Error::Index`]; [`Error::Allocate`] where TFLite refuses the shape.
    pub fn resize_input(&mut self, index: usize, shape: &[usize]) -> Result<()> {
        let position = position("input", index, self.input_count())?;
        let too_large = || Error::Argument { what: "a shape", value: format!("{shape:?}") };
        let dims: Option<Vec<c_int>> = shape.iter().map(|&dim| c_int::try_from(dim).ok()).collect();
        let dims = dims.ok_or_else(too_large)?;
        let rank = i32::try_from(dims.len()).map_err(|_| too_large())?;
        self.allocated = false;
        // SAFETY: the interpreter is alive, has that input, and `dims` has `rank` elements.
        let status =
            unsafe { (self.api().resize_input)(self.raw.as_ptr(), position, dims.as_ptr(), rank) };
        self.done(status, |log| Error::Allocate { log })
    }

    /// Gives all tensors memory for their shapes. What inputs held is lost.
    ///
    /// # Errors
    /// [`Error::Unresolved`], [`Error::Allocate`].
    pub fn allocate(&mut self) -> Result<()> {
        // SAFETY: the interpreter is alive, and no tensor of it is borrowed.
        let status = unsafe { (self.api().allocate)(self.raw.as_ptr()) };
        self.done(status, |log| Error::Allocate { log })?;
        self.allocated = true;
        Ok(())
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// [`Error::Invoke`] where an operator or a delegate fails; the interpreter may be used again.
    /// [`Error::Allocate`] after [`Self::resize_input`] without [`Self::allocate`].
    pub fn invoke(&mut self) -> Result<()> {
        if !self.allocated {
            let log = "inputs were resized, and not allocated since".to_owned();
            return Err(Error::Allocate { log });
        }
        // SAFETY: the interpreter is alive and allocated, and no tensor of it is borrowed.
        let status = unsafe { (self.api().invoke)(self.raw.as_ptr()) };
        self.done(status, |log| Error::Invoke { log })
    }

    /// Sets the state that lasts between runs to its beginning.
    ///
    /// # Errors
    /// [`Error::Lacks`] for old libraries; [`Error::Invoke`].
    pub fn reset_state(&mut self) -> Result<()> {
        let reset = self.api().reset_variables.ok_or_else(|| self.lacks("resetting of state"))?;
        // SAFETY: the interpreter is alive, and no tensor of it is borrowed.
        let status = unsafe { reset(self.raw.as_ptr()) };
        self.done(status, |log| Error::Invoke { log })
    }

    /// Names of the model's signatures; none where the library does not know of them.
    pub fn signatures(&self) -> Vec<String> {
        let api = self.api();
        let (Some(count), Some(key)) = (api.signature_count, api.signature_key) else {
            return Vec::new();
        };
        // SAFETY: the interpreter is alive, and asked for the keys that it says it has.
        unsafe {
            let count = count(self.raw.as_ptr());
            (0..count).map(|index| text(key(self.raw.as_ptr(), index))).collect()
        }
    }

    /// A signature of the model, with its tensors by name.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Lacks`] where the library does not know of signatures;
    /// [`Error::Allocate`].
    pub fn signature(&mut self, name: &str) -> Result<Signature<'_>> {
        let there = self.signatures();
        if !there.iter().any(|key| key == name) {
            if !self.model.library().has_signatures() {
                return Err(self.lacks("signatures"));
            }
            return Err(Error::Name { what: "signature", name: name.to_owned(), there });
        }
        Signature::new(self, name)
    }

    pub(crate) fn api(&self) -> &Api {
        self.model.library().api()
    }

    pub(crate) fn raw(&self) -> *mut RawInterpreter {
        self.raw.as_ptr()
    }

    pub(crate) fn lacks(&self, what: &'static str) -> Error {
        Error::Lacks { version: self.model.library().version(), what }
    }

    /// A status as a result, with what TFLite reported meanwhile.
    pub(crate) fn done(&self, status: c_int, other: impl FnOnce(String) -> Error) -> Result<()> {
        match status {
            sys::OK => {
                self.log.take();
                Ok(())
            }
            _ => Err(self.log.error(other)),
        }
    }

    fn raw_input(&self, index: usize) -> Result<*mut sys::Tensor> {
        let position = position("input", index, self.input_count())?;
        // SAFETY: the interpreter is alive, and has that many inputs.
        let raw = unsafe { (self.api().input)(self.raw.as_ptr(), position) };
        non_null(raw, "input", index).map(<*const sys::Tensor>::cast_mut)
    }
}

impl Drop for Interpreter {
    fn drop(&mut self) {
        // SAFETY: made by the same library; no tensor of it is borrowed any more.
        unsafe { (self.api().delete)(self.raw.as_ptr()) }
    }
}

/// An index in C's form, less than `count`.
fn position(what: &'static str, index: usize, count: usize) -> Result<i32> {
    let position = i32::try_from(index).ok().filter(|_| index < count);
    position.ok_or(Error::Index { what, index, count })
}

fn non_null(
    raw: *const sys::Tensor,
    what: &'static str,
    index: usize,
) -> Result<*const sys::Tensor> {
    match raw.is_null() {
        true => Err(Error::Index { what, index, count: index }),
        false => Ok(raw),
    }
}
