//! The suite of `FunctionBuilder` passes for a chain over a small builder of its own, and catches a
//! builder that breaks any one rule: each fault breaks one, and the case of that name fails.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use faas_core::store::MemoryStore;
use faas_core::{Description, Digest, Error, Result, RuntimeName};
use faas_function::builder::conformance::{CASES, Factory, Fixture, GatedCode};
use faas_function::builder::{Artifact, BuildEvent, BuildRequest, Chain, Source};
use faas_function::{CodeStore, FunctionBuilder};
use faas_resource::Executable;
use faas_resource::spec::{Packing, Program};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

fn runtime() -> RuntimeName {
    RuntimeName::new("toy").expect("a name")
}

/// A digest as a source: `bad` is one that cannot be built.
fn source(text: &str) -> Source {
    Source::Code(Digest::of(text.as_bytes()))
}

/// Builds digests, honestly.
#[derive(Clone)]
struct Toy {
    code: GatedCode,
    rule: &'static str,
    keys: Arc<AtomicU64>,
}

impl Toy {
    fn key(&self, request: &BuildRequest) -> Result<Digest> {
        if request.runtime != runtime() && self.rule != "foreign_runtime" {
            return Err(Error::unsupported("build", "it is no toy"));
        }
        let mut text = format!("{:?}", request.source);
        if self.rule == "deterministic_key" {
            let number = self.keys.fetch_add(1, Ordering::Relaxed);
            text.push_str(&number.to_string());
        }
        Ok(Digest::of(text.as_bytes()))
    }

    async fn done(self, request: BuildRequest) -> Result<BuildEvent> {
        let key = self.key(&request)?;
        if request.source == source("bad") {
            let says = if self.rule == "failure_has_log" {
                "no"
            } else {
                "line 1: it is bad"
            };
            return Err(Error::invalid("build", says));
        }
        let text = format!("{:?}", request.source);
        let program = Program {
            code: self.code.put(text.into()).await?,
            packing: Packing::File,
            entrypoint: PathBuf::from("toy"),
            arguments: Vec::new(),
        };
        let executable = Executable::Program(program);
        Ok(BuildEvent::Done(Artifact::new(executable, key)))
    }
}

#[async_trait]
impl FunctionBuilder for Toy {
    fn runtimes(&self) -> Vec<RuntimeName> {
        vec![runtime()]
    }
    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        let log = stream::iter([Ok(BuildEvent::Log("line 1: it is begun".to_owned()))]);
        log.chain(stream::once(self.clone().done(request))).boxed()
    }
    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        self.key(request)
    }
    fn describe(&self) -> Description {
        Description::new("Toy")
    }
}

/// What a builder does that breaks a rule by itself, whatever it is made of.
struct Broken {
    inner: Arc<dyn FunctionBuilder>,
    rule: &'static str,
}

#[async_trait]
impl FunctionBuilder for Broken {
    fn runtimes(&self) -> Vec<RuntimeName> {
        self.inner.runtimes()
    }
    fn build(&self, request: BuildRequest) -> BoxStream<'static, Result<BuildEvent>> {
        let events = self.inner.build(request);
        match self.rule {
            "ends_once" => {
                let twice = |event: BuildEvent| {
                    let again = matches!(event, BuildEvent::Done(_)).then(|| event.clone());
                    stream::iter([Some(event), again].into_iter().flatten().map(Ok))
                };
                events.map_ok(twice).try_flatten().boxed()
            }
            // It goes on though nobody waits for it.
            "cancel_safe" => {
                let (sender, receiver) = mpsc::unbounded_channel();
                tokio::spawn(events.for_each(move |event| {
                    let _ = sender.send(event);
                    std::future::ready(())
                }));
                let next = |mut receiver: mpsc::UnboundedReceiver<_>| async move {
                    receiver.recv().await.map(|event| (event, receiver))
                };
                stream::unfold(receiver, next).boxed()
            }
            _ => events,
        }
    }
    async fn cache_key(&self, request: &BuildRequest) -> Result<Digest> {
        self.inner.cache_key(request).await
    }
    fn describe(&self) -> Description {
        self.inner.describe()
    }
}

fn broken(rule: &'static str) -> Factory {
    Arc::new(move |code| {
        let toy = Toy {
            code: code.clone(),
            rule,
            keys: Arc::default(),
        };
        let chain = Chain::new(Arc::new(MemoryStore::new()), Arc::new(code));
        let inner: Arc<dyn FunctionBuilder> = match rule {
            // By itself it builds as often as it is asked to, and for whom it is asked to.
            "one_at_a_time" | "foreign_runtime" => Arc::new(toy),
            _ => Arc::new(chain.with(toy)),
        };
        let request = |text| BuildRequest::new(runtime(), source(text));
        let fixture = Fixture {
            builder: Arc::new(Broken { inner, rule }),
            good: request("good"),
            other: request("other"),
            bad: Some((request("bad"), "it is bad")),
            left: Box::new(Vec::new),
            guard: Box::new(()),
        };
        std::future::ready(fixture).boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn every_rule_has_a_builder_that_breaks_it_and_is_caught() {
    for (rule, case) in CASES {
        let run = AssertUnwindSafe(case(broken(rule))).catch_unwind();
        assert!(run.await.is_err(), "{rule} is not caught");
        case(broken("none")).await;
    }
}
