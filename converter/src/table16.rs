//! Tables of functions of int16: 513 values, 128 inputs apart, between which kernels interpolate.
//!
//! A value is moved by half of what interpolation would be off in the middle of its interval. LiteRT
//! computes in double precision, TFLite Micro in single. Source: `LUTPopulateInt16` of TFLite's
//! `internal/common.h`.

/// Intervals of a table.
const INTERVALS: u16 = 512;

macro_rules! table {
    ($name:ident $float:ident $precision:literal) => {
        #[doc = concat!("The table of `f`, computed in ", $precision, " precision.")]
        ///
        /// An input `q` stands for `input_scale × (q − input_zero_point)`, an output for
        /// `output_scale` times itself.
        pub fn $name(
            input_scale: $float,
            input_zero_point: i32,
            output_scale: $float,
            f: impl Fn($float) -> $float,
        ) -> Vec<i16> {
            let (min, max) = (i32::from(i16::MIN), i32::from(i16::MAX));
            let real = |q: i32| input_scale * (q - input_zero_point) as $float;
            let (input_min, input_max) = (real(min), real(max));
            let output = (output_scale * max as $float) - (output_scale * min as $float);
            let scale = 65536.0 / output;
            let step = (input_max - input_min) / $float::from(INTERVALS);
            let clamp = |value: $float| value.max(min as $float).min(max as $float) as i16;
            let mut table: Vec<i16> = (0..INTERVALS)
                .map(|i| {
                    let at = input_min + $float::from(i) * step;
                    let value = (f(at) * scale).round();
                    let next = f(input_min + $float::from(i + 1) * step) * scale;
                    let middle = (f(at + step / 2.0) * scale).round();
                    let interpolated = ((next + value) / 2.0).round();
                    clamp(value - ((interpolated - middle) / 2.0).round())
                })
                .collect();
            table.push(clamp((f(input_max) * scale).round()));
            table
        }
    };
}

table!(in_f64 f64 "double");
table!(in_f32 f32 "single");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_interpolate_their_function() {
        let scale = 8.0 / 32768.0;
        let table = in_f64(scale, 0, 1.0 / 32768.0, f64::tanh);
        let single = in_f32(scale as f32, 0, 1.0 / 32768.0, f32::tanh);
        assert_eq!((table.len(), single.len()), (513, 513));
        for q in (i16::MIN..i16::MAX).step_by(37) {
            let place = (i32::from(q) + 32768) as usize;
            let (low, high) = (f64::from(table[place / 128]), f64::from(table[place / 128 + 1]));
            let value = low + (high - low) * (place % 128) as f64 / 128.0;
            // TFLite's table ends at 32767, so its intervals are a little shorter than 128.
            let at = (place as f64 * (65535.0 / 65536.0) - 32768.0) * scale;
            let wanted = at.tanh() * 32768.0;
            // A chord is off by up to 0.77 × step² / 8, 3.1 units, half of which the table moves
            // to its ends; and three roundings.
            assert!((value - wanted).abs() < 3.1, "{value} for {wanted}");
        }
        for (a, b) in table.iter().zip(&single) {
            assert!(a.abs_diff(*b) <= 1);
        }
    }
}
