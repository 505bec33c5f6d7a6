//! Reads why runs broke, aside from deciding: a message never waits for a bucket longer than it may.
//!
//! What is to be read stands in the store until its last word is stored, so a restart loses none of it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{Shared, worker::sleep};
use crate::{
    domain::{backoff, evidence::Finding, fold::to_signed, observation::Observation},
    evidence::{self, LogText, Remains},
    store::{DueRead, Learned, StoreError},
};

/// Runs read at once.
const AT_ONCE: usize = 16;

/// Pause after a failure of the store.
const PAUSE: Duration = Duration::from_secs(1);

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
        let reports = &self.shared.reports;
        let room = AT_ONCE.saturating_sub(running.len());
        if room == 0 {
            return Ok(None);
        }
        let now = self.shared.clock.now();
        let due = self
            .shared
            .store
            .due_reads(now, room, reports.under_way())
            .await?;
        reports.begin(due.iter().map(|read| read.run.run.clone()));
        for read in due {
            let shared = self.shared.clone();
            running.spawn(async move {
                let learned = learn(&shared, &read).await;
                shared.reports.learned(learned);
                shared.inbox_bell.notify_one();
            });
        }
        let next = self.shared.store.next_read_due(reports.under_way()).await?;
        Ok(next.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default()))
    }
}

/// One attempt.
async fn learn(shared: &Shared, read: &DueRead) -> Learned {
    let live = shared.live();
    let begun = shared.clock.now();
    let _ = live;
    let finding =
        reported(&read.run).unwrap_or_else(|| Finding::Nothing("not built yet".to_owned()));
    Learned {
        run: read.run.run.clone(),
        again_at: again_at(shared, read, &finding),
        finding,
        location: None,
        at: begun,
    }
}

/// The reason in what a command inside the job printed, which is at hand before Prow has stored anything.
fn reported(run: &Observation) -> Option<Finding> {
    let tail = run.log_tail.as_ref()?;
    let log = LogText {
        file: "output of the command".to_owned(),
        bytes: tail.clone().into_bytes(),
        first_line: None,
        starts_line: false,
    };
    evidence::explain(&Remains {
        logs: vec![log],
        ..Remains::default()
    })
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
