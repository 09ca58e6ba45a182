//! Building the bench firmware around a model.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use crate::{
    error::{Result, failed},
    paths,
    source::Form,
    targets::{Board, Target},
    toolchain::Toolchain,
};

/// What the compiler optimizes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Opt {
    /// Size: `opt-level = "s"`
    S,
    /// Speed: `opt-level = 3`
    #[value(name = "3")]
    Speed,
}

impl Opt {
    /// The profile of `targets/bench`, which is also the folder that it is built in.
    fn profile(self) -> &'static str {
        match self {
            Self::S => "small",
            Self::Speed => "release",
        }
    }

    /// As in `Cargo.toml`.
    pub fn level(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Speed => "3",
        }
    }
}

/// Programs that have been built, in a folder that is removed with this.
#[derive(Debug)]
pub struct Built {
    /// The model's program.
    pub model: PathBuf,
    /// The measuring parts alone.
    pub harness: PathBuf,
    /// Which toolchain built them.
    pub toolchain: Toolchain,
    _folder: tempfile::TempDir,
}

/// Builds the program around `file`, the bytes of a `.systole` file. `source` makes the source from
/// the path that the bytes are found at.
///
/// # Errors
/// Where there is no toolchain, or it reports errors: its words.
pub fn build(
    target: &Target,
    board: &Board,
    opt: Opt,
    form: Form,
    file: &[u8],
    source: impl FnOnce(&Path) -> Result<String>,
) -> Result<Built> {
    let toolchain = Toolchain::find(target.triple)?;
    say_fallback(toolchain, target);
    let target_dir = paths::build().join(target.folder);
    let io = |problem: std::io::Error| failed!("{}: {problem}", target_dir.display());
    fs::create_dir_all(&target_dir).map_err(io)?;
    // Until the programs are copied away, nobody else may build others in their place.
    let lock = File::create(target_dir.join("lock")).map_err(io)?;
    lock.lock().map_err(io)?;

    let model = target_dir.join("model.systole");
    let include = target_dir.join("model.rs");
    write_changed(&model, file).map_err(io)?;
    write_changed(&include, source(&model)?.as_bytes()).map_err(io)?;
    let package = paths::repository().join("targets/bench");
    run_cargo(toolchain, target, &target_dir, &package, |command| {
        command.args(["--profile", opt.profile(), "--bin", form.name(), "--bin", "harness"]);
        command.env("SYSTOLE_BENCH_BOARD", board.name).env("SYSTOLE_BENCH_MODEL", &include);
    })?;
    let folder = tempfile::tempdir_in(&target_dir).map_err(io)?;
    let made = target_dir.join(target.triple).join(opt.profile());
    let copy = |name: &str| {
        let to = folder.path().join(name);
        fs::copy(made.join(name), &to).map(|_| to)
    };
    Ok(Built {
        model: copy(form.name()).map_err(io)?,
        harness: copy("harness").map_err(io)?,
        toolchain,
        _folder: folder,
    })
}

/// Builds a package in its own folder, with the arguments that `arguments` adds; returns the folder
/// of its release builds.
///
/// # Errors
/// As [`build`].
pub fn build_package(
    target: &Target,
    package: &Path,
    arguments: impl FnOnce(&mut Command),
) -> Result<PathBuf> {
    let toolchain = Toolchain::find(target.triple)?;
    say_fallback(toolchain, target);
    let target_dir = paths::build().join(target.folder);
    run_cargo(toolchain, target, &target_dir, package, arguments)?;
    Ok(target_dir.join(target.triple).join("release"))
}

fn run_cargo(
    toolchain: Toolchain,
    target: &Target,
    target_dir: &Path,
    package: &Path,
    arguments: impl FnOnce(&mut Command),
) -> Result<()> {
    let mut command = toolchain.build(target.triple, target_dir, target.flags());
    arguments(command.current_dir(package));
    let output =
        command.output().map_err(|problem| failed!("cargo cannot be started: {problem}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed!(
        "{} was not built for {}:\n{}",
        package.display(),
        target.name,
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Says once that the core library is built, which takes a while, and why.
fn say_fallback(toolchain: Toolchain, target: &Target) {
    static SAID: Once = Once::new();
    if toolchain == Toolchain::DebianBuildStd {
        SAID.call_once(|| {
            eprintln!(
                "xtask: the active toolchain lacks {}; Debian's rustc builds the core library \
                 (`rustup target add {}` would spare that)",
                target.triple, target.triple
            );
        });
    }
}

/// Writes a file unless it holds that already, so that cargo sees what is new.
fn write_changed(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fs::write(path, bytes)
}
