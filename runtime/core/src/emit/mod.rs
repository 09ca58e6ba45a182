//! Models as Rust source: a type with its own arena, and direct calls of the kernels that it needs.
//!
//! The calls are those of [`crate::Session`], told instead of executed: every operator is decoded
//! here, on the computer that compiles, and what its `run` would call is written down. So both ways
//! give the same bytes.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;

use systole_kernels::emit::{Constant, Source};

use crate::{LoadError, Model, Opcode, ops, ops::repeat};

mod ports;
mod writer;

use ports::Ports;
pub use ports::rust_type;
pub(crate) use writer::{Form, Writer};

/// What the source is to be called, and where it finds the model's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The type's name, CamelCase.
    pub name: &'a str,
    /// Its visibility: `pub`, `pub(crate)`, or nothing.
    pub visibility: &'a str,
    /// An expression for the file's bytes, `&'static [u8]`: `include_bytes!("kws.systole")`. It is
    /// evaluated while compiling; only the constants that are used become part of the program.
    pub file: &'a str,
}

/// In front of items of which a program may use some.
const ALLOW: &str = "#[allow(dead_code, reason = \"not every program uses all of it\")]";

/// Writes `file`, the bytes of a `.systole` file at a multiple of 16, as the items of a Rust module.
///
/// # Errors
/// Those of [`Model::from_bytes`].
pub fn rust(file: &[u8], options: Options<'_>) -> Result<String, LoadError> {
    let model = Model::from_bytes(file)?;
    let section = model.constants();
    let mut writer = Writer::new(&model);
    let mut steps = String::new();
    let mut body_left = 0;
    for index in 0..model.operator_count() as u16 {
        let Some(operator) = model.operator(index) else { break };
        // A machine that writes does not fail, and the records have been validated.
        let _ = ops::describe(operator.opcode(), operator.record(), &mut writer);
        let _ = writeln!(steps, "        // {index}: {}", operator.opcode().name());
        steps.push_str(&core::mem::take(&mut writer.body));
        let _ = writeln!(steps, "        after({index});");
        if operator.opcode() == Opcode::Repeat {
            let repeat::Params { count, body } = operator.record().params();
            let _ = writeln!(steps, "        for i in 0..{count}_usize {{");
            body_left = body + 1;
        }
        if body_left > 0 {
            body_left -= 1;
            if body_left == 0 {
                let _ = writeln!(steps, "        }}");
            }
        }
    }
    let ports = Ports::new(&model, &mut writer.source);
    let Residents { parameter, locals, bring } = residents(&model, &mut writer.source);
    let Options { name, visibility, file: bytes } = options;

    let mut out = String::new();
    let modules: Vec<&str> = writer.source.modules.iter().map(String::as_str).collect();
    let _ = writeln!(out, "use ::systole::{{Aligned, Arena, DType, Port, Quantization}};");
    let arenas: Vec<usize> = model.arenas().collect();
    let several = ports::lends(&model);
    // With one arena all places are known while compiling; with several they are looked up.
    let memory = if several { "Arenas, Memories as Memory" } else { "Memory" };
    let _ = writeln!(out, "use ::systole::compiled::{{self, {memory}, Mismatch, Place}};");
    if !modules.is_empty() {
        let _ = writeln!(out, "use ::systole::compiled::kernels::{{{}}};", modules.join(", "));
    }
    let _ = writeln!(out, "\n/// The file; what is not copied below is not part of the program.");
    let _ = writeln!(out, "const FILE: &[u8] = {bytes};\n");
    let start = section.as_ptr() as usize - file.as_ptr() as usize;
    for constant in &writer.source.constants {
        let bytes = constant.len * constant.element_bytes;
        let _ = writeln!(
            out,
            "static {}: Aligned<[{}; {}]> =\n    Aligned(compiled::transmute!(compiled::bytes::<{bytes}>(FILE, {})));",
            constant.name(),
            constant.element,
            constant.len,
            start + constant.offset,
        );
    }
    let arena = model.arena_bytes();
    let reset = reset(&model);
    let Shape { lifetime, fields, constants: memories, parameters, new, lent } =
        form(&model, &arenas, !bring.is_empty());
    let _ = write!(
        out,
        "
/// A model of {operators} operators and {macs} multiply-accumulates, and {where_}.
///
/// {shapes}
#[derive(Debug)]
{ALLOW}
{visibility} struct {name}{lifetime} {{
{fields}{begun}}}

{ALLOW}
impl{lifetime} {name}{lifetime} {{
    /// Bytes of {what}.
    pub const ARENA_BYTES: usize = {arena};
{memories}    /// Multiply-accumulates of one run.
    pub const MACS: u64 = {macs};
{constants}{labels}
    /// The model {with}.
    pub {constant}fn new({parameters}) -> Self {{
{new}{not_begun} }}{built}
    }}
{reset}{methods}
    /// All kernels in their order. Places and lengths are constants that were checked together when
    /// this was written, so that nothing of it can fail.
    #[inline(always)]
    fn forward(memory: &mut Memory<{lent}>{parameter}, mut after: impl FnMut(u16)) -> Result<(), Mismatch> {{
{locals}{steps}        Ok(())
    }}
}}
{default}",
        what = if several { "all arenas in one piece of memory" } else { "the arena" },
        with = match (several, bring.is_empty()) {
            (true, true) => {
                "in arenas that lie where they are to: statics, each in a section of its memory"
            }
            (true, false) => {
                "in arenas that lie where they are to: statics, each in a section of its memory.\n    \
                 /// Weights that are read there are copied now"
            }
            (false, _) => "with its own arena, for a `static` or the stack",
        },
        default = match several {
            true => String::new(),
            false => format!(
                "\nimpl Default for {name} {{\n    fn default() -> Self {{\n        Self::new()\n    }}\n}}\n"
            ),
        },
        where_ = if several { "the arenas that it runs in" } else { "the arena that it runs in" },
        operators = model.operator_count(),
        macs = model.macs(),
        shapes = ports.summary(),
        constants = ports.constants(),
        labels = labels(&model),
        methods = ports.methods(!reset.is_empty()),
        begun = if reset.is_empty() { "" } else { "    begun: bool,\n" },
        not_begun = if reset.is_empty() { "" } else { ", begun: false" },
        constant = if bring.is_empty() { "const " } else { "" },
        built = match bring.is_empty() {
            true => String::new(),
            false => format!(";\n{bring}        this"),
        },
    );
    Ok(out)
}

