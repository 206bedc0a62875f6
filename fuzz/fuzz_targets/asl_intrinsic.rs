//! Calls of the intrinsic functions of Amazon States Language: their paths are paths, and stand in
//! the text.
#![no_main]

use faas_workflow::asl::fuzzing::{intrinsic, path};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    for read in intrinsic(text).into_iter().flatten() {
        assert!(text.contains(&read), "{read} stands in {text}");
        assert!(path(&read, &Value::Null, 100).is_some(), "{read} is a path");
    }
});
