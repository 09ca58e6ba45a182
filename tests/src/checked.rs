//! Conversions whose memory plans are checked: what tests convert with.

use std::path::Path;

use systole_converter::{
    Converted, Options, Result, Source,
    compile::{self, Compiled},
    graph::Graph,
};

use crate::plan_check;

/// The converter's [`convert_file`](systole_converter::convert_file).
///
/// # Errors
/// The converter's.
///
/// # Panics
/// Where [`plan_check`] finds a tensor that is written over while it is needed.
pub fn convert_file(path: &Path, options: &Options) -> Result<Converted> {
    systole_converter::convert_file(path, options).map(checked)
}

/// The converter's [`convert`](systole_converter::convert).
///
/// # Errors
/// The converter's.
///
/// # Panics
/// As [`convert_file`].
pub fn convert(bytes: &[u8], options: &Options) -> Result<Converted> {
    systole_converter::convert(bytes, options).map(checked)
}

/// The converter's [`convert_source`](systole_converter::convert_source).
///
/// # Errors
/// The converter's.
///
/// # Panics
/// As [`convert_file`].
pub fn convert_source(source: Source, options: &Options) -> Result<Converted> {
    systole_converter::convert_source(source, options).map(checked)
}

/// The converter's [`compile`](systole_converter::compile::compile).
///
/// # Errors
/// The converter's.
///
/// # Panics
/// As [`convert_file`].
pub fn compile(graph: &Graph, options: &Options) -> Result<Compiled> {
    let compiled = compile::compile(graph, options)?;
    if let Err(why) = plan_check::check_compiled(&compiled) {
        panic!("a wrong memory plan: {why}");
    }
    Ok(compiled)
}

/// A conversion with a plan that is right.
///
/// # Panics
/// As [`convert_file`].
pub fn checked(converted: Converted) -> Converted {
    if let Err(why) = plan_check::check(&converted) {
        panic!("a wrong memory plan: {why}");
    }
    converted
}
