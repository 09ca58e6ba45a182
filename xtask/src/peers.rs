//! Figures of other runtimes, measured on the same boards with the same models: `peers.csv`, with
//! what was measured and how in [`METHOD`].

use crate::error::{Result, failed};

/// Figures of a runtime with a model on a processor. Sizes are bytes; `None` where not measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Our name of the model.
    pub model: String,
    /// Our name of the processor.
    pub processor: String,
    /// The runtime's name.
    pub runtime: String,
    /// Instructions of an inference.
    pub instructions: u64,
    /// Flash without the model; with it for MicroFlow, which compiles it in.
    pub flash: u64,
    /// The arena.
    pub arena: Option<u64>,
    /// The stack's high-water mark.
    pub stack: Option<u64>,
}

/// TFLite Micro with its reference kernels.
pub const TFLM: &str = "TFLM";
/// TFLite Micro with Arm's.
pub const CMSIS_NN: &str = "TFLM + CMSIS-NN";

/// What was measured and how, for the table's notes.
pub const METHOD: &str = "\
- TFLM: tensorflow/tflite-micro 90b983c2 (2026-08-20) with its pinned dependencies, CMSIS-NN 4ab83cc3 (2026-06-17);
  arm-none-eabi-gcc 12.2.1, newlib 3.3, TFLM's own release settings (core `-Os`, kernels and CMSIS-NN `-O2`, `NDEBUG`,
  error strings stripped). Only the model's operators are registered, with the int8-only registrations where there are
  any, and the C library's `abort`, `errno` and `operator delete` are stubs: TFLM as it comes links more (kws with
  CMSIS-NN: 89,204 bytes). A part of the flash is the harness, 1.4 KB.
- MicroFlow: microflow 0.1.3, rustc 1.96, fat LTO, one codegen unit, `panic = \"abort\"`. Its weights are compiled in and
  counted in its flash, and so are 4.0 KB (`opt-level = 3`) or 2.4 KB (`s`) of harness with a vector table of 1 KB. All
  its RAM is stack; the caller's copy of the input is not counted. Its `hello_world_int8` is its own sine model, which
  has the same layers. On person_detect its outputs differ from LiteRT's (74/-74 instead of 106/-106).
- QEMU 7.2.22, `-icount shift=0`, SysTick read around many inferences, on the same boards as here, and with the M0's
  programs on the M3's board; loops of known length are counted to within a tick. The input is the generator's of
  `cargo xtask measure`. For TFLM only `Invoke()` is counted, with the input in place.
- TFLM's arena is what `arena_used_bytes` says; inputs and outputs are inside, as they are here. Its statics, not in the
  table, are 16 to 24 bytes. The stack is the high-water mark of set-up and `Invoke()` from the top, `main` included.";

/// All figures.
///
/// # Errors
/// At a line of the file that is not as its head says.
pub fn all() -> Result<Vec<Peer>> {
    parse(include_str!("../peers.csv"))
}

fn parse(text: &str) -> Result<Vec<Peer>> {
    text.lines()
        .skip(1)
        .map(|line| {
            let wrong = || failed!("peers.csv: {line:?} is not understood");
            let fields: Vec<&str> = line.split(',').collect();
            let &[model, processor, runtime, instructions, flash, arena, stack] = fields.as_slice()
            else {
                return Err(wrong());
            };
            let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
            let optional = |text: &str| (!text.is_empty()).then(|| number(text)).transpose();
            Ok(Peer {
                model: model.to_owned(),
                processor: processor.to_owned(),
                runtime: runtime.to_owned(),
                instructions: number(instructions)?,
                flash: number(flash)?,
                arena: optional(arena)?,
                stack: optional(stack)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{models::MODELS, targets};

    #[test]
    fn every_line_names_a_model_and_a_processor_that_are_measured_here() {
        let peers = all().unwrap();
        for peer in &peers {
            assert!(MODELS.iter().any(|model| model.name == peer.model), "{peer:?}");
            assert!(targets::find(&peer.processor).is_some(), "{peer:?}");
        }
        for model in MODELS {
            let on_m4 = |runtime| {
                peers.iter().any(|peer| {
                    peer.model == model.name
                        && peer.processor == "cortex-m4"
                        && peer.runtime == runtime
                })
            };
            assert!(on_m4(TFLM) && on_m4(CMSIS_NN), "{}", model.name);
        }
    }

    #[test]
    fn damaged_lines_are_quoted() {
        assert!(parse("head\na,b,c,1,2,,\n").is_ok());
        for line in ["a,b", "a,b,c,x,2,,", "a,b,c,1,2,,-3"] {
            let error = parse(&format!("head\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }
}
