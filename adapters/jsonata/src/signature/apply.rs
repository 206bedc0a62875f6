//! Arguments against a signature.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::value::{Array, Flags, Value};

use super::{Count, Parameter, Signature};

/// The arguments of a call.
pub(crate) type Arguments<'a> = SmallVec<[Value<'a>; 3]>;

type Letters = SmallVec<[u8; 8]>;

impl Signature {
    /// What the function gets: `given`, with the context in place of a missing argument and arrays
    /// where arrays are wanted.
    pub(crate) fn apply<'a>(
        &self,
        given: Arguments<'a>,
        context: &Value<'a>,
    ) -> Result<Arguments<'a>> {
        let letters: Letters = given.iter().map(letter).collect();
        if self.is_plain_fit(&letters) {
            return Ok(given);
        }
        let Some(counts) = self.fit(self.parameters.len(), &letters, true) else {
            return Err(self.mismatch(&given, &letters));
        };
        let mut fitted = Arguments::new();
        let mut next = 0;
        let mut at = 0;
        for (parameter, &count) in self.parameters.iter().zip(&counts) {
            if count == 0 && parameter.context {
                fitted.push(substitute(parameter, context, next)?);
            } else if count == 0 {
                fitted.push(given.get(next).cloned().unwrap_or(Value::Undefined));
                next += 1;
            }
            let matched = &letters[at..at + count];
            for _ in 0..count {
                let argument = given.get(next).cloned().unwrap_or(Value::Undefined);
                fitted.push(if parameter.array {
                    array(parameter, argument, matched, next)?
                } else {
                    argument
                });
                next += 1;
            }
            at += count;
        }
        Ok(fitted)
    }

    /// One argument for each parameter, each fit to go as it is.
    fn is_plain_fit(&self, letters: &[u8]) -> bool {
        letters.len() == self.parameters.len()
            && self
                .parameters
                .iter()
                .zip(letters)
                .all(|(parameter, &letter)| {
                    parameter.types.takes(letter)
                        && (!parameter.array || letter == b'a' && parameter.element.is_none())
                })
    }

    /// How many arguments each of the first `parameters` takes, as greedily as the whole allows.
    fn fit(&self, parameters: usize, letters: &[u8], whole: bool) -> Option<Vec<usize>> {
        let parameters = &self.parameters[..parameters];
        let ends = letters.len();
        // From the last parameter to the first: whether the rest fits from each argument on.
        let mut fits = vec![vec![false; ends + 1]; parameters.len() + 1];
        for (at, fit) in fits[parameters.len()].iter_mut().enumerate() {
            *fit = !whole || at == ends;
        }
        for (index, parameter) in parameters.iter().enumerate().rev() {
            for at in (0..=ends).rev() {
                let takes = at < ends && parameter.types.takes(letters[at]);
                fits[index][at] = match parameter.count {
                    Count::One => takes && fits[index + 1][at + 1],
                    Count::ZeroOrOne => fits[index + 1][at] || takes && fits[index + 1][at + 1],
                    Count::OneOrMore => takes && (fits[index + 1][at + 1] || fits[index][at + 1]),
                };
            }
        }
        if !fits[0][0] {
            return None;
        }
        let mut counts = Vec::with_capacity(parameters.len());
        let mut at = 0;
        for (index, parameter) in parameters.iter().enumerate() {
            let run = letters[at..]
                .iter()
                .take_while(|&&l| parameter.types.takes(l))
                .count();
            let (least, most) = match parameter.count {
                Count::One => (1, 1),
                Count::ZeroOrOne => (0, 1),
                Count::OneOrMore => (1, run),
            };
            let count = (least..=most.min(run))
                .rev()
                .find(|count| fits[index + 1][at + count])?;
            counts.push(count);
            at += count;
        }
        Some(counts)
    }

    /// Which argument is the first that does not fit.
    fn mismatch(&self, given: &[Value<'_>], letters: &[u8]) -> Error {
        let mut good = 0;
        for parameters in 1..=self.parameters.len() {
            match self.fit(parameters, letters, false) {
                Some(counts) => good = counts.iter().sum(),
                None => break,
            }
        }
        let error = Error::new("T0410").with("index", good + 1);
        match given.get(good) {
            Some(value) => error.with("value", value.shown()),
            None => error,
        }
    }
}

