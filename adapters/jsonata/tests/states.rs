//! What Amazon States Language needs: its functions, `$states`, and errors that can be told apart.

use std::time::{Duration, UNIX_EPOCH};

use faas_jsonata::{Context, Dialect, Error, ErrorKind, Expression};
use serde_json::{Value, json};

fn evaluate(source: &str, context: &Context<'_>) -> Result<Option<Value>, Error> {
    Expression::parse(source, Dialect::StepFunctions)?.evaluate(None, context)
}

fn value(source: &str) -> Value {
    let result = evaluate(source, &Context::default());
    result
        .unwrap_or_else(|e| panic!("{source}: {e}"))
        .unwrap_or_default()
}

fn code(source: &str) -> &'static str {
    match evaluate(source, &Context::default()) {
        Ok(value) => panic!("{source} gave {value:?}"),
        Err(error) => error.code(),
    }
}

#[test]
fn partition_cuts_an_array() {
    assert_eq!(value("$partition([1..5], 2)"), json!([[1, 2], [3, 4], [5]]));
    assert_eq!(value("$partition([1..4], 4)"), json!([[1, 2, 3, 4]]));
    assert_eq!(value("$partition([1, 2], 9)"), json!([[1, 2]]));
    assert_eq!(value("$partition(7, 1)"), json!([[7]]));
    assert_eq!(value("$partition($nothing, 1)"), json!(null));
    for size in ["0", "-1", "1.5"] {
        assert_eq!(code(&format!("$partition([1], {size})")), "D4002");
    }
}

#[test]
fn range_counts_in_steps() {
    assert_eq!(value("$range(1, 9, 2)"), json!([1, 3, 5, 7, 9]));
    assert_eq!(value("$range(0, 1, 0.25)"), json!([0, 0.25, 0.5, 0.75, 1]));
    assert_eq!(value("$range(3, 1, -1)"), json!([3, 2, 1]));
    assert_eq!(value("$range(1, 9, 9)"), json!(1));
    assert_eq!(value("$range(1, 0, 1)"), json!(null));
    assert_eq!(code("$range(1, 2, 0)"), "D4003");
    assert_eq!(code("$range(0, 1e300, 1)"), "D2015");
}

#[test]
fn hash_knows_five_algorithms() {
    for (algorithm, digest) in [
        ("MD5", "900150983cd24fb0d6963f7d28e17f72"),
        ("SHA-1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "SHA-256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "SHA-384",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            "SHA-512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ] {
        assert_eq!(
            value(&format!("$hash('abc', '{algorithm}')")),
            json!(digest)
        );
    }
    assert_eq!(code("$hash('abc', 'CRC32')"), "D4001");
}

#[test]
fn chance_follows_from_the_seed() {
    let with = |seed: u64, source: &str| {
        evaluate(source, &Context::new(UNIX_EPOCH, seed))
            .unwrap()
            .unwrap()
    };
    for source in ["$random()", "$uuid()", "[1..3].$uuid()"] {
        assert_eq!(with(1, source), with(1, source), "{source}");
        assert_ne!(with(1, source), with(2, source), "{source}");
    }
    // A seed that is given decides alone.
    assert_eq!(with(1, "$random(7)"), with(2, "$random(7)"));
    assert_ne!(value("$random(7)"), value("$random(8)"));
    let uuid = value("$uuid()");
    let parts: Vec<&str> = uuid.as_str().unwrap().split('-').collect();
    assert_eq!(
        parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
        [8, 4, 4, 4, 12]
    );
    assert!(
        parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']),
        "{uuid}"
    );
}

#[test]
fn parse_reads_json() {
    let text = r#"$parse('{"a": [1, 2.5, {"b": null}], "c": "d"}')"#;
    assert_eq!(value(text), json!({"a": [1, 2.5, {"b": null}], "c": "d"}));
    assert_eq!(value("$parse('[1,2]')[1]"), json!(2));
    assert_eq!(code("$parse('{')"), "D4004");
}

#[test]
fn there_is_no_eval() {
    assert_eq!(code("$eval('1')"), "T1006");
    let expression: Expression = "$eval('1')".parse().unwrap();
    assert_eq!(
        expression.evaluate(None, &Context::default()).unwrap(),
        Some(json!(1))
    );
}

#[test]
fn states_is_bound_to_its_parts() {
    let (input, result, rate) = (json!({"price": 4}), json!([1, 2]), json!(10));
    let context = Context::new(UNIX_EPOCH + Duration::from_millis(1_500), 0)
        .bind_fields("states", [("input", &input), ("result", &result)])
        .bind("rate", &rate);
    let source = "{'sum': $states.input.price * $rate + $sum($states.result), 'at': $now(), \
                  'all': $states, 'keys': $keys($states), 'context': $states.context}";
    let expected = json!({
        "sum": 43,
        "at": "1970-01-01T00:00:01.500Z",
        "all": {"input": input, "result": result},
        "keys": ["input", "result"],
    });
    assert_eq!(evaluate(source, &context).unwrap(), Some(expected));
}

#[test]
fn errors_tell_their_kind() {
    for (source, kind) in [
        ("1 +", ErrorKind::Syntax),
        ("/(?=a)/", ErrorKind::Syntax),
        ("1 + 'a'", ErrorKind::Type),
        ("$error('no stock')", ErrorKind::Dynamic),
        ("[1..20000000]", ErrorKind::Limit),
    ] {
        assert_eq!(
            evaluate(source, &Context::default()).unwrap_err().kind(),
            kind,
            "{source}"
        );
    }
    let error = evaluate("$states.x + $error('no stock')", &Context::default()).unwrap_err();
    assert_eq!(
        (error.message().as_str(), error.position()),
        ("no stock", Some(19))
    );
}

#[test]
fn an_explanation_finds_where_a_value_is_missing() {
    let input = json!({"orders": [{"id": 1, "total": 5}, {"id": 2}]});
    let told = |source: &str| {
        let context = Context::default().bind("states", &input);
        Expression::parse(source, Dialect::StepFunctions)
            .unwrap()
            .explain(None, &context)
    };
    let cause = |source: &str| {
        let told = told(source);
        let cause = told.cause().unwrap_or_else(|| panic!("{told}"));
        (cause.expression.clone(), cause.input.clone())
    };
    let (expression, of) = cause("$states.orders.prize");
    assert_eq!(
        (expression.as_str(), of.as_str()),
        ("prize", "{\"id\":1,\"total\":5}")
    );
    assert_eq!(cause("$missing + 1").0, "$missing");
    assert_eq!(cause("($x := $states.order; $x.id)").0, "order");
    assert_eq!(cause("$sum($states.orders.totl)").0, "totl");
    let told = told("$states.orders[total > 1].id");
    assert_eq!(told.result().unwrap(), Some(&json!(1)));
    assert_eq!(told.cause(), None);
    let text = told.to_string();
    assert!(text.contains("total > 1 → true"), "{text}");
    assert!(text.ends_with("= 1"), "{text}");
}
