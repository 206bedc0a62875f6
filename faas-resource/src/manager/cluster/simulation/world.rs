//! Nodes that are a table, and what is under way between them and the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faas_core::explain::DecisionLog;
use faas_core::{
    ByteSize, Digest, Error, IdSource, Millicpu, Monotonic, NodeName, Resources, SandboxId,
    TokioClock, WorkloadId,
};
use proptest::sample::Index;

use super::Input;
use crate::agent::{ExitCause, NodeInfo, SandboxPhase, SandboxState, SandboxStatus};
use crate::manager::cluster::action::Action;
use crate::manager::cluster::assign::Assignment;
use crate::manager::cluster::core::{Core, Template};
use crate::manager::cluster::nodes::Settled;
use crate::scheduler::FilterScore;
use crate::spec::{Executable, ExecutableKind, SandboxSpec};
use crate::workload::{Priority, ScaleRequest, StartTimes, WorkloadEvent, WorkloadSpec};

/// How something that is under way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    /// A start succeeds, and the sandbox ends before its success is known.
    DoneAndExits,
}

/// A node as it really is.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) info: NodeInfo,
    pub(super) sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    taken: BTreeMap<SandboxId, Resources>,
    pub(super) silent: bool,
    list: Option<(Settled, Vec<SandboxStatus>)>,
}

impl Node {
    /// Whether it has room for more, as an agent sees it: what is being stopped counts.
    fn holds(&self, more: &Resources) -> bool {
        let there = self.sandboxes.keys().filter_map(|id| self.taken.get(id));
        let sum = there.fold(more.clone(), |sum, taken| sum.plus(taken));
        self.info.capacity.covers(&sum)
    }
}

pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Monotonic,
    pub(super) nodes: BTreeMap<NodeName, Node>,
    /// What the store holds.
    pub(super) stored: BTreeMap<WorkloadId, WorkloadSpec>,
    pub(super) pending: Vec<Action>,
    assigns: Vec<Assignment>,
    /// Every sandbox that was ever brought into being.
    pub(super) made: BTreeSet<SandboxId>,
    /// What the watchers of this life were told of each sandbox, as a replica of each workload.
    pub(super) told: BTreeMap<(SandboxId, WorkloadId), Vec<&'static str>>,
    lives: u32,
}

fn node_name(number: u8) -> NodeName {
    NodeName::new(format!("node-{number}")).expect("a name")
}

fn workload_id(number: u8) -> WorkloadId {
    WorkloadId::from_u128(u128::from(number) + 1)
}

fn fresh_core(life: u32) -> Core {
    let clock = Arc::new(TokioClock::new());
    let ids = IdSource::new(clock.clone(), life);
    let log = DecisionLog::with_capacity(clock, ids.clone(), 1);
    let mut core = Core::new(Box::new(FilterScore::new()), ids, log);
    core.starting = true;
    core
}

impl World {
    /// Three nodes of eight processors; only the first can pause.
    pub(super) fn new() -> Self {
        let node = |number: u8| {
            let room = Resources::new(Millicpu::cores(8), ByteSize::gib(1024));
            let mut info = NodeInfo::new(node_name(number), room, ExecutableKind::Handler);
            info.states.insert(SandboxState::Created);
            if number == 0 {
                info.states.insert(SandboxState::Paused);
            }
            let node = Node {
                info,
                sandboxes: BTreeMap::new(),
                taken: BTreeMap::new(),
                silent: false,
                list: None,
            };
            (node_name(number), node)
        };
        let mut world = Self {
            core: fresh_core(0),
            now: Monotonic::ZERO,
            nodes: (0..3).map(node).collect(),
            stored: BTreeMap::new(),
            pending: Vec::new(),
            assigns: Vec::new(),
            made: BTreeSet::new(),
            told: BTreeMap::new(),
            lives: 0,
        };
        world.begin();
        world
    }

    /// Brings news to the core, as the live half does.
    fn drive<T>(&mut self, news: impl FnOnce(&mut Core, Monotonic) -> T) -> T {
        let answer = news(&mut self.core, self.now);
        self.core.reconcile(self.now, &|_| Vec::new());
        for action in std::mem::take(&mut self.core.actions) {
            self.act(action);
        }
        answer
    }

