//! A model that is loaded from its file.
#![no_std]
#![no_main]

use core::ptr::addr_of_mut;

use systole::{Arena, Model, Session};
use systole_bench_firmware::{Counter, exit, machine::entry, print, stack};

/// `FILE`, `ARENA_BYTES` and `INPUTS`.
mod model {
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

static mut ARENA: Arena<{ model::ARENA_BYTES }> = Arena::new();

#[entry]
fn main() -> ! {
    stack::paint();
    // SAFETY: this function runs once, and nothing else names the static.
    let arena = unsafe { &mut *addr_of_mut!(ARENA) };
    exit(measure(arena.as_mut_slice()).is_some())
}

fn measure(arena: &mut [u8]) -> Option<()> {
    let counter = Counter::start();
    let model = Model::from_bytes(&model::FILE.0).ok()?;
    let mut session = Session::new(&model, arena).ok()?;
    print::number("load", counter.ticks());
    for (index, input) in model::INPUTS.iter().enumerate() {
        session.input(index).ok()?.copy_stored(input).ok()?;
    }
    let counter = Counter::start();
    loop {
        let more = session.step().ok()?;
        if model::PER_LAYER {
            print::number("layer", counter.ticks());
        }
        if !more {
            break;
        }
    }
    let ticks = counter.ticks();
    print::number("stack", stack::high_water() as u64);
    print::number("ticks", ticks);
    for index in 0..model.output_count() {
        print::bytes("output", session.output(index).ok()?.stored_bytes());
    }
    Some(())
}
