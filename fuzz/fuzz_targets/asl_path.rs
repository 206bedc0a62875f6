//! Paths of Amazon States Language: a path is all of its text, reads back, and visits no more than
//! it may.
#![no_main]

use faas_workflow::asl::fuzzing::path;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const NODES: usize = 10_000;

fuzz_target!(|text: &str| {
    let (text, value) = text.split_once('\n').unwrap_or((text, "null"));
    let value: Value = serde_json::from_str(value).unwrap_or_default();
    if let Some(read) = path(text, &value, NODES) {
        assert_eq!(read, text);
    }
});
