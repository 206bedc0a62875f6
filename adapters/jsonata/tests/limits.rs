//! Expressions of other people: whatever they are, an evaluation ends, within its limits.

use faas_jsonata::{Context, Error, ErrorKind, Expression, Limits};
use serde_json::{Value, json};

fn evaluate(source: &str, limits: Limits) -> Result<Option<Value>, Error> {
    source
        .parse::<Expression>()?
        .evaluate(None, &Context::default().with_limits(limits))
}

/// The code of the limit that ends the evaluation.
fn code(source: &str, limits: Limits) -> &'static str {
    match evaluate(source, limits) {
        Ok(value) => panic!("{source} ended with {value:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(error.message().len() < 1000);
            error.code()
        }
    }
}

fn few() -> Limits {
    Limits::default().steps(100_000)
}

#[test]
fn loops_without_end_end() {
    for source in [
        "($f := function(){ $f() }; $f())",
        "($f := function($x){ $x ? $g($x) : $g(1) }; $g := function($x){ $f($x) }; $f(1))",
        "($f := function(){ ($x := 1; $f()) }; $f())",
        "($f := function(){ (function(){ 1 }; $f()) }; $f())",
    ] {
        assert_eq!(code(source, few()), "D1012", "{source}");
    }
}

#[test]
fn recursion_is_bounded() {
    for source in [
        "($f := function(){ 1 + $f() }; $f())",
        "($f := function($x){ $map([$x], $f) }; $f(1))",
        "($f := function($x){ $x.$f($x) }; $f(1))",
        "($f := function(){ {'a': $f()} }; $f())",
        "($f := function($a, $b){ $sort([2, 1], $f) }; $f(1, 2))",
        "($f := function($m){ $replace('a', /a/, $f) }; $f(1))",
        "$eval('($f := function($s){ $eval($s) & $f($s) }; $f(\"1\"))')",
    ] {
        let error = evaluate(source, Limits::default()).unwrap_err();
        let message = format!("{source}: {error}");
        assert!(
            error.code() == "D1011" || message.contains("Stack overflow"),
            "{message}"
        );
    }
}

#[test]
fn deep_recursion_does_not_overflow_the_native_stack() {
    let limits = Limits::default().depth(1_000_000);
    let source = "($f := function($n){ $n = 0 ? 0 : 1 + $f($n - 1) }; $f(20000))";
    assert_eq!(evaluate(source, limits).unwrap(), Some(json!(20_000)));
}

#[test]
fn deep_expressions_are_refused() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    for source in [
        deep("(", ")"),
        deep("[", "]"),
        deep("-", ""),
        deep("1+", ""),
        deep("a.", ""),
        deep("{'a':", "}"),
        deep("$f(", ")"),
        deep("function(){", "}"),
        deep("1?", ""),
        deep("1?:", ""),
        deep("a[", "]"),
        deep("|a|{}|~>", ""),
        deep("$x:=", ""),
        deep("", "[0]"),
        deep("", "[]"),
        deep("", ".a"),
        deep("", "^(a)"),
        deep("", "()"),
    ] {
        let error = source.parse::<Expression>().unwrap_err();
        assert_eq!(error.code(), "S0218", "{}", &source[..20]);
    }
}

#[test]
fn deep_values_are_refused_and_freed() {
    for source in [
        "$reduce([1..10000], function($a, $x){ [[$a]] }, 1)",
        "$reduce([1..10000], function($a, $x){ {'a': $a} }, 1)",
        "($f := function($n, $g){ $n = 0 ? $g : $f($n - 1, $g ~> $string) }; $f(5000, $string))",
        "($f := function($n, $g){ $n = 0 ? $g : $f($n - 1, $append(?, $g)) }; $f(5000, $string))",
        "($f := function($n, $v){ $n = 0 ? $v : $f($n - 1, {'v': $v}) }; $f(5000, 1))",
    ] {
        assert_eq!(code(source, Limits::default()), "D1015", "{source}");
    }
    // Functions that remember each other are as flat as their frames.
    let source = "$type($reduce([1..10000], function($f, $x){ function(){ $f } }, 1))";
    assert_eq!(
        evaluate(source, Limits::default()).unwrap(),
        Some(json!("function"))
    );
}

#[test]
fn what_doubles_is_bounded() {
    let text = "$reduce([1..60], function($a, $x){ $a & $a }, 'x') ~> $length";
    assert_eq!(code(text, Limits::default().bytes(1 << 20)), "D1014");
    for source in [
        "$reduce([1..60], function($a, $x){ [[$a], [$a]] }, 1)",
        "$reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1)",
        "$string($reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1))",
        "($f := function(){ $reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1) }; $f() = $f())",
        "$count($reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1).**)",
        "$distinct([1, $reduce([1..60], function($a, $x){ [[$a], [$a]] }, 1)])",
        "$boolean($reduce([1..60], function($a, $x){ [[$a], [$a]] }, 0))",
        "$clone($reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1))",
        "$reduce([1..60], function($a, $x){ {'a': $a, 'b': $a} }, 1) ~> |a|{}|",
    ] {
        assert_eq!(code(source, few()), "D1012", "{source}");
    }
}

