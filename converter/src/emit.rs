//! Models as source code, for builds without `include_model!` and for C.

use std::fmt::Write;

use systole_core::{Model, emit::Options};

use crate::{Class, Error, Result};

/// Files to be written: names and contents.
pub type Sources = Vec<(String, Vec<u8>)>;

/// A Rust module `{name}.rs` as `include_model!` makes it, with the file that it reads.
///
/// # Errors
/// [`Class::Corrupt`] where `file` is no valid `.systole` file; `name` must hold a letter.
pub fn rust(file: &[u8], name: &str) -> Result<Sources> {
    let words = words(name)?;
    let module = words.join("_");
    let camel = |word: &String| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    let name: String = words.iter().map(camel).collect();
    let bytes = format!("include_bytes!(\"{module}.systole\")");
    let options = Options { name: &name, visibility: "pub", file: &bytes };
    let items = systole_core::emit::rust(file, options).map_err(corrupt)?;
    let source = format!(
        "//! The model `{module}.systole`, written by `systole emit` {}. Not to be edited: emit it again.\n\
         #![allow(clippy::all, clippy::pedantic, reason = \"generated\")]\n\n{items}",
        env!("CARGO_PKG_VERSION"),
    );
    Ok(vec![
        (format!("{module}.rs"), source.into_bytes()),
        (format!("{module}.systole"), file.to_vec()),
    ])
}

/// `{name}.h` and `{name}.c` with the file's bytes, at a multiple of 16, and the sizes that it needs.
///
/// # Errors
/// As [`rust`].
pub fn c(file: &[u8], name: &str) -> Result<Sources> {
    let model = Model::from_bytes(file).map_err(corrupt)?;
    let name = words(name)?.join("_");
    let upper = name.to_uppercase();
    let mut sizes = String::new();
    for (word, ports) in
        [("INPUT", model.inputs().collect()), ("OUTPUT", model.outputs().collect::<Vec<_>>())]
    {
        let _ = writeln!(sizes, "#define {upper}_{word}S {}", ports.len());
        for (index, port) in ports.iter().enumerate() {
            let dims: Vec<String> = port.shape().dims().iter().map(u32::to_string).collect();
            let _ = writeln!(
                sizes,
                "/* {} [{}], scale {}, zero point {} */\n#define {upper}_{word}_{index}_BYTES {}",
                port.dtype(),
                dims.join(", "),
                port.scale(),
                port.zero_point(),
                port.bytes(),
            );
        }
    }
    let written =
        format!("written by `systole emit` {}. Not to be edited.", env!("CARGO_PKG_VERSION"));
    let header = format!(
        "/* The model {name}, {written} */\n\
         #ifndef SYSTOLE_MODEL_{upper}_H\n#define SYSTOLE_MODEL_{upper}_H\n\n\
         #include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n\
         /* Bytes of the file, and of the arena that it runs in; both begin at multiples of 16. */\n\
         #define {upper}_BYTES {}\n#define {upper}_ARENA_BYTES {}\n{sizes}\n\
         extern const uint8_t {name}[{upper}_BYTES];\n\n\
         #ifdef __cplusplus\n}}\n#endif\n\n#endif\n",
        file.len(),
        model.arena_bytes(),
    );
    let mut source = format!(
        "/* The model {name}, {written} */\n#include \"{name}.h\"\n\n\
         #if defined(__GNUC__) || defined(__clang__)\n__attribute__((aligned(16)))\n\
         #elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L\n_Alignas(16)\n#endif\n\
         const uint8_t {name}[{upper}_BYTES] = {{\n",
    );
    for line in file.chunks(16) {
        for byte in line {
            let _ = write!(source, "0x{byte:02x},");
        }
        source.push('\n');
    }
    source.push_str("};\n");
    Ok(vec![(format!("{name}.h"), header.into_bytes()), (format!("{name}.c"), source.into_bytes())])
}

fn corrupt(problem: systole_core::LoadError) -> Error {
    Error::new(Class::Corrupt, problem.to_string())
}

/// The words of a name, small letters and digits, of which the first begins with a letter.
fn words(name: &str) -> Result<Vec<String>> {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    match words.first().and_then(|word| word.chars().next()) {
        Some(first) if first.is_ascii_alphabetic() => Ok(words),
        _ => Err(Error::new(
            Class::Io,
            format!(
                "\"{name}\" cannot name a type: it has to begin with a letter; --name gives another"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(words("kws-Int8.v2").unwrap(), ["kws", "int8", "v2"]);
        assert!(words("8-bit").unwrap_err().to_string().contains("--name"));
        assert!(words("日本").is_err());
    }
}
