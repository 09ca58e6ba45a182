//! Multiply-accumulates of an operator, from the shapes of its operands. Taps in the padding count,
//! as peers count them.

use systole_core::{DType, Opcode, Operator};

/// Multiply-accumulates of one execution over an input `x`, weights and an output `y` of these
/// shapes; 0 for operators that do not multiply matrices.
pub fn count(opcode: Opcode, x: &[usize], weights: &[usize], y: &[usize]) -> u64 {
    let all = |dims: &[usize]| dims.iter().map(|&dim| dim as u64).product::<u64>();
    let weight = |axes: std::ops::Range<usize>| all(weights.get(axes).unwrap_or_default());
    // The rows and columns of a stack of matrices.
    let matrix = |dims: &[usize]| all(&dims[dims.len().saturating_sub(2)..]);
    match opcode {
        Opcode::FullyConnected => all(x) * weight(0..1),
        Opcode::Conv2d | Opcode::ConvInteger => all(y) * weight(1..4),
        Opcode::DepthwiseConv2d => all(y) * weight(1..3),
        // The input of each step meets the weights of all gates, and so does the hidden state.
        Opcode::Lstm => {
            let recurrent = 4 * weight(0..1) * weight(0..1);
            all(x.get(..2).unwrap_or_default()) * (all(weights) + recurrent)
        }
        // Each input meets every weight of its channel.
        Opcode::TransposeConv2d => all(x) * weight(0..3),
        Opcode::BatchMatMul | Opcode::MatMulInteger => {
            // m×k by k×n gives m×n, transposed or not: k² is what is left.
            let depth = (matrix(x) * matrix(weights)).checked_div(matrix(y)).unwrap_or(0).isqrt();
            all(y) * depth
        }
        _ => 0,
    }
}

/// Multiply-accumulates of an operator of a file.
pub fn of(operator: &Operator<'_>) -> u64 {
    let record = operator.record();
    // Weights that are stored in less have the shape of the memory that they are unpacked into.
    let weights = match record.given(1) {
        Ok(Some(stored)) if matches!(stored.stored_dtype(), DType::U8 | DType::F16) => {
            record.output(1).ok()
        }
        weights => weights.ok().flatten(),
    };
    let (Ok(x), Some(weights), Ok(y)) = (record.input(0), weights, record.output(0)) else {
        return 0;
    };
    let dims = |info: systole_core::TensorInfo<'_>| -> Vec<usize> {
        info.shape().dims().iter().map(|&dim| dim as usize).collect()
    };
    count(operator.opcode(), &dims(x), &dims(weights), &dims(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_counted_from_shapes_alone() {
        assert_eq!(count(Opcode::FullyConnected, &[3, 19], &[7, 19], &[3, 7]), 3 * 7 * 19);
        let conv = count(Opcode::Conv2d, &[1, 7, 5, 3], &[5, 3, 2, 3], &[1, 5, 4, 5]);
        assert_eq!(conv, 5 * 4 * 5 * 3 * 2 * 3);
        let product = count(Opcode::BatchMatMul, &[2, 5, 3], &[4, 5], &[2, 3, 4]);
        assert_eq!(product, 2 * 3 * 4 * 5);
        let lstm = count(Opcode::Lstm, &[2, 7, 3], &[5, 4, 3], &[2, 7, 5]);
        assert_eq!(lstm, 2 * 7 * 4 * (5 * 3 + 5 * 5));
        assert_eq!(count(Opcode::Softmax, &[1, 9], &[], &[1, 9]), 0);
    }
}
