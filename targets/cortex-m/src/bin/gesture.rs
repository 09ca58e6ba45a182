//! Gestures from an accelerometer on an I2C bus: a line for every movement that is not the last one's.
#![no_std]
#![no_main]

use board::{Line, Singleton, entry, exit, pass_done, stand_in::Accelerometer, start};
use systole_apps::gesture::{Gestures, Lis3dh, Seen};

/// What a LIS3DH's output registers held during still, shake, circle, tap and still.
static TRACE: &[u8] = include_bytes!("../../../../models/gesture.trace.bin");

static GESTURES: Singleton<Gestures> = Singleton::new(Gestures::new());

const ADDRESS: u8 = Lis3dh::<Accelerometer>::ADDRESS;

#[entry]
fn main() -> ! {
    start();
    let Some(gestures) = GESTURES.take() else { exit(false) };
    loop {
        // The board's I2C bus goes here. With it, samples do not end.
        let bus = Accelerometer::new(ADDRESS, TRACE);
        let Ok(mut sensor) = Lis3dh::new(bus, ADDRESS) else { exit(false) };
        loop {
            match sensor.sample() {
                Ok(Some(sample)) => {
                    if let Some(seen) = gestures.sample(sample) {
                        say(seen);
                    }
                }
                Ok(None) => break,
                Err(_) => exit(false),
            }
        }
        pass_done();
    }
}

/// Not inlined, so that the line is on the stack only while there is no model at work.
#[inline(never)]
fn say(seen: Seen) {
    Line::new().text(seen.label).text(" ").number(seen.percent.into()).text(" %").print();
}
