use faas_core::policy::SeededRandom;
use serde_json::{Value, json};

use super::*;

/// Calls with literal arguments alone.
fn call(text: &str) -> Result<Value, String> {
    fn run(call: Call, random: &mut SeededRandom) -> Result<Value, String> {
        let template = call.function == Function::Format;
        let arguments = call.arguments.into_iter().enumerate();
        let arguments = arguments.map(|(index, argument)| match argument {
            Argument::Literal(value) => Ok(value),
            Argument::Text(raw) if template && index == 0 => Ok(raw.into()),
            Argument::Text(raw) => Ok(unescape(&raw).into()),
            Argument::Call(call) => run(call, random),
            Argument::Path(path) => panic!("{}", path.text()),
        });
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        call.function.call(arguments, random)
    }
    let call = parse(text).map_err(|fault| fault.0)?;
    run(call, &mut SeededRandom::new(7))
}

fn lists(text: &str) -> String {
    format!("States.StringToJson('{text}')")
}

fn check(cases: &[(String, Value)]) {
    for (text, wanted) in cases {
        assert_eq!(call(text).as_ref(), Ok(wanted), "{text}");
    }
}

#[test]
fn functions_of_lists_give_what_they_should() {
    let cases = [
        (
            "States.Format('{} is {}', 'x', 1.5)".into(),
            json!("x is 1.5"),
        ),
        (
            r"States.Format('\{{}\} \'{}\' \\', null, true)".into(),
            json!(r"{null} 'true' \"),
        ),
        (
            format!(
                "States.Format('{{}}', {})",
                lists(r#"{"a":[1,"b"],"c":{}}"#)
            ),
            json!("{a=[1, b], c={}}"),
        ),
        ("States.Array()".into(), json!([])),
        (
            "States.Array('Foo', 2020, null)".into(),
            json!(["Foo", 2020, null]),
        ),
        (
            format!("States.ArrayPartition({}, 2)", lists("[1,2,3]")),
            json!([[1, 2], [3]]),
        ),
        (
            format!("States.ArrayContains({}, 1.0)", lists("[1,2]")),
            json!(true),
        ),
        ("States.ArrayRange(1, 9, 2)".into(), json!([1, 3, 5, 7, 9])),
        ("States.ArrayRange(5, 1, -2)".into(), json!([5, 3, 1])),
        (
            format!("States.ArrayGetItem({}, 1)", lists("[1,2]")),
            json!(2),
        ),
        (format!("States.ArrayLength({})", lists("[1,2]")), json!(2)),
        (
            format!("States.ArrayUnique({})", lists("[1,1.0,\"1\",[1],[1]]")),
            json!([1, "1", [1]]),
        ),
    ];
    check(&cases);
}

#[test]
fn functions_of_texts_objects_and_numbers_give_what_they_should() {
    let cases = [
        (
            "States.Base64Encode('Data to encode')".into(),
            json!("RGF0YSB0byBlbmNvZGU="),
        ),
        (
            "States.Base64Decode('RGVjb2RlZCBkYXRh')".into(),
            json!("Decoded data"),
        ),
        (
            "States.Hash('input data', 'SHA-1')".into(),
            json!("aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ),
        (
            "States.Hash('', 'MD5')".into(),
            json!("d41d8cd98f00b204e9800998ecf8427e"),
        ),
        (
            format!(
                "States.JsonMerge({}, {}, false)",
                lists(r#"{"a":1,"b":1}"#),
                lists(r#"{"b":2}"#)
            ),
            json!({"a": 1, "b": 2}),
        ),
        (
            "States.JsonToString(States.Array(1, 'x'))".into(),
            json!("[1,\"x\"]"),
        ),
        ("States.MathAdd(1.5, -1)".into(), json!(1)),
        (
            "States.StringSplit('1,2,,3', ',')".into(),
            json!(["1", "2", "3"]),
        ),
        (
            "States.StringSplit('a.b+c', '.+')".into(),
            json!(["a", "b", "c"]),
        ),
    ];
    check(&cases);
    let number = call("States.MathRandom(3, 5)").unwrap().as_i64().unwrap();
    assert!((3..5).contains(&number));
    assert_eq!(
        call("States.MathRandom(0, 99, 1)"),
        call("States.MathRandom(0, 99, 1)")
    );
    let uuid = call("States.UUID()").unwrap();
    let uuid = uuid.as_str().unwrap();
    assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
}

#[test]
fn bad_arguments_are_told() {
    for text in [
        "States.ArrayRange(1, 10, 0)",
        "States.ArrayRange(1, 10000, 1)",
        "States.ArrayPartition(States.Array(1), 0)",
        "States.ArrayGetItem(States.Array(1), 1)",
        "States.ArrayGetItem(States.Array(1), -1)",
        "States.ArrayLength('x')",
        "States.Hash('x', 'SHA-3')",
        "States.Base64Decode('*')",
        "States.JsonMerge(1, 2, false)",
        "States.JsonMerge(States.StringToJson('{}'), States.StringToJson('{}'), true)",
        "States.MathRandom(2, 2)",
        "States.MathAdd(9223372036854775807, 1)",
        "States.StringToJson('{')",
    ] {
        assert!(call(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_no_call_is_told() {
    for text in [
        "States.Foo()",
        "States.UUID(1)",
        "States.UUID(",
        "States.UUID() ",
        " States.UUID()",
        "States.UUID)",
        "States.Array('x)",
        "States.Array(x)",
        "States.Array([1])",
        "States.Array(1 2)",
        "States.Array(1,)",
        r"States.Array('\n')",
        "States.Format('{}')",
        "States.Format(1)",
        "States.Format('{} {}', 1)",
        "",
        "States.Array(\"x\")",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    let deep = format!("{}1{}", "States.Array(".repeat(11), ")".repeat(11));
    assert!(parse(&deep).is_err());
    let many = format!("States.Array({}1)", "1,".repeat(300));
    assert!(parse(&many).is_err());
}
