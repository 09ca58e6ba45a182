//! Models over a serial port into flash: good ones run after a restart, bad ones change nothing.
#![no_std]
#![no_main]

use board::{
    Line, Singleton, entry, exit, pass_done,
    stand_in::{Flash, FlashMemory, Serial},
    start,
};
use systole::{Aligned, Arena, Model, Operators, Session, operators};
use systole_apps::{
    hello::Hello,
    update::{Error, Limits, Slots},
};

/// What the sender has: the sine model, and one that is none of our business.
static SINE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../../models/hello.systole"));
static OTHER: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../../models/vowels.systole"));

/// What models may be made of, later ones too. Nothing else is linked: all operators are a megabyte.
const OPERATORS: Operators = operators![
    I8: FullyConnected,
    Conv2d,
    DepthwiseConv2d,
    AveragePool2d,
    MaxPool2d,
    Add,
    Softmax
];

const LIMITS: Limits = Limits {
    operators: OPERATORS,
    arena_bytes: 256,
    work: 10_000,
    input: Hello::INPUT,
    output: Hello::OUTPUT,
};

static MEMORY: Singleton<FlashMemory> = Singleton::new(Flash::MEMORY);
static ARENA: Singleton<Arena<{ LIMITS.arena_bytes }>> = Singleton::new(Arena::new());

#[entry]
fn main() -> ! {
    start();
    let (Some(memory), Some(arena)) = (MEMORY.take(), ARENA.take()) else { exit(false) };
    // Of the board's flash, a part that the program does not use goes here.
    let Some(mut slots) = Slots::new(Flash::new(memory), LIMITS) else { exit(false) };
    let arena = arena.as_mut_slice();
    let (sine, half) = (&SINE.0, SINE.0.len() / 2);
    // The board's serial port goes here.
    let right = attempt("a model", &mut slots, Serial::new(sine), arena) == Some(1)
        && attempt("a damaged one", &mut slots, Serial::new(sine).damaging(half), arena) == Some(1)
        && attempt("half of one", &mut slots, Serial::new(&sine[..half]), arena) == Some(1)
        && attempt("another one", &mut slots, Serial::new(&OTHER.0), arena) == Some(1)
        && attempt("a model", &mut slots, Serial::new(sine), arena) == Some(2);
    if !right {
        exit(false);
    }
    pass_done();
    exit(true)
}

/// Receives a model, and runs what a start would. Gives the sequence number of that.
fn attempt(
    what: &str,
    slots: &mut Slots<Flash>,
    mut from: Serial,
    arena: &mut [u8],
) -> Option<i32> {
    let outcome = match slots.receive(&mut from) {
        Ok(()) => "stored",
        Err(Error::Receive(_) | Error::Truncated) => "incomplete",
        Err(Error::NotAModel | Error::Invalid(_)) => "damaged",
        Err(Error::TooLarge { .. } | Error::Refused(_)) => "does not fit",
        Err(Error::Flash(_) | Error::NotStored) => "flash failed",
    };
    let active = slots.active()?;
    let (sine, number) = (answer(&active.model, arena)?, active.sequence as i32);
    say(what, outcome, number, sine);
    Some(number)
}

/// The sine of a quarter of a turn. Not inlined, as `say` is not: nothing of it is on the stack while
/// a file is checked, which takes most.
#[inline(never)]
fn answer(model: &Model<'_>, arena: &mut [u8]) -> Option<i8> {
    let mut session = Session::new(model, arena).ok()?;
    session.input(0).ok()?.copy_from(&[-64_i8]).ok()?;
    session.run().ok()?;
    session.output(0).ok()?.as_slice().ok()?.first().copied()
}

#[inline(never)]
fn say(what: &str, outcome: &str, number: i32, sine: i8) {
    let mut line = Line::new();
    line.text(what).text(": ").text(outcome).text("; model ");
    line.number(number).text(" says ").number(sine.into()).print();
}
