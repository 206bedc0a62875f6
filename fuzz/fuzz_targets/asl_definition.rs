//! State machines in Amazon States Language: what is refused has a fault, what is accepted compiles,
//! and begins on any input with a state that survives its bytes.
#![no_main]

use std::sync::Arc;

use faas_workflow::Language;
use faas_workflow::asl::{StatesLanguage, definition};
use faas_workflow::program::{Beginning, ExecutionIdentity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (text, input) = text.split_once('\n').unwrap_or((text, "{}"));
    let language = StatesLanguage::new();
    let report = language.validate(text);
    let (accepted, shown) = (report.is_ok(), report.to_string());
    assert!(accepted || !shown.is_empty());
    let program = match language.compile(&definition(text)) {
        Ok(program) => program,
        Err(faults) => return assert!(!faults.0.is_empty()),
    };
    assert!(accepted, "{shown}");
    let Ok(input) = serde_json::from_str(input) else {
        return;
    };
    let execution = ExecutionIdentity {
        id: 7u128.into(),
        name: "one".try_into().expect("a name"),
        workflow: "machine".parse().expect("a reference"),
    };
    let at = "2031-01-01T00:00:00Z".parse().expect("a timestamp");
    let begun = program.begin(Beginning::new(at, 1, execution, Arc::new(input)));
    let begun = begun.expect("it is this program's state");
    let saved = program.save(&begun.state).expect("it is its own");
    let restored = program.restore(&saved).expect("it saved it");
    assert_eq!(program.save(&restored).expect("it is its own"), saved);
});
