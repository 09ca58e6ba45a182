//! The arena over time, drawn for people: as text and as SVG.

use std::fmt::Write;

use super::{Buffer, Plan};

/// One buffer of a map; its offset is the plan's at the same index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRow {
    /// What the buffer holds.
    pub name: String,
    /// Its size and life.
    pub buffer: Buffer,
}

/// A line per operator, the arena from left to right: each buffer alive is a bar with its letter.
/// Below, the letters with sizes and names. `width` counts columns.
pub fn text(rows: &[MapRow], operators: &[String], plan: &Plan, width: usize) -> String {
    let mut out = String::new();
    let label = operators.iter().map(|name| name.len()).max().unwrap_or(0).min(24);
    let columns = width.saturating_sub(label + 8).max(20);
    let arena = plan.arena_bytes.max(1);
    let column = |byte: usize| (byte as u128 * columns as u128 / arena as u128) as usize;
    for (step, operator) in operators.iter().enumerate() {
        let mut line = vec![' '; columns];
        for (index, row) in rows.iter().enumerate() {
            if !(row.buffer.first..=row.buffer.last).contains(&step) {
                continue;
            }
            let Some(&offset) = plan.offsets.get(index) else { break };
            let start = column(offset).min(columns - 1);
            let end = column(offset.saturating_add(row.buffer.bytes));
            let end = end.clamp(start + 1, columns);
            line[start..end].fill(letter(index));
        }
        let operator: String = operator.chars().take(label).collect();
        let line: String = line.into_iter().collect();
        let _ = writeln!(out, "{step:>4} {operator:<label$} |{line}|");
    }
    let arena = format!("{} bytes", plan.arena_bytes);
    let _ = writeln!(out, "{:>5}{:<label$} 0{arena:>columns$}", "", "");
    for (index, row) in rows.iter().enumerate() {
        let Buffer { bytes, first, last } = row.buffer;
        let Some(offset) = plan.offsets.get(index) else { break };
        let line = format!(
            "   {} {bytes:>9} bytes at {offset:>9}, operators {first:>3} to {last:>3}: ",
            letter(index),
        );
        let fits = width.saturating_sub(line.len()).max(16);
        let _ = writeln!(out, "{line}{}", shortened(&row.name, fits));
    }
    out
}

/// A to Z, a to z, 0 to 9, and from the start again.
fn letter(index: usize) -> char {
    let letters = ('A'..='Z').chain('a'..='z').chain('0'..='9');
    letters.cycle().nth(index % 62).unwrap_or('?')
}

const LEFT: f64 = 90.0;
const TOP: f64 = 58.0;
const HEIGHT: f64 = 420.0;

/// The map as a picture: operators from left to right, bytes upwards, a box per buffer.
pub fn svg(rows: &[MapRow], operators: &[String], plan: &Plan) -> String {
    let steps = operators.len().max(1) as f64;
    let step_width = (1100.0 / steps).clamp(7.0, 130.0);
    let width = step_width * steps;
    let arena = plan.arena_bytes.max(1) as f64;
    let x = |step: usize| LEFT + step as f64 * step_width;
    let y = |byte: usize| TOP + HEIGHT * (1.0 - byte as f64 / arena);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" \
         viewBox=\"0 0 {w:.0} {h:.0}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" fill=\"#222\">arena {} bytes; {}</text>\n",
        grouped(plan.arena_bytes),
        verdict(plan),
        w = LEFT + width.max(420.0) + 60.0,
        h = TOP + HEIGHT + 150.0,
    );
    for byte in ticks(plan.arena_bytes) {
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
            LEFT + width,
            LEFT - 8.0,
            y(byte) + 4.0,
            grouped(byte),
            at = y(byte),
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let Buffer { bytes, first, last } = row.buffer;
        let Some(&offset) = plan.offsets.get(index) else { break };
        let end = offset.saturating_add(bytes);
        let (w, h) =
            ((last.saturating_sub(first) + 1) as f64 * step_width, HEIGHT * bytes as f64 / arena);
        let (name, size) = (escape(&row.name), grouped(bytes));
        // Neighbouring buffers get colours far apart: steps of the golden angle.
        let hue = (index as f64 * 137.508) % 360.0;
        let _ = write!(
            out,
            "<g><title>{name}: {size} bytes at {}, operators {first} to {last}</title>\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{h:.1}\" rx=\"2\" \
             fill=\"hsl({hue:.0} 55% 82%)\" stroke=\"hsl({hue:.0} 45% 45%)\"/>",
            grouped(offset),
            x(first) + 1.0,
            y(end),
            (w - 2.0).max(1.0),
        );
        // A wide font takes up to seven units per character of 11-unit type.
        let fits = ((w - 10.0) / 7.0).max(0.0) as usize;
        if h >= 16.0 && fits >= 5 {
            let label = escape(&shortened(&row.name, fits));
            let _ = write!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#222\">{label}</text>",
                x(first) + 6.0,
                y(end) + 12.0
            );
            if h >= 30.0 && size.len() <= fits {
                let _ = write!(
                    out,
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555\">{size}</text>",
                    x(first) + 6.0,
                    y(end) + 25.0
                );
            }
        }
        out.push_str("</g>\n");
    }
    let _ = writeln!(
        out,
        "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{bound:.1}\" y2=\"{bound:.1}\" stroke=\"#c00\" \
         stroke-width=\"1.5\" stroke-dasharray=\"6 4\"/>\
         <text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#c00\">lower bound {}</text>",
        LEFT + width,
        y(plan.lower_bound.min(plan.arena_bytes)) - 5.0,
        grouped(plan.lower_bound),
        bound = y(plan.lower_bound.min(plan.arena_bytes)),
    );
    // Names are turned, and some left out where they would collide.
    let every = (16.0 / step_width).ceil().max(1.0) as usize;
    for (step, name) in operators.iter().enumerate().step_by(every) {
        let _ = writeln!(
            out,
            "<text transform=\"translate({:.1} {:.1}) rotate(60)\" fill=\"#333\">{step} {}</text>",
            x(step) + step_width / 2.0 - 4.0,
            TOP + HEIGHT + 14.0,
            escape(&shortened(name, 18))
        );
    }
    out.push_str("</svg>\n");
    out
}

