//! Letters from other engines.

use super::*;

/// How many letters are remembered as taken: one that arrives twice is told once.
const REMEMBERED: usize = 4096;

/// The letters taken last.
#[derive(Default)]
pub(super) struct Taken {
    known: HashSet<LetterId>,
    order: VecDeque<LetterId>,
}

impl Taken {
    /// Whether it is new.
    fn insert(&mut self, letter: LetterId) -> bool {
        let new = self.known.insert(letter);
        if new {
            self.order.push_back(letter);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        new
    }

    fn forget(&mut self, letter: LetterId) {
        // Its place in the order stays until it is its turn, and does no harm.
        self.known.remove(&letter);
    }
}

impl Live {
    /// Does what a letter asks for, if its execution is here: the append that tells of it takes it.
    pub(super) fn letter(&mut self, letter: Letter) {
        let id = letter.execution;
        let Some(core) = self.core.execution(id) else {
            return;
        };
        if core.head().ending.is_some() || !self.taken.insert(letter.id) {
            return;
        }
        let kind = match &letter.content {
            Content::Event(kind) => kind.clone(),
            Content::Complete { token, result } if self.knows(token) => EventKind::TaskEnded {
                task: token.task,
                result: result.clone(),
            },
            Content::Heartbeat { token } if self.knows(token) => {
                EventKind::TaskHeartbeat { task: token.task }
            }
            _ => return self.send_back(letter, &tokens::unknown()),
        };
        self.event_for(id, kind, Waiting::Letter(letter.id));
        // Not there if the program could not bear it: then it is told again, and takes its failure.
        let _ = self.core.took(id, letter.id);
    }

    /// What was to take it failed: it is still there, or was taken and is not sent again.
    pub(super) fn not_taken(&mut self, letter: LetterId) {
        self.taken.forget(letter);
    }

    fn send_back(&mut self, letter: Letter, reason: &Error) {
        let (store, reason) = (self.store.clone(), SentBack::from(reason));
        let back = async move {
            let sent = match store.mailbox() {
                Some(mailbox) => mailbox.send_back(&letter, reason).await,
                None => Ok(()),
            };
            if let Err(error) = sent {
                tracing::warn!(letter = %letter.id, %error, "a letter was not sent back");
            }
            Vec::new()
        };
        self.chores.push(back.boxed());
    }

    /// Reads what came for an execution while nobody had it.
    pub(super) fn look_for_letters(&mut self, id: ExecutionId) {
        if self.options.exclusive {
            return; // Nobody else writes any.
        }
        let store = self.store.clone();
        let look = async move {
            let Some(mailbox) = store.mailbox() else {
                return Vec::new();
            };
            match mailbox.waiting(id).await {
                Ok(letters) => letters.into_iter().map(Message::Letter).collect(),
                Err(error) => {
                    tracing::warn!(execution = %id, %error, "its letters were not read");
                    Vec::new()
                }
            }
        };
        self.chores.push(look.boxed());
    }
}
