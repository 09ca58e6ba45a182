//! The layers of `shapes.txt`.

use systole_kernels::window::Window;

const LAYERS: &str = include_str!("../shapes.txt");

/// Which kernel a layer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CONV_2D, or FULLY_CONNECTED as one of a single pixel.
    Conv2d,
    /// DEPTHWISE_CONV_2D.
    DepthwiseConv2d,
}

/// A layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Model and number of the operator.
    pub name: String,
    /// Its kernel.
    pub kind: Kind,
    /// `[n, h, w, c]`.
    pub input: [usize; 4],
    /// `[n, h, w, c]`.
    pub output: [usize; 4],
    /// `[h, w]`.
    pub kernel: [usize; 2],
    /// Stride and padding.
    pub window: Window,
}

impl Layer {
    /// Weights of an output.
    pub fn filter(&self) -> usize {
        let taps = self.kernel[0] * self.kernel[1];
        if self.kind == Kind::Conv2d { taps * self.input[3] } else { taps }
    }

    /// Multiply-accumulates.
    pub fn macs(&self) -> u64 {
        (self.output.iter().product::<usize>() * self.filter()) as u64
    }
}

/// All of them, in the order of the file.
pub fn layers() -> Vec<Layer> {
    let lines = LAYERS.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| layer(line).unwrap_or_else(|| panic!("shapes.txt: {line}"))).collect()
}

fn layer(line: &str) -> Option<Layer> {
    let mut fields = line.split_whitespace();
    let kind = match fields.next()? {
        "conv_2d" | "fully_connected" => Kind::Conv2d,
        "depthwise_conv_2d" => Kind::DepthwiseConv2d,
        _ => return None,
    };
    let name = fields.next()?.to_owned();
    let mut number = || fields.next()?.parse::<usize>().ok();
    let [h, w, c] = [number()?, number()?, number()?];
    let (outputs, kernel, stride) = (number()?, [number()?, number()?], number()?);
    let same = fields.next()? == "same";
    // Along one axis: outputs, and padding before the first.
    let along = |size: usize, kernel: usize| {
        if same {
            let outputs = size.div_ceil(stride);
            (outputs, ((outputs - 1) * stride + kernel).saturating_sub(size) / 2)
        } else {
            ((size - kernel) / stride + 1, 0)
        }
    };
    let ((height, pad_top), (width, pad_left)) = (along(h, kernel[0]), along(w, kernel[1]));
    let window = Window { stride_h: stride, stride_w: stride, pad_top, pad_left, ..Window::UNIT };
    let (input, output) = ([1, h, w, c], [1, height, width, outputs]);
    Some(Layer { name, kind, input, output, kernel, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_layers_of_known_size() {
        let layers = layers();
        let named = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap();
        assert_eq!(named("gemm256").macs(), 256 * 256 * 256);
        // 49 × 10 inputs, 10 × 4 taps at stride 2, 64 outputs.
        assert_eq!(named("kws.0").output, [1, 25, 5, 64]);
        assert_eq!(named("kws.0").macs(), 25 * 5 * 64 * 40);
        assert!(layers.iter().any(|layer| layer.kind == Kind::DepthwiseConv2d));
    }
}
