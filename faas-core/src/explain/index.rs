//! Who caused what, among the decisions that are kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Decision, DecisionClass, Subject};
use crate::id::DecisionId;

/// Decisions by id, by cause and by subject: made for one question, in one pass.
pub(super) struct Index {
    all: Vec<Arc<Decision>>,
    by_id: HashMap<DecisionId, usize>,
    by_cause: HashMap<DecisionId, Vec<usize>>,
    by_subject: HashMap<Subject, Vec<usize>>,
}

impl Index {
    pub(super) fn new(all: Vec<Arc<Decision>>) -> Self {
        let mut index = Self {
            by_id: HashMap::with_capacity(all.len()),
            by_cause: HashMap::new(),
            by_subject: HashMap::new(),
            all,
        };
        for (place, decision) in index.all.iter().enumerate() {
            index.by_id.insert(decision.id, place);
            if let Some(cause) = decision.caused_by {
                index.by_cause.entry(cause).or_default().push(place);
            }
            for subject in &decision.subjects {
                index.by_subject.entry(*subject).or_default().push(place);
            }
        }
        index
    }

    /// The decisions about `subject` and its parts, their causes, and their effects, in the order
    /// of the index. What else a cause brought about is another subject's story, except that who
    /// waits for a workload is told how it stands with that.
    pub(super) fn story(&self, subject: Subject) -> Vec<Arc<Decision>> {
        let about = self.about(subject);
        let mut chosen = self.closure(&about, |place| self.effects(place));
        chosen.extend(self.closure(&about, |place| self.cause(place)));
        let waits = chosen.iter().copied().filter(|place| self.waits(*place));
        let background: Vec<_> = waits.flat_map(|place| self.background(place)).collect();
        chosen.extend(background);
        let mut places: Vec<_> = chosen.into_iter().collect();
        places.sort_unstable();
        places
            .into_iter()
            .map(|place| self.all[place].clone())
            .collect()
    }

    /// Whether one of `story` names a cause that is not kept.
    pub(super) fn lacks_a_cause(&self, story: &[Arc<Decision>]) -> bool {
        story
            .iter()
            .filter_map(|decision| decision.caused_by)
            .any(|cause| !self.by_id.contains_key(&cause))
    }

    /// The decisions that name `subject`, or a part of it that such a decision names.
    fn about(&self, subject: Subject) -> Vec<usize> {
        let mut seen = HashSet::from([subject]);
        let mut open = vec![subject];
        let mut found = Vec::new();
        while let Some(whole) = open.pop() {
            for place in self.by_subject.get(&whole).into_iter().flatten() {
                found.push(*place);
                let named = &self.all[*place].subjects;
                let parts = named.iter().filter(|part| is_part(**part, whole));
                open.extend(parts.filter(|part| seen.insert(**part)));
            }
        }
        found
    }

    /// Whether it is a decision to let an invocation wait for a workload, or one that ended such a
    /// wait in vain.
    fn waits(&self, place: usize) -> bool {
        let decision = &self.all[place];
        decision.class == DecisionClass::Queueing && workload(decision).is_some()
    }

    /// How it stands with the workload that is waited for: its last scaling decision with all that
    /// followed, and its last placement. Of a wait that is over, how it stood then.
    fn background(&self, wait: usize) -> Vec<usize> {
        let until = self.end_of_wait(wait).unwrap_or(self.all.len());
        let about = workload(&self.all[wait]).and_then(|workload| self.by_subject.get(&workload));
        let about = about.into_iter().flatten().copied();
        let about: Vec<_> = about.filter(|place| *place < until).collect();
        let last = |class: DecisionClass| {
            let mut newest_first = about.iter().rev().copied();
            newest_first.find(|place| self.all[*place].class == class)
        };
        let scaled = self.closure(last(DecisionClass::Scaling).as_slice(), |place| {
            self.effects(place)
        });
        let placed = last(DecisionClass::Placement);
        let all = scaled.into_iter().chain(placed);
        all.filter(|place| *place < until).collect()
    }

    /// Where a wait was over: where another decision about the same invocation came of it, or the
    /// wait's own cause is one.
    fn end_of_wait(&self, wait: usize) -> Option<usize> {
        let decision = &self.all[wait];
        let invocation = decision.subjects.first()?;
        let same = |place: &usize| self.all[*place].subjects.first() == Some(invocation);
        if self.cause(wait).iter().any(same) {
            return Some(wait);
        }
        let about = self.by_subject.get(invocation)?;
        about.iter().copied().find(|place| *place > wait)
    }

    fn closure(&self, from: &[usize], step: impl Fn(usize) -> Vec<usize>) -> HashSet<usize> {
        let mut chosen = HashSet::new();
        let mut open = from.to_vec();
        while let Some(place) = open.pop() {
            if chosen.insert(place) {
                open.extend(step(place));
            }
        }
        chosen
    }

    fn effects(&self, place: usize) -> Vec<usize> {
        let effects = self.by_cause.get(&self.all[place].id);
        effects.cloned().unwrap_or_default()
    }

