//! `systole-runner MODEL.systole INPUTS OUTPUTS [COUNTS]`: runs samples of a model.
//!
//! `INPUTS` is the bytes of every input of the first sample as the arena holds them, then those of the
//! next; `OUTPUTS` is written likewise. The kernels are those of the best level or of `SYSTOLE_ISA`, for
//! which the model is packed, and whose name is printed.
//!
//! With `COUNTS` the program runs in QEMU with a plugin that writes how many instructions have been
//! executed to the file `INSN_OUT` when a process ends. So that it does in between, a process is begun
//! that ends at once; the file becomes `COUNTS.0` and `COUNTS.1` with nothing in between, `COUNTS.2`
//! after an inference, `COUNTS.3` before another, and `COUNTS.4` and so on after each of its operators.
//!
//! Exit status 0; 1 where something failed, with the reason on stderr; 2 for wrong usage.

use std::{fs, process::Command, process::ExitCode};

use systole_core::{AlignedBytes, Model, Session, pack};
use systole_kernels::arch;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [file, inputs, outputs] => run(file, inputs, outputs, None),
        [file, inputs, outputs, counts] => run(file, inputs, outputs, Some(counts)),
        _ => {
            eprintln!("usage: systole-runner MODEL.systole INPUTS OUTPUTS [COUNTS]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(level) => {
            println!("{level}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("systole-runner: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all samples; the level's name.
fn run(
    file: &str,
    inputs: &str,
    outputs: &str,
    counts: Option<&str>,
) -> Result<&'static str, String> {
    let read = |path: &str| fs::read(path).map_err(|problem| format!("{path}: {problem}"));
    let bytes = AlignedBytes::from(read(file)?.as_slice());
    let packed = pack(bytes.as_slice()).map_err(|why| format!("{file}: {why}"))?;
    let bytes = packed.unwrap_or(bytes);
    let model = Model::from_bytes(bytes.as_slice()).map_err(|why| format!("{file}: {why}"))?;
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session =
        Session::new(&model, arena.as_mut_slice()).map_err(|why| format!("{file}: {why}"))?;
    let samples = read(inputs)?;
    let bytes: usize = model.inputs().map(|info| info.bytes()).sum();
    if bytes == 0 || !samples.len().is_multiple_of(bytes) {
        return Err(format!("{inputs}: {} bytes; a sample has {bytes}", samples.len()));
    }
    if let Some(counts) = counts {
        let sample = samples.get(..bytes).ok_or("there is no sample to count")?;
        count(&mut session, sample, counts)?;
    }
    let mut answers = Vec::new();
    for sample in samples.chunks_exact(bytes) {
        session.reset();
        write(&mut session, sample)?;
        session.run().map_err(|why| why.to_string())?;
        for index in 0..model.output_count() {
            let tensor = session.output(index).map_err(|why| why.to_string())?;
            answers.extend_from_slice(tensor.stored_bytes());
        }
    }
    fs::write(outputs, answers).map_err(|problem| format!("{outputs}: {problem}"))?;
    Ok(arch::kernels().level.name())
}

/// Writes all inputs.
fn write(session: &mut Session<'_, '_>, mut sample: &[u8]) -> Result<(), String> {
    for (index, info) in session.model().inputs().enumerate() {
        let (bytes, rest) = sample.split_at(info.bytes());
        let mut input = session.input(index).map_err(|why| why.to_string())?;
        input.copy_stored(bytes).map_err(|why| why.to_string())?;
        sample = rest;
    }
    Ok(())
}

/// Has the plugin's counts written to `counts.0` and so on.
fn count(session: &mut Session<'_, '_>, sample: &[u8], counts: &str) -> Result<(), String> {
    let written = std::env::var("INSN_OUT").map_err(|why| format!("INSN_OUT: {why}"))?;
    let keep = |index: usize| {
        // It cannot run that, and so ends; in QEMU the parent may not be told.
        if let Ok(mut child) = Command::new("/does/not/exist").spawn() {
            child.wait().map_err(|why| why.to_string())?;
        }
        fs::rename(&written, format!("{counts}.{index}")).map_err(|why| format!("{written}: {why}"))
    };
    write(session, sample)?;
    session.run().map_err(|why| why.to_string())?;
    write(session, sample)?;
    keep(0)?;
    keep(1)?;
    session.run().map_err(|why| why.to_string())?;
    keep(2)?;
    write(session, sample)?;
    keep(3)?;
    for index in 4.. {
        let more = session.step().map_err(|why| why.to_string())?;
        keep(index)?;
        if !more {
            return Ok(());
        }
    }
    Ok(())
}
