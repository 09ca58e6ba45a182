//! Which operators can run on bands of rows.

use systole_core::{
    DType, Opcode,
    format::Params,
    ops::{conv2d, depthwise_conv2d, pool},
};

use crate::lower::{Instruction, Program, SlotId, Source};

/// Rows of an input that rows of an output are computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub stride: usize,
    /// From the first row of a window to behind its last.
    pub extent: usize,
    /// Rows of padding above the image.
    pub padding: usize,
}

impl Window {
    /// A row of the output is computed from the same row of the input.
    pub(super) const SAME: Self = Self { stride: 1, extent: 1, padding: 0 };

    /// The first row of an image of `height` rows that output rows from `row` on need.
    pub(super) fn start(&self, row: usize, height: usize) -> usize {
        (row * self.stride).saturating_sub(self.padding).min(height)
    }

    /// Behind the last row of an image of `height` rows that output rows below `end` need.
    pub(super) fn end(&self, end: usize, height: usize) -> usize {
        let last = (end.max(1) - 1) * self.stride + self.extent;
        last.saturating_sub(self.padding).min(height)
    }
}

/// An operator of a group.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// Its index in the program.
    pub instruction: usize,
    /// Whether it is not that operator, but puts the rows aside that it takes.
    pub copies: bool,
    pub window: Window,
    /// Which input it takes rows of, as the output of the stage before.
    pub main: usize,
    /// Another input of which it takes the rows of its output: the other operand of a sum.
    pub side: Option<(usize, SlotId)>,
    pub input: SlotId,
    pub output: SlotId,
}

impl Stage {
    /// The operator `index`, fed by `from` where that is given, else by its first input; `None` where it
    /// cannot run on bands of rows.
    pub(super) fn new(program: &Program, index: usize, from: Option<SlotId>) -> Option<Self> {
        let instruction = &program.instructions[index];
        let &[output] = instruction.outputs.as_slice() else { return None };
        let operand = |i: usize| instruction.inputs.get(i).copied().flatten();
        let is_sum = matches!(instruction.opcode, Opcode::Add | Opcode::AddPowerOfTwo);
        let main = match from {
            Some(from) if is_sum => (0..2).find(|&i| operand(i) == Some(from))?,
            Some(from) => (operand(0) == Some(from)).then_some(0)?,
            None => 0,
        };
        let input = operand(main)?;
        let window = match instruction.opcode {
            Opcode::Conv2d | Opcode::DepthwiseConv2d => {
                let weights = &program.slots[operand(1)?.0];
                // Activations that are quantized on the fly have a scale of the whole image.
                let hybrid =
                    program.slots[input.0].dtype == DType::F32 && weights.dtype == DType::I8;
                let [_, kernel, ..] = weights.shape.as_slice() else { return None };
                (!hybrid).then(|| Window::of_convolution(instruction, *kernel))?
            }
            Opcode::AveragePool2d | Opcode::MaxPool2d => {
                let params = pool::Params::read(&instruction.params);
                Window::new(params.stride[0], 1, params.padding[0], params.kernel[0].into())
            }
            Opcode::Add | Opcode::AddPowerOfTwo | Opcode::Lut | Opcode::Requantize => Window::SAME,
            _ => return None,
        };
        let side = is_sum.then(|| operand(1 - main).map(|slot| (1 - main, slot)));
        let side = match side {
            Some(side) => Some(side?),
            None => None,
        };
        let shape = |slot: SlotId| program.slots[slot.0].shape.as_slice();
        let image = |slot| matches!(shape(slot), [1, _, _, _]) && is_activation(program, slot);
        let windows =
            [Opcode::Conv2d, Opcode::DepthwiseConv2d, Opcode::AveragePool2d, Opcode::MaxPool2d];
        let fits = image(input)
            && image(output)
            && (windows.contains(&instruction.opcode) || shape(input) == shape(output))
            && side.is_none_or(|(_, slot)| {
                image(slot) && shape(slot) == shape(output) && slot != input
            });
        fits.then_some(Self {
            instruction: index,
            copies: false,
            window,
            main,
            side,
            input,
            output,
        })
    }

    /// What puts the rows aside that this stage takes, so that others can be written in their place.
    pub(super) fn aside(&self) -> Self {
        Self {
            copies: true,
            window: Window::SAME,
            main: 0,
            side: None,
            output: self.input,
            ..self.clone()
        }
    }

    /// Rows and bytes of a row of a slot.
    pub(super) fn rows(program: &Program, slot: SlotId) -> (usize, usize) {
        let slot = &program.slots[slot.0];
        (slot.shape[1], slot.bytes() / slot.shape[1])
    }
}

impl Window {
    fn new(stride: u16, dilation: u16, padding: u16, kernel: usize) -> Self {
        let extent = kernel.saturating_sub(1) * usize::from(dilation) + 1;
        Self { stride: stride.into(), extent, padding: padding.into() }
    }

    fn of_convolution(instruction: &Instruction, kernel: usize) -> Self {
        let (stride, dilation, padding) = match instruction.opcode {
            Opcode::Conv2d => {
                let params = conv2d::Params::read(&instruction.params);
                (params.stride, params.dilation, params.padding)
            }
            _ => {
                let params = depthwise_conv2d::Params::read(&instruction.params);
                (params.stride, params.dilation, params.padding)
            }
        };
        Self::new(stride[0], dilation[0], padding[0], kernel)
    }
}

/// The record of an operator for rows above which there are `padding` rows of padding.
pub(super) fn with_padding(instruction: &Instruction, padding: usize) -> Option<Instruction> {
    let padding = u16::try_from(padding).ok()?;
    let params = match instruction.opcode {
        Opcode::Conv2d => {
            let mut params = conv2d::Params::read(&instruction.params);
            params.padding[0] = padding;
            params.write()
        }
        Opcode::DepthwiseConv2d => {
            let mut params = depthwise_conv2d::Params::read(&instruction.params);
            params.padding[0] = padding;
            params.write()
        }
        Opcode::AveragePool2d | Opcode::MaxPool2d => {
            let mut params = pool::Params::read(&instruction.params);
            params.padding[0] = padding;
            params.write()
        }
        _ => instruction.params,
    };
    Some(Instruction { params, ..instruction.clone() })
}

fn is_activation(program: &Program, slot: SlotId) -> bool {
    !matches!(program.slots[program.root(slot).0].source, Source::Constant(_))
}
