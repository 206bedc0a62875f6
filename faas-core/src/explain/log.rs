//! [`DecisionLog`]: the rings, the stream, and the answer to "why?".

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use tokio::sync::broadcast;

use super::index::Index;
use super::{Decision, DecisionClass, Reason, Subject};
use crate::clock::Clock;
use crate::id::{DecisionId, IdSource};

/// How many decisions of each class are kept unless told otherwise.
const DEFAULT_CAPACITY: usize = 4096;

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Arc<Decision>>,
    evicted: u64,
}

/// Keeps the last decisions of each class, and streams all of them to whoever records them.
#[derive(Debug, Clone)]
pub struct DecisionLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    ids: IdSource,
    capacity: usize,
    rings: [Mutex<Ring>; DecisionClass::ALL.len()],
    stream: broadcast::Sender<Arc<Decision>>,
}

/// What is known about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Decisions about it are kept.
    Found,
    /// It is this platform's, and no decision about it was needed: a warm invocation, say.
    Undecided,
    /// It is this platform's; decisions as old as it have left the ring.
    Evicted,
    /// This platform never made it.
    Unknown,
}

/// The answer to "why?": a subject's decisions and those that caused them or followed from them,
/// oldest first. Printed, it is text for a person.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// What was asked about.
    pub subject: Subject,
    /// Whether anything is known.
    pub finding: Finding,
    /// The decisions, oldest first.
    pub decisions: Vec<Arc<Decision>>,
    /// Whether a cause of one of them has left its ring: the story begins before its first line.
    pub truncated: bool,
}

impl DecisionLog {
    /// A log that keeps the last 4,096 decisions of each class.
    pub fn new(clock: Arc<dyn Clock>, ids: IdSource) -> Self {
        Self::with_capacity(clock, ids, DEFAULT_CAPACITY)
    }

    /// A log that keeps the last `capacity` decisions of each class, at least one.
    pub fn with_capacity(clock: Arc<dyn Clock>, ids: IdSource, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let rings = Default::default();
        let stream = broadcast::Sender::new(capacity);
        Self(Arc::new(Shared {
            clock,
            ids,
            capacity,
            rings,
            stream,
        }))
    }

    /// Records a decision; its id can be named as the cause of others.
    pub fn record(
        &self,
        class: DecisionClass,
        subjects: Vec<Subject>,
        caused_by: Option<DecisionId>,
        reasons: Vec<Reason>,
    ) -> DecisionId {
        let id = self.0.ids.next();
        let at = self.0.clock.now();
        let decision = Arc::new(Decision {
            id,
            class,
            at,
            subjects,
            caused_by,
            reasons,
        });
        self.keep(decision.clone());
        // Kept first: who hears of it may ask about it. An error means that nobody listens, which
        // is nobody's fault.
        let _ = self.0.stream.send(decision);
        id
    }

    fn keep(&self, decision: Arc<Decision>) {
        let mut ring = self.ring(decision.class);
        if ring.kept.len() >= self.0.capacity {
            ring.kept.pop_front();
            ring.evicted += 1;
        }
        ring.kept.push_back(decision);
    }

