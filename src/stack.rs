//! The invocation path as a tower stack: the router inside, the application's layers around it.

use std::sync::Arc;
use std::task::{Context, Poll};

use faas_core::{Description, Error, Invocation, Invoker, PrewarmHint, Response, Result, Retry};
use futures::future::BoxFuture;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

/// The stack, with whatever layers were added.
pub type Stack = BoxCloneSyncService<Invocation, Response, BoxError>;

/// A layer whose type is no longer known.
pub(crate) type AnyLayer = Box<dyn FnOnce(Stack) -> Stack + Send>;

/// Makes a layer one of [`AnyLayer`].
pub(crate) fn erase<L>(layer: L) -> AnyLayer
where
    L: Layer<Stack> + Send + 'static,
    L::Service: Service<Invocation, Response = Response> + Clone + Send + Sync + 'static,
    <L::Service as Service<Invocation>>::Error: Into<BoxError>,
    <L::Service as Service<Invocation>>::Future: Send + 'static,
{
    Box::new(move |inner| BoxCloneSyncService::new(layer.layer(inner).map_err(Into::into)))
}

/// The innermost service. It is always ready: capacity is per function, so `poll_ready` must never
/// let one cold function block another.
#[derive(Clone)]
struct Innermost(Arc<dyn Invoker>);

impl Service<Invocation> for Innermost {
    type Response = Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, invocation: Invocation) -> Self::Future {
        let invoker = self.0.clone();
        Box::pin(async move { Ok(invoker.invoke(invocation).await?) })
    }
}

/// The router behind the layers; without layers, the router itself.
pub(crate) fn build(router: Arc<dyn Invoker>, layers: Vec<AnyLayer>) -> Arc<dyn Invoker> {
    if layers.is_empty() {
        return router;
    }
    let innermost: Stack = BoxCloneSyncService::new(Innermost(router.clone()));
    // The layer that was added first is the outermost, as in tower's `ServiceBuilder`.
    let stack = layers
        .into_iter()
        .rev()
        .fold(innermost, |stack, layer| layer(stack));
    Arc::new(Layered { stack, router })
}

struct Layered {
    stack: Stack,
    router: Arc<dyn Invoker>,
}

#[async_trait::async_trait]
impl Invoker for Layered {
    async fn invoke(&self, invocation: Invocation) -> Result<Response> {
        self.stack
            .clone()
            .oneshot(invocation)
            .await
            .map_err(platform_error)
    }
    fn prewarm(&self, hint: PrewarmHint) {
        self.router.prewarm(hint);
    }
    fn describe(&self) -> Description {
        self.router.describe()
    }
}

/// An error of ours as it was; any other is the layer's, known for what it is if it is tower's own.
fn platform_error(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(other) => other,
    };
    let message = format!("a layer refused: {error}");
    let refused = if error.is::<tower::timeout::error::Elapsed>() {
        // The function may have run.
        Error::deadline_exceeded("invoke", message).with_retry(Retry::Ambiguous)
    } else if error.is::<tower::load_shed::error::Overloaded>() {
        Error::exhausted("invoke", message)
    } else {
        Error::internal("invoke", message)
    };
    refused.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::ErrorKind;
    use std::error::Error as _;
    use tower::load_shed::error::Overloaded;
    use tower::timeout::error::Elapsed;

    #[test]
    fn the_errors_of_layers_are_known_for_what_they_are() {
        let ours = Error::not_found("invoke", "it does not exist");
        assert_eq!(platform_error(ours.into()).kind(), ErrorKind::NotFound);
        let late = platform_error(Elapsed::new().into());
        let kind = (late.kind(), late.retry());
        assert_eq!(kind, (ErrorKind::DeadlineExceeded, Retry::Ambiguous));
        let shed = platform_error(Overloaded::new().into());
        assert_eq!(
            (shed.kind(), shed.retry()),
            (ErrorKind::Exhausted, Retry::Safe)
        );
        let other = platform_error("no ticket".into());
        assert_eq!(other.kind(), ErrorKind::Internal);
        assert!(other.source().is_some() && other.to_string().contains("no ticket"));
    }
}
