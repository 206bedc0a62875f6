//! Functions: how they come to a platform, and how they go.

use std::sync::Arc;

use faas_core::{Error, FunctionRef, Qualifier, Result};
use faas_function::builder::BuildRequest;
use faas_function::layer::BuildingEvent;
use faas_function::registry::{Alias, FunctionConfig, FunctionId, FunctionRecord};
use futures::TryStreamExt;

use super::Platform;

impl Platform {
    /// Registers a function (`namespace/name`, or a name alone), or makes its next revision.
    ///
    /// Calls that name no revision may for a moment still go to the one before.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name; as [`FunctionLayer::deploy`](faas_function::FunctionLayer::deploy).
    pub async fn deploy(
        &self,
        function: &str,
        config: FunctionConfig,
    ) -> Result<Arc<FunctionRecord>> {
        self.functions.deploy(function_id(function)?, config).await
    }

    /// Builds a function from its source, and deploys it; `configure` adorns its configuration.
    ///
    /// The log of the build goes to `tracing`, at the level `DEBUG`;
    /// [`FunctionLayer::build_and_deploy`](faas_function::FunctionLayer::build_and_deploy) gives it
    /// line by line.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name or configuration; a failed build with the tail of its log.
    pub async fn build(
        &self,
        function: &str,
        request: BuildRequest,
        configure: impl FnOnce(&mut FunctionConfig) + Send,
    ) -> Result<Arc<FunctionRecord>> {
        let id = function_id(function)?;
        let mut events = self.functions.build_and_deploy(id, request, configure);
        while let Some(event) = events.try_next().await? {
            match event {
                BuildingEvent::Deployed(record) => return Ok(record),
                BuildingEvent::Log(line) => tracing::debug!(function, "{line}"),
                _ => {}
            }
        }
        let message = format!("the build of {function} ended without a result");
        Err(Error::internal("build function", message))
    }

    /// Deletes a function with its revisions and aliases.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name; as
    /// [`FunctionLayer::delete`](faas_function::FunctionLayer::delete).
    pub async fn delete(&self, function: &str) -> Result<()> {
        let id = function_id(function)?;
        #[cfg(feature = "memory")]
        let handlers = self.deployed_handlers(&id).await?;
        self.functions.delete(&id, None).await?;
        #[cfg(feature = "memory")]
        for name in &handlers {
            self.handlers.unregister(name);
        }
        Ok(())
    }

    /// Makes or moves an alias of `function`.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name; as
    /// [`FunctionLayer::set_alias`](faas_function::FunctionLayer::set_alias).
    pub async fn set_alias(&self, function: &str, alias: Alias) -> Result<Arc<FunctionRecord>> {
        let function = function_id(function)?;
        self.functions.set_alias(&function, alias).await
    }
}

#[cfg(feature = "memory")]
mod handlers {
    use std::sync::Arc;

    use faas_core::{
        ErrorKind, FunctionError, Handler, HandlerName, InvocationId, Result, Retry, RevisionNumber,
    };
    use faas_function::registry::{FunctionConfig, FunctionId, FunctionRecord};
    use faas_resource::Executable;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::local::HANDLER;
    use crate::platform::Platform;

    /// What names of handlers begin with that are one revision's own, and go with it.
    const DEPLOYED: &str = "d-";
    /// Those that the application deploys as it likes.
    const REGISTERED: &str = "h-";

    impl Platform {
        /// Deploys a handler of this process as `function` (`namespace/name`, or a name alone).
        ///
        /// A handler that never yields cannot be stopped: past its timeout it is reported and its
        /// instance replaced, but it keeps its thread. Have such handlers run on a runtime of their
        /// own: [`guest_runtime`](crate::PlatformBuilder::guest_runtime).
        ///
        /// # Errors
        /// As [`Platform::deploy`].
        pub async fn deploy_handler(
            &self,
            function: &str,
            handler: impl Handler,
        ) -> Result<Arc<FunctionRecord>> {
            let name = self.handler_name(DEPLOYED)?;
            self.handlers.register(name.clone(), handler);
            self.deploy_registered(function, name).await
        }

        /// Deploys an async closure from one JSON value to another.
        ///
        /// # Errors
        /// As [`Platform::deploy_handler`].
        pub async fn deploy_json<I, O, F, Fut>(
            &self,
            function: &str,
            closure: F,
        ) -> Result<Arc<FunctionRecord>>
        where
            I: DeserializeOwned + Send + 'static,
            O: Serialize + Send + Sync + 'static,
            F: Fn(I) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<O, FunctionError>> + Send + 'static,
        {
            let name = self.handler_name(DEPLOYED)?;
            self.handlers.register_json(name.clone(), closure);
            self.deploy_registered(function, name).await
        }

        async fn deploy_registered(
            &self,
            function: &str,
            name: HandlerName,
        ) -> Result<Arc<FunctionRecord>> {
            let deployed = self.deploy(function, config(name.clone())?).await;
            // Where it may have happened all the same, the revision needs its handler.
            if deployed
                .as_ref()
                .is_err_and(|error| error.retry() != Retry::Ambiguous)
            {
                self.handlers.unregister(&name);
            }
            deployed
        }

        /// The handlers that go with a function.
        pub(super) async fn deployed_handlers(&self, id: &FunctionId) -> Result<Vec<HandlerName>> {
            let metadata = self.functions.metadata();
            let latest = metadata.get(id).await?.latest.number;
            let mut handlers = Vec::new();
            for number in 1..=latest.0 {
                let revision = match metadata.revision(id, RevisionNumber(number)).await {
                    Ok(revision) => revision,
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                if let Executable::Handler(name) = &revision.config.executable
                    && name.as_str().starts_with(DEPLOYED)
                {
                    handlers.push(name.clone());
                }
            }
            Ok(handlers)
        }

        /// Registers a handler, and answers the configuration of a function that runs it, to be
        /// adorned (its timeout, its concurrency, …) and given to [`Platform::deploy`].
        ///
        /// # Errors
        /// None that outside input could cause.
        pub fn register(&self, handler: impl Handler) -> Result<FunctionConfig> {
            let name = self.handler_name(REGISTERED)?;
            self.handlers.register(name.clone(), handler);
            config(name)
        }

        /// A name of its own for each handler, for revisions are immutable.
        fn handler_name(&self, prefix: &str) -> Result<HandlerName> {
            HandlerName::new(format!("{prefix}{}", self.ids.next::<InvocationId>()))
        }
    }

    fn config(name: HandlerName) -> Result<FunctionConfig> {
        Ok(FunctionConfig::new(
            HANDLER.parse()?,
            Executable::Handler(name),
        ))
    }
}

pub(crate) fn function_id(text: &str) -> Result<FunctionId> {
    let FunctionRef {
        namespace,
        name,
        qualifier,
    } = text.parse()?;
    if qualifier != Qualifier::Latest {
        let message = format!("{text}: a deployment makes a revision, it cannot name one");
        return Err(Error::invalid("deploy", message));
    }
    Ok(FunctionId { namespace, name })
}
