//! Pointers to builders are builders.

use std::sync::Arc;

use async_trait::async_trait;
use faas_core::{Description, Digest, Result, RuntimeName};
use futures::stream::BoxStream;

use super::{BuildEvent, BuildRequest, FunctionBuilder};

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: FunctionBuilder + ?Sized> FunctionBuilder for $pointer<T> {
            fn runtimes(&self) -> Vec<RuntimeName> {
                (**self).runtimes()
            }
            fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
                (**self).build(request)
            }
            async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
                (**self).cache_key(request).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
