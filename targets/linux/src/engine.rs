//! Choosing who runs a model.

use std::path::Path;

use crate::{
    Backend, Error, Input, Options, Output, Port, Rejected, Report, Result,
    backend::{Delegates, Loaded, Runner, Systole, Tflite},
    error::reason,
    model::{File, Kind},
};

/// A model, ready to run.
///
/// Stays on the thread that loaded it, as some delegates demand.
#[derive(Debug)]
pub struct Engine {
    loaded: Loaded,
}

impl Engine {
    /// Loads a model as [`Options::default`] says: [`Backend::Auto`].
    ///
    /// # Errors
    /// As [`Engine::load_with`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(path, &Options::default())
    }

    /// Loads a model.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::NotAModel`] for the file itself. [`Error::NeedsEdgeTpu`] for a
    /// model compiled for an Edge TPU that is not there, and no fallback; [`Error::NoBackend`] where
    /// nobody runs it. Where a backend is forced, its own reasons.
    pub fn load_with(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let file = File::read(path.as_ref())?;
        let loaded = match &options.backend {
            Backend::Auto => auto(&file, options),
            Backend::Systole => Systole::load(&file, options, &Delegates::None, true),
            Backend::Tflite => tflite(&file, options),
            Backend::EdgeTpu => accelerated(&file, options, &Delegates::EdgeTpu(&options.edge_tpu)),
            Backend::Delegate(vendor) => accelerated(&file, options, &Delegates::Vendor(vendor)),
        };
        Ok(Self { loaded: loaded? })
    }

    /// What runs where, and why not elsewhere.
    pub fn report(&self) -> &Report {
        &self.loaded.report
    }

    /// What is known of the inputs, in their order.
    pub fn inputs(&self) -> &[Port] {
        &self.loaded.inputs
    }

    /// What is known of the outputs, in their order.
    pub fn outputs(&self) -> &[Port] {
        &self.loaded.outputs
    }

    /// An input, by its index or its name, to be written before every run: memory is reused.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Name`].
    pub fn input<'k>(&mut self, key: impl Into<Key<'k>>) -> Result<Input<'_>> {
        let Loaded { runner, inputs, .. } = &mut self.loaded;
        let (index, port) = key.into().find("input", inputs)?;
        Ok(Input { runner, index, port })
    }

    /// An output, by its index or its name.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::Name`].
    pub fn output<'k>(&self, key: impl Into<Key<'k>>) -> Result<Output<'_>> {
        let Loaded { runner, outputs, .. } = &self.loaded;
        let (index, port) = key.into().find("output", outputs)?;
        Ok(Output { runner, index, port })
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// Those of TFLite and of accelerators; the engine may be used again. Systole's kernels do not
    /// fail.
    pub fn run(&mut self) -> Result<()> {
        self.loaded.runner.run()
    }

    /// Sets the state that lasts between runs to its beginning; without effect on models that have
    /// none.
    ///
    /// # Errors
    /// Those of TFLite.
    pub fn reset_state(&mut self) -> Result<()> {
        self.loaded.runner.reset_state()
    }
}

/// What an input or output is named by: its index or its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'k> {
    /// Its position.
    Index(usize),
    /// Its name.
    Name(&'k str),
}

impl From<usize> for Key<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(name: &'k str) -> Self {
        Self::Name(name)
    }
}

impl<'k> From<&'k String> for Key<'k> {
    fn from(name: &'k String) -> Self {
        Self::Name(name)
    }
}

impl Key<'_> {
    fn find<'p>(self, what: &'static str, ports: &'p [Port]) -> Result<(usize, &'p Port)> {
        let count = ports.len();
        match self {
            Self::Index(index) => match ports.get(index) {
                Some(port) => Ok((index, port)),
                None => Err(Error::Index { what, index, count }),
            },
            Self::Name(name) => {
                let named = ports.iter().enumerate().find(|(_, port)| port.name == name);
                named.ok_or_else(|| Error::Name {
                    what,
                    name: name.to_owned(),
                    there: ports.iter().map(|port| port.name.clone()).collect(),
                })
            }
        }
    }
}

/// TFLite's own kernels, which read its own models alone.
fn tflite(file: &File, options: &Options) -> Result<Loaded> {
    match file.kind {
        Kind::Tflite | Kind::Compiled => Tflite::load(file, options, &Delegates::None),
        Kind::Systole | Kind::Onnx => Err(Error::Unsuitable {
            path: file.path.clone(),
            backend: "TFLite",
            why: "it reads .tflite models alone".to_owned(),
        }),
    }
}

