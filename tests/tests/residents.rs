//! Weights that are brought into a chip's memories: answers stay the same byte for byte, and files that claim
//! what is not there are refused.

use std::path::Path;

use proptest::prelude::*;
use systole_converter::{
    AlignedBytes, ChipMemory, Class, Match, Memory, Options, apart, npz, planner, run,
};
use systole_core::{LoadError, Model, Session, TensorRecordError, format::SectionKind, pack_for};
use systole_kernels::tiles::Activations;
use systole_tests::{
    checked::{compile, convert_file},
    compare,
    hostile::{seal, section},
    networks::networks,
    output, outputs_in_arenas, repository, shared,
};

fn memories(sizes: &[usize], flash: u32) -> Vec<ChipMemory> {
    let memory = |(i, &bytes): (usize, &usize)| {
        ChipMemory::new(&format!("m{i}"), bytes).with_cost(1 + 2 * i as u32)
    };
    let sized = sizes.iter().enumerate().map(memory);
    sized.chain([ChipMemory::flash("flash", flash)]).collect()
}

fn resident(
    path: &Path,
    matching: Match,
    sizes: &[usize],
    flash: u32,
) -> systole_converter::Converted {
    let options = Options { matching, memories: memories(sizes, flash), ..Options::default() };
    convert_file(path, &options).unwrap_or_else(|why| panic!("{sizes:?}: {why}"))
}

#[test]
fn real_models_give_their_goldens_with_weights_in_memories() {
    let Some(shared) = shared() else {
        println!("SKIPPED: there is no folder ../shared");
        return;
    };
    for (name, sizes) in [
        ("kws_int8", [20_000, 20_000]),
        ("kws_int8", [8_192, 65_536]),
        ("ic_int8", [65_536, 65_536]),
        ("vww_int8", [65_536, 131_072]),
    ] {
        let path = shared.join("models/mlperf_tiny").join(name).with_extension("tflite");
        let inputs = npz::read(&path.with_extension("inputs.npz")).unwrap();
        for (matching, golden) in [(Match::Litert, "outputs.npz"), (Match::Tflm, "tflm.npz")] {
            let golden = npz::read(&path.with_extension(golden)).unwrap();
            let converted = resident(&path, matching, &sizes, 6);
            let model = Model::from_bytes(converted.file.as_slice()).unwrap();
            assert!(model.arenas().zip(sizes).all(|(bytes, size)| bytes <= size));
            assert!(model.residents().count() > 0, "{name} in {sizes:?}");
            let got = outputs_in_arenas(&model, &inputs);
            compare(&got, &golden[0]).unwrap_or_else(|why| panic!("{name} in {sizes:?}: {why}"));
            // The same in one piece of memory.
            let whole = run::run(&model, &inputs, || {}).unwrap();
            assert_eq!(whole[0].bytes, got.bytes, "{name} in {sizes:?}");
        }
    }
}

#[test]
fn the_arena_holds_the_weights_and_the_file_goes_on_to() {
    let path = repository().join("models/digits.tflite");
    let converted = resident(&path, Match::Tflm, &[100_000], 6);
    let model = Model::from_bytes(converted.file.as_slice()).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    drop(Session::new(&model, arena.as_mut_slice()).unwrap());
    let mut count = 0;
    for (tensor, arena_index, offset) in model.residents() {
        assert_eq!(model.resident(tensor), Some((arena_index, offset)));
        let info = model.tensor(tensor).unwrap();
        let from = &model.constants()[info.offset()..][..info.bytes()];
        assert_eq!(&arena.as_slice()[offset..][..info.bytes()], from);
        assert!(info.is_constant());
        count += 1;
    }
    // All weights: there is room, and flash costs more.
    let whole = convert_file(&path, &Options::default()).unwrap();
    let plain = Model::from_bytes(whole.file.as_slice()).unwrap();
    assert!(count >= 3, "{count}");
    assert_eq!(plain.constants(), model.constants());
    assert_eq!(converted.report.memories[0].resident.len(), count);
    assert_eq!(converted.report.division.unwrap().flash, Some([0, 6]));
    assert_eq!(output(converted.file.as_slice()), output(whole.file.as_slice()));
}

#[test]
fn a_file_of_this_version_goes_on_to_give_the_same_output() {
    let read = |name: &str| std::fs::read(repository().join("tests/files").join(name)).unwrap();
    let resident = read("digits_weights-1.systole");
    let aligned = AlignedBytes::from(&resident[..]);
    assert!(Model::from_bytes(aligned.as_slice()).unwrap().residents().count() > 0);
    assert_eq!(output(&resident), output(&read("digits-1.systole")));
}

#[test]
fn weights_stay_in_flash_where_that_costs_no_more() {
    let path = repository().join("models/digits.tflite");
    let converted = resident(&path, Match::Tflm, &[100_000], 1);
    let model = Model::from_bytes(converted.file.as_slice()).unwrap();
    assert_eq!(model.residents().count(), 0);
    let [bytes, _] = converted.report.division.unwrap().flash.unwrap();
    assert!(bytes > 0);
}

#[test]
fn other_arrangements_of_weights_leave_such_files_alone_or_refuse() {
    let path = repository().join("models/digits.tflite");
    let file = resident(&path, Match::Tflm, &[100_000], 6).file;
    assert!(pack_for(Activations::Unsigned, file.as_slice()).unwrap().is_none());
    let refused = apart::split(file.as_slice()).expect_err("they are to be read into RAM");
    assert_eq!(refused.class, Class::UnsupportedFeature);
}

