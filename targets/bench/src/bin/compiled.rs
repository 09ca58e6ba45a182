//! A model that is compiled in.
#![no_std]
#![no_main]

use systole_bench_firmware::{
    host,
    layers::Layers,
    machine::{self, entry},
    print_stack, stack,
};

/// Written by xtask: the type `Bench`; `SAMPLES`; `LAYERS`, 0 or a reading per operator and one more;
/// `Input` and `input(sample)`; `reset`, `run`, `observe` and `print`.
mod model {
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

/// The model with its arena.
static mut BENCH: model::Bench = model::Bench::new();
static mut LAYERS: Layers<{ model::LAYERS }> = Layers::new();

#[entry]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the statics.
    let (bench, layers) = unsafe { (&mut *&raw mut BENCH, &mut *&raw mut LAYERS) };
    stack::paint();
    if let Some(input) = model::input(0) {
        model::run(bench, input);
        print_stack();
    }
    for sample in 0..model::SAMPLES {
        let Some(input) = model::input(sample) else { host::exit(false) };
        model::reset(bench);
        machine::start();
        let output = model::run(bench, input);
        let count = machine::read();
        count.print("count");
        model::print(output);
    }
    if model::LAYERS > 0
        && let Some(input) = model::input(0)
    {
        machine::start();
        for reading in layers.begin() {
            reading.print("reading");
        }
        machine::start();
        layers.begin();
        model::observe(bench, input, || layers.read());
        layers.print();
    }
    host::exit(true)
}
