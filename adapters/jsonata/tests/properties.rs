//! What holds for any expression and any input.

use faas_jsonata::{Context, Dialect, Expression, Limits};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn context() -> Context<'static> {
    Context::default().with_limits(Limits::default().depth(200).steps(200_000).bytes(1 << 20))
}

fn evaluate(source: &str, input: &Value) -> Value {
    let expression: Expression = source.parse().unwrap_or_else(|e| panic!("{source}: {e}"));
    let result = expression.evaluate(input, &context());
    result
        .unwrap_or_else(|e| panic!("{source} on {input}: {e}"))
        .unwrap_or(Value::Null)
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-e]",
        1 => Just("and".to_owned()),
        1 => Just("true".to_owned()),
        1 => "[ -_a-~é😀]{0,4}".prop_map(|name| name.replace('`', "")),
    ]
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1000..1000_i64).prop_map(Value::from),
        (-1e3..1e3_f64).prop_map(Value::from),
        "[ -~é😀]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Texts of the grammar: not all of them mean something.
fn sources() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        names().prop_map(|name| format!("`{name}`")),
        "[a-e]",
        Just("$".to_owned()),
        Just("$$".to_owned()),
        "\\$[x-z]",
        Just("*".to_owned()),
        Just("**".to_owned()),
        Just("%".to_owned()),
        "[0-9]{1,3}(\\.[0-9]{1,2})?(e-?[0-9])?",
        Just("null".to_owned()),
        "\"([ -!#-\\[\\]-~é]|\\\\[nt\\\\\"])*\"",
        "/[a-c]+(\\[[a-c/]\\])?/i?",
        prop::sample::select(vec!["$sum", "$map", "$string", "$sort", "$match", "$merge"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let operators = prop::sample::select(vec![
            ".", "+", "-", "*", "/", "%", "&", "=", "!=", "<", "<=", ">", ">=", " in ", " and ",
            " or ", "~>", "?:", "??",
        ]);
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            4 => (inner.clone(), operators, inner.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
            2 => two.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
            1 => inner.clone().prop_map(|a| format!("{a}[]")),
            1 => two.clone().prop_map(|(a, b)| format!("{a}^(>{b}, {b})")),
            1 => two.clone().prop_map(|(a, b)| format!("{a}{{{b}: {a}}}")),
            1 => two.clone().prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            1 => two.clone().prop_map(|(a, b)| format!("[{a}, {b}..{a}]")),
            1 => two.clone().prop_map(|(a, b)| format!("({a}; {b})")),
            1 => two.clone().prop_map(|(a, b)| format!("$x := {a} ? {b}")),
            1 => two.clone().prop_map(|(a, b)| format!("{a} ? {b} : {a}")),
            2 => two.clone().prop_map(|(a, b)| format!("{a}({b})")),
            1 => inner.clone().prop_map(|a| format!("$map(?, {a})")),
            1 => inner.clone().prop_map(|a| format!("function($x, $y)<x-n?:a<n>>{{ {a} }}")),
            1 => two.clone().prop_map(|(a, b)| format!("|{a}|{b}, [{a}]|")),
            1 => inner.clone().prop_map(|a| format!("-{a}")),
            1 => inner.clone().prop_map(|a| format!("{a}@$x#$y")),
            1 => inner.prop_map(|a| format!("/* a */ {a}")),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(source in sources()) {
        if let Ok(expression) = source.parse::<Expression>() {
            let printed = expression.to_string();
            let again = printed.parse::<Expression>();
            prop_assert_eq!(again.as_ref(), Ok(&expression), "{} was printed as {}", source, printed);
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(source in "[ -~é😀\\n]{0,40}") {
        if let Err(error) = source.parse::<Expression>() {
            prop_assert!(error.code().starts_with('S'), "{}", error);
            // A parent has no place in the reference, and so none here.
            let placed = error.code() != "S0217";
            prop_assert!(!placed || error.position().is_some(), "{}", error);
        }
    }

    #[test]
    fn any_expression_ends_the_same_way_each_time(source in sources(), input in json_values()) {
        for dialect in [Dialect::Standard, Dialect::StepFunctions] {
            if let Ok(expression) = Expression::parse(&source, dialect) {
                let once = expression.evaluate(&input, &context());
                prop_assert_eq!(&once, &expression.evaluate(&input, &context()));
                let told = expression.explain(&input, &context());
                prop_assert_eq!(told.result(), once.as_ref().map(Option::as_ref));
                let _ = told.to_string();
            }
        }
    }

    #[test]
    fn the_input_is_its_own_value(input in json_values()) {
        prop_assert_eq!(evaluate("$$", &input), input.clone());
        prop_assert_eq!(evaluate("$", &input), input);
    }

    #[test]
    fn a_text_of_json_is_read_back(input in json_values()) {
        let wrapped = json!([input]);
        let again = evaluate("$eval($string($[0]))", &json!([wrapped]));
        let text = evaluate("$string($)", &wrapped);
        prop_assert_eq!(evaluate("$string($)", &again), text);
    }

    #[test]
    fn sorting_orders_and_keeps(numbers in prop::collection::vec(-50..50_i64, 2..40)) {
        let input = json!(numbers);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        prop_assert_eq!(evaluate("$sort($)", &input), json!(sorted));
        prop_assert_eq!(evaluate("$^($)", &input), json!(sorted));
        sorted.reverse();
        prop_assert_eq!(evaluate("$^(>$)", &input), json!(sorted));
        prop_assert_eq!(evaluate("$sort($, function($l, $r){ $l < $r })", &input), json!(sorted));
    }

    #[test]
    fn distinct_values_are_there_once(values in prop::collection::vec(json_values(), 2..8)) {
        let mut kept: Vec<Value> = Vec::new();
        for value in &values {
            if !kept.contains(value) {
                kept.push(value.clone());
            }
        }
        prop_assert_eq!(evaluate("[[$distinct($)]]", &json!(values)), json!([kept]));
    }

    #[test]
    fn times_are_read_back(millis in -2_000_000_000_000..4_000_000_000_000_i64) {
        let input = json!(millis);
        prop_assert_eq!(evaluate("$toMillis($fromMillis($))", &input), input.clone());
        let pictures = "$toMillis($fromMillis($, '[D1o] [MNn] [Y], [H01]:[m01]:[s01].[f001] [Z]', \
                        '-0330'), '[D1o] [MNn] [Y], [H01]:[m01]:[s01].[f001] [Z]')";
        prop_assert_eq!(evaluate(pictures, &input), input);
    }

    #[test]
    fn numbers_are_read_back(number in 0..100_000_i64) {
        for picture in ["w", "W", "Ww;o", "a", "#,##0", "0;o"] {
            let source = format!("$parseInteger($formatInteger($, '{picture}'), '{picture}')");
            prop_assert_eq!(evaluate(&source, &json!(number)), json!(number), "{}", picture);
        }
        let number = number % 4000 + 1;
        prop_assert_eq!(
            evaluate("$parseInteger($formatInteger($, 'I'), 'I')", &json!(number)),
            json!(number)
        );
    }

    #[test]
    fn encodings_are_read_back(text in "[ -~é😀]{0,12}") {
        let input = json!(text);
        for pair in ["decodeUrlComponent($encodeUrlComponent", "decodeUrl($encodeUrl"] {
            // A percent sign that was there is no escape.
            let source = format!("${pair}($))");
            prop_assert_eq!(evaluate(&source, &input), input.clone());
        }
        if text.chars().all(|c| u32::from(c) < 256) {
            prop_assert_eq!(evaluate("$base64decode($base64encode($))", &input), input);
        }
    }

    #[test]
    fn partitions_are_the_array(items in prop::collection::vec(0..9_i64, 1..30), size in 1..8_i64) {
        let expression =
            Expression::parse("$partition(items, size)", Dialect::StepFunctions).unwrap();
        let input = json!({"items": items, "size": size});
        let parts = expression.evaluate(&input, &context()).unwrap().unwrap();
        let parts: Vec<Vec<i64>> = serde_json::from_value(parts).unwrap();
        prop_assert!(parts.iter().rev().skip(1).all(|part| part.len() as i64 == size));
        prop_assert_eq!(parts.concat(), items);
    }
}
