//! Running a model by its signatures, with tensors by name.

use std::{
    ffi::{CString, c_char},
    ptr::NonNull,
};

use crate::{Error, Interpreter, Result, Tensor, TensorMut, api::RawSignature, library::text};

/// A named entry of a model, borrowed from its interpreter.
#[derive(Debug)]
pub struct Signature<'i> {
    raw: NonNull<RawSignature>,
    interpreter: &'i mut Interpreter,
}

impl<'i> Signature<'i> {
    pub(crate) fn new(interpreter: &'i mut Interpreter, name: &str) -> Result<Self> {
        let key = c_text("a name", name)?;
        let create = interpreter.api().signature_create;
        let create = create.ok_or_else(|| interpreter.lacks("signatures"))?;
        // SAFETY: the interpreter is alive, and has a signature of this name.
        let raw = NonNull::new(unsafe { create(interpreter.raw(), key.as_ptr()) });
        let Some(raw) = raw else {
            let there = interpreter.signatures();
            return Err(Error::Name { what: "signature", name: name.to_owned(), there });
        };
        let signature = Self { raw, interpreter };
        let allocate = signature.function(|api| api.signature_allocate)?;
        // SAFETY: the signature was just made, and no tensor of it is borrowed.
        let status = unsafe { allocate(signature.raw.as_ptr()) };
        signature.interpreter.done(status, |log| Error::Allocate { log })?;
        Ok(signature)
    }

    /// Names of the inputs.
    pub fn inputs(&self) -> Vec<String> {
        let api = self.interpreter.api();
        self.names(api.signature_inputs, api.signature_input_name)
    }

    /// Names of the outputs.
    pub fn outputs(&self) -> Vec<String> {
        let api = self.interpreter.api();
        self.names(api.signature_outputs, api.signature_output_name)
    }

    /// An input, to be written.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn input_mut(&mut self, name: &str) -> Result<TensorMut<'_>> {
        let key = known("input", name, self.inputs())?;
        let get = self.function(|api| api.signature_input)?;
        // SAFETY: the signature is alive, and has an input of this name.
        let raw = unsafe { get(self.raw.as_ptr(), key.as_ptr()) };
        match raw.is_null() {
            true => Err(missing("input", name)),
            // SAFETY: the tensor stays as it is while the interpreter is borrowed, for it alone.
            false => Ok(unsafe { TensorMut::new(raw, self.interpreter.api()) }),
        }
    }

    /// An output.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn output(&self, name: &str) -> Result<Tensor<'_>> {
        let key = known("output", name, self.outputs())?;
        let get = self.function(|api| api.signature_output)?;
        // SAFETY: the signature is alive, and has an output of this name.
        let raw = unsafe { get(self.raw.as_ptr(), key.as_ptr()) };
        match raw.is_null() {
            true => Err(missing("output", name)),
            // SAFETY: the tensor stays as it is while the interpreter is borrowed.
            false => Ok(unsafe { Tensor::new(raw, self.interpreter.api()) }),
        }
    }

    /// Runs the signature once.
    ///
    /// # Errors
    /// [`Error::Invoke`].
    pub fn invoke(&mut self) -> Result<()> {
        let invoke = self.function(|api| api.signature_invoke)?;
        // SAFETY: the signature is alive and allocated, and no tensor of it is borrowed.
        let status = unsafe { invoke(self.raw.as_ptr()) };
        self.interpreter.done(status, |log| Error::Invoke { log })
    }

    fn function<F>(&self, choose: impl FnOnce(&crate::api::Api) -> Option<F>) -> Result<F> {
        choose(self.interpreter.api()).ok_or_else(|| self.interpreter.lacks("signatures"))
    }

    fn names(
        &self,
        count: Option<unsafe extern "C" fn(*const RawSignature) -> usize>,
        name: Option<unsafe extern "C" fn(*const RawSignature, i32) -> *const c_char>,
    ) -> Vec<String> {
        let (Some(count), Some(name)) = (count, name) else { return Vec::new() };
        // SAFETY: the signature is alive, and asked for the names that it says it has.
        unsafe {
            let count = i32::try_from(count(self.raw.as_ptr())).unwrap_or(0);
            (0..count).map(|index| text(name(self.raw.as_ptr(), index))).collect()
        }
    }
}

impl Drop for Signature<'_> {
    fn drop(&mut self) {
        if let Some(delete) = self.interpreter.api().signature_delete {
            // SAFETY: made by the same library; no tensor of it is borrowed any more.
            unsafe { delete(self.raw.as_ptr()) }
        }
    }
}

/// Text in C's form.
pub(crate) fn c_text(what: &'static str, value: &str) -> Result<CString> {
    CString::new(value).map_err(|_| Error::Argument { what, value: value.to_owned() })
}

fn known(what: &'static str, name: &str, there: Vec<String>) -> Result<CString> {
    match there.iter().any(|other| other == name) {
        true => c_text("a name", name),
        false => Err(Error::Name { what, name: name.to_owned(), there }),
    }
}

fn missing(what: &'static str, name: &str) -> Error {
    Error::Name { what, name: name.to_owned(), there: Vec::new() }
}
