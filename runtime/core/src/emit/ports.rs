//! Inputs and outputs of a model's source: constants, parameters, results.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;

use systole_kernels::emit::{Constant, Source};

use crate::{DType, Model, TensorInfo};

/// What a model takes and gives, with the words that the source uses.
pub(super) struct Ports {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// What kernels work on, as an expression.
    memory: String,
    /// Statements in front of it.
    lend: String,
    /// What is behind it.
    residents: String,
}

struct Port {
    /// The parameter's name.
    ident: String,
    /// As an expression of type `systole::Port`.
    value: String,
    /// `[i8; 490]`.
    array: String,
    /// `[1, 49, 10, 1] int8`.
    shape: String,
    element: &'static str,
    offset: usize,
    /// Its arena as an expression, to be read and to be written.
    arena: [String; 2],
    len: usize,
    unsigned: bool,
    /// An expression, where the port is no part of the arena.
    constant: Option<String>,
}

impl Port {
    fn new(
        model: &Model<'_>,
        ident: String,
        info: &TensorInfo<'_>,
        source: &mut Source<'_>,
    ) -> Self {
        let (element, len) = (rust_type(info.dtype()), info.len());
        let dims: Vec<String> = info.shape().dims().iter().map(|dim| format!("{dim}")).collect();
        let dims = dims.join(", ");
        let value = format!(
            "Port {{ name: {:?}, dtype: DType::{:?}, shape: &[{dims}], quantization: Quantization {{ scale: {:?}, zero_point: {} }} }}",
            info.name(),
            info.dtype(),
            if info.scale().is_finite() { info.scale() } else { 0.0 },
            info.zero_point(),
        );
        let constant = info.is_constant().then(|| {
            let stored = rust_type(info.stored_dtype());
            let element_bytes = info.stored_dtype().size();
            let constant = Constant { element: stored, offset: info.offset(), len, element_bytes };
            format!("&{}", source.refer(constant))
        });
        Self {
            ident,
            value,
            array: format!("[{element}; {len}]"),
            shape: format!("`[{dims}]` {}", info.dtype()),
            element,
            offset: info.offset(),
            arena: ["", "mut "].map(|kind| arena(model, info.arena(), kind)),
            len,
            unsigned: info.is_unsigned(),
            constant,
        }
    }

    /// An array for a place that does not exist.
    fn otherwise(&self) -> String {
        let zero = match self.element {
            "f32" | "f64" => "0.0",
            "compiled::f16" => "compiled::f16::ZERO",
            _ => "0",
        };
        format!("&[{zero}; {}]", self.len)
    }

    fn result(&self) -> String {
        match &self.constant {
            Some(constant) if self.unsigned => {
                format!("const {{ &compiled::flipped(*{constant}) }}")
            }
            Some(constant) => constant.clone(),
            None => {
                let [arena, _] = &self.arena;
                format!("compiled::output({arena}, {}, {})", self.offset, self.otherwise())
            }
        }
    }
}

