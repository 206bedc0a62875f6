//! [`DockerBuilder`]: images from Dockerfiles, source trees and programs.

use std::collections::VecDeque;
use std::fmt;

use async_trait::async_trait;
use bollard::models::BuildInfo;
use bollard::query_parameters::BuildImageOptions;
use faas_core::component::Component;
use faas_core::{ByteSize, Description, Digest, Error, ErrorKind, Result, RuntimeName};
use faas_function::FunctionBuilder;
use faas_function::builder::{Artifact, BuildEvent, BuildRequest, Flights, Log};
use faas_resource::Executable;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use crate::context::{self, Context};
use crate::engine::Engine;
use crate::error;

const OPERATION: &str = "build image";
/// Lines of a failed build's log that its error carries.
const TAIL: usize = 20;
/// The label of what was built here: its key.
const KEY: &str = "faas.build";

/// Builds images on an engine; a clone is the same builder.
///
/// From a directory with a `Dockerfile` (or the one that the option `dockerfile` names), that is built,
/// up to the stage that the option `target` names. From another directory, or from one file, an image is
/// made of the sources at `/function` on the image that the option `base` names (none: `scratch`),
/// which starts what the option `entrypoint` names: a program, or a JSON list of it and its arguments; a
/// file starts itself.
///
/// The artifact names the image by the digest of its configuration, which never means another one. The
/// image is on that engine alone; there it is tagged `faas/<runtime>:<key>`, so that nobody who removes
/// what is unused takes it for that. What `RUN` does, the engine's machine does: build only what is trusted.
#[derive(Clone)]
pub struct DockerBuilder {
    runtimes: Vec<RuntimeName>,
    engine: Engine,
    bound: ByteSize,
    flights: Flights,
}

impl fmt::Debug for DockerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerBuilder")
            .field("runtimes", &self.runtimes)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

impl DockerBuilder {
    /// For these runtimes, on `engine`, of sources of at most 256 MiB.
    pub fn new(runtimes: Vec<RuntimeName>, engine: Engine) -> Self {
        Self {
            runtimes,
            engine,
            bound: ByteSize::mib(256),
            flights: Flights::default(),
        }
    }

    /// How large sources may be; they are in memory while they are sent.
    #[must_use]
    pub fn source_bound(mut self, bound: ByteSize) -> Self {
        self.bound = bound;
        self
    }

    /// An image by reference, pinned: what the reference means now, it means for ever. It is named by
    /// the digest that its registry gave it, if it came from one, or else by that of its configuration.
    ///
    /// # Errors
    /// `NotFound` if the engine does not have it; `Unavailable` if the engine does not answer.
    pub async fn pin(&self, reference: &str) -> Result<Executable> {
        let image = self.engine.docker.inspect_image(reference).await;
        let image = image.map_err(|e| error::engine("pin image", reference, e))?;
        let known = image.repo_digests.unwrap_or_default().into_iter().next();
        let pinned = known.or(image.id).ok_or_else(|| {
            Error::internal(
                "pin image",
                format!("{reference}: the engine gave no digest"),
            )
        })?;
        Ok(Executable::Image(pinned))
    }

    async fn read(&self, request: &BuildRequest) -> Result<(Context, Digest)> {
        if !self.runtimes.contains(&request.runtime) {
            let (runtime, known) = (&request.runtime, &self.runtimes);
            let message = format!("nobody builds for runtime {runtime}, only for {known:?}");
            return Err(Error::unsupported(OPERATION, message));
        }
        let (request, bound) = (request.clone(), self.bound);
        let read = tokio::task::spawn_blocking(move || {
            let context = context::read(&request, bound)?;
            let key = key(&request.runtime, &context);
            Ok((context, key))
        });
        read.await.map_err(|_| error::lost(OPERATION))?
    }

