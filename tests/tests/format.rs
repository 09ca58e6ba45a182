//! `docs/format.md` and `docs/operators.md` state what the code does: the tables are compared, and
//! rewritten with `SYSTOLE_WRITE_DOCS=1`.

use std::collections::{BTreeMap, BTreeSet};

use systole_converter::{Options, onnx, tflite};
use systole_core::{DType, Opcode};
use systole_tests::checked::convert;
use systole_tests::repository;

/// The text between two marker comments.
fn generated(document: &str, marker: &str, text: &str) -> String {
    let begin = document.find(&format!("<!-- {marker}")).expect("the document has the marker");
    let begin = begin + document[begin..].find("-->").expect("the marker ends") + 3;
    let end = document.find(&format!("<!-- /{marker} -->")).expect("the document has the end");
    format!("{}\n{text}{}", &document[..begin], &document[end..])
}

fn check(name: &str, marker: &str, text: &str) {
    let path = repository().join("docs").join(name);
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let wanted = generated(&document, marker, text);
    if document != wanted && std::env::var_os("SYSTOLE_WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).expect("the document can be written");
        return;
    }
    assert!(
        document == wanted,
        "docs/{name} is not what the code says; run this test with SYSTOLE_WRITE_DOCS=1"
    );
}

#[test]
fn the_format_page_lists_every_operator_and_field() {
    let mut text = String::from(
        "\n| opcode | operator | on top of input | parameters |\n| --- | --- | --- | --- |\n",
    );
    let mut opcodes = Opcode::ALL.to_vec();
    opcodes.sort_by_key(|&opcode| opcode as u16);
    for opcode in opcodes {
        let fields: Vec<String> = opcode
            .fields()
            .iter()
            .map(|field| format!("{} `{}`: {}", field.offset, field.name, field.kind))
            .collect();
        let on_top: Vec<String> =
            opcode.in_place_inputs().iter().map(|input| input.to_string()).collect();
        text += &format!(
            "| {} | `{}` | {} | {} |\n",
            opcode as u16,
            opcode.name(),
            on_top.join(", "),
            fields.join("; ")
        );
    }
    check("format.md", "operators", &text);
}

#[test]
fn the_format_page_lists_every_element_type() {
    let path = repository().join("docs/format.md");
    let document = std::fs::read_to_string(path).expect("the document is there");
    for code in 0..=u8::MAX {
        let Some(dtype) = DType::from_code(code) else { continue };
        let row = format!("| {code} | {}", dtype.name());
        assert!(document.contains(&row), "docs/format.md lacks the row {row}");
        assert!(document.contains(&format!("| {} |", dtype.size())));
    }
}

#[test]
fn opcodes_are_unique() {
    let mut codes: Vec<u16> = Opcode::ALL.iter().map(|&opcode| opcode as u16).collect();
    codes.sort_unstable();
    assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
}

/// The columns of the table of operators.
const KINDS: &[&str] =
    &["int8", "uint8", "int16", "int32", "int64", "bool", "float32", "float16", "hybrid"];

#[test]
fn the_table_of_operators_marks_what_has_goldens_and_converts() {
    let folder = repository().join("tests/operators");
    let mut marks: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the cases are there").flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "tflite") {
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("a case can be read");
        let contents = tflite::contents(&bytes).expect("a case is a model");
        if convert(&bytes, &Options::default()).is_ok() {
            for content in contents {
                marks.entry(content.operator).or_default().insert(content.kind);
            }
        }
    }
    let mut text = format!("\n| operator | {} |\n|", KINDS.join(" | "));
    text += &" --- |".repeat(KINDS.len() + 1);
    text += "\n";
    let mut supported = tflite::SUPPORTED.to_vec();
    supported.sort_unstable();
    for operator in supported {
        let kinds = marks.remove(operator).unwrap_or_default();
        let cells: Vec<&str> =
            KINDS.iter().map(|&kind| if kinds.contains(kind) { "yes" } else { "" }).collect();
        text += &format!("| {operator} | {} |\n", cells.join(" | "));
    }
    assert!(marks.is_empty(), "operators with cases that are not in the registry: {marks:?}");
    check("operators.md", "operators", &text);
}

#[test]
fn the_list_of_onnx_operators_is_that_of_the_registry() {
    let mut supported = onnx::SUPPORTED.to_vec();
    supported.sort_unstable();
    let mut text = format!("\n{}.\n\n", supported.join(", "));
    text +=
        &format!("Of ONNX Runtime's own (com.microsoft): {}.\n\n", onnx::CONTRIBUTED.join(", "));
    // Why cases of ONNX's own tests do not pass, as the test of them has it.
    text += "| does not pass | cases |\n| --- | --- |\n";
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reason = "";
    for line in include_str!("onnx_refused.txt").lines() {
        match line.strip_prefix("# ") {
            Some(heading) => reason = heading,
            None if line.is_empty() => {}
            None => *reasons.entry(reason).or_default() += 1,
        }
    }
    for (reason, count) in reasons {
        text += &format!("| {reason} | {count} |\n");
    }
    check("operators.md", "onnx", &text);
}
