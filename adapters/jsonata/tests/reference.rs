//! What the reference implementation (npm `jsonata` 2.2.2) gives where a first reading of the
//! language would have it otherwise: found by running both on generated expressions.

use faas_jsonata::{Context, Error, Expression};
use serde_json::{Value, json};

fn evaluate(source: &str, input: &Value) -> Result<Option<Value>, Error> {
    let expression: Expression = source.parse()?;
    // 2017-11-18T10:13:20.123Z, a time before noon.
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_511_000_000_123);
    expression.evaluate(input, &Context::new(now, 42))
}

#[test]
fn values() {
    let input = json!({"id": 42, "text": "hello", "ids": [4, 51, 42], "flag": true, "none": null});
    for (source, expected) in [
        // No number where to start, but a length: the end is no place.
        ("$substring('abc', missing, 2)", Some(json!(""))),
        ("$substring('abc', missing)", Some(json!("abc"))),
        // What is no text is matched as its text.
        ("(id ~> /4/).match", Some(json!("4"))),
        ("ids[$ ~> /^4/]", Some(json!([4, 42]))),
        ("(flag ~> /r(.)/).groups", Some(json!(["u"]))),
        ("(none ~> /l+/).match", Some(json!("ll"))),
        ("(missing ~> /d/).match", None),
        // No match: all of the text, whatever the limit.
        ("$split('abc', /x/, 0)", Some(json!(["abc"]))),
        ("$split('abc', /b/, 0)", Some(json!([]))),
        ("$split('a1b2c', /[0-9]/, 2)", Some(json!(["a", "b"]))),
        ("$replace('abc', /x*/, '-', 0)", Some(json!("abc"))),
        ("$match('abab', /a(b)/, 1).groups", Some(json!(["b"]))),
        // A day of a year that has fewer days begins the same year again.
        (
            "$toMillis('2018-060', '[Y]-[d001]') ~> $fromMillis('[M]-[D]')",
            Some(json!("3-1")),
        ),
        (
            "$toMillis('2018-366', '[Y]-[d001]')",
            Some(json!(1_514_764_800_000_i64)),
        ),
        // Names are read as they are written: in the case of a title.
        (
            "$toMillis('March 2018', '[MNn] [Y]') ~> $fromMillis('[M01]')",
            Some(json!("03")),
        ),
        (
            "$toMillis('MARCH 2018', '[MN] [Y]') ~> $fromMillis('[M01]')",
            Some(json!("01")),
        ),
        (
            "$toMillis('2018-03-27 3 PM', '[Y]-[M]-[D] [h] [P]') ~> $fromMillis('[H01]')",
            Some(json!("15")),
        ),
        (
            "$toMillis('2018-03-27 12 am', '[Y]-[M]-[D] [h] [P]') ~> $fromMillis('[H01]')",
            Some(json!("00")),
        ),
        (
            "$toMillis('13:00', '[h]:[m]') ~> $fromMillis('[H01]:[m01]')",
            Some(json!("13:00")),
        ),
        // Commas are read where separators are regular.
        ("$parseInteger('1,234', '#.##0')", Some(json!(1234))),
        ("$parseInteger('-5', '0-0')", Some(json!(-5))),
        (
            "$formatInteger(1e100, 'w')",
            Some(json!(
                "ten thousand trillion trillion trillion trillion trillion trillion trillion trillion"
            )),
        ),
    ] {
        assert_eq!(evaluate(source, &input).unwrap(), expected, "{source}");
    }
}

#[test]
fn errors() {
    let input = json!({"text": "hello"});
    for (source, code, token) in [
        ("$power(1)", "T0411", Some("power")),
        ("$power(1, missing)", "D3061", Some("power")),
        ("$power(2, missing)", "D3061", Some("power")),
        ("$formatNumber(1, '0e')", "D3093", Some("formatNumber")),
        (
            "$toMillis('2018 001 10', '[Y] [d001] [H]')",
            "D3136",
            Some("toMillis"),
        ),
        // The match behind the last one that counts is looked for, too.
        ("$match('abc', /x*/, 1)", "D1004", Some("match")),
        ("$split('abc', /x*/, 1)", "D1004", Some("split")),
        ("$replace('abc', /x*/, '-', 1)", "D1004", Some("replace")),
        ("'\\", "S0103", Some("")),
        ("'\\u00", "S0101", None),
        ("'\\u00'", "S0104", None),
        ("$sum(?)(1)(2)", "T1006", Some("(")),
        ("[1](2)", "T1006", Some("[")),
        ("{}()", "T1006", Some("{")),
        ("false()", "T1006", Some("false")),
        ("*()", "T1006", Some("*")),
        ("$(?)", "T1008", Some("")),
    ] {
        let error = evaluate(source, &input).unwrap_err();
        assert_eq!(
            (error.code(), error.offending_token()),
            (code, token),
            "{source}"
        );
    }
}

#[test]
fn what_errors_name() {
    let input = json!({});
    let error = |source: &str| evaluate(source, &input).unwrap_err();
    assert_eq!(error("missing < true").detail("value"), None);
    assert_eq!(error("1 < true").detail("value"), Some(&json!(true)));
    assert_eq!(error("null < missing").detail("value"), Some(&json!(null)));
    assert_eq!(error("$power(0, missing)").detail("exp"), None);
    assert_eq!(
        error("function($x)<n<n>>{1}").detail("value"),
        Some(&json!("n"))
    );
    // Paths and parents have no place.
    assert_eq!(error("%.a").position(), None);
    assert_eq!(error("%").position(), None);
    assert_eq!(error("{'a': 1} ~> |$|a|").position(), None);
    assert_eq!(error("{} ~> |$|1|").position(), Some(10));
    for (source, message) in [
        ("'\\x'", "Unsupported escape sequence: \\\"x\""),
        (
            "$formatBase(1, 1)",
            "The radix of the formatBase function must be between 2 and 36.  It was given 1",
        ),
        (
            "$power(10, 1e20)",
            "The power function has resulted in a value that cannot be represented as a JSON number: base=10, exponent=100000000000000000000",
        ),
    ] {
        assert_eq!(error(source).message(), message, "{source}");
    }
}