    async fn start(self, request: BuildRequest) -> Result<BoxStream<'static, Result<BuildEvent>>> {
        let (context, key) = self.read(&request).await?;
        let flights = self.flights.clone();
        let runtime = request.runtime;
        Ok(flights.join(key, |log| self.run(runtime, context, key, log)))
    }

    async fn run(
        self,
        runtime: RuntimeName,
        context: Context,
        key: Digest,
        log: Log,
    ) -> Result<Artifact> {
        let runtime = runtime.as_str().to_lowercase();
        let options = BuildImageOptions {
            dockerfile: context.dockerfile,
            target: context.target,
            t: Some(format!("faas/{runtime}:{}", &key.hex()[..32])),
            labels: Some([(KEY.to_owned(), key.hex())].into()),
            rm: true,
            forcerm: true,
            ..BuildImageOptions::default()
        };
        let archive = bollard::body_full(context.archive.into());
        let mut steps = self.engine.docker.build_image(options, None, Some(archive));
        let (mut tail, mut image) = (Tail::default(), None);
        while let Some(step) = steps.next().await {
            match step {
                Ok(step) => image = tail.take(step, &log)?.or(image),
                Err(error) => return Err(tail.failed(error)),
            }
        }
        let image = image.ok_or_else(|| {
            Error::internal(OPERATION, "the build ended, and the engine named no image")
        })?;
        Ok(Artifact::new(Executable::Image(image), key))
    }
}

fn key(runtime: &RuntimeName, context: &Context) -> Digest {
    let fields = [
        "docker",
        runtime.as_str(),
        &context.dockerfile,
        &context.target,
        &Digest::of(&context.archive).hex(),
    ];
    // As JSON no two lists of texts look alike.
    Digest::of(serde_json::json!(fields).to_string().as_bytes())
}

/// The last lines of a log, and one that has not ended yet.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<String>,
    part: String,
}

impl Tail {
    /// Takes what the engine tells of a build; answers the image, if it is told.
    fn take(&mut self, step: BuildInfo, log: &Log) -> Result<Option<String>> {
        self.part
            .push_str(step.stream.as_deref().unwrap_or_default());
        while let Some(end) = self.part.find('\n') {
            let line: String = self.part.drain(..=end).collect();
            self.line(line.trim_end(), log);
        }
        if let Some(status) = step.status {
            let progress = step.id.map(|id| format!("{id}: {status}"));
            self.line(&progress.unwrap_or(status), log);
        }
        if let Some(failure) = step.error_detail {
            let why = failure.message.unwrap_or_default();
            return Err(Error::invalid(OPERATION, self.with(&why)));
        }
        Ok(step.aux.and_then(|aux| aux.id))
    }

    fn line(&mut self, line: &str, log: &Log) {
        if line.is_empty() {
            return;
        }
        log.line(line);
        if self.lines.len() == TAIL {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    fn with(&self, why: &str) -> String {
        let tail: Vec<_> = self.lines.iter().map(String::as_str).collect();
        format!("{why}; the log ends with:\n{}", tail.join("\n"))
    }

    /// A build that the engine ended is its sources' fault; one that it did not take, or did not end,
    /// may be anybody's.
    fn failed(&self, failure: bollard::errors::Error) -> Error {
        let sources = matches!(failure, bollard::errors::Error::DockerStreamError { .. });
        let message = self.with(&failure.to_string());
        let made = error::engine(OPERATION, "the engine", failure);
        let (kind, retry) = match sources {
            true => (ErrorKind::InvalidArgument, faas_core::Retry::Never),
            false => (made.kind(), made.retry()),
        };
        Error::new(kind, retry, OPERATION, message).with_source(made)
    }
}

#[async_trait]
impl FunctionBuilder for DockerBuilder {
    fn runtimes(&self) -> Vec<RuntimeName> {
        self.runtimes.clone()
    }

    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        stream::once(self.clone().start(request))
            .try_flatten()
            .boxed()
    }

    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        let (_, key) = self.read(request).await?;
        Ok(key)
    }

    fn describe(&self) -> Description {
        Description::new("DockerBuilder").provides(Component::F2)
    }
}
