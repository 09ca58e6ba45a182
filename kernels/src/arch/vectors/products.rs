//! Products of int16 activations by int8 weights, the inner loop of CONV_2D and FULLY_CONNECTED.

use crate::Mismatch;

/// [`crate::dot::dots_i16_definition`]: sums of 32 bits that wrap, so that their order is the compiler's.
#[inline(always)]
pub(super) fn dots_i16(
    [x0, x1]: [&[i16]; 2],
    [w0, w1]: [&[i8]; 2],
    sums: &mut [[i32; 2]; 2],
) -> Result<(), Mismatch> {
    let [[mut sum00, mut sum01], [mut sum10, mut sum11]] = [[0_i32; 2]; 2];
    for (((&x0, &x1), &w0), &w1) in x0.iter().zip(x1).zip(w0).zip(w1) {
        let [x0, x1, w0, w1] = [x0.into(), x1.into(), w0.into(), i32::from(w1)];
        sum00 = sum00.wrapping_add(i32::wrapping_mul(x0, w0));
        sum01 = sum01.wrapping_add(i32::wrapping_mul(x0, w1));
        sum10 = sum10.wrapping_add(i32::wrapping_mul(x1, w0));
        sum11 = sum11.wrapping_add(i32::wrapping_mul(x1, w1));
    }
    *sums = [[sum00, sum01], [sum10, sum11]];
    Ok(())
}
