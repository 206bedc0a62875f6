//! Paths, templates and expressions of a definition.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::Parser;
use super::fields::{Fields, kind};
use crate::asl::diagnostic::Code;
use crate::asl::expression::{QueryLanguage, delimited};
use crate::asl::intrinsic;
use crate::asl::model::{Amount, Limit, ResultPath, Selection, Text};
use crate::asl::path::Path;
use crate::asl::source::join;
use crate::asl::template::{Place, Query, Template};

impl Parser<'_> {
    /// A field that is a path.
    pub(super) fn path(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Option<Path> {
        let text = fields.text(self, name)?;
        self.path_text(text, &fields.at(name), name)
    }

    pub(super) fn path_text(&mut self, text: &str, at: &str, name: &str) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(fault) => {
                let message = format!("the value {text:?} of {name:?} is no path: {fault}");
                let help = "write a path like $.order.items[0], $$.State.Name or $variable";
                self.error(at, message, help);
                None
            }
        }
    }

    /// `InputPath`, `OutputPath`.
    pub(super) fn selection(&mut self, fields: &mut Fields<'_>, name: &'static str) -> Selection {
        match fields.get(name) {
            None => Selection::Whole,
            Some(Value::Null) => Selection::Nothing,
            Some(_) => self
                .path(fields, name)
                .map_or(Selection::Whole, Selection::Path),
        }
    }

    /// `ResultPath`.
    pub(super) fn result_path(&mut self, fields: &mut Fields<'_>) -> ResultPath {
        const NAME: &str = "ResultPath";
        match fields.get(NAME) {
            None => return ResultPath::Whole,
            Some(Value::Null) => return ResultPath::Discard,
            Some(_) => {}
        }
        let Some(path) = self.path(fields, NAME) else {
            return ResultPath::Whole;
        };
        match path.reference() {
            Ok(_) if path.is_whole() => ResultPath::Whole,
            Ok(reference) => ResultPath::Place {
                text: path.text().into(),
                reference,
            },
            Err(fault) => {
                let message = format!("{:?} is no reference path: {fault}", path.text());
                let help = "write a path like $.order.result, or null to drop the result";
                self.error(fields.at(NAME), message, help);
                ResultPath::Whole
            }
        }
    }

    /// What a field whose value is computed holds: a path, or a call.
    pub(super) fn computed(&mut self, text: &str, at: &str, field: &str) -> Option<Place> {
        let query = if text.starts_with('$') {
            Query::Path(self.path_text(text, at, field)?)
        } else {
            match intrinsic::parse(text) {
                Ok(call) => Query::Call(call),
                Err(fault) => {
                    let message = format!(
                        "the value {text:?} of {field:?} is not a JSONPath or intrinsic function \
                         expression: {fault}"
                    );
                    let help =
                        "write a path like $.name, or a call like States.Format('{}', $.name)";
                    self.error(at, message, help);
                    return None;
                }
            }
        };
        Some(Place {
            field: field.into(),
            query,
        })
    }

    /// A field that is a payload template.
    pub(super) fn template(
        &mut self,
        fields: &mut Fields<'_>,
        name: &'static str,
        query: QueryLanguage,
    ) -> Option<Template> {
        let (value, at) = (fields.get(name)?, fields.at(name));
        if query == QueryLanguage::JsonPath {
            self.check_repeated(value, &at);
        }
        Some(self.template_value(value, &at, name, query))
    }

    pub(super) fn template_value(
        &mut self,
        value: &Value,
        at: &str,
        field: &str,
        query: QueryLanguage,
    ) -> Template {
        match (value, query) {
            (Value::Object(fields), _) => {
                let fields = fields.iter();
                let fields = fields.filter_map(|(name, value)| {
                    let at = join(at, name);
                    self.template_field(name, value, &at, field, query)
                });
                Template::object(fields.collect())
            }
            (Value::Array(elements), _) => {
                let elements = elements.iter().enumerate();
                let elements = elements.map(|(index, element)| {
                    let (at, field) = (join(at, &index.to_string()), format!("{field}[{index}]"));
                    self.template_value(element, &at, &field, query)
                });
                Template::list(elements.collect())
            }
            (Value::String(text), QueryLanguage::Jsonata) => self
                .expression(text, at, field)
                .map_or_else(|| Template::Literal(value.clone()), Template::Place),
            _ => Template::Literal(value.clone()),
        }
    }

    fn template_field(
        &mut self,
        name: &str,
        value: &Value,
        at: &str,
        field: &str,
        query: QueryLanguage,
    ) -> Option<(String, Template)> {
        if query == QueryLanguage::Jsonata {
            let field = format!("{field}/{name}");
            return Some((name.into(), self.template_value(value, at, &field, query)));
        }
        let Some(plain) = name.strip_suffix(".$") else {
            return Some((name.into(), self.template_value(value, at, name, query)));
        };
        let Some(text) = value.as_str() else {
            let message = format!("{name:?} must be a path or a call, and is {}", kind(value));
            let help = format!("write a text there, or name the field {plain:?}");
            self.error(at, message, help);
            return None;
        };
        let place = self.computed(text, at, name)?;
        Some((plain.into(), Template::Place(place)))
    }

    /// Two fields of a template that are one once they are computed.
    pub(super) fn check_repeated(&mut self, value: &Value, at: &str) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let computed = format!("{name}.$");
                    if fields.contains_key(&computed) {
                        let message =
                            format!("the fields {name:?} and {computed:?} give one field");
                        self.error(join(at, &computed), message, "remove one of the two");
                    }
                    self.check_repeated(field, &join(at, name));
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.check_repeated(element, &join(at, &index.to_string()));
                }
            }
            _ => {}
        }
    }

    /// The expression that a text is, if it is one.
    pub(super) fn expression(&mut self, text: &str, at: &str, field: &str) -> Option<Place> {
        let Some(inner) = delimited(text) else {
            if text.starts_with("{%") || text.ends_with("%}") {
                let message = format!("{text:?} begins or ends like an expression, but is none");
                self.error(at, message, "write {% before and %} behind the expression");
            }
            return None;
        };
        if !is_spaced(inner) {
            let message = format!("{text:?} is not spaced as expressions are");
            let help = "put one space, or a line break, behind {%, and a space before %}";
            self.error(at, message, help);
        }
        self.needs_evaluator(at);
        let language = self.language?;
        match language.compile(inner.trim()) {
            Ok(compiled) => Some(Place {
                field: field.into(),
                query: Query::Expression {
                    text: inner.trim().into(),
                    compiled,
                },
            }),
            Err(fault) => {
                let message = format!("{inner:?} is no JSONata: {fault}");
                self.error(at, message, "correct the expression");
                None
            }
        }
    }

    /// A number of JSONPath (`name`, `nameInPath`) or of JSONata (`name`, as an expression).
    pub(super) fn amount(
        &mut self,
        fields: &mut Fields<'_>,
        (name, path): (&'static str, &'static str),
        range: RangeInclusive<u64>,
        query: QueryLanguage,
    ) -> Option<Amount> {
        fields.exclusive(self, &[name, path]);
        if query == QueryLanguage::Jsonata {
            if let Some(text) = fields.get(name).and_then(Value::as_str) {
                return self
                    .demand(text, &fields.at(name), name)
                    .map(Amount::Computed);
            }
            return fields.count(self, name, range).map(Amount::Literal);
        }
        if fields.get(path).is_some() {
            let query = Query::Path(self.path(fields, path)?);
            let field = path.into();
            return Some(Amount::Computed(Place { field, query }));
        }
        fields.count(self, name, range).map(Amount::Literal)
    }

    /// The same for a bound, which may be a fraction.
    pub(super) fn limit(
        &mut self,
        fields: &mut Fields<'_>,
        (name, path): (&'static str, &'static str),
        most: f64,
        query: QueryLanguage,
    ) -> Limit {
        fields.exclusive(self, &[name, path]);
        let place = match query {
            QueryLanguage::Jsonata => fields
                .get(name)
                .and_then(Value::as_str)
                .and_then(|text| self.demand(text, &fields.at(name), name)),
            QueryLanguage::JsonPath if fields.get(path).is_some() => {
                self.path(fields, path).map(|found| Place {
                    field: path.into(),
                    query: Query::Path(found),
                })
            }
            QueryLanguage::JsonPath => None,
        };
        if let Some(place) = place {
            return Limit::Computed(place);
        }
        if matches!(fields.get(name), None | Some(Value::String(_)))
            && query == QueryLanguage::Jsonata
        {
            return Limit::None;
        }
        fields
            .number(self, name, 0.0..=most)
            .map_or(Limit::None, Limit::Literal)
    }

    /// An expression, where nothing else may stand.
    pub(super) fn demand(&mut self, text: &str, at: &str, field: &str) -> Option<Place> {
        if delimited(text).is_none() {
            let message = format!("{field} is the text {text:?}, which is no expression");
            self.error(at, message, "write {% … %} there, or the value itself");
            return None;
        }
        self.expression(text, at, field)
    }

    /// A text of JSONPath (`name`, `namePath` with a path or a call) or of JSONata.
    pub(super) fn text(
        &mut self,
        fields: &mut Fields<'_>,
        (name, path): (&'static str, &'static str),
        query: QueryLanguage,
    ) -> Option<Text> {
        fields.exclusive(self, &[name, path]);
        if query == QueryLanguage::JsonPath && fields.get(path).is_some() {
            let text = fields.text(self, path)?;
            let place = self.computed(text, &fields.at(path), path)?;
            return Some(Text::Computed(place));
        }
        let text = fields.text(self, name)?;
        let place = match query {
            QueryLanguage::Jsonata => self.expression(text, &fields.at(name), name),
            QueryLanguage::JsonPath => None,
        };
        Some(place.map_or_else(|| Text::Literal(text.into()), Text::Computed))
    }

    /// `Assign`.
    pub(super) fn assign(
        &mut self,
        fields: &mut Fields<'_>,
        query: QueryLanguage,
    ) -> Option<Template> {
        let assigned = fields.object(self, "Assign")?;
        let at = fields.at("Assign");
        for name in assigned.keys() {
            let plain = match query {
                QueryLanguage::JsonPath => name.strip_suffix(".$").unwrap_or(name),
                QueryLanguage::Jsonata => name,
            };
            let mut characters = plain.chars();
            let first = characters
                .next()
                .is_some_and(|c| c.is_alphabetic() || c == '_');
            let rest = characters.all(|c| c.is_alphanumeric() || c == '_');
            if !first || !rest || plain.chars().count() > 80 {
                let message = format!("{plain:?} is no name of a variable");
                let help = "use letters, digits and _, at most 80, not beginning with a digit";
                // AWS takes other names in JSONata, though no expression can read them.
                if query == QueryLanguage::Jsonata {
                    self.warning(Code::Suspicious, join(&at, name), &message, help);
                } else {
                    self.error(join(&at, name), message, help);
                }
            } else if plain == "states" {
                let message = "the variable \"states\" is reserved";
                self.error(join(&at, name), message, "choose another name");
            }
        }
        let value = fields.get("Assign")?;
        self.check_repeated(value, &at);
        Some(self.template_value(value, &at, "Assign", query))
    }
}

/// Whether one space, or a line break, sets what stands between the delimiters apart.
fn is_spaced(inner: &str) -> bool {
    let begins = match inner.strip_prefix(' ') {
        Some(rest) => !rest.starts_with(char::is_whitespace),
        None => inner.starts_with(['\n', '\r']),
    };
    begins && inner.ends_with(char::is_whitespace)
}

impl Template {
    fn object(fields: Vec<(String, Self)>) -> Self {
        if fields.iter().any(|(_, f)| !matches!(f, Self::Literal(_))) {
            return Self::Object(fields);
        }
        let literal = |(name, field)| match field {
            Self::Literal(value) => Some((name, value)),
            _ => None,
        };
        Self::Literal(Value::Object(
            fields.into_iter().filter_map(literal).collect(),
        ))
    }

    fn list(elements: Vec<Self>) -> Self {
        if elements.iter().any(|e| !matches!(e, Self::Literal(_))) {
            return Self::List(elements);
        }
        let literal = |element| match element {
            Self::Literal(value) => Some(value),
            _ => None,
        };
        Self::Literal(elements.into_iter().filter_map(literal).collect())
    }
}
