//! Readings between operators, kept until the run is over.

use crate::{Count, machine};

/// Readings before the first and after each of `N - 1` operators.
#[derive(Debug)]
pub struct Layers<const N: usize> {
    readings: [Count; N],
    taken: usize,
}

impl<const N: usize> Layers<N> {
    /// None taken.
    pub const fn new() -> Self {
        Self { readings: [Count::ZERO; N], taken: 0 }
    }

    /// Takes a reading.
    #[inline(never)]
    pub fn read(&mut self) {
        if let Some(reading) = self.readings.get_mut(self.taken) {
            *reading = machine::read();
            self.taken += 1;
        }
    }

    /// Forgets all readings, and takes two: what is between them is the reading itself.
    pub fn begin(&mut self) -> [Count; 2] {
        self.taken = 0;
        self.read();
        self.read();
        let pair = [self.first(), self.readings.get(1).copied().unwrap_or(Count::ZERO)];
        self.taken = 0;
        self.read();
        pair
    }

    /// Prints all readings.
    pub fn print(&self) {
        for reading in self.readings.iter().take(self.taken) {
            reading.print("layer");
        }
    }

    fn first(&self) -> Count {
        self.readings.first().copied().unwrap_or(Count::ZERO)
    }
}

impl<const N: usize> Default for Layers<N> {
    fn default() -> Self {
        Self::new()
    }
}
