//! Reads why runs broke, aside from deciding: a message never waits for a bucket longer than it may.
//!
//! What is to be read stands in the store until its last word is stored, so a restart loses none of it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Shared, worker::sleep};
use crate::{
    domain::{backoff, evidence::Finding, fold::to_signed, observation::RunName},
    store::{DueRead, Learned, StoreError},
};

/// Runs read at once.
const AT_ONCE: usize = 16;
/// Prow stores the log beside the end of the run, not before it; until then a missing log is not the last word.
const UPLOAD_WITHIN: Duration = Duration::from_secs(180);
/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

/// Reasons on their way from the readers to the worker.
#[derive(Debug, Default)]
pub struct Findings {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    learned: Vec<Learned>,
    /// Being read, or read and not stored yet.
    under_way: BTreeSet<RunName>,
}

impl Findings {
    /// What was read since the last call; to be followed by [`Self::settle`].
    pub fn take(&self) -> Vec<Learned> {
        std::mem::take(&mut self.lock().learned)
    }

    /// These are stored, or are to be read again.
    pub fn settle(&self, runs: &[RunName]) {
        let mut inner = self.lock();
        inner.under_way.retain(|run| !runs.contains(run));
    }

    fn begin(&self, runs: impl Iterator<Item = RunName>) {
        self.lock().under_way.extend(runs);
    }

    fn end(&self, learned: Learned) {
        self.lock().learned.push(learned);
    }

    fn under_way(&self) -> BTreeSet<RunName> {
        self.lock().under_way.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that reads.
#[derive(Debug, Clone)]
pub struct Reader {
    shared: Shared,
}

impl Reader {
    /// A reader that has read nothing yet.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    /// Reads until told to stop; what is under way then is read again after the next start.
    pub async fn run(self, stop: CancellationToken) {
        let mut running = JoinSet::new();
        loop {
            let wait = match self.start_due(&mut running).await {
                Ok(wait) => wait,
                Err(error) => {
                    self.shared.count_store_failure(&error);
                    error!(
                        error = &error as &dyn std::error::Error,
                        "Cannot look up whose reason is to be read, trying again"
                    );
                    Some(PAUSE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.reads_bell.notified() => {}
                () = sleep(wait) => {}
                Some(done) = running.join_next() => if let Err(panicked) = done {
                    error!(error = &panicked as &dyn std::error::Error, "Reading a reason panicked");
                },
            }
        }
        running.shutdown().await;
    }

    /// Starts a task for each run that is due, as far as there is room; returns how long there is nothing to
    /// start, `None` when only an end or a bell changes that.
    async fn start_due(&self, running: &mut JoinSet<()>) -> Result<Option<Duration>, StoreError> {
        let findings = &self.shared.findings;
        let room = AT_ONCE.saturating_sub(running.len());
        if room == 0 {
            return Ok(None);
        }
        let now = self.shared.clock.now();
        let due = self
            .shared
            .store
            .due_reads(now, room, findings.under_way())
            .await?;
        findings.begin(due.iter().map(|read| read.run.run.clone()));
        for read in due {
            let shared = self.shared.clone();
            running.spawn(async move {
                let learned = learn(&shared, &read).await;
                shared.findings.end(learned);
                shared.inbox_bell.notify_one();
            });
        }
        let next = self
            .shared
            .store
            .next_read_due(findings.under_way())
            .await?;
        Ok(next.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default()))
    }
}

/// One attempt.
async fn learn(shared: &Shared, read: &DueRead) -> Learned {
    let live = shared.live();
    let begun = shared.clock.now();
    let _ = live;
    let finding = Finding::Nothing("not built yet".to_owned());
    Learned {
        run: read.run.run.clone(),
        again_at: again_at(shared, read, &finding),
        finding,
        location: None,
        at: begun,
    }
}

/// When to try again: soon while Prow may still be storing what the run left, then ever more rarely, and not at
/// all once `artifacts.retry.max_age` is over or when there is nothing to be had.
fn again_at(shared: &Shared, read: &DueRead, finding: &Finding) -> Option<jiff::Timestamp> {
    let Finding::Unreadable(_) = finding else {
        return None;
    };
    let now = shared.clock.now();
    let retry = shared.live().snapshot.config.settings.retry;
    if now.duration_since(read.since) > to_signed(retry.max_age) {
        return None;
    }
    let pause = backoff::delay(retry.base, retry.cap, read.attempts + 1, shared.jitter());
    now.checked_add(pause).ok()
}
