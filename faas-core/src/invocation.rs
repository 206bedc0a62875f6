//! [`Invocation`]: one request to a function.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Monotonic;
use crate::function_ref::FunctionRef;
use crate::id::InvocationId;
use crate::name::Namespace;
use crate::payload::Payload;
use crate::trace::TraceContext;

/// A short list of names and values: HTTP headers, custom attributes. Empty ones cost nothing,
/// and cloning copies none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(Option<Arc<Vec<(String, String)>>>);

impl Attributes {
    /// None.
    pub const fn new() -> Self {
        Self(None)
    }

    /// The first value of that name; names compare without regard to ASCII case, as in HTTP.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Adds a value, after those that the name has.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let list = Arc::make_mut(self.0.get_or_insert_default());
        list.push((name.into(), value.into()));
    }

    /// All values of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |list| list.len())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|list| list.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        attributes.extend(pairs);
        attributes
    }
}

impl<N: Into<String>, V: Into<String>> Extend<(N, V)> for Attributes {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.append(name, value);
        }
    }
}

/// Who asks. Authentication is the application's; this is what it found out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Caller {
    /// The tenant that queues and quotas count the request for; the function's own if `None`.
    pub namespace: Option<Namespace>,
    /// A user, a service, an execution: for logs and authorisation.
    pub identity: Option<Arc<str>>,
}

impl Caller {
    /// A caller whose requests count for `namespace`.
    pub fn of(namespace: Namespace) -> Self {
        Self {
            namespace: Some(namespace),
            identity: None,
        }
    }

    /// Adds who it is.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<Arc<str>>) -> Self {
        self.identity = Some(identity.into());
        self
    }
}

/// One request to a function.
///
/// ```
/// use faas_core::{Caller, Invocation, InvocationId, Monotonic, Namespace, Payload};
///
/// let invocation = Invocation::new(InvocationId::from_u128(7), "hello".parse()?, Payload::text("hi"))
///     .with_deadline(Monotonic::from_nanos(5_000_000_000))
///     .with_caller(Caller::of(Namespace::new("shop")?))
///     .with_attribute("accept", "text/plain");
/// assert_eq!(invocation.function.to_string(), "default/hello");
/// assert_eq!(invocation.tenant().as_str(), "shop");
/// assert_eq!(invocation.attributes.get("Accept"), Some("text/plain"));
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Invocation {
    /// Unique.
    pub id: InvocationId,
    /// Which function.
    pub function: FunctionRef,
    /// What it is given.
    pub payload: Payload,
    /// After this nobody waits for the answer; queues drop it, contracts cancel it.
    pub deadline: Option<Monotonic>,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// Who asks.
    pub caller: Caller,
    /// The same for every attempt of one logical request; the function may see it.
    pub idempotency_key: Option<Arc<str>>,
    /// HTTP-like metadata, where it came by HTTP, and whatever the caller adds.
    pub attributes: Attributes,
}

impl Invocation {
    /// A request without deadline, trace or attributes.
    pub fn new(id: InvocationId, function: FunctionRef, payload: Payload) -> Self {
        Self {
            id,
            function,
            payload,
            deadline: None,
            trace: TraceContext::default(),
            caller: Caller::default(),
            idempotency_key: None,
            attributes: Attributes::new(),
        }
    }

    /// Sets when nobody waits any longer.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Monotonic) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets the trace that it belongs to.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    /// Sets who asks.
    #[must_use]
    pub fn with_caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Sets what all attempts of one logical request share.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Replaces the attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.append(name, value);
        self
    }

    /// The tenant that the request counts for.
    #[inline]
    pub fn tenant(&self) -> &Namespace {
        self.caller
            .namespace
            .as_ref()
            .unwrap_or(&self.function.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_order_and_ignore_case() {
        let mut all: Attributes = [("Via", "a"), ("x", "1"), ("via", "b")]
            .into_iter()
            .collect();
        assert_eq!(all.get("VIA"), Some("a"));
        assert_eq!(all.get_all("via").collect::<Vec<_>>(), ["a", "b"]);
        let before = all.clone();
        all.append("y", "2");
        assert_eq!((before.len(), all.len()), (3, 4));
        assert!(Attributes::new().is_empty());
    }

    #[test]
    fn the_tenant_is_the_callers_or_else_the_functions() {
        let id = InvocationId::from_u128(1);
        let call = Invocation::new(id, "shop/pay".parse().unwrap(), Payload::empty());
        assert_eq!(call.tenant().as_str(), "shop");
        let caller = Caller::of(Namespace::new("web").unwrap()).with_identity("alice");
        assert_eq!(call.with_caller(caller).tenant().as_str(), "web");
    }
}
