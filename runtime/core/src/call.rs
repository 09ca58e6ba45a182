//! Kernel calls, written once and used twice: a session executes them, and a model that is compiled
//! in is their text.

use systole_kernels::Mismatch;

use crate::memory::{Memory, Outputs};

/// What an operator's `run` hands its kernel calls to.
pub(crate) trait Machine {
    /// The kernels that it has.
    type Outputs: Outputs;

    /// Takes one call: `run` executes it, `describe` states it.
    fn call(
        &mut self,
        #[cfg(feature = "emit")] describe: impl FnOnce(&mut crate::emit::Writer<'_>),
        run: impl FnOnce(&mut Memory<'_, '_, Self::Outputs>) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch>;
}

impl<O: Outputs> Machine for Memory<'_, '_, O> {
    type Outputs = O;

    #[inline(always)]
    fn call(
        &mut self,
        #[cfg(feature = "emit")] _describe: impl FnOnce(&mut crate::emit::Writer<'_>),
        run: impl FnOnce(&mut Self) -> Result<(), Mismatch>,
    ) -> Result<(), Mismatch> {
        run(self)
    }
}

/// Calls a kernel: `call!(machine, kernel, parameters…; inputs => outputs)`. The kernel takes the
/// parameters, the inputs and the outputs in this order. Inputs and outputs are places:
///
/// - `[x, w] => y`: inputs beside the output;
/// - `[x] => first, second`: two outputs, or three;
/// - `in place [a, b] => y`: [`Operand`](systole_kernels::broadcast::Operand)s, on which the output
///   may lie;
/// - `in parts [x] => y`: a layer that several threads may divide among them
///   ([`split`](systole_kernels::split));
/// - `each MAX [places] => y`: a slice of at most `MAX` inputs.
///
/// The kernel must be a function's name, with type arguments where they do not follow from its
/// parameters, because its text has to be a path.
macro_rules! call {
    ($machine:expr, $kernel:expr $(, $parameter:expr)*; [$($x:expr),*] => $y:expr) => {{
        let kernel = $kernel;
        $crate::call::described!($machine, kernel, ($($parameter),*), Apart, [$($x),*], [$y],
            |memory| {
                let (y, inputs) = memory.output($y)?;
                kernel($($parameter,)* $(inputs.get($x)?,)* y)
            })
    }};
    ($machine:expr, $kernel:expr $(, $parameter:expr)*; [$($x:expr),*] => $first:expr, $second:expr) => {{
        let kernel = $kernel;
        $crate::call::described!($machine, kernel, ($($parameter),*), Apart, [$($x),*], [$first, $second],
            |memory| {
                let (first, second, inputs) = memory.outputs2($first, $second)?;
                kernel($($parameter,)* $(inputs.get($x)?,)* first, second)
            })
    }};
    ($machine:expr, $kernel:expr $(, $parameter:expr)*;
     [$($x:expr),*] => $first:expr, $second:expr, $third:expr) => {{
        let kernel = $kernel;
        $crate::call::described!($machine, kernel, ($($parameter),*), Apart, [$($x),*],
            [$first, $second, $third],
            |memory| {
                let (first, second, third, inputs) = memory.outputs3($first, $second, $third)?;
                kernel($($parameter,)* $(inputs.get($x)?,)* first, second, third)
            })
    }};
    ($machine:expr, $kernel:expr, $parameter:expr; in parts [$x:expr] => $y:expr) => {{
        let kernel = $kernel;
        $crate::call::described!($machine, kernel, ($parameter), Apart, [$x], [$y],
            |memory| memory.in_parts(kernel, $parameter, $x, $y))
    }};
    ($machine:expr, $kernel:expr $(, $parameter:expr)*; in place [$($x:expr),*] => $y:expr) => {{
        let kernel = $kernel;
        $crate::call::described!($machine, kernel, ($($parameter),*), InPlace, [$($x),*], [$y],
            |memory| {
                let (y, inputs) = memory.output($y)?;
                kernel($($parameter,)* $(inputs.operand($x, $y)?,)* y)
            })
    }};
    ($machine:expr, $kernel:expr $(, $parameter:expr)*; each $max:ident [$x:expr] => $y:expr) => {{
        let kernel = $kernel;
        let places: &[$crate::memory::Place] = $x;
        $crate::call::described!($machine, kernel, ($($parameter),*), Each, places, [$y],
            |memory| {
                let (y, inputs) = memory.output($y)?;
                let mut slices: [&[_]; $max] = [&[]; $max];
                for (slice, &place) in slices.iter_mut().zip(places) {
                    *slice = inputs.get(place)?;
                }
                kernel($($parameter,)* slices.get(..places.len()).ok_or(Mismatch)?, y)
            })
    }};
}
pub(crate) use call;

/// Hands a call to a machine, with its description where descriptions are compiled.
#[cfg(feature = "emit")]
macro_rules! described {
    ($machine:expr, $kernel:expr, ($($parameter:expr),*), $form:ident, $x:expr, $y:expr, $run:expr) => {
        $crate::call::Machine::call(
            $machine,
            |writer| writer.call(
                core::any::type_name_of_val(&$kernel),
                &[$(&$parameter),*],
                $crate::emit::Form::$form,
                &$x,
                &$y,
            ),
            $run,
        )
    };
}

/// Hands a call to a machine.
#[cfg(not(feature = "emit"))]
macro_rules! described {
    ($machine:expr, $kernel:expr, ($($parameter:expr),*), $form:ident, $x:expr, $y:expr, $run:expr) => {
        $crate::call::Machine::call($machine, $run)
    };
}
pub(crate) use described;

/// What a generic parameter of a kernel has to be able to do: be written down, where calls are.
#[cfg(feature = "emit")]
pub(crate) trait Parameter: systole_kernels::emit::Emit {}

#[cfg(feature = "emit")]
impl<T: systole_kernels::emit::Emit> Parameter for T {}

/// What a generic parameter of a kernel has to be able to do: nothing where calls are not written.
#[cfg(not(feature = "emit"))]
pub(crate) trait Parameter {}

#[cfg(not(feature = "emit"))]
impl<T> Parameter for T {}
