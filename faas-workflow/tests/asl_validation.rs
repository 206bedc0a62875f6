//! Definitions that must be accepted, and others that must be refused: those of two validators that
//! nobody here wrote. The files stay outside the repository; see `FAAS_CASES`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use faas_workflow::asl::{
    CompiledExpression, ExpressionError, ExpressionLanguage, ExpressionScope, StatesLanguage,
};
use serde_json::Value;

/// Knows of JSONata whether its brackets close, and that it has no JSONPath filters: an evaluator
/// is another crate's.
#[derive(Debug)]
struct Brackets;

impl ExpressionLanguage for Brackets {
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledExpression>, String> {
        if text.contains("[?(") {
            return Err("JSONPath's filters are not JSONata's".into());
        }
        // What a regular expression holds is not looked at.
        let outside: String = text.split(" /").step_by(2).collect();
        let depth = |open, close| {
            let count = |bracket| outside.matches(bracket).count();
            count(open) == count(close)
        };
        if depth('(', ')') || text.contains('/') {
            return Ok(Arc::new(Brackets));
        }
        Err("a parenthesis is not closed".into())
    }
}

impl CompiledExpression for Brackets {
    fn evaluate(&self, _: &ExpressionScope<'_>) -> Result<Option<Value>, ExpressionError> {
        Ok(None)
    }
    fn variables(&self) -> Vec<String> {
        Vec::new()
    }
}

fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("FAAS_CASES").map(PathBuf::from);
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = given.unwrap_or_else(default).join("asl-validation");
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "asl-validation: SKIPPED: there is no {}; FAAS_CASES names another place",
        folder.display()
    );
    None
}

/// What is wrong with the validator's answer for one file, if anything is.
fn fault(language: &StatesLanguage, text: &str, case: &Value) -> Option<String> {
    let report = language.validate(text);
    let valid = case["valid"] == true;
    if valid != report.is_ok() {
        return Some(format!("valid is {valid}, and the report says\n{report}"));
    }
    let problems = case["problems"].as_u64().unwrap_or(0);
    let found = report.errors().count() as u64;
    if found < problems {
        return Some(format!(
            "{problems} problems, of which these are told\n{report}"
        ));
    }
    let mentions = case["problem_mentions"].as_array().into_iter().flatten();
    let told: String = report
        .errors()
        .map(|d| format!("{} {}\n", d.path, d.message))
        .collect();
    // Longer ones are the other validator's wording.
    let names = mentions
        .filter_map(Value::as_str)
        .filter(|m| !m.contains(' '));
    let missing: Vec<_> = names
        .filter(|name| !told.contains(name.trim_matches('"')))
        .collect();
    (!missing.is_empty()).then(|| format!("{missing:?} are not mentioned in\n{report}"))
}

#[test]
fn definitions_are_accepted_and_refused_as_others_do() {
    let Some(folder) = folder() else {
        return;
    };
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let language = StatesLanguage::new().with_expressions(Arc::new(Brackets));
    let (mut passed, mut failed) = (0, Vec::new());
    for (file, case) in index.as_object().unwrap() {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        match fault(&language, &text, case) {
            None => passed += 1,
            Some(fault) => failed.push(format!("{file}: {fault}")),
        }
    }
    println!("asl-validation: {passed} passed, {} failed", failed.len());
    assert!(passed > 0, "there are no files");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
