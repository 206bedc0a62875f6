//! What an evaluation gets from its caller, beside the input.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;

use crate::limits::Limits;

/// What an evaluation gets beside its input: variables, the time, a seed of randomness, limits.
/// The same expression with the same input and context always gives the same result.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use faas_jsonata::{Context, Expression};
/// use serde_json::json;
///
/// let rate = json!(1.5);
/// let context = Context::new(UNIX_EPOCH + Duration::from_secs(1), 42).bind("rate", &rate);
/// let expression: Expression = "price * $rate".parse()?;
/// assert_eq!(expression.evaluate(&json!({"price": 10}), &context)?, Some(json!(15)));
/// # Ok::<(), faas_jsonata::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    bindings: Vec<(Box<str>, Bound<'a>)>,
    millis: i64,
    seed: u64,
    limits: Limits,
}

/// What a variable is bound to.
#[derive(Clone, Debug)]
pub(crate) enum Bound<'a> {
    Json(&'a Json),
    Fields(Vec<(&'a str, &'a Json)>),
}

impl<'a> Context<'a> {
    /// A context in which `$now()` and `$millis()` are `now` (to the millisecond), and `$random`,
    /// `$shuffle` and `$uuid` follow from `seed`. The default one is 1970 with the seed 0.
    #[must_use]
    pub fn new(now: SystemTime, seed: u64) -> Self {
        let millis = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis)
            }
        };
        Self {
            millis,
            seed,
            ..Self::default()
        }
    }

    /// Binds the variable `$name`; one of this name that is bound already is hidden.
    #[must_use]
    pub fn bind(mut self, name: &str, value: &'a Json) -> Self {
        self.bindings.push((name.into(), Bound::Json(value)));
        self
    }

    /// Binds the variable `$name` to an object of these fields, which are not copied: `$states` to
    /// input, result and context, say.
    #[must_use]
    pub fn bind_fields(
        mut self,
        name: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a Json)>,
    ) -> Self {
        self.bindings
            .push((name.into(), Bound::Fields(fields.into_iter().collect())));
        self
    }

    /// Sets what the evaluation may use.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(crate) fn bindings(&self) -> &[(Box<str>, Bound<'a>)] {
        &self.bindings
    }

    pub(crate) fn millis(&self) -> i64 {
        self.millis
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}
