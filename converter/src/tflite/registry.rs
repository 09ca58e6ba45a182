//! Which function imports which TFLite operator: a row per operator.

use tract_tflite::tflite::{BuiltinOperator, Operator};

use super::Importer;
use crate::{error::Result, ops};

/// Imports one operator: reads its options and adds nodes to the graph.
pub type Import = fn(&mut Importer, &Operator<'_>) -> Result<()>;

macro_rules! registry {
    ($($code:ident => $import:path,)*) => {
        /// The TFLite operators that can be imported.
        pub const SUPPORTED: &[&str] = &[$(stringify!($code),)*];

        /// The import of an operator, `None` where it is not supported.
        pub(super) fn import(code: BuiltinOperator) -> Option<Import> {
            match code {
                $(BuiltinOperator::$code => Some($import),)*
                _ => None,
            }
        }
    };
}

registry! {
    CONV_2D => ops::conv2d::import,
    DEPTHWISE_CONV_2D => ops::depthwise_conv2d::import,
    FULLY_CONNECTED => ops::fully_connected::import,
    AVERAGE_POOL_2D => ops::average_pool_2d::import,
    RESHAPE => ops::reshape::import,
    SOFTMAX => ops::softmax::import,
}
