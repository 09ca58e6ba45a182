//! What the bench firmware prints: lines `name=value`, numbers in hexadecimal.

use crate::{
    error::{Result, failed},
    hex,
};

/// A reading of the counter, see [`crate::targets::Counter::instructions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Turns of the counter.
    pub wraps: u32,
    /// Ticks of the turn that has begun.
    pub ticks: u32,
}

/// All that a run has printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Bytes of stack.
    pub stack: Option<u32>,
    /// Outputs in their order, those of the first sample first.
    pub outputs: Vec<Vec<u8>>,
    counts: Vec<(String, Count)>,
}

impl Readings {
    /// Reads the lines.
    ///
    /// # Errors
    /// At a line that is not as described.
    pub fn parse(text: &str) -> Result<Self> {
        let mut readings = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let wrong = || failed!("the firmware printed a line that is not understood: {line:?}");
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            match name {
                "stack" => readings.stack = Some(number(value).ok_or_else(wrong)?),
                "output" => readings.outputs.push(hex::decode(value).ok_or_else(wrong)?),
                _ => {
                    let (wraps, ticks) = value.split_once(',').ok_or_else(wrong)?;
                    let (Some(wraps), Some(ticks)) = (number(wraps), number(ticks)) else {
                        return Err(wrong());
                    };
                    readings.counts.push((name.to_owned(), Count { wraps, ticks }));
                }
            }
        }
        Ok(readings)
    }

    /// All counts with this name, in their order.
    pub fn counts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Count> + 'a {
        self.counts.iter().filter(move |(found, _)| found == name).map(|&(_, count)| count)
    }
}

/// `0x` and up to eight hexadecimal digits, or the digits alone.
fn number(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_their_order() {
        let text = "stack=0x000001f0\ncount=00000002,0049f035\noutput=80ff01\ncount=00000000,0000000a\n\
                    output=\n";
        let readings = Readings::parse(text).unwrap();
        assert_eq!(readings.stack, Some(0x1f0));
        let counts: Vec<Count> = readings.counts("count").collect();
        assert_eq!(counts, [Count { wraps: 2, ticks: 0x49_f035 }, Count { wraps: 0, ticks: 10 }]);
        assert_eq!(readings.outputs, [vec![0x80, 0xff, 1], vec![]]);
        assert_eq!(readings.counts("load").count(), 0);
    }

    #[test]
    fn other_lines_are_quoted() {
        for line in ["hello", "count=1", "count=x,1", "output=8", "output=é", "stack=-1"] {
            let error = Readings::parse(line).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }
}