/// How good the plan is, in words.
fn verdict(plan: &Plan) -> String {
    let bound = grouped(plan.lower_bound);
    match plan.optimal {
        _ if plan.arena_bytes == plan.lower_bound => "as small as can be".to_owned(),
        true => format!("proved smallest, lower bound {bound} bytes"),
        false => format!("lower bound {bound} bytes"),
    }
}

/// Round numbers of bytes, at most about six, from 0 to below the arena's end.
fn ticks(arena: usize) -> impl Iterator<Item = usize> {
    let mut step = 1_usize;
    // 1, 2, 5, 10, 20, 50 and so on.
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if arena / step <= 6 {
            break;
        }
        step = (step as f64 * factor) as usize;
    }
    (0..=arena / step).map(move |tick| tick * step)
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The end of a name, which tells more than its start, in at most `fits` characters.
fn shortened(name: &str, fits: usize) -> String {
    let count = name.chars().count();
    if count <= fits {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - fits.saturating_sub(1)).collect();
    format!("…{tail}")
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML, whatever a model calls its tensors.
            control if control.is_control() => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Vec<MapRow>, Vec<String>, Plan) {
        let buffer = |bytes, first, last| Buffer { bytes, first, last };
        let rows = vec![
            MapRow { name: "in <&>".to_owned(), buffer: buffer(64, 0, 0) },
            MapRow { name: "out".to_owned(), buffer: buffer(64, 0, 1) },
        ];
        let operators = vec!["conv2d".to_owned(), "softmax".to_owned()];
        let plan = Plan { offsets: vec![0, 64], arena_bytes: 128, lower_bound: 128, optimal: true };
        (rows, operators, plan)
    }

    #[test]
    fn the_text_shows_each_buffer_while_it_is_alive() {
        let (rows, operators, plan) = two();
        let text = text(&rows, &operators, &plan, 60);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("AAAA") && lines[0].contains("BBBB"));
        assert!(!lines[1].contains('A') && lines[1].contains("BBBB"));
        assert!(text.contains("128 bytes"));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(93_776).collect::<Vec<_>>(), [0, 20_000, 40_000, 60_000, 80_000]);
        assert_eq!(ticks(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(ticks(0).collect::<Vec<_>>(), [0]);
        assert!(ticks(usize::MAX).count() <= 8);
        assert_eq!([grouped(7), grouped(1_234), grouped(1_234_567)], ["7", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_line_of_the_list_fits_into_the_width() {
        let (mut rows, operators, plan) = two();
        rows[0].name = "block/".repeat(40);
        assert!(
            text(&rows, &operators, &plan, 100).lines().all(|line| line.chars().count() <= 100)
        );
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let (rows, operators, plan) = two();
        let svg = svg(&rows, &operators, &plan);
        assert!(svg.contains("in &lt;&amp;&gt;") && !svg.contains("in <&>"));
        assert_eq!(svg.matches("<rect").count(), 1 + rows.len());
    }
}