/// The parts of the source in which a model with several arenas is another than one with its own.
struct Shape {
    /// The type's lifetime, where it borrows its arenas.
    lifetime: &'static str,
    fields: String,
    constants: String,
    parameters: String,
    /// A new one, without what ends it.
    new: String,
    /// The lifetimes of its memory.
    lent: &'static str,
}

fn form(model: &Model<'_>, arenas: &[usize], brings: bool) -> Shape {
    if let ([bytes], false) = (arenas, ports::lends(model)) {
        return Shape {
            lifetime: "",
            fields: format!("    arena: Arena<{bytes}>,\n"),
            constants: String::new(),
            parameters: String::new(),
            new: String::from("        Self { arena: Arena::new()"),
            lent: "'_",
        };
    }
    let all = || arenas.iter().enumerate();
    let fields = all().map(|(i, bytes)| format!("    arena_{i}: &'a mut Arena<{bytes}>,\n"));
    let parameters: Vec<String> =
        all().map(|(i, bytes)| format!("arena_{i}: &'a mut Arena<{bytes}>")).collect();
    let new: Vec<String> = all().map(|(i, _)| format!("arena_{i}")).collect();
    let name = |i| model.memory_name(i).unwrap_or_default();
    let memories: Vec<String> =
        all().map(|(i, bytes)| format!("({:?}, {bytes})", name(i))).collect();
    Shape {
        lifetime: "<'a>",
        fields: fields.collect(),
        constants: format!(
            "    /// The arenas in their order: the names of their memories, and their bytes.\n    \
             pub const MEMORIES: [(&'static str, usize); {}] = [{}];\n",
            arenas.len(),
            memories.join(", ")
        ),
        parameters: parameters.join(", "),
        new: format!(
            "        {}Self {{ {}",
            if brings { "let mut this = " } else { "" },
            new.join(", ")
        ),
        lent: "'_, '_",
    }
}

