//! Several devices: a model on all of them, and the segments of one over them.

use std::path::Path;

use libtest_mimic::Failed;
use systole_converter::npz::{self, Array};
use systole_engine::{Backend, DeviceChoice, Error, Options, Pipeline, Pool, Stage, Values};

use super::{Outcome, case, simulated, with};

/// Inputs and outputs of all samples, as values.
fn values(golden: &str) -> Result<(Vec<Values>, Vec<Values>), Failed> {
    let all = |suffix: &str| -> Result<Vec<Values>, Failed> {
        let arrays = npz::read(&case(golden).with_extension(suffix))?;
        let sample = |sample| {
            let bytes = |array: &Array| array.sample(sample).unwrap_or_default().to_vec();
            arrays.iter().map(bytes).collect()
        };
        Ok((0..arrays[0].shape[0]).map(sample).collect())
    };
    Ok((all("inputs.npz")?, all("outputs.npz")?))
}

pub(super) fn pool_over_devices() -> Outcome {
    let (inputs, want) = values("mixed.tflite")?;
    let edge_tpu = simulated(&case("mixed.part.tflite"), "old", "");
    let options = Options { edge_tpu, ..with(Backend::Auto) };
    let devices: Vec<DeviceChoice> =
        ["pci:0", "usb:0", "usb:1"].map(|text| text.parse().expect("it is a choice")).to_vec();
    let pool = Pool::on_devices(case("mixed_edgetpu.tflite"), &options, &devices, 2)?;
    let found: Vec<String> = pool.reports().iter().map(|report| report.to_string()).collect();
    for (device, report) in ["pci:0", "usb:0", "usb:1"].iter().zip(&found) {
        assert!(report.contains(&format!("Edge TPU '{device}'")), "{report}");
    }
    let names: Vec<&str> = pool.outputs().iter().map(|port| &port.name[..]).collect();
    assert_eq!(names, ["classes", "large"]);
    let rounds = || (0..6).flat_map(|_| inputs.iter().zip(&want));
    let tickets = rounds().map(|(inputs, _)| pool.submit(inputs.clone()));
    let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
    for (ticket, (_, want)) in tickets.into_iter().zip(rounds()) {
        assert_eq!(ticket.wait()?, *want);
    }
    // Misuse is told before anything is queued; a ticket that nobody waits for is no harm.
    assert!(matches!(pool.submit(Vec::new()), Err(Error::Count { wanted: 1, found: 0 })));
    assert!(matches!(pool.submit(vec![vec![0; 3]]), Err(Error::Length { .. })));
    drop(pool.submit(inputs[0].clone())?);
    assert_eq!(pool.run(inputs[1].clone())?, want[1]);
    drop(pool);
    let none = Pool::on_devices(case("mixed_edgetpu.tflite"), &options, &[], 2).map(drop);
    assert!(matches!(none, Err(Error::Empty(_))), "{none:?}");
    let gone = ["usb:0".parse()?, "usb:7".parse()?];
    let gone = Pool::on_devices(case("mixed_edgetpu.tflite"), &options, &gone, 2).map(drop);
    assert!(matches!(gone, Err(Error::NeedsEdgeTpu { .. })), "{gone:?}");
    Ok(())
}

/// A segment of `chain` on the simulated device, which runs its twin.
fn stage(index: usize, device: &str, fail: &str) -> Stage {
    let twin = case(&format!("chain_segment_{index}_of_3.part.tflite"));
    let mut edge_tpu = simulated(&twin, "old", device);
    edge_tpu.options.other.push(("Simulated.Fail".to_owned(), fail.to_owned()));
    Stage {
        model: case(&format!("chain_segment_{index}_of_3_edgetpu.tflite")),
        options: Options { edge_tpu, ..with(Backend::Auto) },
    }
}

pub(super) fn pipeline_of_segments() -> Outcome {
    let (inputs, want) = values("chain.tflite")?;
    for queue in [0, 1, 4] {
        let stages = vec![stage(0, "usb:0", ""), stage(1, "usb:1", ""), stage(2, "pci:0", "")];
        let pipeline = Pipeline::of(stages, queue)?;
        assert_eq!(pipeline.inputs()[0].name, "x");
        assert_eq!(pipeline.outputs()[0].name, "sum");
        assert_eq!(pipeline.reports().len(), 3);
        assert!(pipeline.reports().iter().all(|report| report.accelerated()));
        let pipeline = &pipeline;
        // Asked by several threads, more often than there is room in all queues.
        std::thread::scope(|scope| {
            let ask = || {
                for _ in 0..5 {
                    for (inputs, want) in inputs.iter().zip(&want) {
                        assert_eq!(pipeline.run(inputs.clone()).expect("it runs"), *want);
                    }
                }
            };
            for asked in [scope.spawn(ask), scope.spawn(ask)] {
                asked.join().expect("no panic");
            }
        });
    }
    // A segment that fails once fails that answer alone.
    let stages = vec![stage(0, "usb:0", ""), stage(1, "usb:1", "invoke:1"), stage(2, "pci:0", "")];
    let pipeline = Pipeline::of(stages, 2)?;
    let tickets: Vec<_> =
        inputs.iter().map(|inputs| pipeline.submit(inputs.clone())).collect::<Result<_, _>>()?;
    for (index, (ticket, want)) in tickets.into_iter().zip(&want).enumerate() {
        match (index, ticket.wait()) {
            (1, Err(Error::Tflite { why: systole_tflite::Error::Invoke { .. }, .. })) => {}
            (1, other) => panic!("the second one fails: {other:?}"),
            (_, answer) => assert_eq!(answer?, *want),
        }
    }
    Ok(())
}

pub(super) fn segments_that_do_not_fit() -> Outcome {
    let stages = vec![stage(0, "usb:0", ""), stage(2, "usb:1", "")];
    let error = Pipeline::of(stages, 1).map(drop).expect_err("'b' is missing");
    let Error::Segment { input, .. } = &error else { panic!("{error:?}") };
    assert_eq!(input.name, "b");
    assert!(matches!(Pipeline::of(Vec::new(), 1), Err(Error::Empty(_))));
    let devices = ["usb".parse()?];
    let options = with(Backend::Auto);
    let load = |name: &Path| Pipeline::load(name, &options, &devices, 1).map(drop);
    let error = load(&case("mixed_edgetpu.tflite")).expect_err("it is no segment");
    assert!(matches!(&error, Error::Segments { missing, .. } if missing.is_empty()), "{error:?}");
    let folder = tempfile::tempdir()?;
    let first = folder.path().join("chain_segment_0_of_3_edgetpu.tflite");
    std::fs::copy(case("chain_segment_0_of_3_edgetpu.tflite"), &first)?;
    let error = load(&first).expect_err("two are missing");
    let Error::Segments { missing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(missing.len(), 2);
    assert!(error.to_string().contains("chain_segment_2_of_3_edgetpu.tflite"), "{error}");
    let all = systole_engine::segments(&case("chain_segment_1_of_3_edgetpu.tflite"))?;
    assert_eq!(all.len(), 3);
    assert!(all[0].ends_with("chain_segment_0_of_3_edgetpu.tflite"));
    let none = Pipeline::load(&all[0], &options, &[], 1).map(drop);
    assert!(matches!(none, Err(Error::Empty(_))), "{none:?}");
    Ok(())
}
