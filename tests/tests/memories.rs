//! Models whose tensors are divided among several memories answer as they do in one, byte for byte; and files
//! that claim what is not there are refused.

use std::path::Path;

use proptest::prelude::*;
use systole_converter::{
    AlignedBytes, ChipMemory, Class, Match, Memory, Options, npz, planner, run,
};
use systole_core::{
    LoadError, Model, OperatorError, Session, SessionError, TensorRecordError, format::SectionKind,
};
use systole_tests::{
    checked::{compile, convert_file},
    compare,
    hostile::{seal, section},
    networks::networks,
    output, outputs_in_arenas, repository, shared,
};

fn memories(sizes: &[usize]) -> Vec<ChipMemory> {
    let memory = |(i, &bytes): (usize, &usize)| ChipMemory::new(&format!("m{i}"), bytes);
    sizes.iter().enumerate().map(memory).collect()
}

fn divided(path: &Path, matching: Match, sizes: &[usize]) -> systole_converter::Converted {
    let options = Options { matching, memories: memories(sizes), ..Options::default() };
    convert_file(path, &options).unwrap_or_else(|why| panic!("{sizes:?}: {why}"))
}

/// A real model gives its goldens in every split of its memory.
fn goldens(name: &str, splits: &[&[usize]]) {
    let Some(shared) = shared() else {
        println!("SKIPPED: there is no folder ../shared");
        return;
    };
    let path = shared.join("models/mlperf_tiny").join(name).with_extension("tflite");
    let inputs = npz::read(&path.with_extension("inputs.npz")).unwrap();
    for (matching, golden) in [(Match::Litert, "outputs.npz"), (Match::Tflm, "tflm.npz")] {
        let golden = npz::read(&path.with_extension(golden)).unwrap();
        for sizes in splits {
            let converted = divided(&path, matching, sizes);
            let model = Model::from_bytes(converted.file.as_slice()).unwrap();
            assert!(model.arenas().zip(*sizes).all(|(bytes, &size)| bytes <= size));
            let used = model.arenas().filter(|&bytes| bytes > 0).count();
            assert!(used > 1, "{name} in {sizes:?} is in one memory");
            let model = Model::from_bytes(converted.file.as_slice()).unwrap();
            let got = outputs_in_arenas(&model, &inputs);
            compare(&got, &golden[0]).unwrap_or_else(|why| panic!("{name} in {sizes:?}: {why}"));
            // The same in one piece of memory.
            let whole = run::run(&model, &inputs, || {}).unwrap();
            assert_eq!(whole[0].bytes, got.bytes, "{name} in {sizes:?}");
        }
    }
}

#[test]
fn kws_gives_its_goldens_in_any_two_memories_that_hold_it() {
    goldens("kws_int8", &[&[8_000, 8_000], &[8_192, 65_536], &[4_096, 16_000], &[1_024, 16_000]]);
}

#[test]
fn vww_gives_its_goldens_in_any_two_memories_that_hold_it() {
    let splits: &[&[usize]] = &[&[36_864, 27_648], &[16_384, 262_144], &[9_216, 20_000, 55_296]];
    goldens("vww_int8", splits);
}

#[test]
fn as_much_as_can_be_is_in_the_fastest_memory() {
    let path = repository().join("models/digits.tflite");
    let touched = |sizes: &[usize]| {
        let report = divided(&path, Match::Tflm, sizes).report;
        let all: u64 = report.memories.iter().map(|filled| filled.touched).sum();
        (report.memories[0].touched, all)
    };
    let whole = convert_file(&path, &Options::default()).unwrap().report.arena_bytes;
    let (first, all) = touched(&[whole, whole]);
    assert_eq!(first, all, "all of it fits");
    let mut before = 0;
    for part in [0, whole / 4, whole / 2, 3 * whole / 4] {
        let (first, of) = touched(&[part, whole]);
        assert_eq!(of, all);
        assert!(first >= before && first < all, "{first} of {all} in {part} bytes");
        before = first;
    }
    assert!(before > 0);
}

