//! The light of boards without a driver here: printed.

use embedded_hal::pwm::SetDutyCycle;

/// A PWM output for a light; once.
pub fn light() -> Option<impl SetDutyCycle> {
    Some(crate::stand_in::Pwm)
}
