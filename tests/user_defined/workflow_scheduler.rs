//! A workflow scheduler of one's own (W3): one task at a time, whatever may run.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use faas::Platform;
use faas::core::explain::Reason;
use faas::core::{Component, Description, Result, TaskId};
use faas::workflow::WorkflowScheduler;
use faas::workflow::scheduler::{
    ReadyTask, Schedule, SchedulerChange, SchedulerContext, TaskStart,
};

use crate::{doubling, fourfold, names};

const ALONE: Reason = Reason::new("alone", "nothing else runs");

#[derive(Default)]
struct OneAtATime {
    ready: BTreeMap<TaskId, ReadyTask>,
    running: HashSet<TaskId>,
}

impl WorkflowScheduler for OneAtATime {
    fn observe(&mut self, change: SchedulerChange) {
        match change {
            SchedulerChange::Ready(task) => drop(self.ready.insert(task.id, task)),
            SchedulerChange::Started(task) => {
                self.ready.remove(&task.id);
                self.running.insert(task.id);
            }
            SchedulerChange::Ended { task, .. } | SchedulerChange::Withdrawn(task) => {
                self.ready.remove(&task);
                self.running.remove(&task);
            }
            _ => {}
        }
    }

    fn decide(&mut self, _: &mut SchedulerContext) -> Schedule {
        let mut schedule = Schedule::default();
        if self.running.is_empty()
            && let Some((id, _)) = self.ready.pop_first()
        {
            self.running.insert(id);
            let reasons = vec![ALONE];
            schedule.starts.push(TaskStart { task: id, reasons });
        }
        schedule
    }

    fn save(&self) -> Result<Bytes> {
        Ok(Bytes::new())
    }
    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
    fn describe(&self) -> Description {
        Description::new("OneAtATime").provides(Component::W3)
    }
}

#[tokio::test]
async fn it_says_which_task_runs_when() {
    let platform = Platform::builder().workflow_scheduler(OneAtATime::default());
    let platform = doubling(platform).await;
    names(&platform, Component::W3, "OneAtATime");
    assert_eq!(fourfold(&platform, 4).await, 16);
}
