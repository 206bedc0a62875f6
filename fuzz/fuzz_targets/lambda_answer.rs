//! Answers of Lambda runtimes: whatever comes, in whatever pieces, is a head, data and an end; no
//! byte is made up, and what has neither prelude nor trailers passes unchanged.
#![no_main]

use faas_runtimes::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<Vec<u8>>)| {
    let (prelude, pieces) = input;
    let kind = if prelude {
        fuzzing::INTEGRATION
    } else {
        "text/plain"
    };
    let sent = pieces.concat();
    let (data, failed) = fuzzing::answer(kind, &pieces);
    assert!(data.len() <= sent.len(), "bytes out of nothing");
    if !failed && !prelude {
        assert_eq!(data, sent, "what is no error passes unchanged");
    }
    fuzzing::report(&sent);
});
