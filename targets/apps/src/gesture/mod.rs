//! Gestures: an accelerometer's samples go into a ring buffer, and windows of it through a model.

mod lis3dh;
mod window;

pub use lis3dh::{Error, Lis3dh, Sample};
pub use window::{Gestures, HOP, Seen, WINDOW};

systole::include_model!(
    /// Still, tap, shake or circle, from 64 samples of three axes at 50 Hz.
    pub Gesture, "../../models/gesture.systole"
);
