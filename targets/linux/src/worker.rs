//! Engines in threads of their own: what pools and pipelines are made of.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

use crate::{Engine, Error, Options, Port, Report, Result};

/// The bytes of all inputs or all outputs, in their order.
pub type Values = Vec<Vec<u8>>;

/// An answer that is under way.
#[derive(Debug)]
pub struct Ticket(Receiver<Result<Values>>);

impl Ticket {
    /// Where to answer, and the ticket for who asked.
    pub(crate) fn new() -> (SyncSender<Result<Values>>, Self) {
        let (reply, ticket) = sync_channel(1);
        (reply, Self(ticket))
    }

    /// Waits for the outputs.
    ///
    /// # Errors
    /// Those of [`Engine::run`]; [`Error::Stopped`] where the thread that had the work is gone.
    pub fn wait(self) -> Result<Values> {
        self.0.recv().map_err(|_| Error::Stopped)?
    }
}

/// A thread and what is known of its engine.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    pub(crate) report: Report,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Loads a model in a thread of its own, which then does `work` with it.
    pub(crate) fn spawn(
        model: PathBuf,
        options: Options,
        work: impl FnOnce(Engine) + Send + 'static,
    ) -> Result<Self> {
        let (ready, loaded) = sync_channel(1);
        let thread =
            Builder::new().name("systole-engine".to_owned()).spawn(
                move || match Engine::load_with(&model, &options) {
                    Ok(engine) => {
                        let (inputs, outputs) =
                            (engine.inputs().to_vec(), engine.outputs().to_vec());
                        let told = ready.send(Ok((inputs, outputs, engine.report().clone())));
                        drop(ready);
                        if told.is_ok() {
                            work(engine);
                        }
                    }
                    Err(error) => drop(ready.send(Err(error))),
                },
            );
        let thread = thread.map_err(|why| Error::Thread(why.to_string()))?;
        let (inputs, outputs, report) = loaded.recv().map_err(|_| Error::Stopped)??;
        Ok(Self { inputs, outputs, report, thread })
    }

    /// Waits for the end of its work; what it panicked with was printed.
    pub(crate) fn join(self) {
        let _ = self.thread.join();
    }
}

/// One run of an engine, from bytes to bytes.
pub(crate) fn run(engine: &mut Engine, inputs: &[&[u8]]) -> Result<Values> {
    for (index, bytes) in inputs.iter().enumerate() {
        engine.input(index)?.copy_bytes(bytes)?;
    }
    engine.run()?;
    (0..engine.outputs().len()).map(|index| engine.output(index)?.to_bytes()).collect()
}

/// Whether there is an array for each input, of its length.
pub(crate) fn check(inputs: &[Port], given: &Values) -> Result<()> {
    if inputs.len() != given.len() {
        return Err(Error::Count { wanted: inputs.len(), found: given.len() });
    }
    let wrong = inputs.iter().zip(given).find(|(port, bytes)| port.bytes() != bytes.len());
    match wrong {
        None => Ok(()),
        Some((port, bytes)) => Err(Error::Length {
            tensor: port.name.clone(),
            wanted: port.elements(),
            found: bytes.len() / port.dtype.size(),
        }),
    }
}
