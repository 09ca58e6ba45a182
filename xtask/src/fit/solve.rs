//! Least squares without negative numbers.

/// Rounds of improvement; far more than it takes.
const ROUNDS: usize = 20_000;

/// The `x ≥ 0` that make `Σ (a·x − b)²` over the rows of `a` as small as can be, by coordinate descent:
/// the best value of one unknown after the other, until nothing changes.
///
/// All rows have as many numbers as there are unknowns.
pub fn least_squares(a: &[Vec<f64>], b: &[f64], unknowns: usize) -> Vec<f64> {
    // The normal equations: products of columns.
    let column = |i: usize, j: usize| a.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let products: Vec<Vec<f64>> =
        (0..unknowns).map(|i| (0..unknowns).map(|j| column(i, j)).collect()).collect();
    let right: Vec<f64> =
        (0..unknowns).map(|i| a.iter().zip(b).map(|(row, b)| row[i] * b).sum()).collect();
    let mut x = vec![0.0; unknowns];
    for _ in 0..ROUNDS {
        let mut change = 0.0_f64;
        for i in 0..unknowns {
            if products[i][i] <= 0.0 {
                continue;
            }
            let others: f64 = products[i].iter().zip(&x).map(|(p, x)| p * x).sum();
            let best = (x[i] + (right[i] - others) / products[i][i]).max(0.0);
            change = change.max((best - x[i]).abs() / (1.0 + best));
            x[i] = best;
        }
        if change < 1e-9 {
            break;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_sum_is_taken_apart() {
        let a: Vec<Vec<f64>> =
            (1..9).map(|i| vec![1.0, f64::from(i), f64::from(i * i % 7)]).collect();
        let b: Vec<f64> = a.iter().map(|row| 5.0 * row[0] + 2.5 * row[1] + 0.5 * row[2]).collect();
        let x = least_squares(&a, &b, 3);
        for (x, wanted) in x.iter().zip([5.0, 2.5, 0.5]) {
            assert!((x - wanted).abs() < 1e-4, "{x} {wanted}");
        }
    }

    #[test]
    fn nothing_becomes_negative() {
        // The best would be 2 and −1; without the second, −1, the best of the first is 1.5.
        let a = [vec![1.0, 0.0], vec![1.0, 1.0]];
        assert_eq!(least_squares(&a, &[2.0, 1.0], 2), [1.5, 0.0]);
    }
}
