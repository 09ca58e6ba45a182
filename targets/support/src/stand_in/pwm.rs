//! A PWM output.

use core::convert::Infallible;

use embedded_hal::pwm::{ErrorType, SetDutyCycle};

use crate::Line;

/// Prints its duty cycle in per cent, and as a bar, whenever it is set.
#[derive(Default)]
pub struct Pwm;

impl ErrorType for Pwm {
    type Error = Infallible;
}

impl SetDutyCycle for Pwm {
    fn max_duty_cycle(&self) -> u16 {
        100
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        let mut line = Line::new();
        line.text("duty ").number(duty.into()).text(" % ");
        for _ in 0..duty / 5 {
            line.text("#");
        }
        line.print();
        Ok(())
    }
}
