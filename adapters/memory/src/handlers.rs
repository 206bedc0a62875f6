//! [`Handlers`]: in-process functions by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use faas_core::{
    FunctionError, Handler, HandlerCall, HandlerName, HandlerRegistry, HandlerReply, Payload,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

type Map = BTreeMap<HandlerName, Arc<dyn Handler>>;

/// The handlers of this process, by name. Clones share what is registered.
#[derive(Clone, Default)]
pub struct Handlers(Arc<RwLock<Map>>);

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a handler; the last of a name wins, and who holds an earlier one keeps it.
    pub fn register(&self, name: HandlerName, handler: impl Handler) {
        self.register_shared(name, Arc::new(handler));
    }

    /// Registers a handler that others hold, too.
    pub fn register_shared(&self, name: HandlerName, handler: Arc<dyn Handler>) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(name, handler);
    }

    /// Registers an async closure from one JSON value to another. Input that is not of its type
    /// is the caller's fault, and answered with the error of [`Payload::to_json`].
    pub fn register_json<I, O, F, Fut>(&self, name: HandlerName, function: F)
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
        F: Fn(I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, FunctionError>> + Send + 'static,
    {
        let function = Arc::new(function);
        self.register(name, move |call: HandlerCall| {
            let function = function.clone();
            async move {
                let answer = function(call.payload.to_json()?).await?;
                Ok(HandlerReply::Whole(Payload::json(&answer)?))
            }
        });
    }

    /// Forgets a handler; sandboxes that run it go on, new ones cannot start.
    pub fn unregister(&self, name: &HandlerName) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.remove(name);
    }
}

impl HandlerRegistry for Handlers {
    fn lookup(&self, name: &HandlerName) -> Option<Arc<dyn Handler>> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.get(name).cloned()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(map.keys()).finish()
    }
}
