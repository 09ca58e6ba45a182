//! Random networks, each loaded from its file, against the outputs that the host has of the definitions.
#![no_std]
#![no_main]

use systole::{Arena, Model, Session};
use systole_bench_firmware::{host, machine::entry};

/// Written by xtask: `ARENA_BYTES`, the largest that any needs; `NETWORKS`.
mod networks {
    use super::Network;
    include!(env!("SYSTOLE_BENCH_MODEL"));
}

/// A file, an input as it is stored, and the output that belongs to it.
struct Network {
    file: &'static [u8],
    input: &'static [u8],
    output: &'static [u8],
}

static mut ARENA: Arena<{ networks::ARENA_BYTES }> = Arena::new();

#[entry]
fn main() -> ! {
    // SAFETY: this function runs once, and nothing else names the static.
    let arena = unsafe { &mut *&raw mut ARENA };
    let mut differing = 0;
    for (index, network) in networks::NETWORKS.iter().enumerate() {
        if run(network, arena.as_mut_slice()) != Some(true) {
            differing += 1;
            host::text("differs=0x");
            host::hex(index as u32);
            host::text("\n");
        }
    }
    host::text("networks=0x");
    host::hex(networks::NETWORKS.len() as u32);
    host::text(" differing=0x");
    host::hex(differing);
    host::text("\n");
    host::exit(differing == 0)
}

/// Whether the output is the one that is expected; `None` where the network does not run.
#[inline(never)]
fn run(network: &Network, arena: &mut [u8]) -> Option<bool> {
    let model = Model::from_bytes(network.file).ok()?;
    let mut session = Session::new(&model, arena.get_mut(..model.arena_bytes())?).ok()?;
    session.input(0).ok()?.copy_stored(network.input).ok()?;
    session.run().ok()?;
    Some(session.output(0).ok()?.stored_bytes() == network.output)
}
