//! Payload templates: values with places that are computed.

use std::sync::Arc;

use serde_json::Value;

use super::expression::CompiledExpression;
use super::intrinsic::Call;
use super::path::Path;

/// Something that is computed.
#[derive(Debug, Clone)]
pub(super) enum Query {
    Path(Path),
    Call(Call),
    Expression {
        /// Without its delimiters and the blanks around it.
        text: String,
        compiled: Arc<dyn CompiledExpression>,
    },
}

/// A computed place, with the field that it stands in, for messages.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) field: String,
    pub(super) query: Query,
}

/// A value with computed places.
#[derive(Debug, Clone)]
pub(super) enum Template {
    Literal(Value),
    Place(Place),
    Object(Vec<(String, Template)>),
    List(Vec<Template>),
}

impl Place {
    /// As its author wrote it.
    pub(super) fn text(&self) -> &str {
        match &self.query {
            Query::Path(path) => path.text(),
            Query::Call(call) => call.function.name(),
            Query::Expression { text, .. } => text,
        }
    }
}

impl Query {
    /// The names of the variables that it reads.
    pub(super) fn variables(&self) -> Vec<String> {
        match self {
            Self::Path(path) => path.variable().map(Into::into).into_iter().collect(),
            Self::Call(call) => {
                let mut paths = Vec::new();
                call.paths(&mut paths);
                let names = paths.into_iter().filter_map(Path::variable);
                names.map(Into::into).collect()
            }
            Self::Expression { compiled, .. } => compiled.variables(),
        }
    }
}

impl Template {
    /// All that is computed in it.
    pub(super) fn queries<'a>(&'a self, found: &mut Vec<&'a Query>) {
        match self {
            Self::Literal(_) => {}
            Self::Place(place) => found.push(&place.query),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.queries(found)),
            Self::List(elements) => elements.iter().for_each(|e| e.queries(found)),
        }
    }
}
