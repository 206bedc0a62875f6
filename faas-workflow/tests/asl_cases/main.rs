//! What AWS Step Functions itself answered, as the judge of Amazon States Language.
//!
//! The cases are an open emulator's, recorded on AWS; they stay outside the repository, and are
//! found below `FAAS_CASES` (`../shared`, seen from the repository's root, by default). Their README
//! gives the format, the wildcards and the rules of comparison. Excluded are, by feature, those that
//! need what is not there: never one by its name.

#[cfg(test)]
mod case;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod drive;
#[cfg(test)]
mod files;
#[cfg(test)]
mod verdict;
#[cfg(test)]
mod world;

use std::sync::Arc;

use faas_jsonata::StatesExpressions;
use faas_workflow::asl::StatesLanguage;

use case::{Case, files, folder, read};

/// What JSONPath alone can do. Never is a case excluded by its name.
const EXPRESSIONS: [&str; 2] = ["jsonata", "mixed-query-language"];

/// AWS's TestState API, which is none of ours.
const TEST_STATE: &str = "test-state";

/// How much of a fault is shown.
const SHOWN: usize = 600;

/// Runs the cases that `wanted` says, and tells what came of them.
fn judge(name: &str, states: &StatesLanguage, wanted: impl Fn(&Case) -> bool) {
    let Some(folder) = folder() else {
        return;
    };
    let only = std::env::var("FAAS_CASE").unwrap_or_default();
    let (mut passed, mut excluded, mut failed) = (0, 0, Vec::new());
    for case in files(&folder).iter().map(|file| read(file)) {
        if !case.id.contains(&only) {
            continue;
        }
        if !wanted(&case) {
            excluded += 1;
            continue;
        }
        match verdict::faults(&case, states) {
            faults if faults.is_empty() => passed += 1,
            faults => failed.push((case.id, faults)),
        }
    }
    for (id, faults) in &failed {
        println!("FAILED {id}");
        for fault in faults.iter().take(5) {
            println!("    {}", fault.chars().take(SHOWN).collect::<String>());
        }
    }
    let failures = failed.len();
    println!("{name}: {passed} passed, {failures} failed, {excluded} excluded");
    assert!(passed + failures > 0, "there are no cases");
    assert!(failed.is_empty(), "{failures} cases fail");
}

fn has(case: &Case, features: &[&str]) -> bool {
    case.features
        .iter()
        .any(|own| features.contains(&own.as_str()))
}

#[test]
fn executions_are_what_aws_recorded() {
    judge("asl-cases", &StatesLanguage::new(), |case| {
        !has(case, &EXPRESSIONS) && !has(case, &[TEST_STATE])
    });
}

#[test]
fn executions_with_expressions_are_what_aws_recorded() {
    let expressions = Arc::new(StatesExpressions::default());
    let states = StatesLanguage::new().with_expressions(expressions);
    judge("asl-cases-jsonata", &states, |case| {
        has(case, &EXPRESSIONS) && !has(case, &[TEST_STATE])
    });
}
