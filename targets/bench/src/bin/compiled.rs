//! A model that is compiled in.
#![no_std]
#![no_main]

use core::ptr::addr_of_mut;

use systole_bench_firmware::{Counter, exit, machine::entry, print, stack};

/// `Bench`, the model, and `run`, which gives it its stored input.
mod model {
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

/// The model with its arena.
static mut BENCH: model::Bench = model::Bench::new();

#[entry]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the static.
    let bench = unsafe { &mut *addr_of_mut!(BENCH) };
    stack::paint();
    let counter = Counter::start();
    model::run(bench, &counter);
    let ticks = counter.ticks();
    print::number("stack", stack::high_water() as u64);
    print::number("ticks", ticks);
    model::print(bench);
    exit(true)
}
