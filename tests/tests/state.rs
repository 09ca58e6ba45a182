//! State between runs: of a session, of a model that is compiled in (see `compiled`), of the command's
//! samples, and in files that say the wrong thing of it.

use systole_converter::{
    AlignedBytes, Match, Options,
    npz::{self, Array},
    run::{self, Settings},
};
use systole_core::{
    LoadError, Model, OperatorError, Session, TensorRecordError,
    format::{FLAG_PERSISTS, SectionKind, TENSOR_BYTES},
};
use systole_tests::checked::convert_file;
use systole_tests::{hostile, repository};

/// An LSTM alone.
fn lstm() -> AlignedBytes {
    let path = repository().join("tests/operators/lstm_i8.tflite");
    let options = Options { matching: Match::Litert, ..Options::default() };
    convert_file(&path, &options).expect("it converts").file
}

/// Its samples, and LiteRT's answers, whose state was reset before each.
fn samples() -> (Vec<Array>, Array) {
    let arrays = npz::read(&repository().join("tests/operators/lstm_i8.npz")).unwrap();
    let of = |name: &str| arrays.iter().find(|array| array.name == name).unwrap().clone();
    (vec![of("in.0")], of("litert.0"))
}

fn answer(session: &mut Session<'_, '_>, inputs: &[Array], sample: usize) -> Vec<u8> {
    run::load_sample(session, inputs, sample).unwrap();
    session.run().unwrap();
    session.output(0).unwrap().stored_bytes().to_vec()
}

#[test]
fn a_session_goes_on_with_its_state_until_it_is_reset() {
    let file = lstm();
    let model = Model::from_bytes(file.as_slice()).unwrap();
    assert_eq!(model.state().count(), 2);
    let (inputs, goldens) = samples();
    let golden = |sample| goldens.sample(sample).unwrap().to_vec();
    // Whatever the memory holds before.
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    arena.as_mut_slice().fill(0x5A);
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    assert_eq!(answer(&mut session, &inputs, 3), golden(3));
    let second = answer(&mut session, &inputs, 4);
    assert_ne!(second, golden(4));
    session.reset();
    assert_eq!(answer(&mut session, &inputs, 4), golden(4));
    session.reset();
    assert_eq!(answer(&mut session, &inputs, 3), golden(3));
    assert_eq!(answer(&mut session, &inputs, 4), second);
    drop(session);
    let mut session = Session::new(&model, arena.as_mut_slice()).unwrap();
    assert_eq!(answer(&mut session, &inputs, 4), golden(4));
}

#[test]
fn samples_are_apart_unless_they_are_one_sequence() {
    let file = lstm();
    let model = Model::from_bytes(file.as_slice()).unwrap();
    let (inputs, goldens) = samples();
    let outputs = |keep_state| {
        let settings = Settings { threads: 1, keep_state };
        run::run_with(&model, &inputs, settings, || {}).unwrap().remove(0)
    };
    let (apart, sequence) = (outputs(false), outputs(true));
    assert_eq!(apart.bytes, goldens.bytes);
    assert_eq!(sequence.sample(0), goldens.sample(0));
    assert_ne!(sequence.sample(1), goldens.sample(1));
}

/// The error of the file with the flags of tensor `index` exchanged.
fn refused(file: &AlignedBytes, index: usize, flags: u8) -> LoadError {
    let mut bytes = file.as_slice().to_vec();
    let tensors = hostile::section(&bytes, SectionKind::Tensors);
    bytes[tensors.start + index * TENSOR_BYTES + 3] = flags;
    hostile::seal(&mut bytes);
    let bytes = AlignedBytes::from(&bytes[..]);
    Model::from_bytes(bytes.as_slice()).unwrap_err()
}

#[test]
fn files_that_are_wrong_about_state_are_refused() {
    let file = lstm();
    let model = Model::from_bytes(file.as_slice()).unwrap();
    for info in model.state() {
        let error = refused(&file, info.index().into(), 0);
        let passes = |error| matches!(error, OperatorError::Passes(8 | 9));
        assert!(matches!(error, LoadError::Operator { error, .. } if passes(error)), "{error}");
    }
    let constants = (0..model.tensor_count() as u16).filter_map(|index| model.tensor(index));
    let constant = constants.into_iter().find(|info| info.is_constant()).unwrap();
    let error = refused(&file, constant.index().into(), FLAG_PERSISTS);
    let persists =
        LoadError::Tensor { tensor: constant.index(), error: TensorRecordError::Persists };
    assert_eq!(error, persists);
}
