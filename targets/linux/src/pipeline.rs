//! A model in segments, one after the other on devices of their own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use crate::{
    DeviceChoice, Engine, Error, Options, Port, Report, Result, Ticket, Values,
    pool::on,
    worker::{self, Worker},
};

/// A segment and how it is to run.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The segment's model.
    pub model: PathBuf,
    /// Its device, and all else.
    pub options: Options,
}

/// What goes from segment to segment: all tensors so far, by name.
struct Task {
    tensors: BTreeMap<String, Vec<u8>>,
    reply: SyncSender<Result<Values>>,
}

/// A model that is compiled in segments, `NAME_segment_I_of_N_edgetpu.tflite`, each in a thread and on a
/// device of its own: while one segment works on a picture, the one before it works on the next. Between
/// segments are bounded queues.
///
/// A segment's inputs are found by their names among the outputs of all segments before it and the inputs
/// of the first.
///
/// ```no_run
/// # fn main() -> Result<(), systole_engine::Error> {
/// use systole_engine::{Options, Pipeline};
///
/// let devices = ["usb:0".parse()?, "usb:1".parse()?];
/// let segments = "model_segment_0_of_2_edgetpu.tflite";
/// let pipeline = Pipeline::load(segments, &Options::default(), &devices, 2)?;
/// let picture = vec![0; pipeline.inputs()[0].bytes()];
/// let tickets = [pipeline.submit(vec![picture.clone()])?, pipeline.submit(vec![picture])?];
/// for ticket in tickets {
///     let scores = ticket.wait()?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Pipeline {
    /// `None` only while the pipeline ends.
    first: Option<SyncSender<Task>>,
    workers: Vec<Worker>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Pipeline {
    /// All segments of the model of which `segment` is one, over `devices` in turns, with at most `queue`
    /// tasks waiting in front of each segment.
    ///
    /// # Errors
    /// [`Error::Segments`] for a name that is none of a segment, and where one is missing;
    /// [`Error::Empty`] for no devices; those of [`Pipeline::of`].
    pub fn load(
        segment: impl AsRef<Path>,
        options: &Options,
        devices: &[DeviceChoice],
        queue: usize,
    ) -> Result<Self> {
        if devices.is_empty() {
            return Err(Error::Empty("devices for a pipeline"));
        }
        let models = segments(segment.as_ref())?;
        let stages = models.into_iter().zip(devices.iter().cycle());
        let stages = stages.map(|(model, &device)| Stage { model, options: on(options, device) });
        Self::of(stages.collect(), queue)
    }

    /// Any models, of which each takes what those before it give.
    ///
    /// # Errors
    /// Those of [`Engine::load_with`] for any of them; [`Error::Segment`] where a segment's input comes
    /// from nowhere; [`Error::Empty`] for no stages.
    pub fn of(stages: Vec<Stage>, queue: usize) -> Result<Self> {
        let (first, mut waiting) = sync_channel(queue);
        let (mut workers, last) = (Vec::with_capacity(stages.len()), stages.len());
        let mut given: Vec<Port> = Vec::new();
        for (index, Stage { model, options }) in stages.into_iter().enumerate() {
            let (next, after) = sync_channel(queue);
            let (tasks, next) = (waiting, (index + 1 < last).then_some(next));
            waiting = after;
            let work = move |engine| work(engine, tasks, next);
            let worker = Worker::spawn(model.clone(), options, work)?;
            if index == 0 {
                given.clone_from(&worker.inputs);
            }
            let missing = worker.inputs.iter().find(|input| !given.contains(input));
            if let Some(input) = missing {
                return Err(Error::Segment { model, input: input.clone() });
            }
            given.extend(worker.outputs.iter().cloned());
            workers.push(worker);
        }
        let (Some(begin), Some(end)) = (workers.first(), workers.last()) else {
            return Err(Error::Empty("stages of a pipeline"));
        };
        let (inputs, outputs) = (begin.inputs.clone(), end.outputs.clone());
        Ok(Self { first: Some(first), workers, inputs, outputs })
    }

    /// What is known of the first segment's inputs, in their order.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What is known of the last segment's outputs, in their order.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What runs where, by segment.
    pub fn reports(&self) -> Vec<&Report> {
        self.workers.iter().map(|worker| &worker.report).collect()
    }

    /// Sends inputs on their way; waits while the queue in front of the first segment is full. Answers
    /// come in the order in which they were asked for.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::Length`]; [`Error::Stopped`] where a segment's thread is gone.
    pub fn submit(&self, inputs: Values) -> Result<Ticket> {
        worker::check(&self.inputs, &inputs)?;
        let names = self.inputs.iter().map(|port| port.name.clone());
        let tensors = names.zip(inputs).collect();
        let (reply, ticket) = Ticket::new();
        let first = self.first.as_ref().ok_or(Error::Stopped)?;
        first.send(Task { tensors, reply }).map_err(|_| Error::Stopped)?;
        Ok(ticket)
    }

    /// Runs all segments once.
    ///
    /// # Errors
    /// As [`Pipeline::submit`] and [`Ticket::wait`].
    pub fn run(&self, inputs: Values) -> Result<Values> {
        self.submit(inputs)?.wait()
    }
}

