//! `ContentType`: what is read can stand in a header, unchanged.
#![no_main]

use faas_core::ContentType;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(content_type) = text.parse::<ContentType>() {
        assert_eq!(content_type.as_str(), text);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let _ = content_type.is_json();
    }
});
