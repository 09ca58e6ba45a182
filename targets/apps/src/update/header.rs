//! What a slot begins with.

use systole::format::checksum;

/// Bytes that the header has to itself: the file behind it begins at a multiple of every flash's
/// write size, and of the 16 bytes that models need.
pub(super) const HEADER_BYTES: usize = 256;

const MAGIC: [u8; 8] = *b"SYSTSLOT";

/// Little-endian: magic, sequence, length, checksum of these 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// One more than that of the slot that was in use when this one was written.
    pub(super) sequence: u32,
    /// Bytes of the file.
    pub(super) length: u32,
}

impl Header {
    /// The header at the start of `slot`, if there is a valid one.
    pub(super) fn read(slot: &[u8]) -> Option<Self> {
        let (fields, rest) = slot.split_first_chunk::<16>()?;
        let stated = u32::from_le_bytes(*rest.first_chunk()?);
        let (magic, rest) = fields.split_first_chunk::<8>()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let header = Self {
            sequence: u32::from_le_bytes(*sequence),
            length: u32::from_le_bytes(*rest.first_chunk()?),
        };
        (*magic == MAGIC && stated == checksum(fields)).then_some(header)
    }

    /// The header's bytes, and erased ones behind them.
    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0xFF; HEADER_BYTES];
        let fields = MAGIC.into_iter().chain(self.sequence.to_le_bytes());
        put(&mut bytes, fields.chain(self.length.to_le_bytes()));
        let sum = checksum(bytes.get(..16).unwrap_or_default());
        put(bytes.get_mut(16..).unwrap_or_default(), sum.to_le_bytes());
        bytes
    }

    /// Whether this slot was written after the other one; sequence numbers may wrap.
    pub(super) fn newer_than(&self, other: &Self) -> bool {
        self.sequence.wrapping_sub(other.sequence) as i32 > 0
    }
}

fn put(to: &mut [u8], from: impl IntoIterator<Item = u8>) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { sequence: 7, length: 1324 };

    #[test]
    fn headers_are_read_as_they_were_written() {
        assert_eq!(Header::read(&HEADER.to_bytes()), Some(HEADER));
    }

    #[test]
    fn a_single_wrong_bit_makes_a_header_invalid() {
        for bit in 0..20 * 8 {
            let mut bytes = HEADER.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::read(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn erased_and_short_memory_holds_no_header() {
        assert_eq!(Header::read(&[0xFF; 256]), None);
        assert_eq!(Header::read(&HEADER.to_bytes()[..19]), None);
    }

    #[test]
    fn sequences_may_wrap() {
        let header = |sequence| Header { sequence, length: 0 };
        assert!(header(0).newer_than(&header(u32::MAX)));
        assert!(!header(u32::MAX).newer_than(&header(0)));
        assert!(!header(5).newer_than(&header(5)));
    }
}