    fn act(&mut self, action: Action) {
        let (what, workload, sandbox) = match action {
            Action::Tell(WorkloadEvent::Ready(workload, replica)) => {
                ("ready", workload, replica.sandbox)
            }
            Action::Tell(WorkloadEvent::Pooled(workload, replica)) => {
                ("pooled", workload, replica.sandbox)
            }
            Action::Tell(WorkloadEvent::Retiring(workload, sandbox)) => {
                ("retiring", workload, sandbox)
            }
            Action::Tell(WorkloadEvent::Gone(workload, replica)) => {
                ("gone", workload, replica.sandbox)
            }
            Action::Move(_) | Action::Resume(..) | Action::Stop(_) => {
                return self.pending.push(action);
            }
            Action::Tell(_) | Action::Release(..) | Action::Name(..) | Action::Sweep(..) => return,
        };
        self.told.entry((sandbox, workload)).or_default().push(what);
    }

    /// Begins a life: what is stored is loaded, and every node that answers is heard.
    fn begin(&mut self) {
        self.lives += 1;
        self.core = fresh_core(self.lives);
        self.told.clear();
        let infos: Vec<_> = self.nodes.values().map(|node| node.info.clone()).collect();
        for info in infos {
            self.core.node(info, false);
        }
        for spec in self.stored.values() {
            let template = Template::new(spec.clone()).expect("a spec has a form in JSON");
            self.core.apply(template, self.now);
        }
        for number in 0..3 {
            self.list(number);
            self.deliver(number);
        }
        self.drive(|core, _| {
            core.starting = false;
            core.dirty.extend(core.workloads.keys());
        });
    }

    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Apply {
                workload,
                min,
                max,
                cores,
                variant,
                priority,
            } => {
                let name = "handler".parse().expect("a name");
                let mut sandbox = SandboxSpec::new(Executable::Handler(name));
                sandbox.resources = Resources::new(Millicpu::cores(cores), ByteSize::gib(1));
                let variant = (String::from("VARIANT"), variant.to_string());
                sandbox.environment.extend([variant]);
                let mut spec = WorkloadSpec::new(workload_id(workload), sandbox);
                (spec.min, spec.max, spec.priority) = (min, max, Priority(priority));
                self.stored.insert(spec.id, spec.clone());
                let template = Template::new(spec).expect("a spec has a form in JSON");
                self.drive(|core, now| core.apply(template, now));
            }
            Input::Scale { workload, counts } => {
                let mut request = ScaleRequest::running(workload_id(workload), counts[0]);
                (request.paused, request.created) = (counts[1], counts[2]);
                // It may be unknown.
                let _ = self.drive(|core, now| core.scale(request, now));
            }
            Input::Retire(which) => self.retire(which),
            Input::Remove(workload) => {
                self.stored.remove(&workload_id(workload));
                self.drive(|core, _| core.remove(workload_id(workload)));
            }
            Input::Assign(which, to) => self.assign(which, workload_id(to)),
            Input::Exit(which, told) => self.exit(which, told),
            Input::Finish(which, how) => self.finish_some(which, how),
            Input::List(number) => self.list(number),
            Input::Deliver(which) => self.deliver_some(which),
            Input::Silence(number) => self.silence(number),
            Input::Return(number) => self.give_back(number),
            Input::Pass(millis) => self.pass(millis),
            Input::Restart(seed) => self.restart(seed),
        }
    }

    fn retire(&mut self, which: Index) {
        let all: Vec<_> = self.core.sandboxes.iter().collect();
        if all.is_empty() {
            return;
        }
        let (id, sandbox) = all[which.index(all.len())];
        let (id, workload) = (*id, sandbox.workload());
        let wanted = self.core.workloads[&workload].wanted.unwrap_or_default();
        let running = u32::try_from(wanted.running).expect("it is small");
        let mut request = ScaleRequest::running(workload, running);
        request.retiring = vec![id];
        let _ = self.drive(|core, now| core.scale(request, now));
    }

    fn assign(&mut self, which: Index, to: WorkloadId) {
        let all: Vec<_> = self.core.sandboxes.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let id = all[which.index(all.len())];
        let begun = self.drive(|core, now| core.begin_assign(id, to, now, &|_| Vec::new()));
        if let Ok(Some(assignment)) = begun {
            self.assigns.push(assignment);
        }
    }

    fn exit(&mut self, which: Index, told: bool) {
        let alive = |status: &&mut SandboxStatus| {
            let started = SandboxPhase::In(SandboxState::Created) != status.phase;
            started && matches!(status.phase, SandboxPhase::In(_))
        };
        let nodes = self.nodes.values_mut();
        let mut running: Vec<_> = nodes
            .flat_map(|node| {
                node.sandboxes
                    .values_mut()
                    .map(|status| (node.silent, status))
            })
            .filter(|(_, status)| alive(status))
            .collect();
        if running.is_empty() {
            return;
        }
        let index = which.index(running.len());
        let (silent, status) = &mut running[index];
        status.phase = SandboxPhase::Exited(ExitCause::Code(3));
        let (id, told) = (status.id, told && !*silent);
        if told {
            self.drive(|core, now| core.exited(id, ExitCause::Code(3), now));
        }
    }

    fn node_of(action: &Action) -> &NodeName {
        match action {
            Action::Move(to) => &to.node,
            Action::Resume(_, node, _) => node,
            Action::Stop(stop) => &stop.node,
            other => panic!("{other:?} is not under way"),
        }
    }

    fn finish_some(&mut self, which: Index, how: Outcome) {
        let answers = |node: &NodeName| !self.nodes[node].silent;
        let moves = self.pending.iter().enumerate();
        let moves = moves.filter(|(_, action)| answers(Self::node_of(action)));
        let mut ready: Vec<_> = moves.map(|(index, _)| (true, index)).collect();
        let assigns = self.assigns.iter().enumerate();
        let assigns = assigns.filter(|(_, assign)| answers(&assign.node));
        ready.extend(assigns.map(|(index, _)| (false, index)));
        if ready.is_empty() {
            return;
        }
        match ready[which.index(ready.len())] {
            (true, index) => {
                let action = self.pending.remove(index);
                self.finish(action, how);
            }
            (false, index) => {
                let assignment = self.assigns.remove(index);
                self.finish_assign(&assignment, how);
            }
        }
    }

    /// What an agent does, and what the core hears of it.
    fn finish(&mut self, action: Action, how: Outcome) {
        let failed = || Error::unavailable("simulate", "it fails");
        match action {
            Action::Move(to) => {
                let result = self.carry_out_move(&to.sandbox, &to, how);
                let times = StartTimes::default();
                self.drive(|core, now| core.moved(to.sandbox, result, times, now));
            }
            Action::Resume(status, ..) => {
                let result = (how == Outcome::Done).then_some(()).ok_or_else(failed);
                self.drive(|core, now| core.resumed(status, result, now));
            }
            Action::Stop(stop) => {
                if how == Outcome::Failed {
                    // It is tried again.
                    self.pending.push(Action::Stop(stop));
                    return;
                }
                let node = self.nodes.get_mut(&stop.node).expect("a node");
                node.sandboxes.remove(&stop.sandbox);
                self.drive(|core, now| core.stopped(stop.sandbox, &stop.node, now));
            }
            other => panic!("{other:?} is not under way"),
        }
    }

    fn carry_out_move(
        &mut self,
        id: &SandboxId,
        to: &crate::manager::cluster::action::Move,
        how: Outcome,
    ) -> faas_core::Result<SandboxStatus> {
        let node = self.nodes.get_mut(&to.node).expect("a node");
        let offers = node.info.states.contains(&to.to);
        assert!(offers, "{:?} on {}", to.to, to.node);
        if how == Outcome::Failed {
            return Err(Error::unavailable("simulate", "it fails"));
        }
        let needs = &to.template.sandbox.resources;
        if !node.sandboxes.contains_key(id) && !node.holds(needs) {
            return Err(Error::exhausted("simulate", "the node is full"));
        }
        let phase = SandboxPhase::In(to.to);
        let there = node.sandboxes.get(id);
        if there.is_none() {
            assert!(self.made.insert(*id), "{id} is started twice");
        }
        if let Some(SandboxPhase::Exited(cause)) = there.map(|there| there.phase.clone()) {
            return Err(Error::conflict("simulate", format!("it has {cause}")));
        }
        let workload = to.template.workload.id;
        let mut status = SandboxStatus::new(*id, workload, to.template.digest, phase);
        let answer = status.clone();
        if how == Outcome::DoneAndExits {
            status.phase = SandboxPhase::Exited(ExitCause::Code(1));
        }
        node.taken.insert(*id, needs.clone());
        node.sandboxes.insert(*id, status);
        if how == Outcome::DoneAndExits {
            let id = *id;
            self.drive(|core, now| core.exited(id, ExitCause::Code(1), now));
        }
        Ok(answer)
    }

    fn finish_assign(&mut self, assignment: &Assignment, how: Outcome) {
        let failed = || Error::unsupported("simulate", "it fails");
        let node = self.nodes.get_mut(&assignment.node).expect("a node");
        let result = match node.sandboxes.get_mut(&assignment.sandbox) {
            Some(status) if how == Outcome::Done => {
                status.workload = assignment.template.workload.id;
                status.digest = assignment.template.digest;
                Ok(status.clone())
            }
            _ => Err(failed()),
        };
        let (id, template) = (assignment.sandbox, assignment.template.clone());
        // It may fail; then nothing has changed.
        let _ = self.drive(|core, now| core.assigned(id, &template, result, now));
    }

    fn list(&mut self, number: u8) {
        let name = node_name(number);
        let node = self.nodes.get_mut(&name).expect("a node");
        // Asked for once at a time.
        if !node.silent && node.list.is_none() {
            let settled = self.core.listing(&name);
            node.list = Some((settled, node.sandboxes.values().cloned().collect()));
        }
    }

    fn deliver_some(&mut self, which: Index) {
        let with: Vec<_> = (0..3)
            .filter(|number| self.nodes[&node_name(*number)].list.is_some())
            .collect();
        if !with.is_empty() {
            self.deliver(with[which.index(with.len())]);
        }
    }

    fn deliver(&mut self, number: u8) {
        let node = self.nodes.get_mut(&node_name(number)).expect("a node");
        let Some((settled, listed)) = node.list.take() else {
            return;
        };
        let info = node.info.clone();
        self.drive(|core, now| core.heard(info, &settled, listed, now));
    }

    /// A node falls silent, and is declared lost: what is asked of it fails, or happens unseen.
    fn silence(&mut self, number: u8) {
        let name = node_name(number);
        let node = self.nodes.get_mut(&name).expect("a node");
        if std::mem::replace(&mut node.silent, true) {
            return;
        }
        node.list = None;
        self.drive(|core, now| core.lose(&name, now));
        let on = |action: &mut Action| Self::node_of(action) == &name;
        let cut: Vec<_> = self.pending.extract_if(.., on).collect();
        for action in cut {
            self.cut_off(action);
        }
        let cut: Vec<_> = self
            .assigns
            .extract_if(.., |assign| assign.node == name)
            .collect();
        for assignment in cut {
            self.finish_assign(&assignment, Outcome::Failed);
        }
    }

    /// What is under way fails for us; a start may have happened all the same.
    fn cut_off(&mut self, action: Action) {
        match action {
            Action::Move(to) => {
                if to.sandbox.as_u128() % 2 == 0 {
                    let _ = self.carry_out_move(&to.sandbox, &to, Outcome::Done);
                }
                let (times, error) = (
                    StartTimes::default(),
                    Error::unavailable("simulate", "lost"),
                );
                self.drive(|core, now| core.moved(to.sandbox, Err(error), times, now));
            }
            Action::Resume(..) => self.finish(action, Outcome::Failed),
            Action::Stop(stop) => {
                self.drive(|core, now| core.stopped(stop.sandbox, &stop.node, now))
            }
            other => panic!("{other:?} is not under way"),
        }
    }

    fn give_back(&mut self, number: u8) {
        let node = self.nodes.get_mut(&node_name(number)).expect("a node");
        if std::mem::take(&mut node.silent) {
            self.list(number);
            self.deliver(number);
        }
    }

    fn pass(&mut self, millis: u64) {
        let wake = self.core.wake_at(self.now);
        self.now = self.now + Duration::from_millis(millis);
        if wake.is_some_and(|at| at <= self.now) {
            self.drive(|core, _| core.wake_waiting());
        }
    }

    /// A life ends at any moment, and the next begins: what was under way has happened, or not.
    fn restart(&mut self, seed: u64) {
        let cut = std::mem::take(&mut self.pending);
        for (index, action) in cut.into_iter().enumerate() {
            let happens = (seed >> (index % 64)) & 1 == 1;
            match action {
                Action::Move(to) if happens && !self.nodes[&to.node].silent => {
                    let _ = self.carry_out_move(&to.sandbox, &to, Outcome::Done);
                }
                Action::Stop(stop) if happens && !self.nodes[&stop.node].silent => {
                    let node = self.nodes.get_mut(&stop.node).expect("a node");
                    node.sandboxes.remove(&stop.sandbox);
                }
                _ => {}
            }
        }
        self.assigns.clear();
        for node in self.nodes.values_mut() {
            node.list = None;
        }
        self.begin();
    }

    /// Everything answers, and all that is under way ends well, until nothing is.
    pub(super) fn settle(&mut self) {
        for number in 0..3 {
            self.give_back(number);
            self.deliver(number);
        }
        for _ in 0..500 {
            while let Some(assignment) = self.assigns.pop() {
                self.finish_assign(&assignment, Outcome::Done);
            }
            if self.pending.is_empty() {
                for number in 0..3 {
                    self.list(number);
                    self.deliver(number);
                }
                // Longer than any back-off.
                self.pass(60_000);
                if self.pending.is_empty() {
                    return;
                }
            }
            let action = self.pending.remove(0);
            self.finish(action, Outcome::Done);
            self.check();
        }
        panic!("it never comes to rest: {:?}", self.pending);
    }

    /// The digest that a replica of a workload has.
    pub(super) fn digest(&self, workload: WorkloadId) -> Digest {
        self.core.workloads[&workload].template.digest
    }
}