fn substitute<'a>(parameter: &Parameter, context: &Value<'a>, index: usize) -> Result<Value<'a>> {
    if parameter.types.takes(letter(context)) {
        return Ok(context.clone());
    }
    Err(Error::new("T0411")
        .with("value", context.shown())
        .with("index", index + 1))
}

/// The argument as the array that the parameter wants.
fn array<'a>(
    parameter: &Parameter,
    argument: Value<'a>,
    matched: &[u8],
    index: usize,
) -> Result<Value<'a>> {
    if argument.is_undefined() {
        return Ok(argument);
    }
    if let Some(element) = &parameter.element {
        let wanted = element.bytes().next().unwrap_or(b'x');
        let fits = match argument.as_array() {
            Some(items) => items.iter().all(|item| letter(&item) == wanted),
            None => matched == element.as_bytes(),
        };
        if !fits {
            let error = Error::new("T0412").with("value", argument.shown());
            return Err(error.with("index", index + 1).with("type", plural(element)));
        }
    }
    if argument.as_array().is_some() {
        return Ok(argument);
    }
    Ok(Value::Array(Rc::new(Array::of_one(argument)?), Flags::NONE))
}

fn plural(element: &str) -> &'static str {
    match element {
        "a" => "arrays",
        "b" => "booleans",
        "f" => "functions",
        "n" => "numbers",
        "o" => "objects",
        "s" => "strings",
        _ => "values",
    }
}

/// The letter of a value's type.
fn letter(value: &Value<'_>) -> u8 {
    match value {
        Value::Undefined => b'm',
        Value::Null => b'l',
        Value::Bool(_) => b'b',
        Value::Number(_) => b'n',
        Value::Text(_) | Value::String(_) => b's',
        Value::JsonArray(_) | Value::Array(..) | Value::Tuples(_) => b'a',
        Value::JsonObject(_) | Value::Object(_) => b'o',
        Value::Native(_) | Value::Function(_) => b'f',
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    fn apply<'a>(
        signature: &str,
        given: Arguments<'a>,
        context: &Value<'a>,
    ) -> Result<Arguments<'a>> {
        Signature::parse(signature).unwrap().apply(given, context)
    }

    #[test]
    fn the_context_stands_in() {
        let fitted = apply(
            "<s-nn?:s>",
            smallvec![Value::Number(1.0)],
            &Value::Text("a"),
        )
        .unwrap();
        assert!(matches!(fitted[0], Value::Text("a")));
        assert!(matches!(fitted[1], Value::Number(1.0)));
        assert_eq!(fitted.len(), 3);
        let error = apply("<s-n>", smallvec![Value::Number(1.0)], &Value::Null).unwrap_err();
        assert_eq!(error.code(), "T0411");
    }

    #[test]
    fn one_value_is_an_array_of_one() {
        let fitted = apply("<a<n>:n>", smallvec![Value::Number(1.0)], &Value::Null).unwrap();
        assert_eq!(fitted[0].as_array().unwrap().len(), 1);
        let error = apply("<a<n>:n>", smallvec![Value::Text("a")], &Value::Null).unwrap_err();
        assert_eq!(
            (error.code(), error.detail("type").unwrap().as_str()),
            ("T0412", Some("numbers"))
        );
    }

    #[test]
    fn the_first_argument_that_does_not_fit_is_named() {
        let given = smallvec![Value::Number(1.0), Value::Number(2.0), Value::Text("g")];
        let error = apply("<nn+:a>", given, &Value::Null).unwrap_err();
        assert_eq!(error.detail("index").unwrap(), 3);
    }

    #[test]
    fn many_repeated_parameters_are_fitted_in_polynomial_time() {
        let signature = format!("<{}b:x>", "n+".repeat(30));
        let given = std::iter::repeat_n(Value::Number(1.0), 60).collect();
        assert_eq!(
            apply(&signature, given, &Value::Null).unwrap_err().code(),
            "T0410"
        );
    }
}
