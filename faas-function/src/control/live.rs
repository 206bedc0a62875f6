//! The half that acts: it feeds the core, and does what the core wants done.

use std::sync::Arc;
use std::time::Duration;

use faas_core::{Clock, Error, Monotonic};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt};

use super::ControlParts;
use super::core::{Core, Effect};
use super::works::Step;
use crate::autoscaler::RevisionLoad;
use crate::backoff::Backoff;
use crate::deployer::{Deploy, DeployerEvent};
use crate::registry::follow::{Followed, follow};
use crate::registry::{FunctionRevision, RegistryEvent, RevisionId};
use crate::router::AddInstance;

/// Steps that are done at once, for different revisions.
const AT_ONCE: usize = 64;
/// News that are taken in before the policy is asked: it looks at the whole fleet.
const NEWS: usize = 256;
/// The policy may ask to be woken as often as it likes, but not more often than this.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

enum News {
    Demand(RevisionId, RevisionLoad),
    Deployer(DeployerEvent),
    Registry(Followed),
    /// A part has ended.
    Ended,
}

enum Outcome {
    Learned(RevisionId, Arc<FunctionRevision>),
    Prepared(RevisionId, u32),
    Done(RevisionId),
    Failed(RevisionId, Step, Error),
    Deployed(Vec<RevisionId>),
}

pub(super) struct Live {
    parts: ControlParts,
    core: Core,
    news: BoxStream<'static, News>,
    doing: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

/// The news of a part that must not end.
fn lasting<T: 'static>(
    part: BoxStream<'static, T>,
    news: impl FnMut(T) -> News + Send + 'static,
) -> BoxStream<'static, News> {
    let end = stream::once(std::future::ready(News::Ended));
    part.map(news).chain(end).boxed()
}

impl Live {
    pub(super) fn new(parts: ControlParts, core: Core) -> Self {
        let registry = follow(parts.metadata.clone(), parts.clock.clone());
        let news = stream::select_all([
            lasting(parts.router.demand(), |(id, load)| News::Demand(id, load)),
            lasting(parts.deployer.watch(), News::Deployer),
            lasting(registry, News::Registry),
        ]);
        Self {
            parts,
            core,
            news: news.boxed(),
            doing: FuturesUnordered::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while self.listen().await.is_some() {
            self.core.decide(self.now());
            self.act();
            // News may come as fast as they are read; others want to run, too.
            tokio::task::coop::consume_budget().await;
        }
        tracing::error!("the router or the deployer has ended: nothing is scaled any more");
    }

    fn now(&self) -> Monotonic {
        self.parts.clock.now()
    }

    /// Waits for news, and takes in what there is; `None` at the end.
    async fn listen(&mut self) -> Option<()> {
        let alarm = alarm(&*self.parts.clock, self.core.wake_at());
        tokio::select! {
            news = self.news.next() => self.take(news?)?,
            Some(outcome) = self.doing.next() => self.finish(outcome),
            () = alarm => {}
        }
        for _ in 0..NEWS {
            let Some(news) = self.news.next().now_or_never() else {
                break;
            };
            self.take(news?)?;
        }
        Some(())
    }

    fn take(&mut self, news: News) -> Option<()> {
        let now = self.now();
        match news {
            News::Demand(id, load) => self.core.demanded(&id, load, now),
            News::Deployer(event) => self.deployed(event),
            News::Registry(Followed::All(records)) => {
                self.core.listed(&records, now);
                self.list();
            }
            News::Registry(Followed::One(RegistryEvent::Changed(record))) => {
                self.core.registered(&record, now);
            }
            News::Registry(Followed::One(RegistryEvent::Deleted(function))) => {
                self.core.deleted(&function, now);
            }
            News::Ended => return None,
        }
        Some(())
    }

    fn deployed(&mut self, event: DeployerEvent) {
        match event {
            DeployerEvent::Ready {
                revision,
                instance,
                timeline,
                caused_by,
            } => {
                let start = self.core.ready(&revision.id());
                let mut add = AddInstance::new(revision, instance);
                (add.timeline, add.caused_by, add.start) = (timeline, caused_by, start);
                self.parts.router.add(add);
            }
            DeployerEvent::Gone { instance, .. } => self.parts.router.remove(instance),
            DeployerEvent::Waiting { revision, error } => {
                tracing::info!(function = %revision.function, %error, "no instance can be started");
                self.core.waits(&revision.id(), error);
            }
        }
    }

    /// Asks what is deployed, until it is answered.
    fn list(&self) {
        let (deployer, clock) = (self.parts.deployer.clone(), self.parts.clock.clone());
        let list = async move {
            let mut backoff = Backoff::default();
            loop {
                match deployer.list().await {
                    Ok(deployed) => return Outcome::Deployed(deployed),
                    Err(error) => tracing::warn!(%error, "what is deployed cannot be listed"),
                }
                backoff.pause(&*clock).await;
            }
        };
        self.doing.push(list.boxed());
    }

    fn finish(&mut self, outcome: Outcome) {
        let now = self.now();
        match outcome {
            Outcome::Learned(id, revision) => self.core.learned(&id, revision, now),
            Outcome::Prepared(id, found) => self.core.prepared(&id, found, now),
            Outcome::Done(id) => self.core.done(&id, now),
            Outcome::Failed(id, step, error) => self.core.failed(&id, &step, error, now),
            Outcome::Deployed(deployed) => self.core.deployed(deployed),
        }
    }

    fn act(&mut self) {
        for effect in std::mem::take(&mut self.core.effects) {
            match effect {
                Effect::Withdraw(instance) => self.parts.router.remove(instance),
                Effect::Refuse(revision, error) => self.parts.router.refuse(&revision, error),
            }
        }
        let now = self.now();
        while self.doing.len() < AT_ONCE
            && let Some((id, step)) = self.core.works.begin(now)
        {
            self.doing.push(carry_out(&self.parts, id, step));
        }
    }
}

fn carry_out(parts: &ControlParts, id: RevisionId, step: Step) -> BoxFuture<'static, Outcome> {
    let (metadata, deployer) = (parts.metadata.clone(), parts.deployer.clone());
    async move {
        let result = match &step {
            Step::Learn => {
                let revision = metadata.revision(&id.function, id.number).await;
                revision.map(|revision| Outcome::Learned(id.clone(), revision))
            }
            Step::Prepare(revision) => {
                let found = deployer.prepare(revision.clone()).await;
                found.map(|found| Outcome::Prepared(id.clone(), found))
            }
            Step::Deploy(order) => {
                let (revision, decided) = (order.revision.clone(), order.decided);
                let mut deploy = Deploy::new(revision, order.instances, decided);
                deploy.demanded = order.demanded;
                deploy.retiring.clone_from(&order.evict);
                deploy.caused_by = Some(order.caused_by);
                let deployed = deployer.deploy(deploy).await;
                deployed.map(|_| Outcome::Done(id.clone()))
            }
            Step::Remove => {
                let removed = deployer.remove(&id).await;
                removed.map(|()| Outcome::Done(id.clone()))
            }
        };
        result.unwrap_or_else(|error| Outcome::Failed(id, step, error))
    }
    .boxed()
}

/// Ends at `at`; never without one.
async fn alarm(clock: &dyn Clock, at: Option<Monotonic>) {
    match at {
        Some(at) => {
            clock
                .sleep_until(at.max(clock.now() + SHORTEST_SLEEP))
                .await
        }
        None => std::future::pending().await,
    }
}
