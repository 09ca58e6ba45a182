//! What a valid file can ask for is limited: small files that want much memory or time are refused,
//! or served in little.

use flatbuffers::{FlatBufferBuilder, WIPOffset};
use systole_converter::{
    AlignedBytes, Class, Memory, Options, arena, load_file,
    lower::{Instruction, Program, Slot, SlotId, Source},
    write,
};
use systole_core::{
    DType, LoadError, Model, Opcode, OperatorError, TensorRecordError,
    format::{OPERATOR_BYTES, PARAMS_BYTES, Params, RoundingCode, SectionKind},
    ops::pool,
};
use systole_tests::checked::{convert, convert_file};
use systole_tests::hostile;
use tract_tflite::tflite::{self, BuiltinOperator, TensorType};

/// A tensor of the models made here: dimensions, type and buffer.
type Tensor = (Vec<i32>, TensorType, u32);

/// An operator: its code, inputs and outputs.
type Operator = (BuiltinOperator, Vec<i32>, Vec<i32>);

/// The bytes of a `.tflite` model; equal shapes are stored once, as a hostile writer would.
fn model(
    tensors: &[Tensor],
    operators: &[Operator],
    buffers: &[Vec<u8>],
    inputs: &[i32],
    outputs: &[i32],
) -> Vec<u8> {
    let mut b = FlatBufferBuilder::new();
    let mut codes: Vec<BuiltinOperator> = operators.iter().map(|&(code, ..)| code).collect();
    codes.dedup();
    let mut last: Option<(&Tensor, WIPOffset<tflite::Tensor<'_>>)> = None;
    let tensors: Vec<_> = tensors
        .iter()
        .map(|tensor| {
            if let Some((_, offset)) = last.filter(|(known, _)| *known == tensor) {
                return offset;
            }
            let (shape, type_, buffer) = tensor;
            let shape = Some(b.create_vector(shape));
            let arguments =
                tflite::TensorArgs { shape, type_: *type_, buffer: *buffer, ..Default::default() };
            let offset = tflite::Tensor::create(&mut b, &arguments);
            last = Some((tensor, offset));
            offset
        })
        .collect();
    let operators: Vec<_> = operators
        .iter()
        .map(|(code, inputs, outputs)| {
            let opcode_index = codes.iter().position(|other| other == code).unwrap_or(0) as u32;
            let (inputs, outputs) = (b.create_vector(inputs), b.create_vector(outputs));
            let (inputs, outputs) = (Some(inputs), Some(outputs));
            let arguments =
                tflite::OperatorArgs { opcode_index, inputs, outputs, ..Default::default() };
            tflite::Operator::create(&mut b, &arguments)
        })
        .collect();
    let subgraph = tflite::SubGraphArgs {
        tensors: Some(b.create_vector(&tensors)),
        inputs: Some(b.create_vector(inputs)),
        outputs: Some(b.create_vector(outputs)),
        operators: Some(b.create_vector(&operators)),
        ..Default::default()
    };
    let subgraph = tflite::SubGraph::create(&mut b, &subgraph);
    let codes: Vec<_> = codes
        .iter()
        .map(|&builtin_code| {
            let arguments = tflite::OperatorCodeArgs { builtin_code, ..Default::default() };
            tflite::OperatorCode::create(&mut b, &arguments)
        })
        .collect();
    let buffers: Vec<_> = buffers
        .iter()
        .map(|data| {
            let data = Some(b.create_vector(data));
            tflite::Buffer::create(&mut b, &tflite::BufferArgs { data })
        })
        .collect();
    let model = tflite::ModelArgs {
        version: 3,
        operator_codes: Some(b.create_vector(&codes)),
        subgraphs: Some(b.create_vector(&[subgraph])),
        buffers: Some(b.create_vector(&buffers)),
        ..Default::default()
    };
    let model = tflite::Model::create(&mut b, &model);
    b.finish(model, Some("TFL3"));
    b.finished_data().to_vec()
}

/// The class of the error that converting gives; `None` for success. What takes time that grows with
/// the square of the operators would not end while anybody waits.
fn class(bytes: &[u8]) -> Option<Class> {
    convert(bytes, &Options::default()).err().map(|error| error.class)
}

/// `count` operators of one input each, from tensor to tensor.
fn chain(code: BuiltinOperator, count: i32) -> Vec<u8> {
    let tensors = vec![(vec![1, 4], TensorType::FLOAT32, 0); count as usize + 1];
    let operators: Vec<Operator> = (0..count).map(|i| (code, vec![i], vec![i + 1])).collect();
    model(&tensors, &operators, &[vec![]], &[0], &[count])
}

#[test]
fn long_chains_convert() {
    // The most that all passes look at, and many more.
    assert_eq!(class(&chain(BuiltinOperator::RELU, 5_000)), None);
    assert_eq!(class(&chain(BuiltinOperator::RELU, 30_000)), None);
    assert_eq!(class(&chain(BuiltinOperator::RESHAPE, 60_000)), None);
}

#[test]
fn more_operators_than_a_file_can_hold_are_refused() {
    assert_eq!(class(&chain(BuiltinOperator::RELU, 65_536)), Some(Class::TooLarge));
}

#[test]
fn operators_that_nothing_reads_are_removed_in_time() {
    let count = 60_000;
    let tensors = vec![(vec![1, 4], TensorType::FLOAT32, 0); count + 1];
    let operators: Vec<Operator> =
        (0..count as i32).map(|i| (BuiltinOperator::RELU, vec![0], vec![i + 1])).collect();
    assert_eq!(class(&model(&tensors, &operators, &[vec![]], &[0], &[7])), None);
}

#[test]
fn thousands_of_outputs_alive_at_once_are_planned_in_time() {
    let count = 20_000;
    let tensors = vec![(vec![1, 4], TensorType::FLOAT32, 0); count + 1];
    let operators: Vec<Operator> =
        (0..count as i32).map(|i| (BuiltinOperator::RELU, vec![0], vec![i + 1])).collect();
    let outputs: Vec<i32> = (1..=count as i32).collect();
    assert_eq!(class(&model(&tensors, &operators, &[vec![]], &[0], &outputs)), None);
}

#[test]
fn tensors_that_share_a_buffer_do_not_multiply_it() {
    // 60,000 tensors of 1 MiB in a file of 2 MB: copied one by one they would take 60 GB.
    let elements = 1 << 20;
    let mut tensors = vec![(vec![1, elements], TensorType::INT8, 1); 60_000];
    tensors.push((vec![1, 4], TensorType::FLOAT32, 0));
    tensors.push((vec![1, 4], TensorType::FLOAT32, 0));
    let buffers = [vec![], vec![1; elements as usize]];
    let relu = [(BuiltinOperator::RELU, vec![60_000], vec![60_001])];
    assert_eq!(class(&model(&tensors, &relu, &buffers, &[60_000], &[60_001])), None);
}

#[test]
fn constants_computed_from_constants_have_a_budget() {
    // Each operator writes another 256 MiB.
    let elements = 64 << 20;
    let multiples: Vec<u8> = [1_i32, elements].into_iter().flat_map(i32::to_le_bytes).collect();
    let mut tensors = vec![(vec![1, 1], TensorType::FLOAT32, 1), (vec![2], TensorType::INT32, 2)];
    let mut operators = Vec::new();
    for i in 0..100 {
        tensors.push((vec![1, elements], TensorType::FLOAT32, 0));
        operators.push((BuiltinOperator::TILE, vec![0, 1], vec![i + 2]));
    }
    let buffers = [vec![], vec![0; 4], multiples];
    assert_eq!(class(&model(&tensors, &operators, &buffers, &[], &[2])), Some(Class::TooLarge));
}

#[test]
fn ranges_count_as_constants_too() {
    // Each operator writes 4 MB of numbers from three scalars: 1,000 of them 4 GB.
    let count = 1_000_000_i32;
    let scalar = |buffer| (vec![], TensorType::INT32, buffer);
    let mut tensors = vec![scalar(1), scalar(2), scalar(3)];
    let mut operators = Vec::new();
    for i in 0..1_000 {
        tensors.push((vec![count], TensorType::INT32, 0));
        operators.push((BuiltinOperator::RANGE, vec![0, 1, 2], vec![i + 3]));
    }
    let number = |number: i32| number.to_le_bytes().to_vec();
    let buffers = [vec![], number(0), number(count), number(1)];
    assert_eq!(class(&model(&tensors, &operators, &buffers, &[], &[3])), Some(Class::TooLarge));
}

/// A valid `.systole` file: `count` pools of a window as large as the image.
fn pools(side: usize, count: usize) -> AlignedBytes {
    let slot = || Slot {
        tensor: None,
        name: String::new(),
        dtype: DType::I8,
        shape: vec![1, side, side, 1],
        scale: 0.0,
        zero_point: 0,
        unsigned: false,
        persists: false,
        source: Source::Arena,
        advance: 0,
    };
    let params = pool::Params {
        stride: [1, 1],
        kernel: [side as u16; 2],
        padding: [side as u16 / 2; 2],
        activation_min: -128,
        activation_max: 127,
        ..Default::default()
    };
    let params: [u8; PARAMS_BYTES] = params.write();
    let instruction = |i: usize| Instruction {
        opcode: Opcode::MaxPool2d,
        rounding: RoundingCode::None,
        params,
        inputs: vec![Some(SlotId(i % 2))],
        outputs: vec![SlotId((i + 1) % 2)],
        node: i,
        macs: 0,
    };
    let program = Program {
        slots: vec![slot(), slot()],
        instructions: (0..count).map(instruction).collect(),
        inputs: vec![SlotId(0)],
        outputs: vec![SlotId(count % 2)],
    };
    let layout = arena::plan(&program, 0);
    let written = write::write(&program, &layout, &Options::default()).expect("it can be written");
    AlignedBytes::from(&written.bytes[..])
}

#[test]
fn work_is_counted_from_the_records() {
    let file = pools(8, 3);
    let model = Model::from_bytes(file.as_slice()).expect("the file is valid");
    // Three times: 64 elements in, 64 out, each output looks at up to 64.
    assert_eq!(model.work(), 3 * (64 + 64 + 64 * 64));
}

#[test]
fn a_valid_file_that_would_run_for_days_is_refused_by_the_tools() {
    let file = pools(8_192, 1_000);
    let model = Model::from_bytes(file.as_slice()).expect("the file is valid");
    assert!(model.work() > 4_000_000_000_000_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("days.systole");
    std::fs::write(&path, file.as_slice()).expect("the file can be written");
    let error = load_file(&path, &Options::default()).expect_err("it is refused");
    assert_eq!(error.class, Class::TooLarge);
    assert!(error.to_string().contains("--max-work"), "{error}");
}

#[test]
fn operators_cannot_share_their_operands() {
    // Each of 60,000 records claims the operands of all: checked one by one they would be 7 × 10⁹.
    let mut file = pools(4, 60_000).as_slice().to_vec();
    let operators = hostile::section(&file, SectionKind::Operators);
    for record in file[operators].chunks_exact_mut(OPERATOR_BYTES) {
        record[4..8].copy_from_slice(&0_u32.to_le_bytes());
        record[8..10].copy_from_slice(&65_000_u16.to_le_bytes());
        record[0..2].copy_from_slice(&(Opcode::Conv2d as u16).to_le_bytes());
    }
    hostile::seal(&mut file);
    assert_eq!(hostile::load_and_run(&file), Ok(hostile::Outcome::Refused));
}

/// What the loader says of a file of one pool with some bytes of a section changed.
fn patched(kind: SectionKind, at: usize, bytes: &[u8]) -> Option<LoadError> {
    let mut file = pools(4, 1).as_slice().to_vec();
    let start = hostile::section(&file, kind).start + at;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    hostile::seal(&mut file);
    Model::from_bytes(AlignedBytes::from(&file[..]).as_slice()).err()
}

#[test]
fn dimensions_of_0_are_refused() {
    // Shape [1, 0, 4, 1] of 0 bytes: an empty image, under a pool whose output is not empty.
    let error = LoadError::Tensor { tensor: 0, error: TensorRecordError::Shape };
    assert_eq!(patched(SectionKind::Shapes, 4, &[0; 4]), Some(error));
}

#[test]
fn zero_points_outside_of_int8_are_refused() {
    // Zero point 300: differences from it would leave 16 bits in products.
    let error = LoadError::Tensor { tensor: 0, error: TensorRecordError::Scale };
    assert_eq!(patched(SectionKind::Tensors, 20, &300_i16.to_le_bytes()), Some(error));
    assert_eq!(patched(SectionKind::Tensors, 20, &(-128_i16).to_le_bytes()), None);
}

/// What the loader says of a file of which a section has other bytes.
fn changed(file: &AlignedBytes, kind: SectionKind, at: usize, bytes: &[u8]) -> Option<LoadError> {
    let mut file = file.as_slice().to_vec();
    let start = hostile::section(&file, kind).start + at;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    hostile::seal(&mut file);
    Model::from_bytes(AlignedBytes::from(&file[..]).as_slice()).err()
}

#[test]
fn what_is_repeated_stays_in_the_file_and_in_the_arena() {
    let path = systole_tests::repository().join("models/digits.tflite");
    let options = Options { memory: Memory::Least, ..Options::default() };
    let file = convert_file(&path, &options).expect("the model is bundled").file;
    let model = Model::from_bytes(file.as_slice()).expect("it is valid");
    let operators = model.operator_count() as u16;
    let opcode = |op: u16| model.operator(op).expect("there are as many").opcode();
    let op = (0..operators).find(|&op| opcode(op) == Opcode::Repeat).expect("bands are repeated");
    let at = usize::from(op) * OPERATOR_BYTES + OPERATOR_BYTES - PARAMS_BYTES;
    let refused = |at: usize, value: u16| match changed(
        &file,
        SectionKind::Operators,
        at,
        &value.to_le_bytes(),
    ) {
        Some(LoadError::Operator { op, error, .. }) => (op, error),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(at, 0), (op, OperatorError::Parameter(0)), "no repetition");
    assert_eq!(refused(at + 2, 0), (op, OperatorError::Parameter(1)), "nothing is repeated");
    assert_eq!(refused(at + 2, operators), (op, OperatorError::Parameter(1)), "past the end");
    // So many more repetitions that the rows leave the arena.
    let (left, error) = refused(at, u16::MAX);
    let expected = matches!(error, OperatorError::Operand(_) | OperatorError::Overlap);
    assert!(left > op && expected, "{left} {error:?}");
    // A step that nothing is aligned to is one of bytes here; a tensor that is named twice is not.
    let first = hostile::section(file.as_slice(), SectionKind::Advances).start;
    let record: Vec<u8> = file.as_slice()[first..first + 8].to_vec();
    let twice = changed(&file, SectionKind::Advances, 8, &record);
    let tensor = u16::from_le_bytes([record[0], record[1]]);
    let error = TensorRecordError::Advance;
    assert_eq!(twice, Some(LoadError::Tensor { tensor, error }));
    // Rows that are written and read one upon the other.
    let mut overlapping = 0;
    for at in (0..hostile::section(file.as_slice(), SectionKind::Advances).len()).step_by(8) {
        let changed = changed(&file, SectionKind::Advances, at + 4, &(-1_i32).to_le_bytes());
        overlapping += usize::from(matches!(changed, Some(LoadError::Operator { .. })));
    }
    assert!(overlapping > 0, "none of the changed steps was seen");
}

#[test]
fn operators_with_many_outputs_are_refused() {
    // Each output is compared with every operand: only as many as operators have are looked at.
    let error = LoadError::Operator {
        op: 0,
        opcode: Opcode::MaxPool2d,
        error: OperatorError::OperandCount,
    };
    let counts = [0_u16.to_le_bytes(), 5_u16.to_le_bytes()].concat();
    let mut file = pools(4, 3).as_slice().to_vec();
    let start = hostile::section(&file, SectionKind::Operators).start + 8;
    file[start..start + 4].copy_from_slice(&counts);
    hostile::seal(&mut file);
    let refused = Model::from_bytes(AlignedBytes::from(&file[..]).as_slice()).err();
    assert_eq!(refused, Some(error));
}
