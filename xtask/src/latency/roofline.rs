//! Every layer of a model beside what the processor could do at most: Williams, Waterman and Patterson,
//! "Roofline: an insightful visual performance model", 2009.

use std::{fmt::Write, hint::black_box, path::Path, process::Command, time::Instant};

use serde_json::Value;

use super::engines::run;
use crate::error::{Result, failed};

/// Bytes that are copied to find out how fast memory is: more than a core's caches hold, about what a
/// model's weights and activations are.
const COPIED: usize = 4 << 20;

/// The section of the page.
///
/// # Errors
/// What the command that times says.
pub fn section(systole: &Path, model: &Path, seconds: f64) -> Result<String> {
    let mut command = Command::new(systole);
    command.arg("bench").arg(model).args(["--per-layer", "--json"]);
    command.args(["--seconds", &seconds.to_string()]);
    let value = run(&mut command).map_err(|why| failed!("systole bench --per-layer: {why}"))?;
    let Some(peak) = value["peak_gmacs_per_s"].as_f64() else {
        return Ok("No peak is known for this processor.\n".to_owned());
    };
    Ok(table(&value, peak, bandwidth()))
}

/// Bytes that are read and written, in 10^9 a second.
fn bandwidth() -> f64 {
    let (from, mut to) = (vec![1_u8; COPIED], vec![0_u8; COPIED]);
    let timed = || {
        let start = Instant::now();
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        2.0 * COPIED as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    std::iter::repeat_with(timed).take(50).fold(0.0, f64::max)
}

fn table(value: &Value, peak: f64, bandwidth: f64) -> String {
    let mut text = format!(
        "Kernels for {}. Peak is {peak:.1} GMAC/s, the instructions of the kernels' products with registers alone; memory \
         moves {bandwidth:.1} GB/s in a copy of {} MB. The roof of a layer is the less of the peak and of what memory could \
         feed it, if each of its bytes of activations and weights came from there once. Layers whose roof is the peak are \
         bound by products, the others by memory; what products do not explain are outputs, which are scaled one by one: \
         where there is little depth they take longer than the products.\n\n\
         | layer | output | MMAC | KB | roof, GMAC/s | reached | of the roof | of the time |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        value["isa"].as_str().unwrap_or_default(),
        COPIED >> 20,
    );
    let none = Vec::new();
    let layers = value["layers"].as_array().unwrap_or(&none);
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(0.0);
    let total: f64 = layers.iter().map(|row| number(row, "min_us")).sum();
    for row in layers {
        let (macs, bytes, us) = (number(row, "macs"), number(row, "bytes"), number(row, "min_us"));
        let share = 100.0 * us / total.max(f64::MIN_POSITIVE);
        let name = format!("{} {}", row["index"], row["operator"].as_str().unwrap_or_default());
        let (output, kilobytes) = (&row["output"], bytes / 1024.0);
        let _ = if macs > 0.0 {
            let roof = peak.min(macs / bytes.max(1.0) * bandwidth);
            let reached = number(row, "gmacs_per_s");
            writeln!(
                text,
                "| {name} | {output} | {:.2} | {kilobytes:.0} | {roof:.1} | {reached:.1} | {:.0} % | {share:.1} % |",
                macs / 1e6,
                100.0 * reached / roof,
            )
        } else {
            // Nothing is multiplied: the roof is memory's.
            let roof = bytes / bandwidth / 1e3;
            writeln!(
                text,
                "| {name} | {output} | | {kilobytes:.0} | | | {:.0} % | {share:.1} % |",
                100.0 * roof / us.max(f64::MIN_POSITIVE),
            )
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_with_few_products_a_byte_is_bound_by_memory() {
        let value = serde_json::json!({ "isa": "avx2", "layers": [
            { "index": 0, "operator": "conv2d", "output": [1, 4], "macs": 4_000_000, "bytes": 4000,
              "min_us": 80.0, "gmacs_per_s": 50.0 },
            { "index": 1, "operator": "fully_connected", "output": [1, 4], "macs": 1000, "bytes": 1000,
              "min_us": 20.0, "gmacs_per_s": 5.0 },
        ] });
        let text = table(&value, 100.0, 20.0);
        let rows: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(rows[1], "| 0 conv2d | [1,4] | 4.00 | 4 | 100.0 | 50.0 | 50 % | 80.0 % |");
        assert_eq!(
            rows[0],
            "| 1 fully_connected | [1,4] | 0.00 | 1 | 20.0 | 5.0 | 25 % | 20.0 % |"
        );
    }
}
