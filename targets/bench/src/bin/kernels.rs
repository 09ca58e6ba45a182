//! Holds the kernels of the DSP extension against the portable ones, over random runs of all small
//! lengths, at all alignments, beside each other and not, with both extremes of int8.
#![no_std]
#![no_main]

use systole_bench_firmware::{host, machine::entry};
use systole_kernels::{arch::dsp, dot};

/// Cases that are tried.
const CASES: u32 = 20_000;
/// Runs are shorter than this: a few long steps, short ones, and a rest.
const LENGTHS: usize = 75;
/// Room for two runs from any of the first places.
const ROOM: usize = 2 * LENGTHS + 8;

#[entry]
fn main() -> ! {
    let mut random = Random(12345);
    let mut differing = 0;
    for _ in 0..CASES {
        let (x, w) = (random.elements(), random.elements());
        let len = random.below(LENGTHS);
        let acc = [[random.next() as i32, random.next() as i32], [random.next() as i32, 0]];
        let x = random.runs(&x, len);
        let w = random.runs(&w, len);
        let same = dsp::dot::dots_i8(acc, x, w) == dot::dots_i8(acc, x, w)
            && dsp::dot::dot_i8(acc[0], x[0], w) == dot::dot_i8(acc[0], x[0], w);
        differing += u32::from(!same);
    }
    host::text("cases=0x");
    host::hex(CASES);
    host::text(" differing=0x");
    host::hex(differing);
    host::text("\n");
    host::exit(differing == 0)
}

/// A linear congruential generator, of which the upper bits are used.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.rotate_right(16)
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    /// Random elements, or the smallest and the largest.
    fn elements(&mut self) -> [i8; ROOM] {
        let extreme = self.below(4) == 0;
        core::array::from_fn(|_| {
            let byte = self.next() as i8;
            if extreme { if byte < 0 { i8::MIN } else { i8::MAX } } else { byte }
        })
    }

    /// Two runs: one behind the other, as often as at random places.
    fn runs<'a>(&mut self, elements: &'a [i8], len: usize) -> [&'a [i8]; 2] {
        let first = self.below(8);
        let second = if self.below(2) == 0 { first + len } else { self.below(ROOM - len) };
        [first, second].map(|start| &elements[start..start + len])
    }
}
