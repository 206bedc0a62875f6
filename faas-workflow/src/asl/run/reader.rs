//! What `ItemReader` makes of what it read.

use serde_json::{Map, Value};

use crate::asl::model::ReaderFormat;

/// The items, at most so many; or what is wrong with what was read.
pub(super) fn items(
    format: &ReaderFormat,
    answer: &Value,
    most: usize,
) -> Result<Vec<Value>, String> {
    let mut items = match format {
        ReaderFormat::Listing => list(answer.get("Contents").unwrap_or(answer))?,
        ReaderFormat::Json { pointer } => {
            let whole = json(answer)?;
            list(whole.pointer(pointer).unwrap_or(&Value::Null))?
        }
        ReaderFormat::JsonLines => {
            let lines = text(answer)?.lines().filter(|line| !line.trim().is_empty());
            let parse = |(index, line): (usize, &str)| {
                let bad = |error| format!("line {} is no JSON: {error}", index + 1);
                serde_json::from_str(line).map_err(bad)
            };
            lines
                .take(most)
                .enumerate()
                .map(parse)
                .collect::<Result<_, _>>()?
        }
        ReaderFormat::Csv { delimiter, headers } => {
            rows(text(answer)?, *delimiter, headers.as_deref(), most)?
        }
    };
    items.truncate(most);
    Ok(items)
}

/// An object's bytes, whether the answer is they, or has them as its `Body`.
fn body(answer: &Value) -> &Value {
    answer.get("Body").unwrap_or(answer)
}

fn text(answer: &Value) -> Result<&str, String> {
    let text = body(answer).as_str();
    text.ok_or_else(|| "what was read is no text".into())
}

fn json(answer: &Value) -> Result<Value, String> {
    match body(answer) {
        Value::String(text) => {
            serde_json::from_str(text).map_err(|error| format!("what was read is no JSON: {error}"))
        }
        other => Ok(other.clone()),
    }
}

fn list(value: &Value) -> Result<Vec<Value>, String> {
    let elements = value.as_array().cloned();
    elements.ok_or_else(|| "Attempting to map over non-iterable node.".into())
}

/// Each row as an object; what a row lacks is empty, what it has too much is dropped.
fn rows(
    text: &str,
    delimiter: u8,
    headers: Option<&[String]>,
    most: usize,
) -> Result<Vec<Value>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut records = reader.records();
    let bad = |error: csv::Error| format!("what was read is no CSV: {error}");
    let headers: Vec<String> = match headers {
        Some(headers) => headers.to_vec(),
        None => match records.next() {
            None => return Ok(Vec::new()),
            Some(first) => first.map_err(bad)?.iter().map(Into::into).collect(),
        },
    };
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(bad)?;
        let cells = record.iter().chain(std::iter::repeat(""));
        let cells = headers.iter().zip(cells);
        let fields: Map<_, _> = cells.map(|(h, cell)| (h.clone(), cell.into())).collect();
        Ok(Value::Object(fields))
    };
    records.take(most).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn csv_rows_are_objects() {
        let text = json!({ "Body": "a,b\n1,2,3\n,\nx\n\"q\"\"\n\",' '\n" });
        let format = |headers| ReaderFormat::Csv {
            delimiter: b',',
            headers,
        };
        let wanted = json!([
            { "a": "1", "b": "2" }, { "a": "", "b": "" }, { "a": "x", "b": "" },
            { "a": "q\"\n", "b": "' '" },
        ]);
        assert_eq!(
            items(&format(None), &text, 10).map(Value::Array),
            Ok(wanted)
        );
        let given = format(Some(vec!["h".into()]));
        let wanted = json!([{ "h": "a" }, { "h": "1" }]);
        assert_eq!(items(&given, &text, 2).map(Value::Array), Ok(wanted));
        assert_eq!(items(&format(None), &json!(""), 2), Ok(vec![]));
    }

    #[test]
    fn json_is_read_from_texts_and_values() {
        let whole = ReaderFormat::Json {
            pointer: String::new(),
        };
        let inner = ReaderFormat::Json {
            pointer: "/a/0".into(),
        };
        assert_eq!(items(&whole, &json!("[1, 2]"), 1), Ok(vec![json!(1)]));
        assert_eq!(
            items(&inner, &json!({"Body": {"a": [[3]]}}), 9),
            Ok(vec![json!(3)])
        );
        assert!(items(&whole, &json!("{}"), 9).is_err());
        assert!(items(&whole, &json!("{"), 9).is_err());
        let lines = json!("1\n\n{\"a\":2}\n");
        let wanted = vec![json!(1), json!({"a": 2})];
        assert_eq!(items(&ReaderFormat::JsonLines, &lines, 9), Ok(wanted));
        let listing = json!({ "Contents": [{ "Key": "k" }] });
        assert_eq!(
            items(&ReaderFormat::Listing, &listing, 9),
            Ok(vec![json!({"Key": "k"})])
        );
    }
}
