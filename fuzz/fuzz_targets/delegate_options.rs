//! Any texts as the options of Systole as a delegate of TFLite, through the two functions that hosts call,
//! and as the name of a device. A line is a key, a tab and a value.
#![no_main]

use std::{
    ffi::{CString, c_char},
    ptr,
};

use libfuzzer_sys::fuzz_target;
use systole_delegate::{tflite_plugin_create_delegate, tflite_plugin_destroy_delegate};
use systole_tflite::DeviceChoice;

unsafe extern "C" fn report(text: *const c_char) {
    assert!(!text.is_null());
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(choice) = text.parse::<DeviceChoice>()
    {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    let text = |part: &[u8]| CString::new(part.split(|&byte| byte == 0).next().unwrap_or_default());
    let mut pairs = Vec::new();
    for line in bytes.split(|&byte| byte == b'\n').take(16) {
        let mut parts = line.splitn(2, |&byte| byte == b'\t');
        let (key, value) = (parts.next().unwrap_or_default(), parts.next());
        // It names a file that would be made.
        if key != b"report" {
            // What is left out is a null pointer.
            pairs.push((text(key).ok(), value.and_then(|value| text(value).ok())));
        }
    }
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    let keys: Vec<*const c_char> = pairs.iter().map(|(key, _)| pointer(key)).collect();
    let values: Vec<*const c_char> = pairs.iter().map(|(_, value)| pointer(value)).collect();
    // SAFETY: as many keys as values, each a C text or null; a delegate is freed once.
    unsafe {
        let (keys, values) = (keys.as_ptr(), values.as_ptr());
        let delegate = tflite_plugin_create_delegate(keys, values, pairs.len(), Some(report));
        tflite_plugin_destroy_delegate(delegate);
    }
});