/// An accelerator, which is asked for: what it does not take of a `.tflite` model is TFLite's, or
/// Systole's for models that are compiled for it.
fn accelerated(file: &File, options: &Options, delegates: &Delegates<'_>) -> Result<Loaded> {
    let loaded = match (file.kind, delegates) {
        (Kind::Compiled, Delegates::EdgeTpu(_)) => {
            split(file, options, delegates).map_err(|mut tried| tried.remove(tried.len() - 1))
        }
        (Kind::Tflite | Kind::Compiled, _) => Tflite::load(file, options, delegates),
        (Kind::Systole | Kind::Onnx, _) => Systole::load(file, options, delegates, true),
    };
    let loaded = loaded?;
    // TFLite's kernels run beside a vendor's delegate that claims nothing, too.
    let beside = matches!(loaded.runner, Runner::Tflite(_)) && delegates.is_vendor();
    match loaded.report.accelerated() || beside {
        true => Ok(loaded),
        false => Err(Error::Unsuitable {
            path: file.path.clone(),
            backend: delegates.name(),
            why: "no operator of the model is compiled for it".to_owned(),
        }),
    }
}

/// A compiled model on its accelerator, with the other operators on Systole's kernels, or all of it in
/// TFLite where those refuse one.
///
/// # Errors
/// The reasons of both, at least one.
fn split(file: &File, options: &Options, delegates: &Delegates<'_>) -> Result<Loaded, Vec<Error>> {
    let (systole, tflite) = (
        || Systole::load(file, options, delegates, true),
        || Tflite::load(file, options, delegates),
    );
    systole().or_else(|first| match first {
        // The accelerator itself is not there: TFLite cannot help.
        Error::Tflite { .. } => Err(vec![first]),
        _ => tflite().map_err(|second| vec![first, second]),
    })
}

/// The first of all that runs the model.
fn auto(file: &File, options: &Options) -> Result<Loaded> {
    let mut rejected = Vec::new();
    let mut reject = |backend, why: String| rejected.push(Rejected { backend, why });
    let loaded = match file.kind {
        Kind::Systole | Kind::Onnx => {
            let delegates = Delegates::EdgeTpu(&options.edge_tpu);
            Some(Systole::load(file, options, &delegates, false)?)
        }
        Kind::Compiled => {
            let loaded = split(file, options, &Delegates::EdgeTpu(&options.edge_tpu));
            let told = |error| reject("the Edge TPU", reason(&file.path, &error));
            loaded.map_err(|tried| tried.into_iter().for_each(told)).ok()
        }
        Kind::Tflite => {
            reject("the Edge TPU", "the model is not compiled for it".to_owned());
            delegated(file, options, &mut reject)
                .or_else(|| {
                    let loaded = Systole::load(file, options, &Delegates::None, true);
                    loaded
                        .map_err(|error| reject("Systole's kernels", reason(&file.path, &error)))
                        .ok()
                })
                .or_else(|| {
                    let loaded = Tflite::load(file, options, &Delegates::None);
                    loaded.map_err(|error| reject("TFLite", reason(&file.path, &error))).ok()
                })
        }
    };
    match (loaded, &options.fallback) {
        (Some(mut loaded), _) => {
            loaded.report.rejected.append(&mut rejected);
            Ok(loaded)
        }
        (None, Some(fallback)) if file.kind == Kind::Compiled => {
            let plain = Options { fallback: None, ..options.clone() };
            let mut loaded = auto(&File::read(fallback)?, &plain)?;
            rejected.append(&mut loaded.report.rejected);
            loaded.report.rejected = rejected;
            Ok(loaded)
        }
        (None, _) => {
            let path = file.path.clone();
            Err(match file.kind {
                Kind::Compiled => Error::NeedsEdgeTpu { path, rejected },
                _ => Error::NoBackend { path, rejected },
            })
        }
    }
}

/// The first delegate that claims an operator.
fn delegated(
    file: &File,
    options: &Options,
    reject: &mut impl FnMut(&'static str, String),
) -> Option<Loaded> {
    options.delegates.iter().find_map(|vendor| {
        let library = vendor.library.display();
        match Tflite::load(file, options, &Delegates::Vendor(vendor)) {
            Ok(loaded) if loaded.report.accelerated() => Some(loaded),
            Ok(_) => {
                reject("a delegate", format!("{library} claims none of the model's operators"));
                None
            }
            Err(error) => {
                reject("a delegate", reason(&file.path, &error));
                None
            }
        }
    })
}