#[test]
fn memories_that_do_not_hold_a_model_are_refused_with_what_would() {
    let path = repository().join("models/digits.tflite");
    let refused = |sizes: &[usize]| {
        let options = Options { memories: memories(sizes), ..Options::default() };
        convert_file(&path, &options).expect_err("it does not fit")
    };
    let error = refused(&[256, 256]);
    assert_eq!(error.class, Class::TooLarge);
    let text = error.to_string();
    let stated = text.split(" bytes of m1").next().unwrap().rsplit(' ').next().unwrap();
    let stated: usize = stated.parse().unwrap_or_else(|_| panic!("{text}"));
    divided(&path, Match::Tflm, &[256, stated]);
    assert!(refused(&[256, stated - 16]).to_string().contains(&format!("with {stated} bytes")));
    assert_eq!(refused(&[1, 1, 1, 1, 1]).class, Class::UnsupportedFeature);
    let twice = Options { memories: vec![memories(&[9]).remove(0); 2], ..Options::default() };
    assert_eq!(convert_file(&path, &twice).unwrap_err().class, Class::UnsupportedFeature);
}

#[test]
fn a_session_takes_the_memories_that_the_model_names_and_no_others() {
    let path = repository().join("models/digits.tflite");
    let file = divided(&path, Match::Tflm, &[512, 4_096]).file;
    let model = Model::from_bytes(file.as_slice()).unwrap();
    assert_eq!((model.memory_name(0), model.memory_name(1)), (Some("m0"), Some("m1")));
    let sizes: Vec<usize> = model.arenas().collect();
    let (mut tcm, mut sram) = (AlignedBytes::zeroed(4_096), AlignedBytes::zeroed(4_096));
    let (tcm, sram) = (tcm.as_mut_slice(), sram.as_mut_slice());
    let refused = Session::in_arenas(&model, [&mut *tcm]).unwrap_err();
    assert_eq!(refused, SessionError::ArenaCount { needed: 2, found: 1 });
    let found = sizes[1] - 1;
    let refused = Session::in_arenas(&model, [&mut *tcm, &mut sram[..found]]).unwrap_err();
    assert_eq!(refused, SessionError::OneTooSmall { arena: 1, needed: sizes[1], found });
    let refused = Session::in_arenas(&model, [&mut tcm[8..], &mut *sram]).unwrap_err();
    assert_eq!(refused, SessionError::ArenaMisaligned { needed: 16 });
    assert!(Session::in_arenas(&model, [&mut *tcm, &mut *sram]).is_ok());
    // In one piece, the second begins at the next multiple of 16.
    let needed = sizes[0].next_multiple_of(16) + sizes[1];
    assert_eq!(model.arena_bytes(), needed);
    let refused = Session::new(&model, &mut tcm[..needed - 1]).unwrap_err();
    assert_eq!(refused, SessionError::ArenaTooSmall { needed, found: needed - 1 });
}

/// A file in two memories, with changes to its bytes, and what the loader says of it.
fn changed(change: impl FnOnce(&mut Vec<u8>, [std::ops::Range<usize>; 2])) -> Option<LoadError> {
    let path = repository().join("models/digits.tflite");
    let mut bytes = divided(&path, Match::Tflm, &[512, 4_096]).file.as_slice().to_vec();
    let sections = [SectionKind::Arenas, SectionKind::Tensors].map(|kind| section(&bytes, kind));
    change(&mut bytes, sections);
    seal(&mut bytes);
    Model::from_bytes(AlignedBytes::from(&bytes[..]).as_slice()).err()
}

/// The first tensor in an arena.
fn first_tensor(bytes: &[u8], tensors: std::ops::Range<usize>, arena: u8) -> usize {
    let mut records = tensors.step_by(24);
    records.find(|&at| bytes[at + 2] == 0 && bytes[at + 22] == arena).expect("there is one")
}

