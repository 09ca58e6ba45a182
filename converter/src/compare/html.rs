//! The page: figures, the noise along the depth, and a histogram per layer, drawn as SVG. It holds
//! all that it needs, and lays itself out for the width of a phone.

use std::fmt::Write;

use super::{Comparison, Layer};

/// The page's own style: system fonts, a column, colours for light and dark screens.
const STYLE: &str = "
:root { color-scheme: light dark; --float: #2f6fde; --quantized: #d9742b; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .2rem .5rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr { border-top: 1px solid var(--line); }
.layer { border-top: 1px solid var(--line); padding: .6rem 0; }
.layer b { overflow-wrap: anywhere; } .layer p { margin: .2rem 0; }
svg { display: block; width: 100%; height: auto; }
.float { fill: var(--float); color: var(--float); } .quantized { fill: var(--quantized); color: var(--quantized); }
.depth { fill: none; stroke: var(--quantized); stroke-width: 2; }
";

/// Width and height of the drawings, in their own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 96.0;

pub(super) fn page(comparison: &Comparison, title: &str) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, comparison, title);
    page
}

fn write_page(page: &mut String, comparison: &Comparison, title: &str) -> std::fmt::Result {
    let title = escaped(title);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n\
         <p>{} samples, {} layers.</p>\n",
        comparison.samples,
        comparison.layers.len()
    )?;
    page.push_str("<table><tr><th>answers</th><th>float</th><th>quantized</th></tr>\n");
    for (name, float, quantized) in &comparison.metrics {
        writeln!(
            page,
            "<tr><td>{name}</td><td>{}</td><td>{}</td></tr>",
            number(*float),
            number(*quantized)
        )?;
    }
    page.push_str("</table>\n<h2>Noise along the depth</h2>\n");
    depth(page, comparison)?;
    page.push_str(
        "<h2>Layers, most noise first</h2>\n<p>Histograms over what the integers can stand for: \
         <span class=\"float\">&#9632;</span> float, <span class=\"quantized\">&#9632;</span> \
         quantized, heights as square roots.</p>\n",
    );
    for layer in comparison.worst_first() {
        card(page, layer)?;
    }
    page.push_str("</body></html>\n");
    Ok(())
}

/// SQNR of the layers in their order, as a line.
fn depth(page: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let values: Vec<f64> = comparison
        .layers
        .iter()
        .map(Layer::sqnr)
        .map(|sqnr| if sqnr.is_finite() { sqnr.clamp(0.0, 100.0) } else { 100.0 })
        .collect();
    let top = values.iter().copied().fold(10.0, f64::max);
    let step = WIDTH / values.len().max(2).saturating_sub(1) as f64;
    let points: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(i, sqnr)| format!("{:.1},{:.1}", i as f64 * step, HEIGHT * (1.0 - sqnr / top)))
        .collect();
    writeln!(
        page,
        "<svg viewBox=\"-4 -4 {} {}\" role=\"img\" aria-label=\"SQNR of each layer\">\
         <polyline class=\"depth\" points=\"{}\"/></svg>\n<p>SQNR in dB, 0 to {}; the first layer is \
         on the left.</p>",
        WIDTH + 8.0,
        HEIGHT + 8.0,
        points.join(" "),
        number(top)
    )
}

/// One layer.
fn card(page: &mut String, layer: &Layer) -> std::fmt::Result {
    write!(
        page,
        "<div class=\"layer\"><b>{}</b><p>{}, {}: SQNR {} dB{}",
        escaped(&layer.name),
        escaped(&layer.operator),
        layer.dtype.name(),
        number(layer.sqnr()),
        if layer.equalized() { " (channels equalized)" } else { "" }
    )?;
    if let Some(range_use) = layer.range_use() {
        let percent = 100.0 * layer.saturated as f64 / layer.elements.max(1) as f64;
        write!(
            page,
            "; {} % of the range used, {} of {} elements beyond it ({} %)",
            number(range_use),
            layer.saturated,
            layer.elements,
            number(percent)
        )?;
    }
    page.push_str("</p>");
    if layer.range.is_some() {
        histograms(page, layer)?;
    }
    page.push_str("</div>\n");
    Ok(())
}

/// Both histograms, float upwards and quantized downwards.
fn histograms(page: &mut String, layer: &Layer) -> std::fmt::Result {
    let most = layer.histograms.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    write!(page, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"histograms\">")?;
    for (bins, class, upwards) in
        [(&layer.histograms[0], "float", true), (&layer.histograms[1], "quantized", false)]
    {
        let width = WIDTH / bins.len() as f64;
        for (bin, &count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = HEIGHT / 2.0 * (count as f64 / most).sqrt();
            let y = if upwards { HEIGHT / 2.0 - height } else { HEIGHT / 2.0 };
            write!(
                page,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                bin as f64 * width,
                width * 0.9
            )?;
        }
    }
    page.push_str("</svg>");
    Ok(())
}

/// A number in a few digits.
fn number(value: f64) -> String {
    match value {
        value if value == f64::INFINITY => "∞".to_owned(),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    }
}

/// Text that may hold anything.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
