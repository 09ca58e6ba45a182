//! The measuring parts alone: what they add to every image, and what they count where nothing is to
//! be counted.
#![no_std]
#![no_main]

use core::hint::black_box;

use systole_bench_firmware::{
    host,
    machine::{self, entry},
    print_output, print_stack, stack,
};

/// Turns of a loop of two instructions; the last one takes SysTick beyond its 24 bits, so that it
/// tells what a wrap costs.
const TURNS: [u32; 5] = [1, 2, 1001, 1_000_001, 12_000_001];

#[entry]
fn main() -> ! {
    stack::paint();
    print_stack();
    machine::start();
    machine::read().print("empty");
    for turns in TURNS {
        let turns = black_box(turns);
        machine::start();
        machine::spin(turns);
        machine::read().print("spin");
    }
    print_output(&[]);
    host::exit(true)
}
