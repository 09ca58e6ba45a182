//! What a model is, in JSON.

use systole::{Model, TensorInfo};

/// `{"isa", "arena", "macs", "inputs", "outputs", "operators", "labels"}`.
pub fn model(model: &Model<'_>) -> String {
    let operators = (0..model.operator_count() as u16).filter_map(|op| model.operator(op));
    let labels = (0..).map_while(|index| model.label(index));
    format!(
        r#"{{"isa":{},"arena":{},"macs":{},"inputs":[{}],"outputs":[{}],"operators":[{}],"labels":[{}]}}"#,
        string(systole_kernels::arch::kernels().level.name()),
        model.arena_bytes(),
        model.macs(),
        list(model.inputs().map(|info| tensor(&info))),
        list(model.outputs().map(|info| tensor(&info))),
        list(operators.map(|operator| string(operator.opcode().name()))),
        list(labels.map(string)),
    )
}

/// `{"name", "dtype", "shape", "bytes", "scale", "zeroPoint"}`.
fn tensor(info: &TensorInfo<'_>) -> String {
    format!(
        r#"{{"name":{},"dtype":{},"shape":[{}],"bytes":{},"scale":{},"zeroPoint":{}}}"#,
        string(info.name().unwrap_or_default()),
        string(info.dtype().name()),
        list(info.shape().dims().iter().map(|dim| dim.to_string())),
        info.bytes(),
        info.scale(),
        info.zero_point(),
    )
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn string(text: &str) -> String {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json += &format!("\\u{:04x}", u32::from(c)),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\"b\\c\n"), r#""a\"b\\c\u000a""#);
    }
}
