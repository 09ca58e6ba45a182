//! Whole models: validation and session (`load`), and one inference (`run`).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use systole_converter::AlignedBytes;
use systole_core::{Model, Session};

fn load(c: &mut Criterion) {
    let mut group = c.benchmark_group("load");
    for (name, file) in systole_benches::models() {
        group.throughput(Throughput::Bytes(file.as_slice().len() as u64));
        let bytes =
            Model::from_bytes(file.as_slice()).expect("converted files are valid").arena_bytes();
        let mut arena = AlignedBytes::zeroed(bytes);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let model = Model::from_bytes(file.as_slice()).expect("converted files are valid");
                Session::new(&model, arena.as_mut_slice()).map(|session| session.next_operator())
            });
        });
    }
}

fn run(c: &mut Criterion) {
    let mut group = c.benchmark_group("run");
    group.sample_size(20);
    for (name, file) in systole_benches::models() {
        let model = Model::from_bytes(file.as_slice()).expect("converted files are valid");
        let mut arena = AlignedBytes::zeroed(model.arena_bytes());
        let mut session = Session::new(&model, arena.as_mut_slice()).expect("the arena is right");
        // Elements are multiply-accumulates.
        group.throughput(Throughput::Elements(model.macs()));
        group.bench_function(name, |bencher| bencher.iter(|| session.run()));
    }
}

criterion_group!(benches, load, run);
criterion_main!(benches);
