//! The text of kernel calls.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;

use systole_kernels::{
    Mismatch,
    emit::{Constant, Emit, Source},
};

use crate::{
    Model,
    call::Machine,
    format::Storage,
    memory::{Memory, Only, Place},
};

/// How a kernel takes its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Beside the outputs.
    Apart,
    /// On which the output may lie.
    InPlace,
    /// A slice of them.
    Each,
}

/// A machine that writes down what it is told to call.
pub(crate) struct Writer<'c> {
    pub(super) source: Source<'c>,
    /// Statements, each a block.
    pub(super) body: String,
}

impl Machine for Writer<'_> {
    type Outputs = Only<0>;

    fn call(
        &mut self,
        describe: impl FnOnce(&mut Self),
        _run: impl FnOnce(&mut Memory<'_, '_>) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        describe(self);
        Ok(())
    }
}

impl<'c> Writer<'c> {
    pub(super) fn new(model: &Model<'c>) -> Self {
        let mut source = Source::new(model.constants());
        let tensors = model.residents().filter_map(|(tensor, _, _)| model.tensor(tensor));
        source.residents = tensors.map(|info| (info.offset(), info.bytes())).collect();
        Self { source, body: String::new() }
    }

    /// One call. `kernel` is the function's path as the compiler prints it; `describe` of
    /// [`Machine::call`] comes here.
    pub(crate) fn call(
        &mut self,
        kernel: &str,
        parameters: &[&dyn Emit],
        form: Form,
        x: &[Place],
        y: &[Place],
    ) {
        let kernel = self.function(kernel);
        // `i` counts the repetitions.
        let place = |place: &Place| match place.advance {
            0 => format!("Place::arena({}, {})", place.offset, place.bytes),
            step => {
                let sign = if step < 0 { '-' } else { '+' };
                let step = step.unsigned_abs();
                format!("Place::arena({} {sign} {step} * i, {})", place.offset, place.bytes)
            }
        };
        let (names, borrow) = match y {
            [y] => ("y", format!("output({})", place(y))),
            [first, second] => {
                ("first, second", format!("outputs2({}, {})", place(first), place(second)))
            }
            [first, second, third, ..] => (
                "first, second, third",
                format!("outputs3({}, {}, {})", place(first), place(second), place(third)),
            ),
            [] => return,
        };
        let mut arguments: Vec<String> = parameters.iter().map(|p| self.expression(*p)).collect();
        let inputs: Vec<String> = x
            .iter()
            .map(|x| match (form, x.storage, y) {
                (Form::InPlace, Storage::Constant, _) => {
                    format!("compiled::Operand::Buffer({})", self.operand(x))
                }
                (_, Storage::Constant, _) => self.operand(x),
                (Form::InPlace, Storage::Arena, [y, ..]) => {
                    format!("inputs.operand({}, {})?", place(x), place(y))
                }
                _ => format!("inputs.get({})?", place(x)),
            })
            .collect();
        match form {
            Form::Each => arguments.push(format!("&[{}]", inputs.join(", "))),
            Form::Apart | Form::InPlace => arguments.extend(inputs),
        }
        let used = if x.iter().any(|x| x.storage == Storage::Arena) { "" } else { "_" };
        arguments.push(String::from(names));
        let _ = write!(
            self.body,
            "        {{\n            let ({names}, {used}inputs) = memory.{borrow}?;\n            {kernel}({})?;\n        }}\n",
            arguments.join(", "),
        );
    }

    /// The text of a value.
    fn expression(&mut self, value: &dyn Emit) -> String {
        let before = core::mem::take(&mut self.source.text);
        value.emit(&mut self.source);
        core::mem::replace(&mut self.source.text, before)
    }

    /// A constant that is an operand.
    fn operand(&mut self, place: &Place) -> String {
        let constant =
            Constant { element: "u8", offset: place.offset, len: place.bytes, element_bytes: 1 };
        format!("compiled::constant(&{})?", self.source.refer(constant))
    }

    /// A function's path with its type arguments, `module::function::<T>`.
    fn function(&mut self, name: &str) -> String {
        let Some((path, arguments)) = name.split_once('<') else { return self.source.path(name) };
        let path = self.source.path(path);
        let arguments = arguments.strip_suffix('>').unwrap_or(arguments);
        let arguments: Vec<String> =
            arguments.split(", ").map(|name| self.argument(name)).collect();
        format!("{path}::<{}>", arguments.join(", "))
    }

    fn argument(&mut self, name: &str) -> String {
        match name {
            "half::binary16::f16" => String::from("compiled::f16"),
            // The session's choice of a rounding at run time; parameters say which one it is here.
            _ if name.starts_with("systole_kernels::requantize::Requantize")
                || name.starts_with("systole_kernels::requantize::Accumulate16") =>
            {
                String::from("_")
            }
            _ => self.source.path(name),
        }
    }
}
