//! Windows of the latest samples, one every [`HOP`] samples, and what the model sees in them.

use heapless::Deque;

use super::{Gesture, Sample};

/// Samples of a window: 1.28 s at 50 Hz.
pub const WINDOW: usize = 64;

/// Samples from one window to the next.
pub const HOP: usize = 16;

/// Gestures less likely than this, in 256ths, are not reported.
const THRESHOLD: i16 = 200;

/// What a step of the model's input is, in mg.
const STEP_MG: i16 = (Gesture::INPUT.quantization.scale * 1000.0 + 0.5) as i16;

/// What was seen in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The gesture's name.
    pub label: &'static str,
    /// Its probability in per cent.
    pub percent: u8,
}

/// The latest samples and the model.
#[derive(Debug)]
pub struct Gestures {
    samples: Deque<[i8; 3], WINDOW>,
    /// Samples since the last window.
    fresh: usize,
    /// What the last window held.
    last: Option<&'static str>,
    reported: Option<&'static str>,
    model: Gesture,
}

impl Gestures {
    /// Without samples.
    pub const fn new() -> Self {
        Self { samples: Deque::new(), fresh: 0, last: None, reported: None, model: Gesture::new() }
    }

    /// Takes a sample. Says what was seen when two windows in a row hold the same, and other than
    /// what was said last: where one movement follows another, the window that holds the ends of
    /// both looks like a third.
    pub fn sample(&mut self, sample: Sample) -> Option<Seen> {
        // A ring: the oldest sample makes room.
        if self.samples.is_full() {
            self.samples.pop_front();
        }
        let _ = self.samples.push_back(sample.map(quantize));
        self.fresh += 1;
        if self.fresh < HOP || !self.samples.is_full() {
            return None;
        }
        self.fresh = 0;
        let seen = self.look();
        let label = seen.map(|seen| seen.label);
        let again = core::mem::replace(&mut self.last, label) == label;
        if !again || label.is_none() || self.reported == label {
            return None;
        }
        self.reported = label;
        seen
    }

    /// What the model sees in the window, if it is sure enough.
    fn look(&mut self) -> Option<Seen> {
        let input = self.model.input_mut().chunks_exact_mut(3);
        for (to, from) in input.zip(&self.samples) {
            to.copy_from_slice(from);
        }
        let scores = self.model.run_in_place();
        let (&score, label) =
            scores.iter().zip(Gesture::LABELS).max_by_key(|(score, _)| **score)?;
        let likely = i16::from(score) + 128;
        (likely >= THRESHOLD).then_some(Seen { label, percent: (likely * 25 / 64) as u8 })
    }
}

impl Default for Gestures {
    fn default() -> Self {
        Self::new()
    }
}

/// The nearest step of the model's input, whose zero point is 0; the ends where it lies beyond.
fn quantize(mg: i16) -> i8 {
    let half = if mg < 0 { -STEP_MG / 2 } else { STEP_MG / 2 };
    (mg.saturating_add(half) / STEP_MG).clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Still, shake, circle, tap and still, 64 samples each, as the sensor's registers hold them.
    static TRACE: &[u8] = include_bytes!("../../../../models/gesture.trace.bin");

    fn trace() -> impl Iterator<Item = Sample> {
        let axis = |low, high| (i16::from_le_bytes([low, high]) >> 4) * 2;
        TRACE.chunks_exact(6).map(move |b| [axis(b[0], b[1]), axis(b[2], b[3]), axis(b[4], b[5])])
    }

    #[test]
    fn the_recorded_gestures_are_seen_in_their_order() {
        let mut gestures = Gestures::new();
        let seen: Vec<_> =
            trace().filter_map(|sample| gestures.sample(sample)).map(|seen| seen.label).collect();
        // The stillness at the start fills one window only.
        assert_eq!(seen, ["shake", "circle", "tap", "still"]);
    }

    #[test]
    fn windows_come_once_full_and_every_hop_from_then_on() {
        let mut gestures = Gestures::new();
        let ready: Vec<_> = (0..WINDOW + 2 * HOP)
            .filter(|_| {
                // As if this window's had been seen before, and not reported.
                (gestures.last, gestures.reported) = (Some("still"), None);
                gestures.sample([0, 0, 1000]).is_some()
            })
            .collect();
        assert_eq!(ready, [WINDOW - 1, WINDOW + HOP - 1, WINDOW + 2 * HOP - 1]);
    }

    #[test]
    fn what_goes_on_is_reported_once() {
        let mut gestures = Gestures::new();
        let reports = (0..10 * WINDOW).filter_map(|_| gestures.sample([0, 0, 1000])).count();
        assert_eq!(reports, 1);
    }

    #[test]
    fn samples_are_rounded_to_the_models_steps() {
        assert_eq!(STEP_MG, 32);
        let q =
            |mg: i16| f64::from(Gesture::INPUT.quantization.quantize_i8(f32::from(mg) / 1000.0));
        for mg in (-5000..5000).chain([i16::MIN, i16::MAX]) {
            assert!(
                (f64::from(quantize(mg)) - q(mg)).abs()
                    <= f64::from(u8::from(mg % 32 == 16 || mg % 32 == -16))
            );
        }
    }

    #[test]
    fn the_models_ports_are_what_this_module_takes_for_granted() {
        assert_eq!(Gesture::INPUT.shape, [1, WINDOW, 1, 3]);
        assert_eq!(Gesture::INPUT.quantization.zero_point, 0);
        assert_eq!(Gesture::OUTPUT.quantization.scale, 1.0 / 256.0);
        assert_eq!(Gesture::OUTPUT.quantization.zero_point, -128);
    }
}