#[test]
fn files_that_claim_memory_that_is_not_there_are_refused() {
    assert_eq!(changed(|_, _| ()), None);
    for arena in [2, 3, 4, 255] {
        let error = changed(|bytes, [_, tensors]| {
            let at = first_tensor(bytes, tensors, 1);
            bytes[at + 22] = arena;
        });
        let unknown =
            matches!(error, Some(LoadError::Tensor { error: TensorRecordError::Unknown, .. }));
        assert!(unknown, "arena {arena}: {error:?}");
    }
    // A constant is in no arena.
    let error = changed(|bytes, [_, tensors]| {
        let at = tensors.step_by(24).find(|&at| bytes[at + 2] == 1).unwrap();
        bytes[at + 22] = 1;
    });
    let unknown = TensorRecordError::Unknown;
    assert!(matches!(error, Some(LoadError::Tensor { error, .. }) if error == unknown));
    // The end of the first arena is not the beginning of the second one.
    let error = changed(|bytes, [arenas, tensors]| {
        let at = first_tensor(bytes, tensors, 0);
        let size = u32::from_le_bytes(bytes[arenas.start..][..4].try_into().unwrap());
        bytes[at + 8..at + 12].copy_from_slice(&(size - 16).to_le_bytes());
    });
    let place = TensorRecordError::Place;
    assert!(matches!(error, Some(LoadError::Tensor { error, .. }) if error == place), "{error:?}");
    for size in [0_u32, 16] {
        let error = changed(|bytes, [arenas, _]| {
            bytes[arenas.start + 16..][..4].copy_from_slice(&size.to_le_bytes());
        });
        assert!(matches!(error, Some(LoadError::Tensor { error, .. }) if error == place));
    }
    // Arenas without end, one behind the other, are countable on this machine only; a run needs
    // memory that nobody gives.
    let file = changed(|bytes, [arenas, _]| {
        bytes[arenas.start..][..4].fill(0xFF);
        bytes[arenas.start + 16..][..4].fill(0xFF);
    });
    assert!(matches!(file, None | Some(LoadError::Section { .. })), "{file:?}");
    // The input on the first output, each in its arena before.
    let error = changed(|bytes, [_, tensors]| {
        let at = tensors.start;
        let first: Vec<usize> =
            tensors.step_by(24).filter(|&at| bytes[at + 2] == 0).take(2).collect();
        assert_eq!(at, first[0], "the input is the first tensor");
        let place: Vec<u8> = bytes[first[0] + 8..first[0] + 12].to_vec();
        let arena = bytes[first[0] + 22];
        bytes[first[1] + 8..first[1] + 12].copy_from_slice(&place);
        bytes[first[1] + 22] = arena;
    });
    let refused = matches!(
        error,
        Some(
            LoadError::Operator { error: OperatorError::Overlap, .. }
                | LoadError::Tensor { error: TensorRecordError::Place, .. }
        )
    );
    assert!(refused, "{error:?}");
}

#[test]
fn no_arena_and_more_than_four_are_refused() {
    for count in [0_usize, 5, 100] {
        let error = changed(|bytes, [arenas, _]| {
            // The section's entry is changed: as many records of what follows.
            let entries = 32..32 + 16 * usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
            let at = entries.step_by(16).find(|&at| bytes[at] == 6).unwrap();
            assert_eq!(arenas.len(), 32);
            bytes[at + 8..at + 12].copy_from_slice(&(16 * count as u32).to_le_bytes());
        });
        assert_eq!(error, Some(LoadError::Arenas { found: count }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn any_network_answers_in_several_memories_as_it_does_in_one(
        graph in networks(12),
        parts in prop::collection::vec(0_usize..100, 1..4),
    ) {
        prop_assume!(!graph.nodes.is_empty());
        for memory in [Memory::Whole, Memory::Least] {
            let options = Options { memory, plan_budget: 2_000, ..Options::default() };
            let whole = compile(&graph, &options).unwrap();
            let bytes = whole.layout.plan.arena_bytes;
            let mut sizes: Vec<usize> = parts.iter().map(|part| bytes * part / 100).collect();
            sizes.push(bytes);
            let options = Options { memories: memories(&sizes), ..options };
            let divided = compile(&graph, &options).unwrap();
            let layout = &divided.layout;
            prop_assert_eq!(planner::check(&layout.buffers, 16, &layout.plan), Ok(()));
            for (filled, size) in layout.memories.iter().zip(&sizes) {
                prop_assert!(filled.plan.arena_bytes <= *size);
            }
            prop_assert_eq!(output(&divided.written.bytes), output(&whole.written.bytes));
        }
    }
}
