//! `cargo xtask audit`: that a firmware cannot panic, formats nothing and has no heap.
//!
//! What is linked can be called; what is not linked cannot. So the proof is that no symbol of these
//! parts of the standard library is in the program.

use std::{fmt::Write, path::PathBuf, time::Duration};

use clap::{Args, builder::PossibleValuesParser};
use serde_json::{Value, json};

use crate::{
    calls,
    elf::{Program, Symbol},
    error::{Error, Result, failed},
    qemu,
    targets::{self, TARGETS},
};

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Linked programs
    #[arg(required = true, value_name = "ELF")]
    programs: Vec<PathBuf>,
    /// Symbols that may be there, such as the application's own handler: those whose path begins so,
    /// and what only they call
    #[arg(long, value_name = "PATH")]
    allow: Vec<String>,
    /// Run the programs on this board, to their end, and report the stack's high-water mark
    #[arg(long, value_name = "BOARD", value_parser = PossibleValuesParser::new(
        TARGETS.iter().flat_map(|target| target.boards).map(|board| board.name)))]
    run: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// A part of the standard library that has no place on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Panics.
    Panic,
    /// Text from values.
    Format,
    /// Memory that is asked for.
    Heap,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Format => "format",
            Self::Heap => "heap",
        }
    }

    /// What a symbol with this demangled path belongs to.
    fn of(path: &str) -> Option<Self> {
        let last = path.rsplit("::").next().unwrap_or_default();
        let core = path.contains("core::") || path.contains("alloc::") || path.contains("std::");
        let fails =
            last.ends_with("_fail") || last.ends_with("_failed") || last.starts_with("panic_");
        if path.contains("core::panicking") || path.contains("std::panicking") || (core && fails) {
            return Some(Self::Panic);
        }
        let heap = ["__rust_alloc", "__rust_dealloc", "__rust_realloc", "__rdl_", "__rg_"];
        if heap.iter().any(|start| last.starts_with(start))
            || path.starts_with("alloc::")
            || path.starts_with("<alloc::")
            || matches!(path, "malloc" | "free" | "calloc" | "realloc")
        {
            return Some(Self::Heap);
        }
        path.contains("core::fmt").then_some(Self::Format)
    }
}

/// Texts of the standard library that are only there where something may panic.
const MESSAGES: [&str; 10] = [
    "attempt to divide by zero",
    "called `Option::unwrap()` on a `None` value",
    "called `Result::unwrap()` on an `Err` value",
    "copy_from_slice: source slice length",
    "explicit panic",
    "index out of bounds: the len is",
    "internal error: entered unreachable code",
    "panicked at ",
    "range end index ",
    "range start index ",
];

/// Something that should not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is part of.
    pub kind: Kind,
    /// The symbol's path, or a text.
    pub name: String,
    /// Functions that call it.
    pub callers: Vec<String>,
}

/// What is in a program.
#[derive(Debug)]
struct Audit {
    file: String,
    program: Program,
    findings: Vec<Finding>,
    stack: Option<u64>,
}

/// The command.
pub fn command(arguments: &Arguments) -> Result<String> {
    let mut audits = Vec::new();
    for path in &arguments.programs {
        let program = Program::read(path)?;
        if program.symbols.is_empty() {
            return Err(failed!("{}: has no symbols; link it without `strip`", path.display()));
        }
        let stack = match &arguments.run {
            None => None,
            Some(name) => {
                let board =
                    targets::board(name).ok_or_else(|| Error::Usage(format!("no board {name}")))?;
                Some(qemu::run_and_look_at_stack(board, path, &program, LIMIT)?.1)
            }
        };
        let findings = findings(&program, &arguments.allow);
        audits.push(Audit { file: path.display().to_string(), program, findings, stack });
    }
    let text = if arguments.json {
        let files: Vec<Value> = audits.iter().map(Audit::to_value).collect();
        format!("{:#}\n", json!({ "files": files }))
    } else {
        audits.iter().map(Audit::to_string).collect()
    };
    let found: usize = audits.iter().map(|audit| audit.findings.len()).sum();
    if found == 0 {
        return Ok(text);
    }
    print!("{text}");
    Err(failed!("{found} symbols or texts that should not be there"))
}

/// What should not be in a program, except symbols whose path begins as one of `allow`, and what
/// only they call.
pub fn findings(program: &Program, allow: &[String]) -> Vec<Finding> {
    let allowed = |name: &str| {
        allow.iter().any(|start| name.trim_start_matches('<').starts_with(start.as_str()))
    };
    let symbol = |symbol: &Symbol| {
        let kind = Kind::of(&symbol.name).filter(|_| !allowed(&symbol.name))?;
        let callers = calls::callers(program, symbol);
        Some(Finding { kind, name: symbol.name.clone(), callers })
    };
    let mut findings: Vec<Finding> = program.symbols.iter().filter_map(symbol).collect();
    let mut excused: Vec<String> = Vec::new();
    loop {
        let excusable = |finding: &Finding| {
            let callers = &finding.callers;
            !callers.is_empty()
                && callers.iter().all(|name| allowed(name) || excused.contains(name))
        };
        let Some(index) = findings.iter().position(excusable) else { break };
        excused.push(findings.remove(index).name);
    }
    for message in MESSAGES {
        let contains =
            |data: &[u8]| data.windows(message.len()).any(|text| text == message.as_bytes());
        if program.sections.iter().any(|section| contains(&section.data)) && !allowed(message) {
            let name = format!("text {message:?}");
            findings.push(Finding { kind: Kind::Panic, name, callers: Vec::new() });
        }
    }
    findings
}

