//! The remainder of a division of f32, as `%` gives it, in a form that the compiler can see to have
//! no panics.
//!
//! Both numbers are integers times a power of two, so the remainder is one of integers, and exact:
//! there is one right answer, that of C's `fmodf`.

/// The bits of a number's magnitude.
const MAGNITUDE: u32 = 0x7FFF_FFFF;
/// The magnitude of infinity; those above are no numbers.
const INFINITE: u32 = 0x7F80_0000;
/// The lowest bit of the exponent: what a significand has implicitly.
const IMPLICIT: u32 = 1 << 23;
/// Bits by which a remainder, below 2^24, is shifted at a time.
const STEP: u32 = 40;

/// `x - y × trunc(x / y)`, exactly, with the sign of `x`; NaN where `x` is infinite, `y` zero, or
/// either NaN.
pub(crate) fn remainder(x: f32, y: f32) -> f32 {
    let (magnitude, divisor) = (x.to_bits() & MAGNITUDE, y.to_bits() & MAGNITUDE);
    if magnitude >= INFINITE || divisor > INFINITE || divisor == 0 {
        return f32::NAN;
    }
    if magnitude < divisor {
        return x;
    }
    let (significand, exponent) = parts(magnitude);
    let (divisor, least) = parts(divisor);
    // (significand × 2^(exponent - least)) mod divisor, from the highest bits on.
    let mut rest = u64::from(significand);
    let mut left = exponent - least;
    loop {
        let now = left.min(STEP);
        rest = (rest << now).checked_rem(divisor.into()).unwrap_or(0);
        left -= now;
        if left == 0 {
            break;
        }
    }
    // Normalized as far as the exponent allows; what is left of it goes to its field.
    let rest = rest as u32;
    let shift = least.min(rest.leading_zeros().saturating_sub(8));
    let bits = if rest == 0 { 0 } else { (rest << shift) + ((least - shift) << 23) };
    f32::from_bits(x.to_bits() & !MAGNITUDE | bits)
}

/// A finite magnitude as an integer below 2^24 and an exponent: `integer × 2^(exponent - 149)`.
fn parts(magnitude: u32) -> (u32, u32) {
    match magnitude >> 23 {
        0 => (magnitude, 0),
        exponent => (magnitude & (IMPLICIT - 1) | IMPLICIT, exponent - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn equals_the_languages(x: f32, y: f32) {
        let (got, wanted) = (remainder(x, y), x % y);
        let same = got.to_bits() == wanted.to_bits() || (got.is_nan() && wanted.is_nan());
        assert!(same, "{x:e} % {y:e} = {wanted:e}, not {got:e}");
    }

    /// Zeros, ends of the exponents' and the significands' ranges, and what is beside them.
    fn extremes() -> impl Iterator<Item = f32> {
        let exponents = [0, 1, 2, 22, 23, 24, 126, 127, 128, 150, 253, 254, 255];
        let significands = [0, 1, 2, 0x3F_FFFF, 0x40_0000, 0x40_0001, 0x7F_FFFE, 0x7F_FFFF];
        let magnitudes = exponents.into_iter().flat_map(move |exponent| {
            significands.into_iter().map(move |significand| exponent << 23 | significand)
        });
        magnitudes.flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
    }

    #[test]
    fn extreme_values_give_what_the_language_gives() {
        for x in extremes() {
            extremes().for_each(|y| equals_the_languages(x, y));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_bits_give_what_the_language_gives(x: u32, y: u32, near in 0_u32..30) {
            equals_the_languages(f32::from_bits(x), f32::from_bits(y));
            // Exponents that are close: most quotients of any two numbers are 0 or huge.
            let close = (y & !INFINITE) | ((x & INFINITE).saturating_sub(near << 23) & INFINITE);
            equals_the_languages(f32::from_bits(x), f32::from_bits(close));
        }

        #[test]
        fn multiples_leave_a_signed_zero(factor in 1_u32..4096, y in 1_u32..4096, negative: bool) {
            let x = factor as f32 * y as f32 * if negative { -1.0 } else { 1.0 };
            let wanted = if negative { -0.0_f32 } else { 0.0 };
            prop_assert_eq!(remainder(x, y as f32).to_bits(), wanted.to_bits());
        }
    }
}
