//! Convolutions whose weights have been transformed: which are, that answers stay, and what readers refuse.

use systole_converter::Options;
use systole_core::format::{Layout, Storage, TensorRecord};
use systole_core::{AlignedBytes, DType, LoadError, Model, TensorRecordError, pack_for};
use systole_kernels::tiles::Activations;
use systole_tests::checked::compile;
use systole_tests::hostile::{change_tensor, tensors};
use systole_tests::{networks::convolutions, output};

fn plain(channels: usize) -> Vec<u8> {
    compile(&convolutions(11, channels, 5), &Options::default()).unwrap().written.bytes
}

fn transformed(file: &[u8]) -> usize {
    let records = tensors(file).into_iter();
    records.filter(|(_, record)| record.layout == Layout::Winograd as u8).count()
}

#[test]
fn transformed_weights_give_the_same_answers_and_are_packed_once() {
    let plain = plain(32);
    let expected = output(&plain);
    let packed = pack_for(Activations::Unsigned, &plain).unwrap().unwrap();
    assert_eq!(transformed(packed.as_slice()), 2);
    // Whichever kernels run it.
    assert_eq!(output(packed.as_slice()), expected);
    assert!(pack_for(Activations::Unsigned, packed.as_slice()).unwrap().is_none());
    assert!(pack_for(Activations::Signed, packed.as_slice()).unwrap().is_none());
    // What this processor packs.
    let own = systole_core::pack(&plain).unwrap();
    assert_eq!(own.map_or(expected.clone(), |own| output(own.as_slice())), expected);
}

#[test]
fn layers_that_are_faster_otherwise_stay_in_tiles() {
    let small = plain(16);
    let packed = pack_for(Activations::Unsigned, &small).unwrap().unwrap();
    assert_eq!(transformed(packed.as_slice()), 0);
    let large = plain(32);
    for activations in [Activations::Signed, Activations::Eights] {
        let packed = pack_for(activations, &large).unwrap().unwrap();
        assert_eq!(transformed(packed.as_slice()), 0, "{activations:?}");
    }
}

/// Changes a field of the record of transformed weights, and what a reader then says.
fn refused(change: impl Fn(&mut TensorRecord)) -> TensorRecordError {
    let mut file = pack_for(Activations::Unsigned, &plain(32)).unwrap().unwrap();
    change_tensor(file.as_mut_slice(), Layout::Winograd, change);
    match Model::from_bytes(file.as_slice()).map(|_| ()) {
        Err(LoadError::Tensor { error, .. }) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn weights_that_are_not_transformed_are_refused() {
    assert_eq!(refused(|record| record.bytes -= 2), TensorRecordError::Bytes);
    assert_eq!(refused(|record| record.offset += 2), TensorRecordError::Place);
    assert_eq!(refused(|record| record.storage = Storage::Arena as u8), TensorRecordError::Unknown);
    assert_eq!(refused(|record| record.dtype = DType::I16 as u8), TensorRecordError::Unknown);
    // Shapes that are no kernels of 3 by 3.
    assert_eq!(refused(|record| record.rank = 2), TensorRecordError::Shape);
}

/// The file as it was loaded is aligned, as sessions need it.
#[test]
fn a_file_that_lies_anywhere_is_packed_to_the_same() {
    let plain = plain(32);
    let packed = pack_for(Activations::Unsigned, &plain).unwrap().unwrap();
    let mut unaligned = vec![0];
    unaligned.extend(&plain);
    let again: AlignedBytes = pack_for(Activations::Unsigned, &unaligned[1..]).unwrap().unwrap();
    assert_eq!(again.as_slice(), packed.as_slice());
}
