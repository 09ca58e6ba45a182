//! The project of `docs/microcontrollers.md`, from the page itself: files, commands and what they
//! print.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    error::{Result, failed},
    paths, qemu,
    targets::TARGETS,
    toolchain::Toolchain,
};

/// How long the program may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The page, in the repository.
pub const PAGE: &str = "docs/microcontrollers.md";

/// The files of the page's project, as the paragraph in front of each names them.
const FILES: &[(&str, &str)] = &[
    ("`Cargo.toml`:", "Cargo.toml"),
    ("`.cargo/config.toml`:", ".cargo/config.toml"),
    ("`memory.x`,", "memory.x"),
    ("`src/main.rs`:", "src/main.rs"),
    ("`src/loaded.rs`, for example:", "src/loaded.rs"),
];

/// What the page says is printed.
///
/// # Errors
/// Where the page has no such block.
pub fn printed(page: &str) -> Result<String> {
    block_behind(page, "cargo run --release\n```")
}

/// The first block of code behind `mark`.
fn block_behind(page: &str, mark: &str) -> Result<String> {
    let missing = || failed!("{PAGE}: no block of code behind {mark:?}");
    let (_, rest) = page.split_once(mark).ok_or_else(missing)?;
    let (_, rest) = rest.split_once("```").ok_or_else(missing)?;
    let (_, rest) = rest.split_once('\n').ok_or_else(missing)?;
    let (block, _) = rest.split_once("```").ok_or_else(missing)?;
    Ok(block.to_owned())
}

/// Makes the page's project in `folder`, which has to lie beside a folder `systole`, builds it and
/// returns what it prints in QEMU.
///
/// # Errors
/// Where a file is missing in the page, or the project does not build or run.
pub fn run(page: &str, folder: &Path, toolchain: Toolchain) -> Result<String> {
    let io = |problem: std::io::Error| failed!("{}: {problem}", folder.display());
    for (mark, file) in FILES {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(io)?;
        fs::write(path, block_behind(page, mark)?).map_err(io)?;
    }
    // The program does not need this one; a library makes the compiler look at it.
    fs::write(folder.join("src/lib.rs"), "#![no_std]\npub mod loaded;\n").map_err(io)?;
    let model = paths::repository().join("models/digits.tflite");
    let converted = systole_converter::convert_file(&model, &systole_converter::Options::default())
        .map_err(|problem| failed!("{problem}"))?;
    fs::write(folder.join("digits.systole"), converted.file.as_slice()).map_err(io)?;

    let config = fs::read_to_string(folder.join(".cargo/config.toml")).map_err(io)?;
    let triple = quoted(&config, "target = ").next().unwrap_or_default().to_owned();
    // A toolchain that brings flags of its own replaces the file's, which are handed to it instead.
    let flags = quoted(&config, "rustflags = ").map(str::to_owned).collect();
    // A folder of the measurements, where much of what is needed may have been built already.
    let target_dir = paths::build().join(TARGETS[0].folder);
    let mut build = toolchain.build(&triple, &target_dir, flags);
    let output = build.current_dir(folder).arg("--release").output().map_err(io)?;
    if !output.status.success() {
        return Err(failed!("the page's project: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let runner = quoted(&config, "runner = ").next().unwrap_or_default();
    let mut words = runner.split(' ');
    let child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .arg(target_dir.join(&triple).join("release/digits"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io)?;
    qemu::wait(child, "the page's program", LIMIT)
}

/// The strings of the line that begins with `key`.
fn quoted<'t>(text: &'t str, key: &str) -> impl Iterator<Item = &'t str> {
    let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolchain;

    #[test]
    fn the_pages_project_builds_and_prints_what_the_page_says() {
        let toolchain = match Toolchain::find("thumbv7em-none-eabihf") {
            Ok(toolchain) if toolchain::in_path("qemu-system-arm") => toolchain,
            _ => {
                println!("SKIPPED: the project of {PAGE}: no compiler for Cortex-M, or no QEMU");
                return;
            }
        };
        let beside = tempfile::tempdir().unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(paths::repository(), beside.path().join("systole")).unwrap();
        let page = fs::read_to_string(paths::repository().join(PAGE)).unwrap();
        let text = run(&page, &beside.path().join("digits"), toolchain).unwrap();
        assert_eq!(text, printed(&page).unwrap());
    }
}
