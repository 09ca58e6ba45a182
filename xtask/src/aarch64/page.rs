//! `docs/benchmarks/aarch64.md`: the page.

use std::fmt::Write;

use super::emulated::LEVELS;

/// What an operator is, as far as the page tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CONV_2D of one pixel at every pixel: a product of matrices.
    Pointwise,
    /// Any other.
    Convolution,
    /// DEPTHWISE_CONV_2D.
    Depthwise,
    /// FULLY_CONNECTED.
    FullyConnected,
    /// All else.
    Other,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::Pointwise, "pointwise"),
    (Kind::Convolution, "convolution"),
    (Kind::Depthwise, "depthwise"),
    (Kind::FullyConnected, "fully connected"),
    (Kind::Other, "other"),
];

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub kind: Kind,
    /// Rows, depth and outputs of the product of matrices, if it is one.
    pub matrices: [usize; 3],
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions at each level.
    pub instructions: Vec<u64>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its name.
    pub name: String,
    /// Instructions of an inference at each level.
    pub whole: Vec<u64>,
    /// Its operators.
    pub layers: Vec<Layer>,
}

/// All that the page says.
#[derive(Debug)]
pub struct Page {
    /// Versions and processors, a line each.
    pub conditions: Vec<String>,
    /// Models, in order.
    pub models: Vec<Counted>,
}

const HEAD: &str = "\
# Instructions on 64-bit Arm

Written by `cargo xtask aarch64`. No machine was at hand: a static build of `targets/runner` runs in QEMU's user mode, and a
plugin counts every instruction that is executed (`../shared/cross/insncount.c`). What is counted is one inference, of the
first golden sample, after a first one; loading, packing and the copy of inputs are not. Each level runs on a processor
that has its instructions, and gives the golden outputs. The program has the plugin write its count in between by starting a
process that ends at once; what that takes is subtracted, to some hundred instructions. Instructions are no cycles: QEMU
models neither caches nor pipelines.

";

/// The levels whose products of matrices are compared.
const SDOT: usize = 2;
const SMMLA: usize = 3;

