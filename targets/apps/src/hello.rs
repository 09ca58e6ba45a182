//! The sine model dims a light: sin(x) for x from 0 to 2 pi becomes a duty cycle.

use embedded_hal::pwm::SetDutyCycle;

systole::include_model!(
    /// sin(x); 288 multiply-accumulates.
    pub Hello, "../../models/hello.systole"
);

/// What the output holds at sin(x) = -1 and 1.
const LOWEST: i32 = Hello::OUTPUT.quantization.zero_point - STEPS;
const HIGHEST: i32 = Hello::OUTPUT.quantization.zero_point + STEPS;
const STEPS: i32 = (1.0 / Hello::OUTPUT.quantization.scale) as i32;

/// Sets `output` to (sin(x) + 1) / 2 of its maximum, where x is `phase` / 256 of a turn.
///
/// # Errors
/// The output's own.
pub fn dim<P: SetDutyCycle>(model: &mut Hello, phase: u8, output: &mut P) -> Result<(), P::Error> {
    // The input's 256 values are spread over a turn, from its zero point -128 on.
    let [y] = *model.run(&[phase.wrapping_add(0x80) as i8]);
    output.set_duty_cycle(duty(y, output.max_duty_cycle()))
}

/// The share of `max` that the output `y` stands for.
fn duty(y: i8, max: u16) -> u16 {
    let above = i32::from(y).clamp(LOWEST, HIGHEST) - LOWEST;
    (above as u32 * u32::from(max) / (HIGHEST - LOWEST) as u32) as u16
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embedded_hal::pwm::ErrorType;

    use super::*;

    /// An output that remembers what it was set to.
    struct Output(u16);

    impl ErrorType for Output {
        type Error = Infallible;
    }

    impl SetDutyCycle for Output {
        fn max_duty_cycle(&self) -> u16 {
            1000
        }

        fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
            self.0 = duty;
            Ok(())
        }
    }

    #[test]
    fn a_turn_follows_the_sine() {
        let (mut model, mut output) = (Hello::new(), Output(0));
        for phase in 0..=255 {
            dim(&mut model, phase, &mut output).unwrap();
            let x = f64::from(phase) / 256.0 * core::f64::consts::TAU;
            let want = (x.sin() + 1.0) * 500.0;
            assert!((f64::from(output.0) - want).abs() < 40.0, "phase {phase}: {}", output.0);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_dark_and_fully_lit() {
        assert_eq!(duty(LOWEST as i8, 65535), 0);
        assert_eq!(duty(i8::MIN, 65535), 0);
        assert_eq!(duty(HIGHEST as i8, 65535), 65535);
        assert_eq!(duty(i8::MAX, 65535), 65535);
    }
}
