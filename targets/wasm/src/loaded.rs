//! A model with all that it needs.

use std::mem::ManuallyDrop;

use systole::{AlignedBytes, Model, Session};

/// A model, its file and its arena. The session borrows from the others, which therefore are on the
/// heap and live until it is dropped.
pub struct Loaded {
    session: ManuallyDrop<Session<'static, 'static>>,
    model: *mut Model<'static>,
    file: *mut AlignedBytes,
    arena: *mut AlignedBytes,
}

impl Loaded {
    /// Checks `file`, arranges its weights for the kernels and prepares a session.
    pub fn new(file: &[u8]) -> Result<Self, String> {
        let packed = systole::pack(file).map_err(|error| error.to_string())?;
        let file = packed.unwrap_or_else(|| file.into());
        // The file is valid, and the arena of the right size: what follows does not fail, but if it
        // did, memory would be lost and nothing else.
        let file = Box::into_raw(Box::new(file));
        // SAFETY: it is freed when the session is dropped; nothing else changes it.
        let bytes = unsafe { &*file }.as_slice();
        let model = Model::from_bytes(bytes).map_err(|error| error.to_string())?;
        let arena = Box::into_raw(Box::new(AlignedBytes::zeroed(model.arena_bytes())));
        let model = Box::into_raw(Box::new(model));
        // SAFETY: as above; the arena belongs to the session alone.
        let session = unsafe { Session::new(&*model, (*arena).as_mut_slice()) };
        let session = ManuallyDrop::new(session.map_err(|error| error.to_string())?);
        Ok(Self { session, model, file, arena })
    }

    /// The session, which must not outlive this.
    pub fn session(&self) -> &Session<'static, 'static> {
        &self.session
    }

    /// The session, to be run.
    pub fn session_mut(&mut self) -> &mut Session<'static, 'static> {
        &mut self.session
    }

    /// Sets an input from bytes as users see them.
    pub fn set(&mut self, input: usize, data: &[u8]) -> Result<(), String> {
        let mut tensor = self.session.input(input).map_err(|error| error.to_string())?;
        let flip = tensor.info().sign_flip();
        if flip == 0 {
            return tensor.copy_stored(data).map_err(|error| error.to_string());
        }
        let stored: Vec<u8> = data.iter().map(|byte| byte ^ flip).collect();
        tensor.copy_stored(&stored).map_err(|error| error.to_string())
    }

    /// Sets an input from real numbers.
    pub fn set_real(&mut self, input: usize, data: &[f32]) -> Result<(), String> {
        let mut tensor = self.session.input(input).map_err(|error| error.to_string())?;
        tensor.quantize_from(data).map_err(|error| error.to_string())
    }

    /// An output's bytes as users see them.
    pub fn get(&self, output: usize, data: &mut [u8]) -> Result<(), String> {
        let tensor = self.session.output(output).map_err(|error| error.to_string())?;
        let (stored, flip) = (tensor.stored_bytes(), tensor.info().sign_flip());
        if stored.len() != data.len() {
            return Err(format!("the output has {} bytes, not {}", stored.len(), data.len()));
        }
        for (to, from) in data.iter_mut().zip(stored) {
            *to = from ^ flip;
        }
        Ok(())
    }

    /// An output as real numbers.
    pub fn get_real(&self, output: usize, data: &mut [f32]) -> Result<(), String> {
        let tensor = self.session.output(output).map_err(|error| error.to_string())?;
        tensor.dequantize_into(data).map_err(|error| error.to_string())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: each is from a box and is freed once: first what borrows, then what is borrowed.
        unsafe {
            ManuallyDrop::drop(&mut self.session);
            drop(Box::from_raw(self.model));
            drop(Box::from_raw(self.file));
            drop(Box::from_raw(self.arena));
        }
    }
}
