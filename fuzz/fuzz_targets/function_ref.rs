//! `FunctionRef`: what is read is written back so that it reads the same.
#![no_main]

use faas_core::FunctionRef;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<FunctionRef>() {
        Ok(function) => {
            let again = function.to_string().parse::<FunctionRef>();
            assert_eq!(again.ok().as_ref(), Some(&function));
        }
        Err(error) => assert!(error.message().len() < 4096, "a message as long as its input"),
    }
});
