//! JSONata's own test suite, of which a part is in a folder beside the repository: below
//! `FAAS_CASES`, in `jsonata-cases`. What `FAAS_CASES` says is seen from the repository's root;
//! the default is `../shared`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use faas_jsonata::{Context, Error, Expression, Limits};
use serde::Deserialize;
use serde_json::Value;

/// Cases that are not run, and why.
const EXCLUDED: &[(&str, &str)] = &[(
    "_lone-surrogates",
    "half a surrogate pair is no character: strict UTF-8 readers refuse it, as the suite's README says",
)];

/// How many steps stand for a millisecond of the suite's limits: bounds here are no clocks.
const STEPS_PER_MILLI: u64 = 10_000;

#[derive(Deserialize)]
struct Group {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    expr: String,
    dataset: Option<String>,
    /// Told apart: an input of null, and none.
    #[serde(default, deserialize_with = "present")]
    data: Option<Value>,
    #[serde(default)]
    bindings: Option<BTreeMap<String, Value>>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default, rename = "undefinedResult")]
    undefined_result: bool,
    code: Option<String>,
    token: Option<String>,
    error: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    unordered: bool,
    depth: Option<usize>,
    timelimit: Option<u64>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cases = std::env::var_os("FAAS_CASES").unwrap_or_else(|| "../shared".into());
    root.join(cases).join("jsonata-cases")
}

#[test]
fn the_suite_passes() {
    let folder = folder();
    let Ok(groups) = std::fs::read_dir(folder.join("groups")) else {
        println!(
            "\n!!! JSONATA-CASES ARE ABSENT: no {}; nothing was judged !!!\n",
            folder.display()
        );
        println!("jsonata-cases: 0 passed, 0 failed, 0 excluded");
        return;
    };
    let mut files: Vec<PathBuf> = groups.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut passed, mut failed, mut excluded) = (0, 0, 0);
    let mut faults = String::new();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "json"))
    {
        let group = file.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(file).unwrap();
        if let Some((_, reason)) = EXCLUDED.iter().find(|(name, _)| *name == group) {
            let count = text.matches("\"id\"").count();
            println!("excluded: {count} of {group}: {reason}");
            excluded += count;
            continue;
        }
        let Group { cases } =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{group}: {e}"));
        let before = (passed, failed);
        for case in cases {
            match judge(&case, &folder) {
                Ok(()) => passed += 1,
                Err(fault) => {
                    failed += 1;
                    let _ = writeln!(faults, "{}: {}\n    {fault}", case.id, case.expr.trim());
                }
            }
        }
        if failed > before.1 {
            let (ok, bad) = (passed - before.0, failed - before.1);
            println!("{group}: {ok} passed, {bad} failed");
        }
    }
    print!("{faults}");
    println!("jsonata-cases: {passed} passed, {failed} failed, {excluded} excluded");
    assert_eq!(failed, 0, "{failed} cases failed:\n{faults}");
    assert!(passed > 0, "no case was found in {}", folder.display());
}

fn judge(case: &Case, folder: &Path) -> Result<(), String> {
    let input = match (&case.data, &case.dataset) {
        (Some(data), _) => Some(data.clone()),
        (None, Some(name)) => {
            let file = folder.join("datasets").join(format!("{name}.json"));
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
            Some(serde_json::from_str(&text).map_err(|error| error.to_string())?)
        }
        (None, None) => None,
    };
    let empty = BTreeMap::new();
    let mut limits = Limits::default();
    if let Some(depth) = case.depth {
        limits = limits.depth(depth);
    }
    if let Some(millis) = case.timelimit {
        limits = limits.steps(millis * STEPS_PER_MILLI);
    }
    let mut context = Context::default().with_limits(limits);
    for (name, value) in case.bindings.as_ref().unwrap_or(&empty) {
        context = context.bind(name, value);
    }
    let expression = case.expr.parse::<Expression>();
    let outcome = expression.and_then(|expression| expression.evaluate(input.as_ref(), &context));
    match (outcome, &case.code, &case.error) {
        (Err(error), Some(code), _) => expect_error(&error, code, case.token.as_deref()),
        (Err(error), None, Some(fields)) => fields
            .iter()
            .try_for_each(|(name, value)| expect_field(&error, name, value)),
        (Ok(value), Some(wanted), _) => Err(format!("wanted {wanted}, got {value:?}")),
        (Ok(value), None, Some(wanted)) => Err(format!("wanted {wanted:?}, got {value:?}")),
        (Err(error), None, None) => Err(format!("wanted {:?}, got {error}", case.result)),
        (Ok(None), None, None) if case.undefined_result => Ok(()),
        (Ok(Some(found)), None, None) => match &case.result {
            Some(wanted) if same(wanted, &found, case.unordered) => Ok(()),
            wanted => Err(format!("wanted {wanted:?}\n    got    {found:?}")),
        },
        (Ok(None), None, None) => Err(format!("wanted {:?}, got nothing", case.result)),
    }
}

fn expect_error(error: &Error, code: &str, token: Option<&str>) -> Result<(), String> {
    // The suite's own runner has one code for the two bounds that it watches over.
    let is_code = match code {
        "U1001" => matches!(error.code(), "D1011" | "D1012"),
        code => error.code() == code,
    };
    if !is_code || token.is_some_and(|token| error.offending_token() != Some(token)) {
        return Err(format!(
            "wanted {code} {token:?}, got {error} {:?}",
            error.offending_token()
        ));
    }
    Ok(())
}

fn expect_field(error: &Error, name: &str, wanted: &Value) -> Result<(), String> {
    let found = match name {
        "code" => Some(error.code().into()),
        "message" => Some(error.message().into()),
        "token" => error.offending_token().map(Value::from),
        "position" => error.position().map(Value::from),
        other => error.detail(other).cloned(),
    };
    if found.as_ref() == Some(wanted) {
        return Ok(());
    }
    Err(format!("wanted {name} {wanted}, got {found:?} of {error}"))
}

/// Deep equality; numbers are compared as doubles, and arrays as multisets where that is asked for.
fn same(wanted: &Value, found: &Value, unordered: bool) -> bool {
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) if unordered => {
            let mut rest: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|a| {
                    let at = rest.iter().position(|b| same(a, b, unordered));
                    at.map(|at| rest.remove(at)).is_some()
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, unordered))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b, unordered)))
        }
        _ => wanted == found,
    }
}
