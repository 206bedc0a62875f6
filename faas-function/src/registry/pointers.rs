//! Pointers to registries are registries.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use faas_core::store::Revision;
use faas_core::{Description, Digest, Namespace, Result, RevisionNumber};
use futures::stream::BoxStream;

use super::{
    AliasChange, CodeStore, FunctionConfig, FunctionId, FunctionRecord, FunctionRevision,
    Generation, MetadataStore, RegistryEvent,
};

macro_rules! pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<T: MetadataStore + ?Sized> MetadataStore for $pointer<T> {
            async fn create(
                &self,
                function: FunctionId,
                config: FunctionConfig,
            ) -> Result<Arc<FunctionRecord>> {
                (**self).create(function, config).await
            }
            async fn update(
                &self,
                function: &FunctionId,
                config: FunctionConfig,
                expected: Option<Generation>,
            ) -> Result<Arc<FunctionRecord>> {
                (**self).update(function, config, expected).await
            }
            async fn set_alias(
                &self,
                function: &FunctionId,
                change: AliasChange,
                expected: Option<Generation>,
            ) -> Result<Arc<FunctionRecord>> {
                (**self).set_alias(function, change, expected).await
            }
            async fn get(&self, function: &FunctionId) -> Result<Arc<FunctionRecord>> {
                (**self).get(function).await
            }
            async fn revision(
                &self,
                function: &FunctionId,
                number: RevisionNumber,
            ) -> Result<Arc<FunctionRevision>> {
                (**self).revision(function, number).await
            }
            async fn list(
                &self,
                namespace: Option<Namespace>,
            ) -> Result<(Vec<Arc<FunctionRecord>>, Revision)> {
                (**self).list(namespace).await
            }
            async fn delete(
                &self,
                function: &FunctionId,
                expected: Option<Generation>,
            ) -> Result<()> {
                (**self).delete(function, expected).await
            }
            fn watch(&self, after: Revision) -> BoxStream<'static, Result<RegistryEvent>> {
                (**self).watch(after)
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }

        #[async_trait]
        impl<T: CodeStore + ?Sized> CodeStore for $pointer<T> {
            async fn put(&self, code: Bytes) -> Result<Digest> {
                (**self).put(code).await
            }
            async fn get(&self, digest: &Digest) -> Result<Bytes> {
                (**self).get(digest).await
            }
            async fn delete(&self, digest: &Digest) -> Result<()> {
                (**self).delete(digest).await
            }
            fn describe(&self) -> Description {
                (**self).describe()
            }
        }
    )*};
}
pointer!(Arc, Box);
