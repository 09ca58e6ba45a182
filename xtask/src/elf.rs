//! What is in a linked program: sections and symbols with their sizes.

use std::path::Path;

use object::{
    Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind,
    elf::{SHF_ALLOC, SHT_NOBITS},
};

use crate::{
    calls::Isa,
    error::{Result, failed},
};

/// A linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What its code is made of.
    pub isa: Isa,
    /// Sections that are part of the device's memory.
    pub sections: Vec<Section>,
    /// Functions and statics.
    pub symbols: Vec<Symbol>,
    /// Bytes between the statics and the stack's top, where the linker script names both.
    pub stack_room: Option<u64>,
    /// The address above the stack.
    pub stack_top: Option<u64>,
}

/// A section that is part of the device's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `.text` and so on.
    pub name: String,
    /// Where it is when the program runs.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// What it is initialized with; empty where it is zeroed or left as it is.
    pub data: Vec<u8>,
    /// Whether it takes space in flash.
    pub in_flash: bool,
    /// Whether it takes space in RAM, heap and stack left out.
    pub in_ram: bool,
    /// Whether it is machine code.
    pub code: bool,
}

/// A function or a static.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its path, demangled, without the hash.
    pub name: String,
    /// Where it is when the program runs; without the Thumb bit.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Whether it is a function.
    pub function: bool,
}

impl Program {
    /// Reads a program from a file.
    ///
    /// # Errors
    /// Where it cannot be read, or is no ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|problem| failed!("{}: cannot be read: {problem}", path.display()))?;
        Self::parse(&bytes).map_err(|problem| failed!("{}: {problem}", path.display()))
    }

    /// Reads a program from the bytes of an ELF file.
    ///
    /// # Errors
    /// Where they are none.
    pub fn parse(bytes: &[u8]) -> object::Result<Self> {
        let file = object::File::parse(bytes)?;
        let mut sections = Vec::new();
        for section in file.sections() {
            if let Some(section) = read_section(&section)? {
                sections.push(section);
            }
        }
        let symbols = file.symbols().filter_map(|symbol| {
            let function = symbol.kind() == object::SymbolKind::Text;
            if !function && symbol.kind() != object::SymbolKind::Data {
                return None;
            }
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?));
            let thumb = u64::from(function && file.architecture() == object::Architecture::Arm);
            Some(Symbol { name, address: symbol.address() & !thumb, size: symbol.size(), function })
        });
        let symbols = symbols.collect();
        let address = |name: &str| {
            file.symbols().find(|symbol| symbol.name() == Ok(name)).map(|symbol| symbol.address())
        };
        let stack_top = address("_stack_start");
        let stack_room =
            stack_top.zip(address("__sheap")).and_then(|(top, statics)| top.checked_sub(statics));
        let isa = match file.architecture() {
            object::Architecture::Arm => Isa::Thumb,
            object::Architecture::Riscv32 => Isa::RiscV32,
            _ => Isa::Other,
        };
        Ok(Self { isa, sections, symbols, stack_room, stack_top })
    }

    /// Bytes of flash: code, constants, and what statics are initialized with.
    pub fn flash(&self) -> u64 {
        self.sections.iter().filter(|section| section.in_flash).map(|section| section.size).sum()
    }

    /// Bytes of RAM that statics take.
    pub fn statics(&self) -> u64 {
        self.sections.iter().filter(|section| section.in_ram).map(|section| section.size).sum()
    }

    /// Bytes of all symbols whose last path segment `matches`.
    pub fn size_of(&self, matches: impl Fn(&str) -> bool) -> u64 {
        let last = |symbol: &&Symbol| matches(symbol.name.rsplit("::").next().unwrap_or_default());
        self.symbols.iter().filter(last).map(|symbol| symbol.size).sum()
    }
}

fn read_section<'d>(section: &impl ObjectSection<'d>) -> object::Result<Option<Section>> {
    let SectionFlags::Elf { sh_flags } = section.flags() else { return Ok(None) };
    if sh_flags & u64::from(SHF_ALLOC) == 0 {
        return Ok(None);
    }
    let name = section.name()?.to_owned();
    let empty = matches!(
        section.kind(),
        SectionKind::UninitializedData
            | SectionKind::UninitializedTls
            | SectionKind::Elf(SHT_NOBITS)
    );
    let ram = [".data", ".bss", ".uninit", ".sdata", ".sbss"];
    Ok(Some(Section {
        address: section.address(),
        size: section.size(),
        data: if empty { Vec::new() } else { section.data()?.to_vec() },
        in_flash: !empty,
        in_ram: ram.iter().any(|start| name.starts_with(start)),
        code: section.kind() == SectionKind::Text,
        name,
    }))
}