/// A file with weights in two memories, with changes to its bytes, and what the loader says of it.
fn changed(change: impl FnOnce(&mut Vec<u8>, [usize; 3])) -> Option<LoadError> {
    let path = repository().join("models/digits.tflite");
    let file = resident(&path, Match::Tflm, &[2_048, 4_096], 6).file;
    let mut bytes = file.as_slice().to_vec();
    let kinds = [SectionKind::Arenas, SectionKind::Tensors, SectionKind::Residents];
    let sections = kinds.map(|kind| section(&bytes, kind));
    assert!(sections[2].len() >= 16, "two of them are resident");
    change(&mut bytes, sections.map(|section| section.start));
    seal(&mut bytes);
    Model::from_bytes(AlignedBytes::from(&bytes[..]).as_slice()).err()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn files_whose_weights_have_no_place_are_refused() {
    assert_eq!(changed(|_, _| ()), None);
    let resident = |error: &Option<LoadError>| {
        matches!(error, Some(LoadError::Tensor { error: TensorRecordError::Resident, .. }))
    };
    let section = Some(LoadError::Section { kind: SectionKind::Residents as u16 });
    // Another arena, that there is or is not; no tensor, and one of an arena.
    for arena in [2, 4, 255] {
        assert!(resident(&changed(|bytes, [.., at]| bytes[at + 2] = arena)), "{arena}");
    }
    let other = changed(|bytes, [.., at]| bytes[at + 2] ^= 1);
    assert!(resident(&other), "{other:?}");
    for tensor in [0_u16, 0xFFFF, 0xFFFE] {
        let error = changed(|bytes, [.., at]| {
            bytes[at..at + 2].copy_from_slice(&tensor.to_le_bytes());
        });
        assert!(resident(&error), "{tensor}: {error:?}");
    }
    // Twice the same; a gap; one on the other; in front of the arena's end.
    let error = changed(|bytes, [.., at]| bytes.copy_within(at..at + 2, at + 8));
    assert!(resident(&error), "{error:?}");
    for by in [16_u32, 1, 16_u32.wrapping_neg(), 1 << 31] {
        let error = changed(|bytes, [.., at]| {
            let offset = number(bytes, at + 4).wrapping_add(by);
            bytes[at + 4..at + 8].copy_from_slice(&offset.to_le_bytes());
        });
        assert!(resident(&error), "{by}: {error:?}");
    }
    assert_eq!(changed(|bytes, [.., at]| bytes[at + 3] = 1), section);
    // An arena's end that is larger than the arena, or not where its weights begin.
    let arenas_end = |bytes: &[u8], at: usize| {
        let arena = (at..at + 32).step_by(16).find(|&at| number(bytes, at + 8) > 0);
        arena.expect("there are weights in one of them") + 8
    };
    for end in [u32::MAX, 1 << 20, 0, 16] {
        let error = changed(|bytes, [at, ..]| {
            let at = arenas_end(bytes, at);
            bytes[at..at + 4].copy_from_slice(&end.to_le_bytes());
        });
        assert!(error.is_some(), "{end}");
    }
    for by in [8_u32, 16_u32] {
        let error = changed(|bytes, [at, ..]| {
            let at = arenas_end(bytes, at);
            let more = number(bytes, at) + by;
            bytes[at..at + 4].copy_from_slice(&more.to_le_bytes());
        });
        assert!(error.is_some(), "{by}");
    }
    // A larger arena: its end is not filled.
    let error = changed(|bytes, [at, ..]| {
        let at = arenas_end(bytes, at) - 8;
        let more = number(bytes, at) + 16;
        bytes[at..at + 4].copy_from_slice(&more.to_le_bytes());
    });
    assert!(error.is_some());
}

#[test]
fn tensors_do_not_reach_into_the_weights() {
    let error = changed(|bytes, [arenas, tensors, _]| {
        let at = (tensors..).step_by(24).find(|&at| bytes[at + 2] == 0).unwrap();
        let arena = arenas + 16 * usize::from(bytes[at + 22]);
        let end = number(bytes, arena) - number(bytes, arena + 8);
        // Its last byte would be the first of the weights, were it not aligned.
        let offset = end - number(bytes, at + 12) + 1;
        bytes[at + 8..at + 12].copy_from_slice(&offset.to_le_bytes());
    });
    let place = TensorRecordError::Place;
    assert!(matches!(error, Some(LoadError::Tensor { error, .. }) if error == place), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn any_network_answers_with_weights_in_memories_as_it_does_without(
        graph in networks(12),
        parts in prop::collection::vec(0_usize..100, 0..3),
        room in 0_usize..6_000,
        flash in 1_u32..20,
    ) {
        prop_assume!(!graph.nodes.is_empty());
        for memory in [Memory::Whole, Memory::Least] {
            let options = Options { memory, plan_budget: 2_000, ..Options::default() };
            let whole = compile(&graph, &options).unwrap();
            let bytes = whole.layout.plan.arena_bytes;
            let mut sizes: Vec<usize> = parts.iter().map(|part| bytes * part / 100).collect();
            sizes.push(bytes + room);
            let options = Options { memories: memories(&sizes, flash), ..options };
            let divided = compile(&graph, &options).unwrap();
            let layout = &divided.layout;
            prop_assert_eq!(planner::check(&layout.buffers, 16, &layout.plan), Ok(()));
            for (filled, size) in layout.memories.iter().zip(&sizes) {
                prop_assert!(filled.arena_bytes() <= *size);
            }
            let division = layout.division.unwrap();
            prop_assert!(division.bound <= division.cost);
            prop_assert_eq!(output(&divided.written.bytes), output(&whole.written.bytes));
        }
    }
}
