//! The Pico's light, on GPIO25: channel B of PWM slice 4.

use embedded_hal::pwm::SetDutyCycle;
use rp2040_hal::{
    Sio, Watchdog, clocks::init_clocks_and_plls, gpio::Pins, pac::Peripherals, pwm::Slices,
};

/// The crystal, in Hz.
const CRYSTAL: u32 = 12_000_000;

/// A PWM output for a light; once.
pub fn light() -> Option<impl SetDutyCycle> {
    let pac = Peripherals::take()?;
    let mut resets = pac.RESETS;
    let mut watchdog = Watchdog::new(pac.WATCHDOG);
    init_clocks_and_plls(
        CRYSTAL,
        pac.XOSC,
        pac.CLOCKS,
        pac.PLL_SYS,
        pac.PLL_USB,
        &mut resets,
        &mut watchdog,
    )
    .ok()?;
    let sio = Sio::new(pac.SIO);
    let pins = Pins::new(pac.IO_BANK0, pac.PADS_BANK0, sio.gpio_bank0, &mut resets);
    let mut slice = Slices::new(pac.PWM, &mut resets).pwm4;
    slice.enable();
    slice.channel_b.output_to(pins.gpio25);
    Some(slice.channel_b)
}
