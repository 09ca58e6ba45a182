//! What the firmware in `targets/` has in common.
#![no_std]

mod console;
mod singleton;
#[cfg(feature = "semihosting")]
#[path = "../../bench/src/stack.rs"]
mod stack;
pub mod stand_in;

#[cfg(feature = "rtt")]
use systole_log as _;

pub use console::Line;
pub use singleton::Singleton;

/// To be called first. In QEMU the stack is painted, so that its high-water mark can be told at the
/// end; a board starts like any other.
#[inline(always)]
pub fn start() {
    #[cfg(feature = "semihosting")]
    stack::paint();
}

/// Ends the program. In QEMU the exit status says whether all went well; on a board a line does.
#[cfg(feature = "semihosting")]
pub fn exit(done: bool) -> ! {
    Line::new().text("stack=").number(stack::high_water() as i32).report();
    semihosting::process::exit(i32::from(!done))
}

/// Ends the program. In QEMU the exit status says whether all went well; on a board a line does.
#[cfg(feature = "rtt")]
pub fn exit(done: bool) -> ! {
    Line::new().text(if done { "done" } else { "failed" }).print();
    loop {
        core::hint::spin_loop();
    }
}

/// After all that there is to show has been shown once: in QEMU the program ends, a board goes on.
pub fn pass_done() {
    #[cfg(feature = "semihosting")]
    exit(true);
}

/// Nothing here panics on purpose. Says nothing of where: strings and formatting cost more flash
/// than most models' code.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "semihosting")]
    semihosting::process::exit(101);
    #[cfg(not(feature = "semihosting"))]
    loop {
        core::hint::spin_loop();
    }
}
