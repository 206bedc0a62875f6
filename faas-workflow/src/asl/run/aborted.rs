//! What histories say of those that another's failure stopped.

use serde_json::json;

use super::Turn;
use super::frame::{Frame, FrameId, Job, MapJob, ParallelJob};
use super::records::{Details, details};
use crate::asl::model::Kind;

impl Turn<'_> {
    /// The branches of a Parallel state stop; the event of the one that failed is what follows.
    pub(super) fn record_branches_aborted(
        &mut self,
        frame: &mut Frame,
        job: &ParallelJob,
        failed: Option<FrameId>,
    ) {
        for branch in job.running.iter().filter(|branch| Some(**branch) != failed) {
            self.record_frame_aborted(*branch);
        }
        if let Some(last) = failed.and_then(|failed| self.record_frame_aborted(failed)) {
            frame.last = last;
        }
    }

    /// The iterations of a Map stop.
    pub(super) fn record_iterations_aborted(&mut self, frame: &Frame, name: &str, job: &MapJob) {
        for iteration in &job.running {
            let iteration = self.run.frames.get(iteration);
            let Some((last, item)) = iteration.and_then(|f| Some((f.last, f.item.as_ref()?)))
            else {
                continue;
            };
            let aborted = details(json!({ "name": name, "index": item.index }));
            self.record_after(frame.stream, last, "MapIterationAborted", aborted);
        }
    }

    /// The state that a frame is in stops; answers the last event of that.
    fn record_frame_aborted(&mut self, id: FrameId) -> Option<u64> {
        let machine = self.machine;
        let mut frame = self.run.frames.remove(&id)?;
        let state = frame.active().map(|active| machine.state(active.state));
        let stopped = state.filter(|state| {
            let kind = &state.kind;
            matches!(
                kind,
                Kind::Task(_) | Kind::Wait(_) | Kind::Parallel { .. } | Kind::Map(_)
            )
        });
        if let Some(state) = stopped {
            match frame.active().map(|active| &active.job) {
                Some(Job::Parallel(job)) => {
                    for branch in &job.running {
                        self.record_frame_aborted(*branch);
                    }
                }
                Some(Job::Map(job)) if job.run.is_none() => {
                    self.record_iterations_aborted(&frame, &state.name, job);
                }
                Some(Job::Map(job)) => {
                    let last = job.run.as_ref().map_or(frame.last, |run| run.started_event);
                    self.record_after(frame.stream, last, "MapRunAborted", Details::new());
                }
                _ => {}
            }
            let kind = state.kind.name();
            self.record(&mut frame, &format!("{kind}StateAborted"), Details::new());
        }
        let last = stopped.map(|_| frame.last);
        self.run.frames.insert(id, frame);
        last
    }
}
