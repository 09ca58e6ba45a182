//! Chooses the keyword spotter: the bundled model, or another one that the environment names.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=SYSTOLE_KWS_MODEL");
    println!("cargo::rerun-if-env-changed=SYSTOLE_KWS_WINDOW");
    let bundled = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../models");
    let (model, window) = match (
        env::var_os("SYSTOLE_KWS_MODEL"),
        env::var_os("SYSTOLE_KWS_WINDOW"),
    ) {
        (None, None) => (bundled.join("vowels.systole"), bundled.join("vowels.window.bin")),
        (Some(model), Some(window)) => (model.into(), window.into()),
        _ => {
            println!(
                "cargo::error=SYSTOLE_KWS_MODEL and SYSTOLE_KWS_WINDOW go together: a model and what it is fed"
            );
            return;
        }
    };
    println!("cargo::rerun-if-changed={}", window.display());
    let source = format!(
        "systole::include_model!(\n\
             /// The keyword spotter.\n\
             pub Kws, {model:?});\n\
         /// A window of features, as the model takes them.\n\
         pub static WINDOW: [i8; include_bytes!({window:?}).len()] = as_i8(include_bytes!({window:?}));\n"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("kws.rs");
    fs::write(out, source).expect("OUT_DIR can be written");
}
