//! Lines of text without `core::fmt`.

use heapless::String;

/// A line that is being put together, in one place: returned by value, every step would take stack
/// for a line of its own. What does not fit is left out.
#[derive(Default)]
pub struct Line(String<80>);

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        // What does not fit is left out.
        let _ = self.0.push_str(text);
        self
    }

    /// Adds a number in decimal.
    pub fn number(&mut self, number: i32) -> &mut Self {
        let mut digits = [b'0'; 10];
        let (mut rest, mut count) = (number.unsigned_abs(), 0);
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            let _ = self.0.push('-');
        }
        for digit in digits.iter().skip(10 - count) {
            let _ = self.0.push(char::from(*digit));
        }
        self
    }

    /// Prints it: to QEMU's standard output.
    #[cfg(feature = "semihosting")]
    pub fn print(&mut self) {
        let _ = self.0.push('\n');
        if let Ok(out) = semihosting::io::stdout() {
            write(out, &self.0);
        }
    }

    /// Prints it to QEMU's standard error, where it does not disturb what `defmt` writes.
    #[cfg(feature = "semihosting")]
    pub(crate) fn report(&mut self) {
        let _ = self.0.push('\n');
        if let Ok(out) = semihosting::io::stderr() {
            write(out, &self.0);
        }
    }

    /// Prints it: over RTT, framed by `defmt`, which `probe-rs run` decodes.
    #[cfg(feature = "rtt")]
    pub fn print(&mut self) {
        defmt::println!("{=str}", self.0.as_str());
    }
}

/// Writes all of `text`; a host that does not listen is found out by what it misses. As `write_all`,
/// which slices by what the host says that it has taken, and so may panic. Inlined where the stream
/// has been opened: elsewhere its descriptor is checked by an assertion.
#[cfg(feature = "semihosting")]
#[inline(always)]
fn write(mut to: impl semihosting::io::Write, text: &str) {
    let mut left = text.as_bytes();
    while !left.is_empty() {
        let Ok(written @ 1..) = to.write(left) else { return };
        left = left.get(written..).unwrap_or_default();
    }
}
