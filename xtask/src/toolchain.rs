//! Finding a compiler for a target: the active toolchain, or Debian's with the sources of the core
//! library. Nothing is ever installed.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::{Error, Result};

/// How a target's programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The active toolchain has the target: `cargo build --target`, as any user does.
    Active,
    /// Debian's toolchain has the target.
    Debian,
    /// Debian's toolchain builds the core library too.
    DebianBuildStd,
}

/// What a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    active: bool,
    debian: bool,
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// Variables by which the outer cargo, or rustup, would decide for the inner one.
const LEAKING: [&str; 14] = [
    "CARGO",
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_TARGET_DIR",
    "LD_LIBRARY_PATH",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

impl Toolchain {
    /// Looks for a toolchain that can build for the target `triple`.
    ///
    /// # Errors
    /// Where there is none: what would help.
    pub fn find(triple: &str) -> Result<Self> {
        let found = Found { active: has("rustc", triple), debian: debian_has(triple) };
        Self::choose(found, triple)
    }

    /// Looks for a toolchain that has the standard library of the target `triple`.
    ///
    /// # Errors
    /// Where there is none: what would help.
    pub fn find_std(triple: &str) -> Result<Self> {
        match (has("rustc", triple), has(DEBIAN_RUSTC, triple)) {
            (true, _) => Ok(Self::Active),
            (false, true) => Ok(Self::Debian),
            (false, false) => Err(Error::Failed(format!(
                "no toolchain for {triple}; run `rustup target add {triple}`, or on Debian \
                 `apt-get install rustc-web cargo-web` and its library of the target, as .ci/run does"
            ))),
        }
    }

    fn choose(found: Found, triple: &str) -> Result<Self> {
        match found {
            Found { active: true, .. } => Ok(Self::Active),
            Found { debian: true, .. } => Ok(Self::DebianBuildStd),
            _ => Err(Error::Failed(format!(
                "no toolchain for {triple}; run `rustup target add {triple}`, or on Debian \
                 `apt-get install rustc-web cargo-web rust-web-src lld`"
            ))),
        }
    }

    /// What its compiler says of itself: "rustc 1.96.0 (…)".
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn version(self) -> Result<String> {
        let rustc = if self == Self::Active { "rustc" } else { DEBIAN_RUSTC };
        let output = Command::new(rustc).arg("--version").env("RUSTUP_AUTO_INSTALL", "0").output();
        let output = output.map_err(|problem| Error::Failed(format!("{rustc}: {problem}")))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// In words, for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active toolchain",
            Self::Debian => "Debian's rustc",
            Self::DebianBuildStd => "Debian's rustc, core library built from source",
        }
    }

    /// Its compiler.
    pub fn rustc(self) -> &'static str {
        match self {
            Self::Active => "rustc",
            Self::Debian | Self::DebianBuildStd => DEBIAN_RUSTC,
        }
    }

    /// `cargo build` for the target, to which the package's own arguments are to be added. `flags`
    /// are the compiler's.
    pub fn build(self, triple: &str, target_dir: &Path, mut flags: Vec<String>) -> Command {
        let mut command = match self {
            Self::Active => {
                let mut command = Command::new("cargo");
                for name in LEAKING.iter().filter(|&&name| name != "RUSTUP_TOOLCHAIN") {
                    command.env_remove(name);
                }
                command.arg("build");
                command
            }
            Self::Debian | Self::DebianBuildStd => {
                let mut command = Command::new(DEBIAN_CARGO);
                for name in LEAKING {
                    command.env_remove(name);
                }
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTDOC", "/usr/bin/rustdoc");
                command.arg("build");
                if self == Self::DebianBuildStd {
                    let linker = ["-C", "linker=ld.lld", "-C", "linker-flavor=ld.lld"];
                    flags.extend(linker.map(str::to_owned));
                    // RUSTC_BOOTSTRAP is for -Zbuild-std alone; the code stays on stable features.
                    command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core");
                }
                command
            }
        };
        // With auto-install, asking rustc for a target could replace the toolchain.
        command.env("RUSTUP_AUTO_INSTALL", "0").env("RUSTFLAGS", flags.join(" "));
        command.args(["--quiet", "--target", triple, "--target-dir"]).arg(target_dir);
        command
    }
}

/// Whether a compiler has the core library of the target.
fn has(rustc: &str, triple: &str) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", triple]).env("RUSTUP_AUTO_INSTALL", "0");
    let Ok(output) = command.output() else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    output.status.success()
        && std::fs::read_dir(folder).is_ok_and(|mut files| {
            files.any(|file| {
                file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
            })
        })
}

fn debian_has(triple: &str) -> bool {
    let all = [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCES];
    if !all.iter().all(|path| Path::new(path).exists()) || !in_path("ld.lld") {
        return false;
    }
    let listed = Command::new(DEBIAN_RUSTC).args(["--print", "target-list"]).output();
    listed.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout).lines().any(|line| line == triple)
    })
}

/// Whether a program of this name is in one of the folders of `PATH`.
pub fn in_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIPLE: &str = "thumbv7em-none-eabihf";

    #[test]
    fn the_active_toolchain_comes_first() {
        let choose = |active, debian| Toolchain::choose(Found { active, debian }, TRIPLE);
        assert_eq!(choose(true, true).unwrap(), Toolchain::Active);
        assert_eq!(choose(false, true).unwrap(), Toolchain::DebianBuildStd);
    }

    #[test]
    fn without_any_the_error_says_what_to_install() {
        let error = Toolchain::choose(Found { active: false, debian: false }, TRIPLE);
        let text = error.unwrap_err().to_string();
        assert!(text.contains("rustup target add thumbv7em-none-eabihf"), "{text}");
        assert!(text.contains("apt-get install rustc-web"), "{text}");
    }

    #[test]
    fn the_host_is_a_target_that_the_active_toolchain_has() {
        assert!(has("rustc", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)));
        assert!(!has("rustc", "no-such-target"));
    }

    #[test]
    fn the_outer_cargo_does_not_decide_for_debian_s() {
        let command = Toolchain::DebianBuildStd.build(
            TRIPLE,
            Path::new("out"),
            vec!["-C".to_owned(), "x=y".to_owned()],
        );
        let env = |name: &str| {
            command
                .get_envs()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.map(|v| v.to_os_string()))
        };
        for name in ["RUSTUP_TOOLCHAIN", "CARGO", "CARGO_TARGET_DIR", "LD_LIBRARY_PATH"] {
            assert_eq!(env(name), Some(None), "{name} is passed on");
        }
        assert_eq!(env("RUSTC"), Some(Some("/usr/bin/rustc".into())));
        assert_eq!(
            env("RUSTFLAGS"),
            Some(Some("-C x=y -C linker=ld.lld -C linker-flavor=ld.lld".into()))
        );
        assert!(command.get_args().any(|arg| arg == "-Zbuild-std=core"));
    }
}