    fn cause(&self, place: usize) -> Vec<usize> {
        let cause = self.all[place].caused_by;
        cause
            .and_then(|cause| self.by_id.get(&cause))
            .copied()
            .into_iter()
            .collect()
    }
}

/// The workload that a decision names beside what it is about.
fn workload(decision: &Decision) -> Option<Subject> {
    let mut beside = decision.subjects.iter().skip(1).copied();
    beside.find(|subject| matches!(subject, Subject::Workload(_)))
}

/// Whether `part` belongs to `whole` alone: an invocation to its task, a task to its execution.
/// Workloads, sandboxes and instances serve many.
fn is_part(part: Subject, whole: Subject) -> bool {
    matches!(
        (whole, part),
        (
            Subject::Execution(_),
            Subject::Task(_) | Subject::Invocation(_)
        ) | (Subject::Task(_), Subject::Invocation(_))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Monotonic;
    use crate::id::{ExecutionId, InvocationId, SandboxId, TaskId, WorkloadId};

    fn decision(id: u128, subjects: &[Subject], cause: Option<u128>) -> Arc<Decision> {
        Arc::new(Decision {
            id: DecisionId::from_u128(id),
            class: DecisionClass::Task,
            at: Monotonic::from_nanos(id as u64),
            subjects: subjects.to_vec(),
            caused_by: cause.map(DecisionId::from_u128),
            reasons: Vec::new(),
        })
    }

    fn story(all: &[Arc<Decision>], subject: impl Into<Subject>) -> Vec<u128> {
        let story = Index::new(all.to_vec()).story(subject.into());
        story.iter().map(|decision| decision.id.as_u128()).collect()
    }

    #[test]
    fn what_else_a_cause_brought_about_is_another_story() {
        let sandbox = |n| SandboxId::from_u128(n);
        let invocation = InvocationId::from_u128(9);
        let all = [
            decision(1, &[invocation.into()], None),
            decision(2, &[], Some(1)),
            decision(3, &[sandbox(1).into()], Some(2)),
            decision(4, &[sandbox(2).into()], Some(2)),
        ];
        assert_eq!(story(&all, sandbox(1)), [1, 2, 3]);
        assert_eq!(story(&all, invocation), [1, 2, 3, 4]);
        assert_eq!(story(&all, sandbox(3)), [0u128; 0]);
    }

    #[test]
    fn an_execution_is_told_with_its_tasks_and_their_invocations_but_not_the_other_way() {
        let execution = ExecutionId::from_u128(1);
        let (first, second) = (TaskId::from_u128(1), TaskId::from_u128(2));
        let invocation = InvocationId::from_u128(1);
        let all = [
            decision(
                1,
                &[first.into(), execution.into(), invocation.into()],
                None,
            ),
            decision(2, &[second.into(), execution.into()], None),
            decision(3, &[invocation.into()], None),
            decision(4, &[], Some(3)),
        ];
        assert_eq!(story(&all, execution), [1, 2, 3, 4]);
        assert_eq!(story(&all, first), [1, 3, 4]);
        assert_eq!(story(&all, second), [2]);
        assert_eq!(story(&all, invocation), [1, 3, 4]);
    }

    #[test]
    fn who_waits_is_told_how_it_stands_with_the_workload_and_who_waited_how_it_stood() {
        let (waiting, late) = (InvocationId::from_u128(1), InvocationId::from_u128(2));
        let (workload, other) = (WorkloadId::from_u128(1), WorkloadId::from_u128(2));
        let of = |class, id, subjects: &[Subject], cause| {
            let decision = Arc::unwrap_or_clone(decision(id, subjects, cause));
            Arc::new(Decision { class, ..decision })
        };
        use DecisionClass::{Placement, Planning, Queueing, Scaling};
        let all = [
            of(Scaling, 1, &[workload.into()], None),
            of(Queueing, 2, &[late.into(), workload.into()], None),
            of(Scaling, 3, &[workload.into()], None),
            of(Planning, 4, &[workload.into()], Some(3)),
            of(Placement, 5, &[workload.into()], Some(4)),
            of(Scaling, 6, &[other.into()], None),
            of(Queueing, 7, &[late.into(), workload.into()], Some(2)),
            of(Queueing, 8, &[waiting.into(), workload.into()], None),
            of(Scaling, 9, &[workload.into()], None),
            of(Placement, 10, &[workload.into()], Some(4)),
        ];
        assert_eq!(story(&all, late), [2, 3, 4, 5, 7]);
        assert_eq!(story(&all, waiting), [8, 9, 10]);
    }

    #[test]
    fn a_circle_of_causes_ends() {
        let sandbox = SandboxId::from_u128(1);
        let all = [
            decision(1, &[sandbox.into()], Some(2)),
            decision(2, &[], Some(1)),
        ];
        assert_eq!(story(&all, sandbox), [1, 2]);
    }
}
