//! `Retry` and `Catch`.

use serde_json::Value;

use super::Parser;
use super::fields::{Fields, kind};
use super::state::Context;
use crate::asl::expression::QueryLanguage;
use crate::asl::model::{Catcher, Jitter, ResultPath, Retrier};
use crate::asl::settings::MAX_SECONDS;

/// The longest `MaxDelaySeconds`: a year.
const MAX_DELAY: u64 = 31_622_400;

impl Parser<'_> {
    pub(super) fn retriers(&mut self, fields: &mut Fields<'_>) -> Vec<Retrier> {
        let Some(list) = fields.list(self, "Retry") else {
            return Vec::new();
        };
        let at = fields.at("Retry");
        let mut retriers = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let Some(mut fields) = Fields::of(self, value, &format!("{at}/{index}")) else {
                continue;
            };
            retriers.push(self.retrier(&mut fields, index + 1 == list.len()));
            fields.finish(self);
        }
        retriers
    }

    fn retrier(&mut self, fields: &mut Fields<'_>, last: bool) -> Retrier {
        fields.text(self, "Comment");
        let errors = self.error_equals(fields, last);
        let interval = fields.count(self, "IntervalSeconds", 1..=MAX_SECONDS);
        let attempts = fields.count(self, "MaxAttempts", 0..=MAX_SECONDS);
        let backoff = fields.number(self, "BackoffRate", 1.0..=f64::MAX);
        let max_delay = fields.count(self, "MaxDelaySeconds", 1..=MAX_DELAY);
        let interval = interval.unwrap_or(1);
        if max_delay.is_some_and(|most| most <= interval) {
            let message =
                format!("MaxDelaySeconds is not above IntervalSeconds, which is {interval}");
            let help = "raise it, or remove it";
            self.error(fields.at("MaxDelaySeconds"), message, help);
        }
        let choices = [("FULL", Jitter::Full), ("NONE", Jitter::None)];
        let jitter = fields.one_of(self, "JitterStrategy", &choices);
        Retrier {
            errors,
            interval,
            attempts: u32::try_from(attempts.unwrap_or(3)).unwrap_or(u32::MAX),
            backoff: backoff.unwrap_or(2.0),
            max_delay,
            jitter: jitter.unwrap_or_default(),
        }
    }

    pub(super) fn catchers(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
    ) -> Vec<Catcher> {
        let Some(list) = fields.list(self, "Catch") else {
            return Vec::new();
        };
        let at = fields.at("Catch");
        let mut catchers = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let Some(mut fields) = Fields::of(self, value, &format!("{at}/{index}")) else {
                continue;
            };
            let catcher = self.catcher(&mut fields, context, index + 1 == list.len());
            catchers.extend(catcher);
            fields.finish(self);
        }
        catchers
    }

    fn catcher(
        &mut self,
        fields: &mut Fields<'_>,
        context: &Context<'_, '_>,
        last: bool,
    ) -> Option<Catcher> {
        fields.text(self, "Comment");
        let errors = self.error_equals(fields, last);
        let query = context.query;
        let (result_path, output) = match query {
            QueryLanguage::JsonPath => (self.result_path(fields), None),
            QueryLanguage::Jsonata => (ResultPath::Whole, self.template(fields, "Output", query)),
        };
        let assign = self.assign(fields, query);
        fields.required(self, &["Next"]);
        let next = fields.text(self, "Next")?;
        let next = self.target(context.targets, next, &fields.at("Next"))?;
        Some(Catcher {
            errors,
            next,
            result_path,
            assign,
            output,
        })
    }

    /// The names of the errors that a rule is for.
    fn error_equals(&mut self, fields: &mut Fields<'_>, last: bool) -> Vec<String> {
        const NAME: &str = "ErrorEquals";
        fields.required(self, &[NAME]);
        let Some(list) = fields.list(self, NAME) else {
            return Vec::new();
        };
        let at = fields.at(NAME);
        if list.is_empty() {
            let message = "ErrorEquals is empty; non-empty required";
            self.error(
                &at,
                message,
                "name at least one error; \"States.ALL\" means all",
            );
        }
        let mut errors = Vec::new();
        for (index, value) in list.iter().enumerate() {
            match value {
                Value::String(name) => errors.push(name.clone()),
                other => {
                    let message = format!("an error's name is a text, not {}", kind(other));
                    self.error(format!("{at}/{index}"), message, "write its name");
                }
            }
        }
        if errors.iter().any(|name| name == "States.ALL") && (!last || errors.len() > 1) {
            let message = "States.ALL does not stand alone in the last rule";
            let help =
                "move it to a rule of its own behind the others, for none of them would count";
            self.error(&at, message, help);
        }
        errors
    }
}
