//! A light that follows sin(x), which a model of 288 multiply-accumulates computes.
#![no_std]
#![no_main]

use board::{Singleton, entry, exit, pass_done, pause, stand_in::Pwm};
use systole_apps::hello::{Hello, dim};

static MODEL: Singleton<Hello> = Singleton::new(Hello::new());

/// In 256ths of a turn.
const STEP: usize = 8;

#[entry]
fn main() -> ! {
    let Some(model) = MODEL.take() else { exit(false) };
    // Any output with `SetDutyCycle`: a channel of the board's timer goes here.
    let mut light = Pwm;
    loop {
        for phase in (0..=u8::MAX).step_by(STEP) {
            if dim(model, phase, &mut light).is_err() {
                exit(false);
            }
            pause();
        }
        pass_done();
    }
}
