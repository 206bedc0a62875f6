//! Expressions, as users of the crate have them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::ast::Expr;
use crate::context::Context;
use crate::dialect::Dialect;
use crate::error::Error;
use crate::eval;
use crate::explain::Explanation;
use crate::parser;
use crate::plan::Plan;

/// A parsed expression, ready to be evaluated any number of times, from any thread. Cloning it is
/// cheap.
///
/// It is written as it was parsed, without comments and in canonical spacing; that text is parsed
/// to the same expression. Two expressions are equal if they are written alike.
#[derive(Clone)]
pub struct Expression(Arc<Parsed>);

struct Parsed {
    source: Box<str>,
    expr: Expr,
    plan: Plan,
}

impl Expression {
    /// Parses an expression that may name the functions of a dialect.
    ///
    /// # Errors
    ///
    /// Of kind [`ErrorKind::Syntax`](crate::ErrorKind::Syntax).
    pub fn parse(source: &str, dialect: Dialect) -> Result<Self, Error> {
        let parsed = parser::parse(source).and_then(|expr| {
            let plan = Plan::of(&expr, dialect)?;
            Ok(Parsed {
                source: source.into(),
                expr,
                plan,
            })
        });
        match parsed {
            Ok(parsed) => Ok(Self(Arc::new(parsed))),
            Err(error) => Err(error.located_in(source)),
        }
    }

    /// Evaluates the expression on `input`, or on nothing; `None` if it gives no value.
    ///
    /// # Errors
    ///
    /// As the expression and the values have it, where a limit of the context is reached, or where
    /// the result is or holds a function (`D4006`).
    pub fn evaluate<'i>(
        &self,
        input: impl Into<Option<&'i Json>>,
        context: &Context<'_>,
    ) -> Result<Option<Json>, Error> {
        let (result, _) = eval::evaluate(&self.0.plan, input.into(), context, None);
        result.map_err(|error| error.located_in(&self.0.source))
    }

    /// Evaluates the expression, and tells what each of its parts gave: slower, for people.
    #[must_use]
    pub fn explain<'i>(
        &self,
        input: impl Into<Option<&'i Json>>,
        context: &Context<'_>,
    ) -> Explanation {
        let source = &self.0.source;
        let (result, trace) = eval::evaluate(&self.0.plan, input.into(), context, Some(source));
        Explanation::new(result.map_err(|error| error.located_in(source)), trace)
    }

    /// The variables that it reads and does not bind itself, without `$`: what a context is to bind.
    /// Functions of the dialect are not among them.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.plan.free.iter().map(|name| &**name)
    }

    /// The text that was parsed.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }
}

impl FromStr for Expression {
    type Err = Error;

    /// Parses an expression of the standard dialect.
    fn from_str(source: &str) -> Result<Self, Error> {
        Self::parse(source, Dialect::Standard)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expr.fmt(f)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.expr == other.0.expr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_variables_are_those_that_a_context_binds() {
        for (source, variables) in [
            ("$states.input.x + $rate", vec!["states", "rate"]),
            (
                "($x := $y; function($z){ $x + $z + $late }; $late := 1)",
                vec!["y"],
            ),
            ("items@$i[$i.k = $k]#$n{$string($n): $i}", vec!["k"]),
            ("$sum($$.a) ~> |$|{'a': $b}|", vec!["b"]),
        ] {
            let expression: Expression = source.parse().unwrap();
            assert_eq!(
                expression.variables().collect::<Vec<_>>(),
                variables,
                "{source}"
            );
        }
    }

    #[test]
    fn expressions_go_between_threads() {
        fn shared<T: Send + Sync + Clone + 'static>() {}
        shared::<Expression>();
    }

    #[test]
    fn a_function_is_no_result() {
        for source in ["$sum", "[function(){1}]", "{'a': $sum(?)}", "/a/"] {
            let expression: Expression = source.parse().unwrap();
            let error = expression.evaluate(None, &Context::default()).unwrap_err();
            assert_eq!(error.code(), "D4006", "{source}");
        }
    }
}