/// Bytes of the constants that are part of a program which `file` is compiled into, as [`rust`] writes
/// them: each begins at a multiple of 16.
///
/// # Errors
/// Those of [`Model::from_bytes`].
pub fn constant_bytes(file: &[u8]) -> Result<usize, LoadError> {
    let model = Model::from_bytes(file)?;
    let mut writer = Writer::new(&model);
    for index in 0..model.operator_count() as u16 {
        let Some(operator) = model.operator(index) else { break };
        // As in `rust`.
        let _ = ops::describe(operator.opcode(), operator.record(), &mut writer);
    }
    let bytes = |constant: &Constant| (constant.len * constant.element_bytes).next_multiple_of(16);
    let all = writer.source.constants.iter().chain(&writer.source.brought);
    Ok(all.map(bytes).sum())
}

/// The parts of the source that are about weights which are brought into arenas; empty where none are.
#[derive(Default)]
struct Residents {
    /// What kernels read them from.
    parameter: String,
    /// Each by its name.
    locals: String,
    /// How they come there.
    bring: String,
}

fn residents(model: &Model<'_>, source: &mut Source<'_>) -> Residents {
    let mut all = Residents::default();
    if !ports::has_residents(model) {
        return all;
    }
    let names: Vec<String> = (0..model.arenas().len()).map(|i| format!("_weights_{i}")).collect();
    all.parameter = format!(", [{}]: [&[u8]; {}]", names.join(", "), names.len());
    let mut brought = alloc::collections::BTreeSet::new();
    for constant in core::mem::take(&mut source.brought) {
        let (first, bytes) = (constant.offset, constant.len * constant.element_bytes);
        let place = model.residents().find(|&(tensor, _, _)| {
            let info = model.tensor(tensor);
            info.is_some_and(|info| info.offset() == first && info.bytes() == bytes)
        });
        let Some((_, arena, offset)) = place else { continue };
        let whole = model.arenas().nth(arena).unwrap_or(0);
        let tensors = whole.saturating_sub(model.resident_bytes(arena));
        let _ = writeln!(
            all.locals,
            "        let {} = compiled::resident::<{}, {}>(_weights_{arena}, {})?;",
            constant.resident(),
            constant.element,
            constant.len,
            offset.saturating_sub(tensors),
        );
        if brought.insert((first, bytes)) {
            let whole = Constant { element: "u8", offset: first, len: bytes, element_bytes: 1 };
            let _ = writeln!(
                all.bring,
                "        compiled::bring(&mut *this.arena_{arena}, {offset}, &{});",
                source.refer(whole)
            );
        }
    }
    all
}

/// The method that puts state back to what it was before the first run; nothing where there is none.
fn reset(model: &Model<'_>) -> String {
    let fill = |info: crate::TensorInfo<'_>| {
        let (start, bytes, value) = (info.offset(), info.bytes(), info.zero_value());
        let arena = ports::arena(model, info.arena(), "mut ");
        format!("        compiled::fill({arena}, {start}, {bytes}, {value});\n")
    };
    let fills: String = model.state().map(fill).collect();
    if fills.is_empty() {
        return fills;
    }
    format!(
        "
    /// Puts the state of recurrent layers, which a run goes on with where the one before ended, back
    /// to what it was before the first run.
    pub fn reset(&mut self) {{
        self.begun = true;
{fills}    }}
"
    )
}

/// The names of the classes, as far as they follow each other from 0.
fn labels(model: &Model<'_>) -> String {
    let labels: Vec<String> =
        (0..).map_while(|index| model.label(index)).map(|label| format!("{label:?}")).collect();
    if labels.is_empty() {
        return String::new();
    }
    format!(
        "    /// The names of the classes.\n    pub const LABELS: [&'static str; {}] = [{}];\n",
        labels.len(),
        labels.join(", ")
    )
}
