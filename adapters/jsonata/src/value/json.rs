//! Values that leave the evaluation.

use serde_json::Value as Json;

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::stack::with_stack;

use super::{JsonObject, Value, number};

/// How many parts of a value an error shows.
const SHOWN: u64 = 200;

impl<'a> Value<'a> {
    /// The value as JSON; `None` if there is none.
    pub(crate) fn to_json(&self, budget: &mut Budget) -> Result<Option<Json>> {
        budget.charge(1)?;
        Ok(Some(match self {
            Self::Undefined => return Ok(None),
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) => number::to_json(*value)
                .ok_or_else(|| Error::new("D1001").with("value", number::to_text(*value)))?,
            Self::Text(_) | Self::String(_) => {
                let text = self.as_str().unwrap_or_default();
                budget.grow(text.len())?;
                Json::from(text)
            }
            Self::JsonArray(_) | Self::Array(..) => {
                let count = self.as_array().map_or(0, |items| items.len());
                let mut items = Vec::with_capacity(count);
                for item in self.as_array().iter().flat_map(|items| items.iter()) {
                    // A group that took no part in a match has a place, but no value.
                    items.push(with_stack(|| item.to_json(budget))?.unwrap_or(Json::Null));
                    budget.grow(8)?;
                }
                Json::Array(items)
            }
            Self::JsonObject(_) | Self::Object(_) => {
                let count = self.as_object().map_or(0, |object| object.len());
                let mut entries = JsonObject::with_capacity(count);
                for (key, value) in self.as_object().iter().flat_map(|object| object.iter()) {
                    if let Some(value) = with_stack(|| value.to_json(budget))? {
                        budget.grow(key.len() + 8)?;
                        entries.insert((*key).to_owned(), value);
                    }
                }
                Json::Object(entries)
            }
            Self::Tuples(stream) => {
                let mut items = Vec::new();
                for tuple in &stream.tuples {
                    if let Some(Some(context)) = tuple.first() {
                        items.extend(context.to_json(budget)?);
                    }
                }
                Json::Array(items)
            }
            Self::Native(_) | Self::Function(_) => return Err(Error::new("D4006")),
        }))
    }

    /// The value as an error shows it: cut short if it is large.
    pub(crate) fn shown(&self) -> Json {
        match self {
            Self::Undefined => Json::Null,
            Self::Number(value) => {
                number::to_json(*value).unwrap_or_else(|| Json::from(number::to_text(*value)))
            }
            _ => match self.to_json(&mut Budget::of(SHOWN)) {
                Ok(json) => json.unwrap_or(Json::Null),
                Err(_) => Json::from("…"),
            },
        }
    }

    /// The value of JSON that was read while evaluating: it is made, not borrowed.
    pub(crate) fn of_json(json: Json, budget: &mut Budget) -> Result<Self> {
        budget.charge(1)?;
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::string(text),
            Json::Array(items) => {
                let items: Result<Vec<_>> = items
                    .into_iter()
                    .map(|item| with_stack(|| Self::of_json(item, budget)))
                    .collect();
                Self::array(items?)?
            }
            Json::Object(entries) => {
                let mut object = super::Object::with_capacity(entries.len());
                for (key, value) in entries {
                    let value = with_stack(|| Self::of_json(value, budget))?;
                    object.insert(super::Str::Shared(key.into()), value)?;
                }
                Self::Object(std::rc::Rc::new(object))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back() {
        let json = json!({"b": [1, 2.5, "x", null, true], "a": {}});
        let mut budget = Budget::default();
        assert_eq!(
            Value::from(&json).to_json(&mut budget).unwrap(),
            Some(json.clone())
        );
        let made = Value::of_json(json.clone(), &mut budget).unwrap();
        assert_eq!(made.to_json(&mut budget).unwrap(), Some(json));
    }

    #[test]
    fn what_doubles_is_bounded() {
        let mut value = Value::Text("x");
        for _ in 0..60 {
            value = Value::array(vec![value.clone(), value]).unwrap();
        }
        assert_eq!(
            value.to_json(&mut Budget::of(10_000)).unwrap_err().code(),
            "D1012"
        );
        assert_eq!(value.shown(), json!("…"));
    }
}