impl Ports {
    pub(super) fn new(model: &Model<'_>, source: &mut Source<'_>) -> Self {
        let mut named = |infos: Vec<TensorInfo<'_>>, word: &str| {
            let single = infos.len() == 1;
            let ident = |i| if single { String::from(word) } else { format!("{word}_{i}") };
            infos
                .iter()
                .enumerate()
                .map(|(i, info)| Port::new(model, ident(i), info, source))
                .collect()
        };
        let (inputs, outputs) =
            (named(model.inputs().collect(), "input"), named(model.outputs().collect(), "output"));
        let (mut lend, mut residents) = (String::new(), String::new());
        let count = model.arenas().len();
        let all = |of: &dyn Fn(usize) -> String| {
            let arenas: Vec<String> = (0..count).map(of).collect();
            arenas.join(", ")
        };
        let memory = if !lends(model) {
            String::from("Memory::new(self.arena.as_mut_slice())")
        } else if !has_residents(model) {
            format!(
                "Memory::of(&mut Arenas::of([{}]))",
                all(&|i| format!("self.arena_{i}.as_mut_slice()"))
            )
        } else {
            let mut bases = Vec::new();
            for (i, (base, bytes)) in model.arena_ranges().enumerate() {
                let tensors = bytes.saturating_sub(model.resident_bytes(i));
                let _ = writeln!(
                    lend,
                    "        let (tensors_{i}, weights_{i}) = compiled::split({}, {tensors});",
                    arena(model, i, "mut ")
                );
                bases.push(base);
            }
            let base = |i: usize| bases.get(i).copied().unwrap_or(0);
            residents = format!(", [{}]", all(&|i| format!("weights_{i}")));
            format!(
                "Memory::of(&mut Arenas::at([{}]))",
                all(&|i| format!("({}, tensors_{i})", base(i)))
            )
        };
        Self { inputs, outputs, memory, lend, residents }
    }

    /// One line on what goes in and what comes out.
    pub(super) fn summary(&self) -> String {
        let list = |ports: &[Port]| {
            let shapes: Vec<&str> = ports.iter().map(|port| port.shape.as_str()).collect();
            shapes.join(" and ")
        };
        format!("From {} to {}.", list(&self.inputs), list(&self.outputs))
    }

    /// What is known of the ports while compiling.
    pub(super) fn constants(&self) -> String {
        let mut out = String::new();
        for (ports, word) in [(&self.inputs, "INPUT"), (&self.outputs, "OUTPUT")] {
            let doc = if word == "INPUT" { "takes" } else { "gives" };
            if let [port] = ports.as_slice() {
                let _ = writeln!(
                    out,
                    "    /// What it {doc}.\n    pub const {word}: Port = {};",
                    port.value
                );
            } else {
                let values: Vec<&str> = ports.iter().map(|port| port.value.as_str()).collect();
                let _ = writeln!(
                    out,
                    "    /// What it {doc}.\n    pub const {word}S: [Port; {}] = [{}];",
                    ports.len(),
                    values.join(", ")
                );
            }
        }
        out
    }

    /// The methods that run the model. One that has state `resets` itself before its first run.
    pub(super) fn methods(&self, resets: bool) -> String {
        let begin = match resets {
            true => "        if !self.begun {\n            self.reset();\n        }\n",
            false => "",
        };
        let parameters: String =
            self.inputs.iter().map(|port| format!(", {}: &{}", port.ident, port.array)).collect();
        let arguments: String =
            self.inputs.iter().map(|port| format!("{}, ", port.ident)).collect();
        let types: Vec<String> =
            self.outputs.iter().map(|port| format!("&{}", port.array)).collect();
        let results: Vec<String> = self.outputs.iter().map(Port::result).collect();
        let (types, results) = match self.outputs.len() {
            1 => (types.concat(), results.concat()),
            _ => (format!("({})", types.join(", ")), format!("({})", results.join(", "))),
        };
        let Self { memory, lend, residents, .. } = self;
        let writes: String = self
            .inputs
            .iter()
            .map(|port| {
                let flip = if port.unsigned { "0x80" } else { "0" };
                format!(
                    "        compiled::write({}, {}, {flip}, {});\n",
                    port.arena[1], port.offset, port.ident
                )
            })
            .collect();
        let mut flips = Vec::new();
        for port in self.outputs.iter().filter(|port| port.unsigned && port.constant.is_none()) {
            let flip = format!(
                "        compiled::flip_sign({}, {}, {});\n",
                port.arena[1], port.offset, port.len
            );
            if !flips.contains(&flip) {
                flips.push(flip);
            }
        }
        let flips = flips.concat();
        let mut out = format!(
            "
    /// Runs the model.
    pub fn run(&mut self{parameters}) -> {types} {{
        self.run_observed({arguments}|_| ())
    }}

    /// Runs the model, and calls `after` with the index of every operator that has run.
    #[inline(always)]
    pub fn run_observed(&mut self{parameters}, after: impl FnMut(u16)) -> {types} {{
{writes}        self.execute(after)
    }}

    #[inline(always)]
    fn execute(&mut self, after: impl FnMut(u16)) -> {types} {{
{begin}{lend}        let done = Self::forward(&mut {memory}{residents}, after);
        debug_assert!(done.is_ok());
{flips}        {results}
    }}
"
        );
        // uint8 is stored as int8: only a copy shows it as users know it.
        if self.inputs.iter().all(|port| !port.unsigned) {
            for port in &self.inputs {
                let Port { ident, element, offset, len, shape, arena: [_, arena], .. } = port;
                let _ = write!(
                    out,
                    "
    /// Where [`Self::run_in_place`] finds its input, {shape}: {len} elements, to be written before
    /// every run, because the arena's memory is used again.
    pub fn {ident}_mut(&mut self) -> &mut [{element}] {{
        compiled::input::<{element}, {len}, _>({arena}, {offset})
    }}
"
                );
            }
            let _ = write!(
                out,
                "
    /// Runs the model on inputs that have been written where they belong, without a copy.
    pub fn run_in_place(&mut self) -> {types} {{
        self.execute(|_| ())
    }}
"
            );
        }
        out
    }
}

/// Whether weights are brought into a model's arenas.
pub(super) fn has_residents(model: &Model<'_>) -> bool {
    model.residents().next().is_some()
}

/// Whether a model borrows its arenas, instead of having its own.
pub(super) fn lends(model: &Model<'_>) -> bool {
    model.arenas().len() > 1 || has_residents(model)
}

/// An arena as an expression: `kind` is empty or `mut `.
pub(super) fn arena(model: &Model<'_>, arena: usize, kind: &str) -> String {
    match lends(model) {
        false => format!("&{kind}self.arena"),
        true => format!("&{kind}*self.arena_{arena}"),
    }
}

/// The Rust type of an element, as source that [`super::rust`] writes calls it.
pub fn rust_type(dtype: DType) -> &'static str {
    match dtype {
        DType::I8 => "i8",
        DType::U8 | DType::Bool => "u8",
        DType::I16 => "i16",
        DType::U16 => "u16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I64 => "i64",
        DType::F32 => "f32",
        DType::F64 => "f64",
        DType::F16 => "compiled::f16",
    }
}