impl Page {
    /// The page as Markdown.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for line in &self.conditions {
            let _ = writeln!(text, "- {line}");
        }
        let _ = write!(
            text,
            "\n## Models\n\nMillions of instructions, and how many times fewer than those of `portable`.\n\n"
        );
        self.models(&mut text);
        let _ = write!(
            text,
            "\n## Kinds of layers\n\nMillions of instructions, and in brackets for each multiply-accumulate.\n\n"
        );
        self.kinds(&mut text);
        let _ = write!(
            text,
            "\n## Pointwise layers\n\nProducts of matrices; thousands of instructions, output stage included. The last column \
             is what SMMLA takes of what SDOT takes. Of one row there are no pairs, \
             and up to 16 inputs are not worth them: there both are SDOT.\n\n"
        );
        self.pointwise(&mut text);
        text
    }

    fn models(&self, text: &mut String) {
        let _ = writeln!(text, "| model | MACs | {} |", LEVELS.map(|level| level.name).join(" | "));
        let _ = writeln!(text, "| --- | ---: |{}", " ---: |".repeat(LEVELS.len()));
        for Counted { name, whole, layers } in &self.models {
            let macs: u64 = layers.iter().map(|layer| layer.macs).sum();
            let cells = whole.iter().enumerate().map(|(i, &count)| {
                let fewer = ratio(whole.first().copied().unwrap_or(0), count);
                let fewer = if i == 0 { String::new() } else { format!(" · {fewer:.2}") };
                format!("{}{fewer}", millions(count))
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {name} | {} M | {} |", millions(macs), cells.join(" | "));
        }
    }

    fn kinds(&self, text: &mut String) {
        let levels = LEVELS.map(|level| level.name).join(" | ");
        let _ = writeln!(text, "| model | layers | {levels} |");
        let _ = writeln!(text, "| --- | --- |{}", " ---: |".repeat(LEVELS.len()));
        for Counted { name, layers, .. } in &self.models {
            for (kind, what) in KINDS {
                let of: Vec<&Layer> = layers.iter().filter(|layer| layer.kind == kind).collect();
                let macs: u64 = of.iter().map(|layer| layer.macs).sum();
                let cells = (0..LEVELS.len()).map(|level| {
                    let count: u64 = of.iter().filter_map(|it| it.instructions.get(level)).sum();
                    match macs {
                        0 => millions(count),
                        _ => format!("{} ({:.3})", millions(count), ratio(count, macs)),
                    }
                });
                let cells: Vec<String> = cells.collect();
                if !of.is_empty() {
                    let (count, cells) = (of.len(), cells.join(" | "));
                    let _ = writeln!(text, "| {name} | {count} {what} | {cells} |");
                }
            }
        }
    }

    fn pointwise(&self, text: &mut String) {
        let _ = writeln!(text, "| model | rows × depth × outputs | neon | SDOT | SMMLA | |");
        let _ = writeln!(text, "| --- | --- | ---: | ---: | ---: | ---: |");
        let (mut all, mut fewer, mut more) = (0, 0, 0);
        for Counted { name, layers, .. } in &self.models {
            // Layers of the same shape take the same but for their scales.
            let mut known: Vec<[usize; 3]> = Vec::new();
            for layer in layers.iter().filter(|layer| layer.kind == Kind::Pointwise) {
                let (Some(&sdot), Some(&smmla)) =
                    (layer.instructions.get(SDOT), layer.instructions.get(SMMLA))
                else {
                    continue;
                };
                all += 1;
                fewer += usize::from(smmla < sdot);
                more += usize::from(ratio(smmla, sdot) > 1.01);
                if known.contains(&layer.matrices) {
                    continue;
                }
                known.push(layer.matrices);
                let [rows, depth, outputs] = layer.matrices;
                let counts = layer.instructions.iter().skip(1);
                let counts: Vec<String> =
                    counts.map(|&count| format!("{:.1}", count as f64 / 1e3)).collect();
                let _ = writeln!(
                    text,
                    "| {name} | {rows} × {depth} × {outputs} | {} | {:.2} |",
                    counts.join(" | "),
                    ratio(smmla, sdot)
                );
            }
        }
        let _ = writeln!(
            text,
            "\nOf {all} pointwise layers, those of equal shape included, SMMLA takes fewer instructions than SDOT on {fewer}, \
             and over 1 % more on {more}."
        );
    }
}

/// Millions with four digits.
fn millions(count: u64) -> String {
    let millions = count as f64 / 1e6;
    match millions {
        ..1.0 => format!("{millions:.4}"),
        ..10.0 => format!("{millions:.3}"),
        ..100.0 => format!("{millions:.2}"),
        _ => format!("{millions:.1}"),
    }
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_sums_ratios_and_every_shape_once() {
        let layer = |kind, macs, instructions: [u64; 4]| Layer {
            kind,
            matrices: [64, 8, 16],
            macs,
            instructions: instructions.to_vec(),
        };
        let layers = vec![
            layer(Kind::Pointwise, 8000, [40_000, 8000, 4000, 3000]),
            layer(Kind::Pointwise, 8000, [40_000, 8000, 4000, 4000]),
            layer(Kind::Other, 0, [500, 400, 300, 200]),
        ];
        let whole = vec![4_000_000, 1_000_000, 500_000, 400_000];
        let model = Counted { name: "model".into(), whole, layers };
        let text = Page { conditions: vec!["a build".into()], models: vec![model] }.text();
        let row = "| model | 0.0160 M | 4.000 | 1.000 · 4.00 | 0.5000 · 8.00 | 0.4000 · 10.00 |";
        assert!(text.contains(row), "{text}");
        let row = "| model | 2 pointwise | 0.0800 (5.000) | 0.0160 (1.000) | 0.0080 (0.500) |";
        assert!(text.contains(row), "{text}");
        let row = "| model | 64 × 8 × 16 | 8.0 | 4.0 | 3.0 | 0.75 |\n\nOf 2 pointwise";
        assert!(
            text.contains(row) && text.contains("SDOT on 1, and over 1 % more on 0."),
            "{text}"
        );
    }
}
