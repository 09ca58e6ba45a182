//! The two functions that TFLite looks up in a delegate's library.

use std::{
    ffi::{CStr, CString, c_char},
    ptr,
};

use systole_tflite::sys::{DelegateHead, FullDelegate};

use crate::{
    claim::State,
    guard::{Result, caught},
    kernel::prepare_delegate,
    options::Options,
};

/// `kTfLiteDelegateFlagsAllowDynamicTensors`: the graph may have tensors whose shape is known only
/// while it runs. Nodes that read them are not claimed.
const ALLOW_DYNAMIC_TENSORS: i64 = 1;

/// Makes a delegate; null, and a message to `report`, where an option is wrong.
///
/// # Safety
/// `keys` and `values` have `count` C texts each; `report` is null or takes a C text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tflite_plugin_create_delegate(
    keys: *const *const c_char,
    values: *const *const c_char,
    count: usize,
    report: Option<unsafe extern "C" fn(*const c_char)>,
) -> *mut DelegateHead {
    let made = caught(|| {
        // SAFETY: by the caller.
        let pair = |at| unsafe { Ok((text(keys, at)?, text(values, at)?)) };
        let pairs: Vec<(String, String)> = (0..count).map(pair).collect::<Result<_>>()?;
        Ok(create(Options::parse(&pairs)?))
    });
    match made {
        Ok(delegate) => delegate,
        Err(problem) => {
            let problem = CString::new(format!("Systole: {problem}").replace('\0', " "));
            if let (Some(report), Ok(problem)) = (report, problem) {
                // SAFETY: a C text that lasts for the call.
                unsafe { report(problem.as_ptr()) }
            }
            ptr::null_mut()
        }
    }
}

/// Frees a delegate.
///
/// # Safety
/// `delegate` is null or one that this library made, and no interpreter uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tflite_plugin_destroy_delegate(delegate: *mut DelegateHead) {
    let _ = caught(|| {
        if !delegate.is_null() {
            // SAFETY: both were boxes of `create`.
            unsafe {
                drop(Box::from_raw((*delegate).data.cast::<State>()));
                drop(Box::from_raw(delegate.cast::<FullDelegate>()));
            }
        }
        Ok(())
    });
}

/// # Safety
/// `texts` is null or has a C text, or null, at `at`.
unsafe fn text(texts: *const *const c_char, at: usize) -> Result<String> {
    if texts.is_null() {
        return Err("options without keys or values".to_owned());
    }
    // SAFETY: not null; the rest is the caller's.
    let text = unsafe { *texts.add(at) };
    if text.is_null() {
        return Err(format!("option {at} has no text"));
    }
    // SAFETY: not null; the rest is the caller's.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str().map_err(|_| format!("option {at} is not UTF-8"))?;
    Ok(text.to_owned())
}

fn create(options: Options) -> *mut DelegateHead {
    let head = DelegateHead {
        data: Box::into_raw(Box::new(State::new(options))).cast(),
        prepare: Some(prepare_delegate),
        copy_from_buffer: None,
        copy_to_buffer: None,
        free_buffer: None,
        flags: ALLOW_DYNAMIC_TENSORS,
    };
    // Of the size that current hosts read; older ones read less of it.
    Box::into_raw(Box::new(FullDelegate { head, opaque_delegate_builder: ptr::null() })).cast()
}
