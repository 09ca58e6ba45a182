//! A model's file, read and told apart.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The name of operators that are compiled for the Edge TPU.
const EDGE_TPU_OPERATOR: &[u8] = b"edgetpu-custom-op";

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of ours.
    Systole,
    /// A TFLite model.
    Tflite,
    /// A TFLite model of which at least one operator is compiled for the Edge TPU.
    Compiled,
    /// An ONNX model.
    Onnx,
}

/// A file's bytes, and where they are from.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: Kind,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let bytes = std::fs::read(&path)
            .map_err(|why| Error::Read { path: path.clone(), why: why.to_string() })?;
        let onnx = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        let kind = match bytes.get(4..8) {
            _ if bytes.starts_with(&systole_core::format::MAGIC) => Kind::Systole,
            Some(b"TFL3") if names_edge_tpu(&bytes) => Kind::Compiled,
            Some(b"TFL3") => Kind::Tflite,
            _ if onnx => Kind::Onnx,
            _ => return Err(Error::NotAModel(path)),
        };
        Ok(Self { path, bytes, kind })
    }
}

/// Whether one of the model's operator codes is that of the Edge TPU. Its name occurs in the file as
/// it is: models that do not have it cannot be compiled ones, and where it occurs by chance a compiled
/// model is looked for and not found.
fn names_edge_tpu(bytes: &[u8]) -> bool {
    bytes.windows(EDGE_TPU_OPERATOR.len()).any(|window| window == EDGE_TPU_OPERATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_by_their_first_bytes() {
        let folder = std::env::temp_dir().join(format!("systole-engine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            File::read(&path).map(|file| file.kind).map_err(|error| error.to_string())
        };
        assert_eq!(kind("a.tflite", b"SYSTOLE\0rest"), Ok(Kind::Systole));
        assert_eq!(kind("a.bin", b"\x1c\0\0\0TFL3"), Ok(Kind::Tflite));
        assert_eq!(kind("a", b"\x1c\0\0\0TFL3 edgetpu-custom-op"), Ok(Kind::Compiled));
        assert_eq!(kind("a.ONNX", b"\x08\x09"), Ok(Kind::Onnx));
        assert!(kind("a.tflite", b"").is_err_and(|why| why.contains("neither a .systole file")));
        assert!(kind("a.tflite", b"edgetpu-custom-op").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
        let gone = File::read(&folder.join("a.tflite"));
        assert!(matches!(gone, Err(Error::Read { .. })), "{gone:?}");
    }
}
