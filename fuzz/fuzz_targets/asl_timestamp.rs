//! Timestamps of Amazon States Language: each is one of RFC 3339, and reads back as it is shown.
#![no_main]

use faas_workflow::asl::timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(at) = timestamp::parse(text) {
        assert_eq!(text.as_bytes()[10], b'T');
        assert_eq!(timestamp::parse(&at.to_string()), Some(at), "{text}");
    }
});
