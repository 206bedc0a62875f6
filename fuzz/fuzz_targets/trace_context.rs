//! `TraceContext`: what is read is present, and is written back so that it reads the same.
#![no_main]

use faas_core::TraceContext;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(context) = text.parse::<TraceContext>() {
        assert!(context.is_present());
        assert_eq!(context.to_string().parse().ok(), Some(context));
    }
});
