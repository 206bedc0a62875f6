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

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|list| list.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
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

/// One request to a function.
///
/// ```
/// use faas_core::{Invocation, InvocationId, Payload};
///
/// let invocation = Invocation::new(InvocationId::from_u128(7), "hello".parse()?, Payload::text("hi"));
/// assert_eq!(invocation.function.to_string(), "default/hello");
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

    /// The tenant that the request counts for.
    pub fn tenant(&self) -> &Namespace {
        self.caller
            .namespace
            .as_ref()
            .unwrap_or(&self.function.namespace)
    }
}
