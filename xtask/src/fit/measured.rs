//! Measurements of models on a processor, kept so that costs can be fitted again without measuring.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use systole_converter::{AlignedBytes, Options, load_file};

use super::{costs, layers};
use crate::{
    error::{Result, failed},
    firmware::Opt,
    measure::{self, Request},
    models::PREDICTED,
    paths,
    source::Form,
    targets::Target,
};

/// A model and its figures.
#[derive(Debug)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// The `.systole` file.
    pub file: AlignedBytes,
    /// Whether it was made for costs to be fitted to it; else it is a model that somebody uses.
    pub made: bool,
    /// What was measured.
    pub figures: Figures,
}

/// Figures of `cargo xtask measure`, in bytes and instructions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Instructions of an inference.
    pub instructions: u64,
    /// Code and constants, without the harness's and the model's.
    pub code: u64,
    /// The model's constants.
    pub constants: u64,
    /// The arena.
    pub arena: u64,
    /// Other statics, four bytes of which are the counter's.
    pub statics: u64,
    /// The stack's high-water mark.
    pub stack: u64,
    /// Instructions of each operator.
    #[serde(default)]
    pub layers: Vec<u64>,
}

/// Figures that are kept, with what tells the file that they are of.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    file: u64,
    figures: Figures,
}

/// A model that can be measured.
struct Subject {
    name: String,
    path: PathBuf,
    input: Option<PathBuf>,
    made: bool,
    /// Whether it is for processors with the DSP extension alone.
    pairs: bool,
    /// Whether its layers are measured one by one.
    layers: bool,
}

/// Measures the models that are made, and those of [`PREDICTED`] whose files are there. Where `reuse` says so, what
/// an earlier run of this has measured of the same file is taken instead.
///
/// # Errors
/// Those of [`measure::measure`].
pub fn all(target: &'static Target, reuse: bool) -> Result<Vec<Sample>> {
    let folder = paths::build().join("fit");
    let io = |problem: std::io::Error| failed!("{}: {problem}", folder.display());
    fs::create_dir_all(folder.join(target.name)).map_err(io)?;
    let mut samples = Vec::new();
    // Processors that have the costs of another are for testing alone.
    let wanted = |subject: &Subject| {
        (!subject.made || costs::has_own(target)) && (!subject.pairs || costs::has_pairs(target))
    };
    for subject in subjects(&folder)?.into_iter().filter(wanted) {
        let kept = folder.join(target.name).join(format!("{}.json", subject.name));
        let file = load_file(&subject.path, &Options::default())?;
        let of = hash(file.as_slice());
        let found = fs::read(&kept).ok().filter(|_| reuse);
        let found = found.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let figures = match found.filter(|found| found.file == of) {
            Some(found) => found.figures,
            None => {
                let figures = measured(target, &subject)?;
                eprintln!("{} on {}: {}", subject.name, target.name, figures.instructions);
                let text = serde_json::to_string(&Kept { file: of, figures: figures.clone() })
                    .map_err(|problem| failed!("{}: {problem}", kept.display()))?;
                fs::write(&kept, text).map_err(io)?;
                figures
            }
        };
        samples.push(Sample { name: subject.name, file, made: subject.made, figures });
    }
    Ok(samples)
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

fn subjects(folder: &Path) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for made in layers::all()? {
        let path = folder.join(format!("{}.systole", made.name));
        let unchanged = fs::read(&path).is_ok_and(|found| found == made.file.as_slice());
        if !unchanged {
            // In its place at once: another target's run may read it.
            let new = path.with_extension(format!("{}", std::process::id()));
            fs::write(&new, made.file.as_slice())
                .and_then(|()| fs::rename(&new, &path))
                .map_err(|problem| failed!("{}: {problem}", path.display()))?;
        }
        let name = made.name.to_owned();
        subjects.push(Subject {
            name,
            path,
            input: None,
            made: true,
            pairs: made.pairs,
            layers: !made.sizes,
        });
    }
    for model in PREDICTED {
        let Some(files) = model.files() else { continue };
        let (name, path, input) = (model.name.to_owned(), files.model, Some(files.inputs));
        subjects.push(Subject { name, path, input, made: false, pairs: false, layers: true });
    }
    Ok(subjects)
}

fn measured(target: &'static Target, subject: &Subject) -> Result<Figures> {
    let measured = measure::measure(&Request {
        target,
        model: &subject.path,
        input: subject.input.as_deref(),
        golden: None,
        samples: 1,
        form: Form::Compiled,
        per_layer: subject.layers,
        opt: Opt::Speed,
    })?;
    if !measured.outputs_match {
        return Err(failed!("{}: the device's outputs differ from the host's", subject.name));
    }
    Ok(Figures {
        instructions: measured.instructions,
        code: measured.flash.saturating_sub(measured.harness),
        constants: measured.model,
        arena: measured.arena,
        statics: measured.statics,
        stack: measured.stack,
        layers: measured.layers.iter().flatten().map(|layer| layer.instructions).collect(),
    })
}