impl Audit {
    fn to_value(&self) -> Value {
        let sections: Vec<Value> = self
            .program
            .sections
            .iter()
            .map(|section| json!({ "name": section.name, "bytes": section.size }))
            .collect();
        let findings: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                let Finding { kind, name, callers } = finding;
                json!({ "kind": kind.name(), "name": name, "callers": callers })
            })
            .collect();
        json!({
            "file": self.file,
            "sections": sections,
            "flash_bytes": self.program.flash(),
            "static_bytes": self.program.statics(),
            "stack_bytes": self.stack,
            "findings": findings,
        })
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.name)?;
        self.callers.iter().try_for_each(|caller| write!(f, "\n      called by {caller}"))
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.file)?;
        let mut sections = String::new();
        for section in
            self.program.sections.iter().filter(|s| s.size > 0 && (s.in_flash || s.in_ram))
        {
            let _ = write!(sections, " {} {}", section.name, section.size);
        }
        writeln!(f, "  sections {sections}")?;
        write!(f, "  flash {}, statics {}", self.program.flash(), self.program.statics())?;
        match self.stack {
            Some(stack) => writeln!(f, ", stack {stack}")?,
            None => writeln!(f)?,
        }
        for finding in &self.findings {
            writeln!(f, "  {finding}")?;
        }
        if self.findings.is_empty() {
            writeln!(f, "  no panics, no formatting, no heap")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_told_by_their_paths() {
        let kind = |path| Kind::of(path).map(Kind::name);
        for path in [
            "core::panicking::panic_bounds_check",
            "core::option::unwrap_failed",
            "core::slice::index::slice_index_fail",
        ] {
            assert_eq!(kind(path), Some("panic"), "{path}");
        }
        for path in ["<u32 as core::fmt::Display>::fmt", "core::fmt::write"] {
            assert_eq!(kind(path), Some("format"), "{path}");
        }
        for path in ["__rustc::__rust_alloc", "__rdl_alloc", "alloc::vec::Vec<T>::push", "malloc"] {
            assert_eq!(kind(path), Some("heap"), "{path}");
        }
        for path in
            ["systole_kernels::conv2d::conv2d_i8", "app::panic", "HardFault", "app::alloc_slot"]
        {
            assert_eq!(kind(path), None, "{path}");
        }
    }

    /// The profile is that of the firmware, so that the core library of it serves.
    const MANIFEST: &str = "[package]\nname = \"audited\"\nedition = \"2024\"\n[workspace]\n\
                            [profile.release]\nopt-level = 3\nlto = \"fat\"\ncodegen-units = 1\n\
                            panic = \"abort\"\ndebug = false\n";
    const PROGRAM: &str = "#![no_std]\n#![no_main]\n
        #[panic_handler] fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
        static TABLE: [u32; 5] = [2, 3, 5, 7, 11];
        #[unsafe(no_mangle)] extern \"C\" fn _start() -> ! {
            let at = 0x2000_0000 as *mut usize;
            let value = look_up(unsafe { at.read_volatile() });
            unsafe { at.write_volatile(value as usize) };
            loop {}
        }
        #[inline(never)] fn look_up(index: usize) -> u32 { LOOK_UP }";

    /// A firmware in which `look_up` is as given; `None` where no toolchain builds for Cortex-M.
    fn linked(look_up: &str) -> Option<Program> {
        let target = targets::find("cortex-m4").unwrap();
        let toolchain = match crate::toolchain::Toolchain::find(target.triple) {
            Ok(toolchain) => toolchain,
            Err(problem) => {
                eprintln!("skipped: {problem}");
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Cargo.toml"), MANIFEST).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        let program = PROGRAM.replace("LOOK_UP", look_up);
        std::fs::write(folder.path().join("src/main.rs"), program).unwrap();
        // The folder of the measurements, where the core library may have been built already.
        let target_dir = crate::paths::build().join(target.folder);
        let mut command = toolchain.build(target.triple, &target_dir, target.flags());
        let output = command.arg("--release").current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Program::read(&target_dir.join(target.triple).join("release/audited")).unwrap())
    }

    #[test]
    fn an_index_that_may_panic_is_found_with_its_caller() {
        let Some(program) = linked("TABLE[index]") else { return };
        let found = findings(&program, &[]);
        let bounds = found.iter().find(|finding| finding.name.ends_with("panic_bounds_check"));
        let callers = &bounds.expect("the check of the index").callers;
        assert!(callers.iter().any(|caller| caller.ends_with("look_up")), "{callers:?}");
        assert_eq!(findings(&program, &["core::".to_owned()]), []);
        // What only an excused function calls is excused, too.
        assert_eq!(findings(&program, callers), []);

        let program = linked("TABLE.get(index).copied().unwrap_or(0)").expect("the toolchain");
        assert!(program.symbols.iter().any(|symbol| symbol.name.ends_with("look_up")));
        assert_eq!(findings(&program, &[]), []);
    }
}
