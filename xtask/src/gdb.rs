//! A little of GDB's remote protocol: enough to look at the stack of firmware as it is, without its
//! help.
//!
//! QEMU starts with the processor stopped. What may become stack is filled with a pattern, and
//! breakpoints are set where the program talks to the host (semihosting). When it asks to end, the
//! lowest word that has changed is the high-water mark.

use std::{
    io::{BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    calls::Isa,
    elf::Program,
    error::{Result, failed},
    hex,
};

/// What free words hold, little-endian.
const PAINT: [u8; 4] = [0xAC, 0x57, 0xFE, 0x5A];
/// The most stack that is looked at.
const MOST: u64 = 64 << 10;
/// Bytes of memory per packet: QEMU takes packets of 4096 characters, two for each byte.
const CHUNK: usize = 1024;
/// Bytes of code in front of a call in which its number is loaded.
const NEAR: usize = 40;
/// The same behind a call, for the one that follows.
const BEHIND: usize = 8;
/// Semihosting's ways to end a program: SYS_EXIT and SYS_EXIT_EXTENDED.
const EXITS: [u32; 2] = [0x18, 0x20];

/// Talks to QEMU at the socket `path`, lets `program` run, and returns the bytes of stack that it has
/// used when it ends.
///
/// # Errors
/// Where the program's linker script names no stack, or the protocol fails.
pub fn stack(path: &Path, program: &Program, limit: Duration) -> Result<u64> {
    let (Some(top), Some(room)) = (program.stack_top, program.stack_room) else {
        return Err(failed!(
            "the symbols _stack_start and __sheap say where the stack is; they are missing"
        ));
    };
    let mut gdb = Connection::open(path, limit)?;
    let used = gdb.run(program, top - room.min(MOST) / 4 * 4, top);
    // In any case the program's end: it goes on to it, or QEMU is told to stop. There may be no
    // answer, but who hangs up without waiting for one is not heard.
    let _ = gdb.ask(if used.is_ok() { "c" } else { "k" });
    used
}

/// The addresses of the instructions by which a program talks to its host: those in front of which
/// it seems to ask for its end, because stopping at each letter of its output takes long; or all.
fn host_calls(program: &Program) -> Vec<u64> {
    // `bkpt 0xab`; `slli x0, x0, 0x1f` and the `ebreak` behind it. Then what loads the number of an
    // exit: `movs r0, #24` or `#32`, or `mov.w`, which leaves flags alone; `li a0, 24` or `32`.
    let (call, offset, exits): (&[u8], u64, &[&[u8]]) = match program.isa {
        Isa::Thumb => (
            &[0xAB, 0xBE],
            0,
            &[&[0x18, 0x20], &[0x20, 0x20], &[0x4F, 0xF0, 0x18, 0x00], &[0x4F, 0xF0, 0x20, 0x00]],
        ),
        Isa::RiscV32 => (
            &[0x13, 0x10, 0xF0, 0x01, 0x73, 0x00, 0x10, 0x00],
            4,
            &[&[0x61, 0x45], &[0x13, 0x05, 0x80, 0x01], &[0x13, 0x05, 0x00, 0x02]],
        ),
        Isa::Other => return Vec::new(),
    };
    let (mut ends, mut all) = (Vec::new(), Vec::new());
    for section in program.sections.iter().filter(|section| section.code) {
        for (at, bytes) in section.data.windows(call.len()).enumerate().step_by(2) {
            if bytes != call {
                continue;
            }
            let address = section.address + at as u64 + offset;
            all.push(address);
            // Behind it, too: where one way to end fails, the other one follows.
            let (from, to) = (at.saturating_sub(NEAR), at + call.len() + BEHIND);
            let around = section.data.get(from..to.min(section.data.len())).unwrap_or_default();
            let loads = |exit: &&[u8]| around.windows(exit.len()).any(|bytes| bytes == *exit);
            if exits.iter().any(loads) {
                ends.push(address);
            }
        }
    }
    if ends.is_empty() { all } else { ends }
}

struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Waits for QEMU to listen.
    fn open(path: &Path, limit: Duration) -> Result<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(problem) if start.elapsed() > Duration::from_secs(10) => {
                    return Err(failed!("QEMU does not listen for a debugger: {problem}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(limit)).map_err(lost)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Runs the program up to where it asks to end; returns what is not painted any more.
    fn run(&mut self, program: &Program, bottom: u64, top: u64) -> Result<u64> {
        self.fill(bottom, top)?;
        for address in host_calls(program) {
            self.expect_ok(&format!("Z0,{address:x},2"))?;
        }
        // The first argument and the program counter, as the protocol numbers registers: r0 and r15,
        // a0 = x10 and what follows x31.
        let (argument, counter) = match program.isa {
            Isa::RiscV32 => (10, 32),
            _ => (0, 15),
        };
        loop {
            let stopped = self.ask("c")?;
            if !stopped.starts_with(['T', 'S']) {
                return Err(failed!("the program ended without asking to: {stopped:?}"));
            }
            let registers = self.registers()?;
            let register = |index: usize| {
                let short = || failed!("QEMU has no register {index}");
                registers.get(index).copied().ok_or_else(short)
            };
            let at = register(counter)?;
            self.expect_ok(&format!("z0,{at:x},2"))?;
            if EXITS.contains(&register(argument)?) {
                return self.unpainted(bottom, top);
            }
            self.ask("s")?;
            self.expect_ok(&format!("Z0,{at:x},2"))?;
        }
    }

    /// Sends a packet and returns the answer.
    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        while self.byte()? != b'$' {}
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        // Two digits of a checksum, which a local socket does not need.
        self.byte()?;
        self.byte()?;
        self.stream.get_mut().write_all(b"+").map_err(lost)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn send(&mut self, packet: &str) -> Result<()> {
        self.stream.get_mut().write_all(framed(packet).as_bytes()).map_err(lost)
    }

    fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).map_err(lost)?;
        Ok(byte[0])
    }

    fn expect_ok(&mut self, packet: &str) -> Result<()> {
        let answer = self.ask(packet)?;
        if answer == "OK" {
            Ok(())
        } else {
            Err(failed!("QEMU answers {answer:?} to {packet:.20}"))
        }
    }

    /// All registers, those of floating point aside.
    fn registers(&mut self) -> Result<Vec<u32>> {
        let answer = self.ask("g")?;
        let bytes =
            hex::decode(&answer).ok_or_else(|| failed!("QEMU answers {answer:.20?} to g"))?;
        let words = bytes.chunks_exact(4).filter_map(|word| word.first_chunk().copied());
        Ok(words.map(u32::from_le_bytes).collect())
    }

    fn fill(&mut self, bottom: u64, top: u64) -> Result<()> {
        let mut at = bottom;
        while at < top {
            let length = (top - at).min(CHUNK as u64);
            let paint = hex::encode(&PAINT).repeat(length as usize / PAINT.len());
            self.expect_ok(&format!("M{at:x},{:x}:{paint}", paint.len() / 2))?;
            at += length;
        }
        Ok(())
    }

    /// Bytes from the lowest word that is not painted to `top`.
    fn unpainted(&mut self, bottom: u64, top: u64) -> Result<u64> {
        let mut at = bottom;
        while at < top {
            let length = (top - at).min(CHUNK as u64);
            let answer = self.ask(&format!("m{at:x},{length:x}"))?;
            let bytes =
                hex::decode(&answer).ok_or_else(|| failed!("QEMU answers {answer:.20?}"))?;
            let painted = bytes.chunks(PAINT.len()).take_while(|word| *word == PAINT).count();
            if painted * PAINT.len() < bytes.len() {
                return Ok(top - at - (painted * PAINT.len()) as u64);
            }
            at += length;
        }
        Ok(0)
    }
}

fn lost(problem: std::io::Error) -> crate::error::Error {
    failed!("the connection with QEMU: {problem}")
}

/// A packet with its checksum, the sum of its bytes.
fn framed(packet: &str) -> String {
    let sum = packet.bytes().fold(0_u8, u8::wrapping_add);
    format!("${packet}#{sum:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_their_sum() {
        // The protocol's documentation: "$g#67".
        assert_eq!(framed("g"), "$g#67");
    }
}
