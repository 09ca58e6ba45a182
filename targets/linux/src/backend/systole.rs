//! Systole's kernels: a session that owns its file and its arena.

use std::path::PathBuf;

use self_cell::{MutBorrow, self_cell};
use systole_core::{
    AlignedBytes, LoadError, Model, Opcode, PortError, Session, TensorError, ops::delegate::Params,
    pack,
};
use systole_kernels::arch;

use super::{
    Delegates, Loaded, Runner,
    accelerator::{self, Accelerator},
};
use crate::{
    Error, Options, Part, Place, Port, Rejected, Report, Result,
    error::reason,
    model::{File, Kind},
    report::counted,
};

self_cell! {
    /// A file and the model that is read in it.
    struct Own {
        owner: AlignedBytes,
        #[covariant]
        dependent: Model,
    }
}

/// What a session borrows.
struct Memory {
    model: Own,
    arena: MutBorrow<AlignedBytes>,
}

type OwnSession<'a> = Session<'a, 'a>;

self_cell! {
    struct Running {
        owner: Memory,
        #[not_covariant]
        dependent: OwnSession,
    }
}

/// A model on Systole's kernels, parts of it maybe on an accelerator.
pub(crate) struct Systole {
    running: Running,
    accelerator: Option<Accelerator>,
    path: PathBuf,
}

impl std::fmt::Debug for Systole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "session of {}", self.path.display())
    }
}

impl Systole {
    /// A model in whatever format, converted if need be. What is compiled for an accelerator is given to
    /// `delegates`; where those do not take it, fallbacks in the file do, unless they are `required`.
    pub(crate) fn load(
        file: &File,
        options: &Options,
        delegates: &Delegates<'_>,
        required: bool,
    ) -> Result<Loaded> {
        let bytes = converted(file, options)?;
        let refuse = |why: LoadError| Error::Load { path: file.path.clone(), why };
        let packed = pack(bytes.as_slice()).map_err(refuse)?;
        let bytes = packed.unwrap_or(bytes);
        let model = Own::try_new(bytes, |bytes| Model::with_delegate(bytes.as_slice()));
        let model = model.map_err(refuse)?;

        let read = model.borrow_dependent();
        let mut rejected = Vec::new();
        let accelerator = match (accelerator::delegated(read).next(), delegates) {
            (None, _) => None,
            (Some(_), Delegates::None) => {
                alone(&model).map_err(refuse)?;
                None
            }
            (Some(_), _) => match Accelerator::new(&file.path, read, options, delegates) {
                Ok(accelerator) => Some(accelerator),
                Err(error) if required || alone(&model).is_err() => return Err(error),
                Err(error) => {
                    let why = reason(&file.path, &error);
                    rejected.push(Rejected { backend: delegates.name(), why });
                    None
                }
            },
        };
        let (inputs, outputs) = (
            read.inputs().map(|info| Port::of(&info)).collect(),
            read.outputs().map(|info| Port::of(&info)).collect(),
        );
        let mut parts = parts(read, accelerator.as_ref());
        let arena = MutBorrow::new(AlignedBytes::zeroed(read.arena_bytes()));
        let running = Running::try_new(Memory { model, arena }, |memory| {
            Session::new(memory.model.borrow_dependent(), memory.arena.borrow_mut().as_mut_slice())
        });
        // The arena has the size and the alignment that the model asks for.
        let mut running = running.map_err(|why| {
            let (path, why) = (file.path.clone(), why.to_string());
            Error::Unsuitable { path, backend: "Systole", why }
        })?;
        let given = running.with_dependent_mut(|_, session| {
            session.set_threads(options.threads.into());
            session.threads()
        });
        for part in &mut parts {
            if let Place::Systole { threads, .. } = &mut part.place {
                *threads = given;
            }
        }
        let report = Report { model: file.path.clone(), parts, rejected };
        let runner = Runner::Systole(Self { running, accelerator, path: file.path.clone() });
        Ok(Loaded { runner, inputs, outputs, report })
    }

