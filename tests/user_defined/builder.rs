//! A function builder of one's own (F2): sources are files that name a handler.

use std::sync::Arc;

use bytes::Bytes;
use faas::Platform;
use faas::core::{Component, Description, Digest, Error, Result, RuntimeName};
use faas::function::FunctionBuilder;
use faas::function::builder::{Artifact, BuildEvent, BuildRequest, Source};
use faas::resource::Executable;
use futures::stream::{self, BoxStream, StreamExt};

use crate::{names, within};

struct ByName;

impl ByName {
    async fn read(request: &BuildRequest) -> Result<Bytes> {
        let Source::File(path) = &request.source else {
            return Err(Error::invalid(
                "build",
                "a source is a file that names a handler",
            ));
        };
        let read = tokio::fs::read(path).await;
        let unread = |error| Error::unavailable("build", format!("{}: {error}", path.display()));
        Ok(read.map_err(unread)?.into())
    }

    async fn artifact(request: BuildRequest) -> Result<BuildEvent> {
        let source = Self::read(&request).await?;
        let name = String::from_utf8_lossy(&source).trim().parse()?;
        let artifact = Artifact::new(Executable::Handler(name), Digest::of(&source));
        Ok(BuildEvent::Done(artifact))
    }
}

#[async_trait::async_trait]
impl FunctionBuilder for ByName {
    fn runtimes(&self) -> Vec<RuntimeName> {
        ["handler".parse()].into_iter().flatten().collect()
    }
    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        let log = BuildEvent::Log("reading the name of the handler".to_owned());
        let log = stream::iter([Ok(log)]);
        log.chain(stream::once(Self::artifact(request))).boxed()
    }
    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        Ok(Digest::of(&Self::read(request).await?))
    }
    fn describe(&self) -> Description {
        Description::new("ByName").provides(Component::F2)
    }
}

#[tokio::test]
async fn it_builds_functions_of_its_runtime() {
    let platform = Platform::builder().function_builder(Arc::new(ByName));
    let platform = platform.build().await.expect("it is well configured");
    names(&platform, Component::F2, "ByName");
    let shout = |call: faas::core::HandlerCall| async move {
        let text: String = call.payload.to_json()?;
        Ok(faas::core::Payload::json(&text.to_uppercase())?.into())
    };
    let Executable::Handler(name) = platform.register(shout).expect("a name").executable else {
        panic!("a handler")
    };
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("shout");
    std::fs::write(&source, name.as_str()).expect("a file");
    let request = BuildRequest::new("handler".parse().expect("a name"), Source::File(source));
    let built = platform.build("shout", request, |config| config.concurrency = 8);
    let record = built.await.expect("it is built");
    assert_eq!(record.latest.config.concurrency, 8);
    let answer: String = within(platform.call("shout", "hello"))
        .await
        .expect("it runs");
    assert_eq!(answer, "HELLO");
}
