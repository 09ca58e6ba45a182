//! A count of a model's parts before it is decoded: an empty part takes two bytes of a file, and
//! hundreds in memory.

use crate::error::{Result, bail};

/// The most parts: nodes, names, attributes, constants, dimensions.
const MAX_PARTS: usize = 1_000_000;

/// The messages that hold others without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Port,
    Type,
    TensorType,
    Shape,
    /// What holds nothing that is counted.
    Other,
}

impl Message {
    /// What is in a field of this number.
    fn field(self, number: u64) -> Self {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::Port,
            (Self::Port, 2) | (Self::Attribute, 14 | 15) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            _ => Self::Other,
        }
    }
}

/// Fails where a model has more parts than one that can be read.
///
/// # Errors
/// `TooLarge`; `Corrupt` for groups, which ONNX has none of. What is damaged otherwise is left to the
/// decoder, which stops where this does.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    let mut open = vec![(bytes, Message::Model)];
    let mut parts = 0;
    while let Some((mut rest, message)) = open.pop() {
        while let Some(tag) = varint(&mut rest) {
            let skipped = match tag & 7 {
                0 => varint(&mut rest).map(|_| &[][..]),
                1 => rest.split_off(..8),
                5 => rest.split_off(..4),
                2 => varint(&mut rest)
                    .and_then(|length| usize::try_from(length).ok())
                    .and_then(|length| rest.split_off(..length)),
                _ => bail!(Corrupt, "it has groups of fields"),
            };
            let Some(inner) = skipped else { break };
            if tag & 7 == 2 {
                parts += 1;
                if parts > MAX_PARTS {
                    bail!(
                        TooLarge,
                        "more than {MAX_PARTS} nodes, names, attributes and dimensions"
                    );
                }
                let message = message.field(tag >> 3);
                if message != Message::Other {
                    open.push((inner, message));
                }
            }
        }
    }
    Ok(())
}

/// A number in as many bytes as it needs; `None` at the end, and where it is damaged.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of this number that holds `bytes`, their length in four bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let digit = |place: usize| (bytes.len() >> (7 * place) & 0x7F) as u8;
        let length = [digit(0) | 0x80, digit(1) | 0x80, digit(2) | 0x80, digit(3)];
        [&[number << 3 | 2][..], &length, bytes].concat()
    }

    #[test]
    fn parts_are_counted_however_deep_they_are() {
        let few = |number: u8| field(number, b"").repeat(MAX_PARTS - 3);
        let many = |number: u8| field(number, b"").repeat(MAX_PARTS);
        // Nodes, attributes of a node, attributes of a node in a graph in an attribute.
        for path in [&[7][..], &[7, 1], &[7, 1, 5, 6, 1]] {
            let wrap = |inner: Vec<u8>| {
                path.iter().rev().fold(inner, |inner, &number| field(number, &inner))
            };
            let number = if path.len() % 2 == 1 { 1 } else { 5 };
            assert!(check(&wrap(many(number))).is_err(), "{path:?}");
            assert!(path.len() > 3 || check(&wrap(few(number))).is_ok(), "{path:?}");
        }
        // The bytes of a name are no parts.
        assert!(check(&field(2, &many(1))).is_ok());
    }

    #[test]
    fn damage_ends_the_count() {
        for bytes in [&[0x3A][..], &[0x3A, 0xFF], &[0xFF; 20], &[0x09, 1, 2], &[]] {
            assert!(check(bytes).is_ok());
        }
        assert!(check(&[0x0B]).is_err());
    }
}
