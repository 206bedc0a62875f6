//! Functions that a platform has from the start: handlers of this process, under names that stay the
//! same in every life of it.

use faas_core::{Digest, FunctionError, Handler, HandlerName, Result, RuntimeName};
use faas_function::registry::{FunctionConfig, FunctionId};
use faas_memory::Handlers;
use faas_resource::Executable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::PlatformBuilder;
use crate::local::HANDLER;
use crate::platform::function_id;

type Register = Box<dyn FnOnce(&Handlers, HandlerName) + Send>;
type Configure = Box<dyn FnOnce(&mut FunctionConfig) + Send>;

/// A function, not registered yet.
pub(crate) struct Declared {
    function: String,
    register: Register,
    configure: Configure,
}

impl Declared {
    /// Registers the handler; what is left to be done is to deploy it.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name.
    pub(crate) fn register(self, handlers: &Handlers) -> Result<(FunctionId, FunctionConfig)> {
        let function = function_id(&self.function)?;
        let digest = Digest::of(function.to_string().as_bytes()).hex();
        let name = HandlerName::new(format!("f-{}", &digest[..32]))?;
        (self.register)(handlers, name.clone());
        let runtime = RuntimeName::new(HANDLER)?;
        let mut config = FunctionConfig::new(runtime, Executable::Handler(name));
        (self.configure)(&mut config);
        Ok((function, config))
    }
}

impl PlatformBuilder {
    /// Has a function (`namespace/name`, or a name alone) from the start: a handler of this process.
    ///
    /// Unlike one that is deployed later, it is there before what an earlier life of the platform
    /// left is taken up, and its revision is the same in every life: what a durable platform runs
    /// after a restart should be declared so.
    pub fn function(self, function: &str, handler: impl Handler) -> Self {
        self.function_with(function, handler, |_| {})
    }

    /// As [`function`](Self::function), with a configuration of its own.
    pub fn function_with(
        mut self,
        function: &str,
        handler: impl Handler,
        configure: impl FnOnce(&mut FunctionConfig) + Send + 'static,
    ) -> Self {
        self.declared.push(Declared {
            function: function.to_owned(),
            register: Box::new(move |handlers, name| handlers.register(name, handler)),
            configure: Box::new(configure),
        });
        self
    }

    /// As [`function`](Self::function), for an async closure from one JSON value to another.
    pub fn function_json<I, O, F, Fut>(mut self, function: &str, closure: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + Sync + 'static,
        F: Fn(I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, FunctionError>> + Send + 'static,
    {
        self.declared.push(Declared {
            function: function.to_owned(),
            register: Box::new(move |handlers, name| handlers.register_json(name, closure)),
            configure: Box::new(|_| {}),
        });
        self
    }
}
