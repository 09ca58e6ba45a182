//! A model in two of a chip's memories, with weights brought there; and a model whose weights are in a flash
//! that cannot be mapped. Both against golden outputs.
#![no_std]
#![no_main]

use systole::{Arena, Model, Operators, Session, WeightSource, Weights, operators};
use systole_bench_firmware::{host, machine::entry};

/// Written by xtask: `INPUTS` and `OUTPUTS` as they are stored; `chip`, with the type `Bench`, and `run` of a sample
/// with it; `FILE`, `WEIGHTS`, `ARENA_BYTES` and `BUFFER_BYTES` of the model in two parts.
mod model {
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

use model::chip::Bench;

/// What the models are made of.
const OPERATORS: Operators =
    operators![I8: Conv2d, DepthwiseConv2d, AveragePool2d, FullyConnected, Softmax];

/// In tightly coupled memory.
#[unsafe(link_section = ".dtcm")]
static mut FAST: Arena<{ Bench::MEMORIES[0].1 }> = Arena::new();
static mut SLOW: Arena<{ Bench::MEMORIES[1].1 }> = Arena::new();

static mut ARENA: Arena<{ model::ARENA_BYTES }> = Arena::new();
static mut BUFFER: Arena<{ model::BUFFER_BYTES }> = Arena::new();

#[entry]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the statics.
    let (fast, slow) = unsafe { (&mut *&raw mut FAST, &mut *&raw mut SLOW) };
    // SAFETY: as above.
    let (arena, buffer) = unsafe { (&mut *&raw mut ARENA, &mut *&raw mut BUFFER) };
    host::text("fast=0x");
    host::hex(fast.as_mut_slice().as_ptr() as usize as u32);
    host::text(" slow=0x");
    host::hex(slow.as_mut_slice().as_ptr() as usize as u32);
    let in_memories = in_memories(fast, slow);
    host::text(if in_memories { " equal" } else { " differs" });
    let read = apart(arena, buffer);
    host::text(" apart=0x");
    host::hex(read.unwrap_or(0) as u32);
    host::text("\n");
    host::exit(in_memories && read.is_some())
}

/// Whether the model that is compiled in gives the golden outputs.
#[inline(never)]
fn in_memories(
    fast: &mut Arena<{ Bench::MEMORIES[0].1 }>,
    slow: &mut Arena<{ Bench::MEMORIES[1].1 }>,
) -> bool {
    // Weights that are not brought are not those of before.
    fast.as_mut_slice().fill(0x55);
    slow.as_mut_slice().fill(0xAA);
    let mut bench = Bench::new(fast, slow);
    (0..model::INPUTS.len()).all(|sample| model::chip::run(&mut bench, sample) == Some(true))
}

/// A flash that is read in pieces, and says how much was.
struct Flash {
    read: usize,
}

impl WeightSource for Flash {
    type Error = ();

    fn read(&mut self, offset: u32, into: &mut [u8]) -> Result<(), ()> {
        let from = model::WEIGHTS.get(offset as usize..).and_then(|from| from.get(..into.len()));
        into.copy_from_slice(from.ok_or(())?);
        self.read += into.len();
        Ok(())
    }
}

/// How many bytes were read from the flash; `None` where outputs are not golden, or more memory is needed
/// than was stated.
#[inline(never)]
fn apart(
    arena: &mut Arena<{ model::ARENA_BYTES }>,
    buffer: &mut Arena<{ model::BUFFER_BYTES }>,
) -> Option<usize> {
    let mut weights = Weights::new(Flash { read: 0 }, buffer.as_mut_slice());
    let model = Model::with_weights(&model::FILE.0, OPERATORS, &weights).ok()?;
    if model.weights_room().double != model::BUFFER_BYTES {
        return None;
    }
    weights.verify(&model).ok()?;
    let mut session = Session::new(&model, arena.as_mut_slice()).ok()?;
    for (input, output) in model::INPUTS.iter().zip(&model::OUTPUTS) {
        session.input(0).ok()?.copy_stored(input).ok()?;
        session.run_from(&mut weights).ok()?;
        if session.output(0).ok()?.stored_bytes() != output {
            return None;
        }
    }
    Some(weights.into_source().read)
}
