//! Who calls whom in a linked program, as far as the call instructions say it: Thumb and RISC-V.

use crate::elf::{Program, Symbol};

/// Instruction sets whose calls are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Arm's for microcontrollers.
    Thumb,
    /// With the compressed instructions.
    RiscV32,
    /// Any other.
    Other,
}

/// The names of the functions that call or jump to `callee`, each once. Calls through pointers are
/// not seen.
pub fn callers(program: &Program, callee: &Symbol) -> Vec<String> {
    let mut callers = Vec::new();
    for function in program.symbols.iter().filter(|symbol| symbol.function && *symbol != callee) {
        let calls = code(program, function).is_some_and(|code| {
            targets(program.isa, code, function.address).contains(&callee.address)
        });
        if calls && !callers.contains(&function.name) {
            callers.push(function.name.clone());
        }
    }
    callers
}

/// The bytes of a function.
fn code<'p>(program: &'p Program, function: &Symbol) -> Option<&'p [u8]> {
    let section = program.sections.iter().find(|section| {
        section.code
            && (section.address..section.address + section.size).contains(&function.address)
    })?;
    let start = usize::try_from(function.address - section.address).ok()?;
    section.data.get(start..start.checked_add(usize::try_from(function.size).ok()?)?)
}

/// The addresses that the calls and jumps in `code` lead to.
fn targets(isa: Isa, code: &[u8], address: u64) -> Vec<u64> {
    let half = |at: usize| code.get(at..at + 2)?.first_chunk().map(|&b| u16::from_le_bytes(b));
    let mut targets = Vec::new();
    let mut at = 0;
    while let Some(first) = half(at) {
        let second = half(at + 2).unwrap_or(0);
        let third =
            u32::from(half(at + 4).unwrap_or(0)) | u32::from(half(at + 6).unwrap_or(0)) << 16;
        let word = u32::from(first) | u32::from(second) << 16;
        let (offset, size) = match isa {
            Isa::Thumb if first >> 11 >= 0b11101 => (thumb_branch(first, second), 4),
            Isa::Thumb => (None, 2),
            Isa::RiscV32 if first & 3 == 3 => (riscv_jump(word, third), 4),
            Isa::RiscV32 => (riscv_short_jump(first), 2),
            Isa::Other => return targets,
        };
        if let Some(offset) = offset {
            targets.push((address + at as u64).wrapping_add_signed(offset) & 0xFFFF_FFFF);
        }
        at += size;
    }
    targets
}

/// `BL` and `B.W` (Armv7-M reference manual, A7.7.18, A7.7.12), from the instruction's address.
fn thumb_branch(first: u16, second: u16) -> Option<i64> {
    let link_or_jump = second & 0xD000 == 0xD000 || second & 0xD000 == 0x9000;
    if first >> 11 != 0b11110 || !link_or_jump {
        return None;
    }
    let bit = |value: u16, at: u32| u32::from(value >> at & 1);
    let sign = bit(first, 10);
    let i1 = 1 ^ bit(second, 13) ^ sign;
    let i2 = 1 ^ bit(second, 11) ^ sign;
    let offset = sign << 24
        | i1 << 23
        | i2 << 22
        | u32::from(first & 0x3FF) << 12
        | u32::from(second & 0x7FF) << 1;
    Some(sign_extended(offset, 25) + 4)
}

/// `JAL`, and `AUIPC` with the `JALR` that follows it (RISC-V unprivileged specification, 2.5).
fn riscv_jump(word: u32, next: u32) -> Option<i64> {
    match (word & 0x7F, next & 0x7F) {
        (0x6F, _) => {
            let offset = (word >> 31) << 20
                | (word >> 12 & 0xFF) << 12
                | (word >> 20 & 1) << 11
                | (word >> 21 & 0x3FF) << 1;
            Some(sign_extended(offset, 21))
        }
        (0x17, 0x67) => Some(i64::from(word as i32 & !0xFFF) + sign_extended(next >> 20, 12)),
        _ => None,
    }
}

/// `C.JAL` and `C.J` (RISC-V unprivileged specification, chapter C).
fn riscv_short_jump(half: u16) -> Option<i64> {
    if half & 3 != 1 || !matches!(half >> 13, 0b001 | 0b101) {
        return None;
    }
    let bit = |from: u32, to: u32| u32::from(half >> from & 1) << to;
    let offset = bit(12, 11)
        | bit(11, 4)
        | bit(10, 9)
        | bit(9, 8)
        | bit(8, 10)
        | bit(7, 6)
        | bit(6, 7)
        | bit(5, 3)
        | bit(4, 2)
        | bit(3, 1)
        | bit(2, 5);
    Some(sign_extended(offset, 12))
}

fn sign_extended(value: u32, bits: u32) -> i64 {
    i64::from((value << (32 - bits)) as i32 >> (32 - bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumb_calls_are_found_behind_short_instructions() {
        // nop; bl .+0x10; b.w .-0x6: as llvm-mc encodes them.
        let code = [0x00, 0xbf, 0x00, 0xf0, 0x06, 0xf8, 0xff, 0xf7, 0xfb, 0xbf];
        assert_eq!(targets(Isa::Thumb, &code, 0x100), [0x112, 0x100]);
        // A short instruction is not taken for the half of a long one.
        assert!(targets(Isa::Thumb, &[0x00, 0xbf], 0x100).is_empty());
    }

    #[test]
    fn riscv_calls_of_all_kinds_are_found() {
        // c.jal .+0x14; jal ra, .-0x10; auipc ra, 1; jalr ra, -4(ra).
        let code = [0x11, 0x28, 0xef, 0xf0, 0x1f, 0xff, 0x97, 0x10, 0, 0, 0xe7, 0x80, 0xc0, 0xff];
        let found = targets(Isa::RiscV32, &code, 0x8000_0108);
        assert_eq!(found, [0x8000_011C, 0x8000_00FA, 0x8000_110A]);
    }

    #[test]
    fn other_machines_give_none() {
        assert!(targets(Isa::Other, &[0xe8, 0, 0, 0, 0], 0).is_empty());
    }
}
