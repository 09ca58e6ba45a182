//! Which processors are measured, on which emulated boards.

/// A processor that programs are built for.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// The name on the command line.
    pub name: &'static str,
    /// The name in tables.
    pub title: &'static str,
    /// The compiler's target triple.
    pub triple: &'static str,
    /// `-C target-cpu`: the compiler orders instructions, and so uses registers, as it suits the
    /// processor.
    pub cpu: Option<&'static str>,
    /// The folder that its programs are built in. Those of a folder share what is compiled for the
    /// host, and are built one after the other: two folders keep two cores busy.
    pub folder: &'static str,
    /// Boards with it, the one to be preferred first.
    pub boards: &'static [Board],
}

/// A board that QEMU emulates.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// QEMU's name of the machine, and that of its file in `targets/bench/memory`.
    pub name: &'static str,
    /// Flash for the program, bytes.
    pub flash: usize,
    /// RAM, bytes.
    pub ram: usize,
    /// What instructions are counted by.
    pub counter: Counter,
}

/// What counts instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Arm's timer of 24 bits, on a clock with ticks of this length in picoseconds. QEMU is told
    /// that every instruction takes [`INSTRUCTION_PS`].
    SysTick {
        /// The length of a tick.
        tick_ps: u64,
    },
    /// RISC-V's own count.
    Minstret,
}

/// The time of an instruction under `-icount shift=6`: longer than any board's tick, so that each
/// instruction is seen.
pub const INSTRUCTION_PS: u64 = 64_000;

/// Bits that a reading of SysTick has.
const SYSTICK_BITS: u32 = 24;

impl Counter {
    /// Instructions of a reading: `wraps` turns of the counter, and `ticks`.
    pub fn instructions(self, wraps: u32, ticks: u32) -> u64 {
        match self {
            Self::Minstret => u64::from(wraps) << 32 | u64::from(ticks),
            Self::SysTick { tick_ps } => {
                let ticks = (u64::from(wraps) << SYSTICK_BITS) + u64::from(ticks);
                (ticks * tick_ps + INSTRUCTION_PS / 2) / INSTRUCTION_PS
            }
        }
    }

    /// QEMU's `-icount shift=`.
    pub fn shift(self) -> u32 {
        match self {
            Self::Minstret => 0,
            Self::SysTick { .. } => 6,
        }
    }
}

impl Target {
    /// The compiler's arguments for its programs.
    pub fn flags(&self) -> Vec<String> {
        self.cpu.iter().flat_map(|cpu| ["-C".into(), format!("target-cpu={cpu}")]).collect()
    }
}

impl Board {
    /// The emulator, with the arguments that choose the board.
    pub fn qemu(&self) -> (&'static str, Vec<&'static str>) {
        match self.counter {
            Counter::SysTick { .. } => ("qemu-system-arm", vec!["-M", self.name]),
            Counter::Minstret => ("qemu-system-riscv32", vec!["-M", self.name, "-bios", "none"]),
        }
    }
}

const K: usize = 1 << 10;
const M: usize = 1 << 20;

const MICROBIT: Board = Board {
    name: "microbit",
    flash: 256 * K,
    ram: 16 * K,
    counter: Counter::SysTick { tick_ps: 62_500 },
};
const AN385: Board = mps2("mps2-an385", 40_000);
const AN386: Board = mps2("mps2-an386", 40_000);
const AN500: Board = mps2("mps2-an500", 40_000);
const AN505: Board = mps2("mps2-an505", 50_000);
const AN547: Board = Board {
    name: "mps3-an547",
    flash: 512 * K,
    ram: 512 * K,
    counter: Counter::SysTick { tick_ps: 31_250 },
};
const VIRT: Board = Board { name: "virt", flash: 4 * M, ram: 4 * M, counter: Counter::Minstret };

const fn mps2(name: &'static str, tick_ps: u64) -> Board {
    Board { name, flash: 4 * M, ram: 4 * M, counter: Counter::SysTick { tick_ps } }
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "cortex-m0",
        title: "M0",
        triple: "thumbv6m-none-eabi",
        cpu: Some("cortex-m0"),
        folder: "a",
        // A Cortex-M3 executes the same instructions where the M0's board has too little memory.
        boards: &[MICROBIT, AN385],
    },
    Target {
        name: "cortex-m3",
        title: "M3",
        triple: "thumbv7m-none-eabi",
        cpu: Some("cortex-m3"),
        folder: "a",
        boards: &[AN385],
    },
    Target {
        name: "cortex-m4",
        title: "M4",
        triple: "thumbv7em-none-eabihf",
        cpu: Some("cortex-m4"),
        folder: "a",
        boards: &[AN386],
    },
    Target {
        name: "cortex-m7",
        title: "M7",
        triple: "thumbv7em-none-eabihf",
        cpu: Some("cortex-m7"),
        folder: "b",
        boards: &[AN500],
    },
    Target {
        name: "cortex-m33",
        title: "M33",
        triple: "thumbv8m.main-none-eabihf",
        cpu: Some("cortex-m33"),
        folder: "a",
        boards: &[AN505],
    },
    Target {
        name: "cortex-m55",
        title: "M55",
        triple: "thumbv8m.main-none-eabihf",
        cpu: Some("cortex-m55"),
        folder: "b",
        boards: &[AN547],
    },
    Target {
        name: "riscv32imac",
        title: "RV32",
        triple: "riscv32imac-unknown-none-elf",
        cpu: None,
        folder: "b",
        boards: &[VIRT],
    },
];

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The board with QEMU's name for it.
pub fn board(name: &str) -> Option<&'static Board> {
    TARGETS.iter().flat_map(|target| target.boards).find(|board| board.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions_exactly() {
        // What spinning loops of known lengths read on the boards.
        let mps2 = AN386.counter;
        assert_eq!(
            [26, 29, 32, 35, 38, 42].map(|t| mps2.instructions(0, t)),
            [16, 18, 20, 22, 24, 26]
        );
        assert_eq!(mps2.instructions(2, 0x49_F035), 24_000_033);
        assert_eq!(
            MICROBIT.counter.instructions(0, 0x80E) - MICROBIT.counter.instructions(0, 0xE),
            2000
        );
        assert_eq!(Counter::Minstret.instructions(1, 2), (1 << 32) + 2);
    }

    #[test]
    fn names_are_unique_and_found() {
        for target in &TARGETS {
            assert_eq!(find(target.name), Some(target));
        }
        assert!(find("cortex-m4f").is_none());
        assert_eq!(board("virt").map(|board| board.ram), Some(4 << 20));
    }
}
