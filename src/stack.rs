//! The invocation path as a tower stack: the router inside, the application's layers around it.

use std::sync::Arc;
use std::task::{Context, Poll};

use faas_core::{Description, Error, Invocation, Invoker, PrewarmHint, Response, Result};
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

/// An error of ours as it was; any other is the layer's.
fn platform_error(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => Error::internal("invoke", format!("a layer refused: {other}")),
    }
}
