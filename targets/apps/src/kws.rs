//! Keyword spotting: a window of sound features becomes a label and how sure the model is.
//!
//! The model is `models/vowels.systole`, trained on synthetic vowels, unless `SYSTOLE_KWS_MODEL` and
//! `SYSTOLE_KWS_WINDOW` name another one, with class names in its file, and the bytes of its input.

include!(concat!(env!("OUT_DIR"), "/kws.rs"));

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The class, as the model's file calls it.
    pub label: &'static str,
    /// Its probability in per cent.
    pub percent: u8,
}

/// The likeliest of the model's classes.
pub fn listen(model: &mut Kws, window: &[i8; WINDOW.len()]) -> Heard {
    let heard = model.run(window).iter().zip(Kws::LABELS).max_by_key(|(score, _)| **score);
    // There are classes, so that the default is never taken.
    heard.map_or(Heard { label: "", percent: 0 }, |(&score, label)| Heard {
        label,
        percent: percent(score),
    })
}

/// Scores are probabilities: per cent of the smallest step, in 16 fractional bits.
const STEP: i32 = (Kws::OUTPUT.quantization.scale * 100.0 * 65536.0) as i32;

fn percent(score: i8) -> u8 {
    ((i32::from(score) - Kws::OUTPUT.quantization.zero_point) * STEP / 65536).clamp(0, 100) as u8
}

/// Bytes of a file as the model's elements.
#[expect(clippy::indexing_slicing, reason = "runs while compiling, which it fails if it fails")]
const fn as_i8<const N: usize>(bytes: &[u8; N]) -> [i8; N] {
    let mut elements = [0; N];
    let mut i = 0;
    while i < N {
        elements[i] = bytes[i] as i8;
        i += 1;
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_window_is_recognized() {
        let heard = listen(&mut Kws::new(), &WINDOW);
        assert_eq!(heard.label, "aye");
        assert!(heard.percent > 80, "{heard:?}");
    }

    #[test]
    fn scores_are_probabilities() {
        assert_eq!([-128, 0, 127].map(percent), [0, 50, 99]);
    }
}
