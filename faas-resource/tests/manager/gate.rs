//! Something that lets nobody pass while it is shut.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    pub(crate) fn shut(&self, shut: bool) {
        self.0.send_replace(shut);
    }

    pub(crate) async fn pass(&self) {
        let mut shut = self.0.subscribe();
        shut.wait_for(|shut| !shut).await.expect("the gate lives");
    }
}
