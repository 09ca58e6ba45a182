//! A model that is loaded from its file.
#![no_std]
#![no_main]

use systole::{Arena, Model, RunError, Session};
use systole_bench_firmware::{
    Count, host,
    layers::Layers,
    machine::{self, entry},
    print_output, print_stack, stack,
};

/// Written by xtask: `FILE`, `ARENA_BYTES`, `SAMPLES`; `LAYERS`, 0 or a reading per operator and one
/// more; `write(session, sample)`.
mod model {
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

static mut ARENA: Arena<{ model::ARENA_BYTES }> = Arena::new();
static mut LAYERS: Layers<{ model::LAYERS }> = Layers::new();

#[entry]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the statics.
    let (arena, layers) = unsafe { (&mut *&raw mut ARENA, &mut *&raw mut LAYERS) };
    stack::paint();
    host::exit(measure(arena.as_mut_slice(), layers).is_some())
}

fn measure(arena: &mut [u8], layers: &mut Layers<{ model::LAYERS }>) -> Option<()> {
    let model = load()?;
    let mut session = Session::new(&model, arena).ok()?;
    model::write(&mut session, 0)?;
    run(&mut session).ok()?;
    print_stack();
    machine::start();
    load()?;
    machine::read().print("load");
    for sample in 0..model::SAMPLES {
        session.reset();
        model::write(&mut session, sample)?;
        machine::start();
        run(&mut session).ok()?;
        let count: Count = machine::read();
        count.print("count");
        for index in 0..model.output_count() {
            print_output(session.output(index).ok()?.stored_bytes());
        }
    }
    if model::LAYERS > 0 {
        model::write(&mut session, 0)?;
        machine::start();
        for reading in layers.begin() {
            reading.print("reading");
        }
        machine::start();
        layers.begin();
        loop {
            let more = session.step().ok()?;
            layers.read();
            if !more {
                break;
            }
        }
        layers.print();
    }
    Some(())
}

#[inline(never)]
fn load() -> Option<Model<'static>> {
    Model::from_bytes(&model::FILE.0).ok()
}

#[inline(never)]
fn run(session: &mut Session<'_, '_>) -> Result<(), RunError> {
    session.run()
}
