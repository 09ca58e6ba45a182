//! Row bands: operators that follow each other run in turn on a few rows at a time, so that what is
//! between them is never there as a whole.
//!
//! An operator over an image computes rows of its output from rows of its input: a few rows of a
//! convolution's output are a convolution over the rows that its windows see. So a *group* of operators is
//! rewritten as steps on bands of rows, with the same kernels and the same bytes, and a tensor between two
//! operators shrinks to a *line buffer* of the rows that are still needed. Rows that the next band needs again
//! are moved to the front of the buffer, so nothing is computed twice. A residual sum at the end of a
//! group can lie on the rows that it adds, and a group's output on the rows of its input that have been
//! read.
//!
//! Bands whose steps differ only in where rows lie become one `repeat`.

mod choose;
mod group;
mod rewrite;
mod schedule;

pub use choose::{Chosen, apply};
