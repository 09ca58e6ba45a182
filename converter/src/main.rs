//! The command `systole`.
fn main() {}
