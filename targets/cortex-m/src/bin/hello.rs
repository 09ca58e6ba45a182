//! A light that follows sin(x), which a model of 288 multiply-accumulates computes.
#![no_std]
#![no_main]

use board::{Singleton, entry, exit, light, pass_done, pause, start};
use systole_apps::hello::{Hello, dim};

static MODEL: Singleton<Hello> = Singleton::new(Hello::new());

/// In 256ths of a turn.
const STEP: usize = 8;

#[entry]
fn main() -> ! {
    start();
    // Any output with `SetDutyCycle` will do.
    let (Some(model), Some(mut light)) = (MODEL.take(), light()) else { exit(false) };
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