    pub(super) fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let written = self.running.with_dependent_mut(|_, session| {
            let mut input = session.input(index).map_err(Wrong::Port)?;
            match input.info().is_unsigned() {
                true => input.copy_from::<u8>(bytes),
                false => input.copy_stored(bytes),
            }
            .map_err(Wrong::Tensor)
        });
        written.map_err(|wrong| self.unexpected(wrong))
    }

    pub(super) fn read(&self, index: usize) -> Result<Vec<u8>> {
        let read = self.running.with_dependent(|_, session| {
            let output = session.output(index).map_err(Wrong::Port)?;
            let flip = output.info().sign_flip();
            Ok(output.stored_bytes().iter().map(|byte| byte ^ flip).collect())
        });
        read.map_err(|wrong| self.unexpected(wrong))
    }

    pub(super) fn run(&mut self) -> Result<()> {
        let Self { running, accelerator, path } = self;
        let Some(accelerator) = accelerator else {
            return Ok(running.with_dependent_mut(|_, session| session.run())?);
        };
        let ran = running.with_dependent_mut(|_, session| session.run_with(accelerator));
        ran.map_err(|error| match accelerator.failure.take() {
            Some(why) => Error::Tflite { path: path.clone(), why },
            None => Error::Run(error),
        })
    }

    pub(super) fn reset_state(&mut self) -> Result<()> {
        self.running.with_dependent_mut(|_, session| session.reset());
        let reset = self.accelerator.as_mut().map_or(Ok(()), Accelerator::reset_state);
        reset.map_err(|why| Error::Tflite { path: self.path.clone(), why })
    }

    /// What cannot be: indices and lengths were checked against the ports of this very model.
    fn unexpected(&self, wrong: Wrong) -> Error {
        let why = match wrong {
            Wrong::Port(error) => error.to_string(),
            Wrong::Tensor(error) => error.to_string(),
        };
        Error::Unsuitable { path: self.path.clone(), backend: "Systole", why }
    }
}

/// What a session says of an input or output.
enum Wrong {
    Port(PortError),
    Tensor(TensorError),
}

/// A `.systole` file's bytes: as they are, or what the converter makes of a model.
#[cfg(feature = "converter")]
fn converted(file: &File, options: &Options) -> Result<AlignedBytes> {
    match file.kind {
        Kind::Systole => Ok(AlignedBytes::from(&file.bytes[..])),
        _ => Ok(systole_converter::load_file(&file.path, &options.conversion)?),
    }
}

/// A `.systole` file's bytes; nothing else is read without the converter.
#[cfg(not(feature = "converter"))]
fn converted(file: &File, _: &Options) -> Result<AlignedBytes> {
    match file.kind {
        Kind::Systole => Ok(AlignedBytes::from(&file.bytes[..])),
        _ => Err(Error::Unsuitable {
            path: file.path.clone(),
            backend: "Systole",
            why: "this program is built without the feature `converter`, which reads .tflite and \
                  .onnx models: `systole convert` makes a .systole file of it"
                .to_owned(),
        }),
    }
}

/// Whether the model runs without an accelerator.
fn alone(model: &Own) -> Result<(), LoadError> {
    Model::from_bytes(model.borrow_owner().as_slice()).map(drop)
}

/// What is where: with an accelerator, the operators that stand in for it run nowhere.
fn parts(model: &Model<'_>, accelerator: Option<&Accelerator>) -> Vec<Part> {
    let count = u16::try_from(model.operator_count()).unwrap_or(u16::MAX);
    let (mut delegated, mut own) = (Vec::new(), Vec::new());
    let mut op = 0;
    while let Some(operator) = model.operator(op).filter(|_| op < count) {
        op = op.saturating_add(1);
        let name = operator.opcode().name();
        match (operator.opcode(), accelerator) {
            (Opcode::Delegate, None) => {}
            (Opcode::Delegate, Some(_)) => {
                delegated.push(name);
                op = op.saturating_add(operator.record().params::<Params>().fallback);
            }
            _ => own.push(name),
        }
    }
    let part =
        |place, names: Vec<&str>| Part { place, operators: names.len(), names: counted(names) };
    let accelerated = accelerator.map(|it| part(it.place.clone(), delegated));
    let mut parts: Vec<Part> = accelerated.into_iter().collect();
    if !own.is_empty() || parts.is_empty() {
        parts.push(part(Place::Systole { level: arch::kernels().level.name(), threads: 1 }, own));
    }
    parts
}
