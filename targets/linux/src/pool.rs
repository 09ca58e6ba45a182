//! One model on several devices at once.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
};

use crate::{
    DeviceChoice, EdgeTpuDevice, Error, Options, Port, Report, Result, Ticket, Values,
    worker::{self, Worker},
};

/// A job, and where to send what comes of it.
struct Job {
    inputs: Values,
    reply: SyncSender<Result<Values>>,
}

/// A model in several engines, each in a thread and on a device of its own. Whoever is free takes the
/// next job of a bounded queue.
///
/// ```no_run
/// # fn main() -> Result<(), systole_engine::Error> {
/// use systole_engine::{Options, Pool};
///
/// let devices = ["usb:0".parse()?, "usb:1".parse()?];
/// let pool = Pool::on_devices("model_edgetpu.tflite", &Options::default(), &devices, 8)?;
/// let picture = vec![0; pool.inputs()[0].bytes()];
/// let (first, second) = (pool.submit(vec![picture.clone()])?, pool.submit(vec![picture])?);
/// let scores = [first.wait()?, second.wait()?];
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Pool {
    /// `None` only while the pool ends.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<Worker>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Pool {
    /// An engine for each of `options`, with at most `queue` jobs waiting.
    ///
    /// # Errors
    /// Those of [`Engine::load_with`](crate::Engine::load_with) for any of them; [`Error::Empty`] for no
    /// options.
    pub fn load(path: impl AsRef<Path>, options: &[Options], queue: usize) -> Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(queue);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut workers = Vec::with_capacity(options.len());
        for options in options {
            let waiting = waiting.clone();
            let take = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let work = move |mut engine| {
                while let Ok(Job { inputs, reply }) = take() {
                    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
                    // Who asked may be gone.
                    let _ = reply.send(worker::run(&mut engine, &inputs));
                }
            };
            workers.push(Worker::spawn(path.as_ref().to_owned(), options.clone(), work)?);
        }
        let first = workers.first().ok_or(Error::Empty("options for the engines of a pool"))?;
        let (inputs, outputs) = (first.inputs.clone(), first.outputs.clone());
        Ok(Self { jobs: Some(jobs), workers, inputs, outputs })
    }

    /// An engine on each of these Edge TPUs.
    ///
    /// # Errors
    /// As [`Pool::load`].
    pub fn on_devices(
        path: impl AsRef<Path>,
        options: &Options,
        devices: &[DeviceChoice],
        queue: usize,
    ) -> Result<Self> {
        let options: Vec<Options> = devices.iter().map(|&device| on(options, device)).collect();
        Self::load(path, &options, queue)
    }

    /// What is known of the inputs, in their order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What is known of the outputs, in their order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What runs where, by engine.
    pub fn reports(&self) -> Vec<&Report> {
        self.workers.iter().map(|worker| &worker.report).collect()
    }

    /// Puts a job into the queue; waits while that is full.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::Length`]; [`Error::Stopped`] where all threads are gone.
    pub fn submit(&self, inputs: Values) -> Result<Ticket> {
        worker::check(&self.inputs, &inputs)?;
        let (reply, ticket) = Ticket::new();
        let jobs = self.jobs.as_ref().ok_or(Error::Stopped)?;
        jobs.send(Job { inputs, reply }).map_err(|_| Error::Stopped)?;
        Ok(ticket)
    }

    /// Runs the model once, on whoever is free.
    ///
    /// # Errors
    /// As [`Pool::submit`] and [`Ticket::wait`].
    pub fn run(&self, inputs: Values) -> Result<Values> {
        self.submit(inputs)?.wait()
    }
}

impl Drop for Pool {
    /// Waits for the jobs that are in the queue.
    fn drop(&mut self) {
        self.jobs = None;
        self.workers.drain(..).for_each(Worker::join);
    }
}

/// The same options, for another device.
pub(crate) fn on(options: &Options, device: DeviceChoice) -> Options {
    let edge_tpu = EdgeTpuDevice { device, ..options.edge_tpu.clone() };
    Options { edge_tpu, ..options.clone() }
}