#[test]
fn names_that_a_path_binds_count_as_steps() {
    let names: String = (0..60).map(|n| format!(".$@$n{n}")).collect();
    let limits = Limits::default().steps(1_000_000);
    assert_eq!(code(&format!("$count([1..900]{names})"), limits), "D1012");
    let limits = Limits::default().steps(1_000_000);
    assert_eq!(
        evaluate("$count([1..900].$@$n.$)", limits).unwrap(),
        Some(json!(900))
    );
}

#[test]
fn sizes_are_bounded() {
    let limits = Limits::default().sequence(1_000).bytes(10_000);
    for (source, code_of_limit) in [
        ("[1..1001]", "D2015"),
        ("[0..10000000]", "D2014"),
        ("$append([1..600], [1..600])", "D2015"),
        ("[[1..600], [1..600], 1..600]", "D1014"),
        ("[1..100].([1..100])", "D2015"),
        ("$pad('', 100000)", "D1014"),
        ("$join([1..900].('twelve bytes'))", "D1014"),
        ("[1..900].('twelve bytes')", "D1014"),
        ("$replace($pad('', 9000, 'a'), 'a', 'bb')", "D1014"),
    ] {
        assert_eq!(code(source, limits), code_of_limit, "{source}");
    }
}

#[test]
fn regular_expressions_take_linear_time() {
    let source = "$match($pad('', 50000, 'a'), /(a+)+$b/) ~> $count";
    assert_eq!(evaluate(source, Limits::default()).unwrap(), Some(json!(0)));
    let source = "$count($match($pad('', 20000, 'ab'), /a/))";
    assert_eq!(
        evaluate(source, Limits::default()).unwrap(),
        Some(json!(10_000))
    );
}

#[test]
fn the_same_steps_are_always_taken() {
    let expression: Expression = "$sum([1..100].($ * 2)) + $random()".parse().unwrap();
    let run = |steps: u64| {
        let limits = Limits::default().steps(steps);
        expression.evaluate(None, &Context::default().with_limits(limits))
    };
    let needed = (1..10_000).find(|steps| run(*steps).is_ok()).unwrap();
    assert_eq!(run(needed), run(needed + 1));
    assert_eq!(run(needed - 1).unwrap_err().code(), "D1012");
}

#[test]
fn numbers_that_are_none_are_taken_everywhere() {
    let functions = [
        "$formatInteger(X, 'w')",
        "$formatInteger(X, 'I')",
        "$formatInteger(X, 'a')",
        "$formatInteger(X, '#,##0')",
        "$formatNumber(X, '#,##0.00')",
        "$formatNumber(X, '0e0')",
        "$formatBase(X, 2)",
        "$formatBase(10, X)",
        "$fromMillis(X)",
        "$fromMillis(X, '[Y] [W] [w] [x] [FNn]')",
        "$round(X, 2)",
        "$round(1, X)",
        "$substring('abc', X, X)",
        "$pad('abc', X)",
        "$power(X, X)",
        "$split('a,b', ',', X)",
        "$match('aa', /a/, X)",
        "$replace('aa', 'a', 'b', X)",
        "[1, 2][X]",
        "[1, 2][[X]]",
        "[X..2]",
        "$sort([X, 1, X])",
        "[X, 1, X]^($)",
        "$sum([X])",
        "$string([X])",
        "$boolean(X)",
        "/a/('aa', X)",
        "$distinct([X, X])",
        "X = X",
        "-X",
    ];
    let numbers = [
        "(0/0)",
        "(1/0)",
        "(-1/0)",
        "1e300",
        "-1e300",
        "5e-324",
        "9007199254740993",
        "-0.5",
    ];
    for function in functions {
        for number in numbers {
            let source = function.replace('X', number);
            // It gives a value or an error; it does not panic, nor take long.
            let _ = evaluate(&source, few());
        }
    }
}

#[test]
fn pictures_of_any_size_are_taken() {
    let long = "0".repeat(70_000);
    for source in [
        format!("$formatNumber(1, '{long}')"),
        format!("$formatNumber(1, '0.{long}')"),
        format!("$formatNumber(1, '0e{long}')"),
        format!("$formatInteger(1, '{long}')"),
        format!("$fromMillis(1, '[Y{long}]')"),
        "$fromMillis(1, '[Y,999999999-999999999]')".to_owned(),
        format!("$toMillis('{long}', '[Y]')"),
        format!("$toMillis('{}', '[Y]')", "9".repeat(300)),
        "$toMillis('999999999', '[Y]')".to_owned(),
        "$toMillis('2000-999999999-999999999', '[Y]-[M]-[D]')".to_owned(),
        "$toMillis('275760-09-13', '[Y]-[M]-[D]')".to_owned(),
        "$parseInteger('999999999999999999999999', '0')".to_owned(),
    ] {
        let _ = evaluate(&source, few());
    }
}