impl Drop for Pipeline {
    /// Waits for what is under way.
    fn drop(&mut self) {
        // Each segment ends when the one before it has.
        self.first = None;
        self.workers.drain(..).for_each(Worker::join);
    }
}

/// A segment's work: takes tasks, and hands them on or, without a `next` one, answers.
fn work(mut engine: Engine, tasks: Receiver<Task>, next: Option<SyncSender<Task>>) {
    let names =
        |ports: &[Port]| -> Vec<String> { ports.iter().map(|port| port.name.clone()).collect() };
    let (inputs, outputs) = (names(engine.inputs()), names(engine.outputs()));
    while let Ok(Task { mut tensors, reply }) = tasks.recv() {
        let given = inputs.iter().map(|name| tensors.get(name).map_or(&[][..], Vec::as_slice));
        let given: Vec<&[u8]> = given.collect();
        match (worker::run(&mut engine, &given), &next) {
            (Ok(made), Some(next)) => {
                tensors.extend(outputs.iter().cloned().zip(made));
                // A segment that is gone answers nothing: who waits is told by that.
                let _ = next.send(Task { tensors, reply });
            }
            // Who asked may be gone.
            (answer, _) => drop(reply.send(answer)),
        }
    }
}

/// All segments of the model of which `segment` is one, in their order.
///
/// # Errors
/// [`Error::Segments`] for a name that is none of a segment, and where one is missing.
pub fn segments(segment: &Path) -> Result<Vec<PathBuf>> {
    let refuse = |missing| Error::Segments { path: segment.to_owned(), missing };
    let name = segment.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (stem, count, suffix) = parsed(name).ok_or_else(|| refuse(Vec::new()))?;
    let sibling =
        |index| segment.with_file_name(format!("{stem}_segment_{index}_of_{count}{suffix}"));
    let all: Vec<PathBuf> = (0..count).map(sibling).collect();
    let missing: Vec<PathBuf> = all.iter().filter(|path| !path.exists()).cloned().collect();
    if missing.is_empty() { Ok(all) } else { Err(refuse(missing)) }
}

/// Stem, number of segments and suffix of `STEM_segment_I_of_N_edgetpu.tflite`, with or without
/// `_edgetpu`.
fn parsed(name: &str) -> Option<(&str, usize, &str)> {
    /// More devices than anyone has.
    const MOST: usize = 1000;
    let (stem, rest) = name.rsplit_once("_segment_")?;
    let (index, rest) = rest.split_once("_of_")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (count, suffix) = rest.split_at_checked(end)?;
    let (index, count): (usize, usize) = (index.parse().ok()?, count.parse().ok()?);
    let known = ["_edgetpu.tflite", ".tflite"].contains(&suffix);
    (known && index < count && count <= MOST).then_some((stem, count, suffix))
}

#[cfg(test)]
mod tests {
    use super::parsed;

    #[test]
    fn names_of_segments_are_read() {
        let name = "a_segment_b_segment_1_of_4_edgetpu.tflite";
        assert_eq!(parsed(name), Some(("a_segment_b", 4, "_edgetpu.tflite")));
        assert_eq!(parsed("x_segment_0_of_2.tflite"), Some(("x", 2, ".tflite")));
        for none in [
            "x_edgetpu.tflite",
            "x_segment_2_of_2_edgetpu.tflite",
            "x_segment_0_of_0.tflite",
            "x_segment_a_of_2.tflite",
            "x_segment_0_of_2.onnx",
            "x_segment_0_of_99999999999999999999.tflite",
            "x_segment_0_of_4000000000.tflite",
        ] {
            assert_eq!(parsed(none), None, "{none}");
        }
    }
}
