//! Multiply-accumulates of an operator, from the shapes in its record. Taps in the padding count,
//! as peers count them.

use systole::{Opcode, Operator};

/// Multiply-accumulates of one execution; 0 for operators that do not multiply matrices.
pub fn of(operator: &Operator<'_>) -> u64 {
    let record = operator.record();
    let (Ok(x), Ok(weights), Ok(y)) = (record.input(0), record.input(1), record.output(0)) else {
        return 0;
    };
    let dim = |axis| weights.shape().dim(axis) as u64;
    let (x, y) = (x.len() as u64, y.len() as u64);
    match operator.opcode() {
        Opcode::FullyConnected => x * dim(0),
        Opcode::Conv2d => y * dim(1) * dim(2) * dim(3),
        Opcode::DepthwiseConv2d => y * dim(1) * dim(2),
        _ => 0,
    }
}
