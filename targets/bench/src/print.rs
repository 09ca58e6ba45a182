//! Lines `name=value` over semihosting, without `core::fmt`.

use semihosting::io::{self, Write};

/// Prints `name=` and a number in hexadecimal.
pub fn number(name: &str, value: u64) {
    text(name);
    text("=");
    let mut digits = [0; 16];
    let mut value = value;
    for digit in digits.iter_mut().rev() {
        *digit = hex((value & 15) as u8);
        value >>= 4;
    }
    raw(&digits);
    text("\n");
}

/// Prints `name=` and bytes in hexadecimal, the first one first.
pub fn bytes(name: &str, bytes: &[u8]) {
    text(name);
    text("=");
    for byte in bytes {
        raw(&[hex(byte >> 4), hex(byte & 15)]);
    }
    text("\n");
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }
}

fn text(text: &str) {
    raw(text.as_bytes());
}

fn raw(bytes: &[u8]) {
    if let Ok(mut out) = io::stdout() {
        // A host that does not listen is found out by what it misses.
        let _ = out.write_all(bytes);
    }
}
