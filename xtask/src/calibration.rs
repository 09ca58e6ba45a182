//! What the bench firmware counts where nothing is to be counted, found out with loops of known
//! lengths before every measurement.

use crate::{
    error::{Result, failed},
    readings::{Count, Readings},
    targets::Counter,
};

/// What to subtract from counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// Instructions of starting and reading the counter.
    empty: u64,
    /// Those of the interrupt that counts wraps.
    wrap: u64,
}

/// Turns of the harness's loops, two instructions each: as in `targets/bench/src/bin/harness.rs`.
const TURNS: [u64; 5] = [1, 2, 1001, 1_000_001, 12_000_001];

impl Calibration {
    /// From what the harness printed.
    ///
    /// # Errors
    /// Where the loops do not count as they should: then the board's clock is not what is assumed.
    pub fn new(counter: Counter, readings: &Readings) -> Result<Self> {
        let raw = |count: Count| counter.instructions(count.wraps, count.ticks);
        let empty = readings.counts("empty").next().map(raw);
        let spins: Vec<Count> = readings.counts("spin").collect();
        let (Some(empty), Some(&first), TURNS_LEN) = (empty, spins.first(), spins.len()) else {
            return Err(failed!("the harness did not count its loops"));
        };
        let mut wrap = 0;
        for (&count, turns) in spins.iter().zip(TURNS) {
            let expected = raw(first) + 2 * (turns - 1);
            let surplus = raw(count).checked_sub(expected);
            // What is too much is the interrupt's, the same for each wrap.
            let (share, rest) = match (surplus, u64::from(count.wraps)) {
                (Some(surplus), 0) => (0, surplus),
                (Some(surplus), wraps) => (surplus / wraps, surplus % wraps),
                (None, _) => (0, 1),
            };
            if rest != 0 || share > 100 {
                return Err(failed!(
                    "a loop of {expected} instructions was counted as {}: the counter is not exact",
                    raw(count)
                ));
            }
            wrap = wrap.max(share);
        }
        Ok(Self { empty, wrap })
    }

    /// Instructions of a reading.
    pub fn instructions(self, counter: Counter, count: Count) -> u64 {
        let raw = counter.instructions(count.wraps, count.ticks);
        raw.saturating_sub(self.empty + self.wrap * u64::from(count.wraps))
    }
}

/// As many loops as there are.
const TURNS_LEN: usize = TURNS.len();

#[cfg(test)]
mod tests {
    use super::*;

    const MPS2: Counter = Counter::SysTick { tick_ps: 40_000 };
    /// What the harness printed on mps2-an386.
    const PRINTED: &str = "stack=0x20\nempty=0,e\nspin=0,1a\nspin=0,1d\nspin=0,c9a\nspin=0,30d41a\n\
                           spin=2,49f033\noutput=\n";

    #[test]
    fn loops_tell_what_to_subtract() {
        let calibration = Calibration::new(MPS2, &Readings::parse(PRINTED).unwrap()).unwrap();
        assert_eq!(calibration, Calibration { empty: 9, wrap: 8 });
        let spin = Count { wraps: 2, ticks: 0x49_F033 };
        // 16 of the first loop, without 9 of the empty count, and two more per turn.
        assert_eq!(calibration.instructions(MPS2, spin), 7 + 24_000_000);
    }

    #[test]
    fn another_clock_is_noticed() {
        let other = Counter::SysTick { tick_ps: 50_000 };
        let error = Calibration::new(other, &Readings::parse(PRINTED).unwrap()).unwrap_err();
        assert!(error.to_string().contains("not exact"), "{error}");
        assert!(Calibration::new(MPS2, &Readings::default()).is_err());
    }
}
