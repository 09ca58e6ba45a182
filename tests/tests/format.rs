//! `docs/format.md` and `docs/operators.md` state what the code does: the tables are compared, and
//! rewritten with `SYSTOLE_WRITE_DOCS=1`.

use systole::{DType, Opcode};
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