    /// All decisions from now on. A reader that falls behind by a ring's length misses the oldest.
    pub fn stream(&self) -> impl Stream<Item = Arc<Decision>> + Send + use<> {
        futures::stream::unfold(self.0.stream.subscribe(), |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(decision) => return Some((decision, receiver)),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "a reader of decisions fell behind");
                    }
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
    }

    /// Why: the decisions about `subject`, what caused them, and what was done because of them.
    ///
    /// An execution's answer includes its tasks', and a task's its invocations'. The cost is that
    /// of going through all that is kept, once.
    pub fn explain(&self, subject: impl Into<Subject>) -> Explanation {
        let subject = subject.into();
        let index = Index::new(self.all());
        let decisions = index.story(subject);
        let truncated = index.lacks_a_cause(&decisions);
        let finding = if !decisions.is_empty() {
            Finding::Found
        } else if !self.0.ids.made(subject.as_u128()) {
            Finding::Unknown
        } else if self.may_be_evicted(subject) {
            Finding::Evicted
        } else {
            Finding::Undecided
        };
        Explanation {
            subject,
            finding,
            decisions,
            truncated,
        }
    }

    /// Whether a decision about `subject` could have been recorded and pushed out since: ids sort
    /// by age.
    fn may_be_evicted(&self, subject: Subject) -> bool {
        DecisionClass::ALL.iter().any(|class| {
            let ring = self.ring(*class);
            let oldest = ring
                .kept
                .front()
                .map(|decision| decision.id.as_u128() >> 80);
            ring.evicted > 0 && oldest.is_none_or(|oldest| subject.as_u128() >> 80 <= oldest)
        })
    }

    /// All that is kept, oldest first.
    fn all(&self) -> Vec<Arc<Decision>> {
        let mut all: Vec<_> = DecisionClass::ALL
            .iter()
            .flat_map(|class| self.ring(*class).kept.iter().cloned().collect::<Vec<_>>())
            .collect();
        all.sort_by_key(|decision| (decision.at, decision.id));
        all
    }

    fn ring(&self, class: DecisionClass) -> std::sync::MutexGuard<'_, Ring> {
        self.0.rings[class as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finding {
            Finding::Found => {}
            Finding::Undecided => {
                return f.write_str("nothing had to be decided for it: it never waited");
            }
            Finding::Evicted => {
                return f.write_str("it was here, but decisions as old as it have been evicted");
            }
            Finding::Unknown => return f.write_str("this platform has never seen it"),
        }
        if self.truncated {
            writeln!(f, "{:>10}  what led here has been evicted", "…")?;
        }
        let start = self
            .decisions
            .first()
            .map(|decision| decision.at)
            .unwrap_or_default();
        for decision in &self.decisions {
            let after = decision.at.since(start);
            let class = format!("{:?}", decision.class).to_lowercase();
            for (index, reason) in decision.reasons.iter().enumerate() {
                let (after, class) = match index {
                    0 => (format!("+{after:.1?}"), class.as_str()),
                    _ => (String::new(), ""),
                };
                writeln!(f, "{after:>10}  {class:9}  {reason}")?;
                if let Some(help) = reason.help {
                    writeln!(f, "{:>10}  {:9}  help: {help}", "", "")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokioClock;
    use crate::id::{InvocationId, SandboxId, WorkloadId};

    const REASON: Reason = Reason::new("test", "because of {what}");

    fn log(capacity: usize) -> (DecisionLog, IdSource) {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
        let ids = IdSource::new(clock.clone(), 1);
        (
            DecisionLog::with_capacity(clock, ids.clone(), capacity),
            ids,
        )
    }

    #[tokio::test]
    async fn joins_causes_and_effects() {
        let (log, ids) = log(16);
        let (invocation, workload, sandbox): (InvocationId, WorkloadId, SandboxId) =
            (ids.next(), ids.next(), ids.next());
        use DecisionClass::*;
        let waited = log.record(
            Queueing,
            vec![invocation.into()],
            None,
            vec![REASON.with("what", "queue")],
        );
        let scaled = log.record(Scaling, vec![workload.into()], Some(waited), vec![REASON]);
        log.record(Placement, vec![sandbox.into()], Some(scaled), vec![REASON]);
        log.record(
            Placement,
            vec![ids.next::<SandboxId>().into()],
            None,
            vec![REASON],
        );
        let forward = log.explain(invocation);
        assert_eq!(
            (forward.finding, forward.decisions.len()),
            (Finding::Found, 3)
        );
        assert!(
            forward.to_string().contains("because of queue"),
            "{forward}"
        );
        assert_eq!(log.explain(sandbox).decisions.len(), 3);
    }

    #[tokio::test]
    async fn tells_evicted_from_unknown_and_from_undecided() {
        let (log, ids) = log(1);
        let warm: InvocationId = ids.next();
        assert_eq!(log.explain(warm).finding, Finding::Undecided);
        let stranger = InvocationId::from_u128(1);
        assert_eq!(log.explain(stranger).finding, Finding::Unknown);
        for _ in 0..2 {
            let id: InvocationId = ids.next();
            log.record(DecisionClass::Queueing, vec![id.into()], None, vec![REASON]);
        }
        assert_eq!(log.explain(warm).finding, Finding::Evicted);
    }

    #[tokio::test]
    async fn says_when_a_cause_has_been_evicted() {
        let (log, ids) = log(1);
        let sandbox: SandboxId = ids.next();
        let queued = log.record(DecisionClass::Queueing, vec![], None, vec![REASON]);
        let placed = vec![sandbox.into()];
        log.record(DecisionClass::Placement, placed, Some(queued), vec![REASON]);
        assert!(!log.explain(sandbox).truncated);
        log.record(DecisionClass::Queueing, vec![], None, vec![REASON]);
        let story = log.explain(sandbox);
        assert!(story.truncated);
        assert!(story.to_string().contains("has been evicted"), "{story}");
    }

    #[tokio::test]
    async fn a_flood_of_one_class_leaves_the_others() {
        let (log, ids) = log(2);
        let sandbox: SandboxId = ids.next();
        log.record(
            DecisionClass::Sandbox,
            vec![sandbox.into()],
            None,
            vec![REASON],
        );
        for _ in 0..100 {
            let id: InvocationId = ids.next();
            log.record(DecisionClass::Queueing, vec![id.into()], None, vec![REASON]);
        }
        assert_eq!(log.explain(sandbox).finding, Finding::Found);
        assert_eq!(log.all().len(), 3);
    }

    #[tokio::test]
    async fn who_hears_of_a_decision_can_ask_about_it() {
        use futures::StreamExt;
        let (log, ids) = log(0);
        let mut stream = Box::pin(log.stream());
        let id: InvocationId = ids.next();
        let made = log.record(DecisionClass::Queueing, vec![id.into()], None, vec![REASON]);
        let heard = stream.next().await.unwrap();
        assert_eq!(heard.id, made);
        assert_eq!(log.explain(id).decisions, [heard]);
    }
}
