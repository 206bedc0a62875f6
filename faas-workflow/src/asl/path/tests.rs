use serde_json::{Value, json};

use super::*;

fn find(path: &str, value: &Value) -> Result<Value, PathError> {
    let path = Path::parse(path).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    path.find(0, value, 1000).map(evaluate::Found::into_value)
}

fn store() -> Value {
    json!({
        "store": { "bicycle": { "price": 19.95 }, "book": [
            { "title": "A", "price": 8.95, "isbn": "1" },
            { "title": "B", "price": 12.99 },
            { "title": "c", "price": 22 },
        ] },
        "limit": 10, "delivery-partner": "UQS", "n": [3, 1, 2],
    })
}

#[test]
fn definite_paths_give_one_value() {
    let store = store();
    for (path, wanted) in [
        ("$.limit", json!(10)),
        ("$['limit']", json!(10)),
        ("$[\"delivery-partner\"]", json!("UQS")),
        ("$.delivery-partner", json!("UQS")),
        ("$.store.book[0].title", json!("A")),
        ("$.store.book[-1].title", json!("c")),
        (
            "$.store.book[0]['title','price']",
            json!({"title": "A", "price": 8.95}),
        ),
        ("$.n.length()", json!(3)),
        ("$.n.max()", json!(3.0)),
    ] {
        assert_eq!(find(path, &store), Ok(wanted), "{path}");
        assert!(Path::parse(path).unwrap().is_definite(), "{path}");
    }
    assert_eq!(find("$", &store), Ok(store.clone()));
    let missing = find("$.store.books[0]", &store).unwrap_err();
    let text = "No results for path: $['store']['books'][0]";
    assert_eq!(missing, PathError::Missing(text.into()));
}

#[test]
fn other_paths_give_lists() {
    let store = store();
    for (path, wanted) in [
        ("$.store.book[*].title", json!(["A", "B", "c"])),
        ("$..price", json!([19.95, 8.95, 12.99, 22])),
        ("$.store.*.price", json!([19.95])),
        ("$.n[0,2]", json!([3, 2])),
        ("$.n[1:]", json!([1, 2])),
        ("$.n[:-1]", json!([3, 1])),
        ("$.n[::2]", json!([3, 2])),
        ("$.store.book[?(@.price < 10)].title", json!(["A"])),
        ("$.store.book[?(@.isbn)].title", json!(["A"])),
        ("$.store.book[?(!@.isbn)].title", json!(["B", "c"])),
        (
            "$.store.book[?(@.price > $.limit && @.title == 'B')].title",
            json!(["B"]),
        ),
        (
            "$.store.book[?(@.price==22 || @.title=='A')].title",
            json!(["A", "c"]),
        ),
        (
            "$.store.book[?(@.title =~ /[a-c]/i)].title",
            json!(["A", "B", "c"]),
        ),
        (
            "$.store.book[?(@.title in ['A', 'c'])].title",
            json!(["A", "c"]),
        ),
        (
            "$.store.book[?(@.title size 1)].title",
            json!(["A", "B", "c"]),
        ),
        ("$.nothing[*]", json!([])),
        ("$.nothing[?(@.x == 1)]", json!([])),
    ] {
        assert_eq!(find(path, &store), Ok(wanted), "{path}");
        assert!(!Path::parse(path).unwrap().is_definite(), "{path}");
    }
}

#[test]
fn what_is_no_path_is_told() {
    let deep = format!("$[?({}@.a{})]", "(".repeat(100), ")".repeat(100));
    let long = "$".to_owned() + &".a".repeat(1000);
    for text in [
        "",
        "a",
        "$.",
        "$..",
        "$...",
        ".guid",
        "..guid",
        "()",
        "$23",
        "$$23",
        "$a-",
        "$[",
        "$[]",
        "$['a",
        "$['a'",
        "$[a]",
        "$[1",
        "$.a b",
        "$.a(",
        "$.f()",
        "$[?(@.a ==)]",
        "$[?(@.a = 1)]",
        "$[?(@.a =~ /(/)]",
        "$[1:2:0]",
        "$[99999999999999999999]",
        "bug$.a",
        &deep,
        &long,
    ] {
        assert!(Path::parse(text).is_err(), "{text}");
    }
}

#[test]
fn roots_and_variables_are_told_apart() {
    for (text, root) in [
        ("$", Root::Input),
        ("$$", Root::Context),
        ("$$.Execution.Input.input-value", Root::Context),
        ("$answer", Root::Variable("answer".into())),
        ("$a_1.b[0]", Root::Variable("a_1".into())),
    ] {
        assert_eq!(Path::parse(text).unwrap().root(), &root, "{text}");
    }
    let (path, rest) = Path::parse_prefix("$.list[?(@.a == ')')], 4)").unwrap();
    assert_eq!((path.text(), rest), ("$.list[?(@.a == ')')]", ", 4)"));
}

#[test]
fn references_put_values_where_they_say() {
    let put = |path: &str, input: Value| {
        let reference = Path::parse(path).unwrap().reference().unwrap();
        reference.put(input, json!(1))
    };
    assert_eq!(
        put("$.a.b", json!({"c": 2})),
        Ok(json!({"a": {"b": 1}, "c": 2}))
    );
    assert_eq!(
        put("$.a[1]", json!({"a": [0, 0]})),
        Ok(json!({"a": [0, 1]}))
    );
    assert_eq!(put("$", json!("x")), Ok(json!(1)));
    assert!(put("$.a", json!("x")).is_err());
    assert!(put("$.a[2]", json!({"a": []})).is_err());
    for path in [
        "$.a[*]",
        "$..a",
        "$$.a",
        "$v",
        "$[-1]",
        "$[0,1]",
        "$[?(@.a)]",
    ] {
        assert!(Path::parse(path).unwrap().reference().is_err(), "{path}");
    }
}

#[test]
fn an_evaluation_is_bounded() {
    let wide = Value::Array(vec![json!([[1, 2, 3], [4, 5, 6]]); 100]);
    let path = Path::parse("$..*..*..*").unwrap();
    assert_eq!(path.find(0, &wide, 1000), Err(PathError::TooManyNodes));
}
