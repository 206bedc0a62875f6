//! JSON values: equality as the language has it, and their size.

use std::io;

use serde_json::Value;

/// Whether two values are equal; numbers are compared by value, so that 1 is 1.0.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || (left.is_f64() || right.is_f64()) && left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(name, value)| right.get(name).is_some_and(|other| equal(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => left == right,
    }
}

/// How many bytes the JSON text of a value has.
pub(super) fn size(value: &Value) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither a `Value` nor counting can fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Whether a value nests deeper than `levels`.
pub(super) fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(left) = levels.checked_sub(1) else {
        return matches!(value, Value::Array(_) | Value::Object(_));
    };
    match value {
        Value::Array(elements) => elements.iter().any(|e| is_deeper(e, left)),
        Value::Object(fields) => fields.values().any(|f| is_deeper(f, left)),
        _ => false,
    }
}

/// A number rounded to the nearest whole one, halves upwards, as Java's `Math.round` does.
pub(super) fn round(value: &Value) -> Option<i64> {
    if let Some(whole) = value.as_i64() {
        return Some(whole);
    }
    let rounded = (value.as_f64()? + 0.5).floor();
    // Both bounds are exact as `f64`; the upper one is the first that does not fit.
    let fits = rounded >= i64::MIN as f64 && rounded < -(i64::MIN as f64);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it fits, and has no fraction"
    )]
    fits.then_some(rounded as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_equal_by_value() {
        assert!(equal(&json!([1, {"a": 2.0}]), &json!([1.0, {"a": 2}])));
        assert!(!equal(&json!(1), &json!("1")));
        assert!(!equal(&json!(u64::MAX), &json!(u64::MAX - 1)));
    }

    #[test]
    fn sizes_are_those_of_the_text() {
        let value = json!({"a": [1, 1.5, "é\n"], "b": null});
        assert_eq!(size(&value), value.to_string().len());
        assert!(is_deeper(&json!([[1]]), 1));
        assert!(!is_deeper(&json!([[1]]), 2));
    }

    #[test]
    fn halves_go_up() {
        for (number, whole) in [(1.5, 2), (-1.5, -1), (0.5, 1), (-0.5, 0), (-1.51, -2)] {
            assert_eq!(round(&json!(number)), Some(whole), "{number}");
        }
        assert_eq!(round(&json!(i64::MAX)), Some(i64::MAX));
        assert_eq!(round(&json!(1e300)), None);
        assert_eq!(round(&json!("1")), None);
    }
}
