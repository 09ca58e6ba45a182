//! The measuring parts alone: what they add to every image.
#![no_std]
#![no_main]

use systole_bench_firmware::{Counter, exit, machine::entry, print, stack};

#[entry]
fn main() -> ! {
    stack::paint();
    let counter = Counter::start();
    let ticks = counter.ticks();
    print::number("stack", stack::high_water() as u64);
    print::number("ticks", ticks);
    print::bytes("output", &[]);
    exit(true)
}
