//! Bytes as hexadecimal digits, two for each.

/// The digits.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes; `None` for other text.
pub fn decode(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_bytes_and_other_text_is_refused() {
        assert_eq!(decode("5afe"), Some(vec![0x5a, 0xfe]));
        assert_eq!(decode(&encode(&[0, 0x8f])), Some(vec![0, 0x8f]));
        assert_eq!([decode("E0x"), decode("0x"), decode("é")], [None, None, None]);
    }
}
