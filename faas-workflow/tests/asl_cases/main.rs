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

use case::{Case, files, folder};

/// Features that nothing here has: JSONata's evaluator is another crate's, and AWS's TestState API
/// is none of ours.
const EXCLUDED: [&str; 3] = ["jsonata", "mixed-query-language", "test-state"];

/// How much of a fault is shown.
const SHOWN: usize = 600;

#[test]
fn executions_are_what_aws_recorded() {
    let Some(folder) = folder() else {
        return;
    };
    let only = std::env::var("FAAS_CASE").unwrap_or_default();
    let (mut passed, mut excluded, mut failed) = (0, 0, Vec::new());
    for file in files(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let case: Case = serde_json::from_str(&text).unwrap();
        if !case.id.contains(&only) {
            continue;
        }
        if EXCLUDED
            .iter()
            .any(|feature| case.features.iter().any(|f| f == feature))
        {
            excluded += 1;
            continue;
        }
        match verdict::faults(&case) {
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
    println!(
        "asl-cases: {passed} passed, {} failed, {excluded} excluded",
        failed.len()
    );
    assert!(passed + failed.len() > 0, "there are no cases");
    assert!(failed.is_empty(), "{} cases fail", failed.len());
}
