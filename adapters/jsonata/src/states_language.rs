//! [`StatesExpressions`]: the expressions of Amazon States Language.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_workflow::asl::{
    CompiledExpression, ExpressionError, ExpressionLanguage, ExpressionScope,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{Context, Dialect, Expression, Limits};

/// The variable that holds input, context, result and error.
const STATES: &str = "states";
/// The code of a result that is a function, or holds one.
const FUNCTION: &str = "D4006";

/// Evaluates what stands between `{%` and `%}`, as Step Functions does.
///
/// ```
/// use std::sync::Arc;
/// use faas_jsonata::StatesExpressions;
/// use faas_workflow::asl::StatesLanguage;
///
/// let language = StatesLanguage::new().with_expressions(Arc::new(StatesExpressions::default()));
/// let report = language.validate(r#"{ "QueryLanguage": "JSONata", "StartAt": "Sum", "States": {
///     "Sum": { "Type": "Pass", "Output": "{% $sum($states.input.prices) %}", "End": true }
/// } }"#);
/// assert!(report.is_ok(), "{report}");
/// ```
#[derive(Debug, Clone, Default)]
pub struct StatesExpressions {
    limits: Limits,
}

impl StatesExpressions {
    /// With these limits for each evaluation.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
}

#[derive(Debug)]
struct Compiled {
    expression: Expression,
    variables: Vec<String>,
    limits: Limits,
}

impl ExpressionLanguage for StatesExpressions {
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledExpression>, String> {
        let expression = Expression::parse(text, Dialect::StepFunctions);
        let expression = expression.map_err(|error| error.to_string())?;
        let names = expression.variables().filter(|name| *name != STATES);
        Ok(Arc::new(Compiled {
            variables: names.map(String::from).collect(),
            limits: self.limits,
            expression,
        }))
    }
}

impl CompiledExpression for Compiled {
    fn evaluate(&self, scope: &ExpressionScope<'_>) -> Result<Option<Value>, ExpressionError> {
        let bound: Vec<(&str, Arc<Value>)> = self
            .variables
            .iter()
            .filter_map(|name| Some((name.as_str(), (scope.variable)(name)?)))
            .collect();
        let mut context = Context::new(moment(scope.now), scope.entropy)
            .with_limits(self.limits)
            .bind_fields(STATES, scope.states.iter().copied());
        for (name, value) in &bound {
            context = context.bind(name, value);
        }
        self.expression
            .evaluate(None, &context)
            .map_err(|error| match error.code() {
                FUNCTION => ExpressionError::Unsupported,
                _ => ExpressionError::Failed(error.to_string()),
            })
    }

    fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }
}

fn moment(now: Timestamp) -> SystemTime {
    let since = Duration::from_millis(now.as_millisecond().unsigned_abs());
    match now.as_millisecond() < 0 {
        true => UNIX_EPOCH - since,
        false => UNIX_EPOCH + since,
    }
}
