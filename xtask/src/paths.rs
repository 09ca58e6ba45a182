//! Where things are.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where firmware is built: `xtask` in cargo's target folder.
pub fn build() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || repository().join("target"),
        |folder| std::env::current_dir().unwrap_or_default().join(folder),
    );
    target.join("xtask")
}

/// The folder with the large models and their goldens, `models` in `SYSTOLE_SHARED` or in
/// `../shared`; `None` where it is not there.
pub fn shared_models() -> Option<PathBuf> {
    let shared = std::env::var_os("SYSTOLE_SHARED")
        .map_or_else(|| repository().join("../shared"), PathBuf::from);
    let models = shared.join("models");
    models.is_dir().then_some(models)
}
