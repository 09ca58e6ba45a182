//! Keyword spotting from a stored window of features; `defmt` logs what was heard.
#![no_std]
#![no_main]

use board::{Singleton, entry, exit, pass_done, pause, start};
use systole_apps::kws::{Kws, WINDOW, listen};
use systole_log as _;

static MODEL: Singleton<Kws> = Singleton::new(Kws::new());

#[entry]
fn main() -> ! {
    start();
    let Some(model) = MODEL.take() else { exit(false) };
    loop {
        // A product fills the window from a microphone here.
        let heard = listen(model, &WINDOW);
        defmt::info!("heard {=str}, {=u8} %", heard.label, heard.percent);
        pause();
        pass_done();
    }
}
