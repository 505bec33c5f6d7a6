//! Jobs that run at regular times, and are missed when they do not: a periodic that was switched off has no red run
//! anywhere.

use std::time::Duration;

use super::{
    incident::GoodRun,
    observe::Case,
    state::State,
    watch::{Awaits, Watch, WatchKey, after, origin, words},
};

/// A job may be late by a quarter of its period, but always by so long: a busy Prow starts periodics late.
const LEAST_SLACK: Duration = Duration::from_secs(10 * 60);

/// How long after a start the next one is missed.
pub fn missed_after(every: Duration) -> Duration {
    every.saturating_add((every / 4).max(LEAST_SLACK))
}

impl State {
    /// Waits for the next run of a job that is to run every so often; this one was awaited.
    pub(super) fn expect_next(&mut self, case: &Case<'_>) {
        let key = WatchKey::next_of(&case.job);
        let known = self.watches.get(&key);
        let Some(every) = case.class.every else {
            // Nobody asks for it any more.
            if let Some(id) = self.drop_watch(&key).and_then(|watch| watch.incident) {
                self.close(id, start(case), case.now);
            }
            return;
        };
        let started = case.run.started_at.unwrap_or(case.run.seen_at);
        if known.is_some_and(|known| known.since >= started) {
            return;
        }
        let late = known.and_then(|known| known.incident);
        let shown = words(i64::try_from(every.as_secs()).unwrap_or(i64::MAX));
        let watch = Watch {
            waits_for: Awaits::Start,
            since: started,
            due_at: after(started, missed_after(every)),
            why: format!("it is to run every {shown}"),
            incident: None,
            origin: origin(case.run),
        };
        self.put_watch(key, watch);
        if let Some(id) = late {
            self.close(id, start(case), case.now);
        }
    }
}

fn start(case: &Case<'_>) -> GoodRun {
    GoodRun {
        run: case.run.run.clone(),
        at: case.run.started_at.unwrap_or(case.run.seen_at),
        base_ref: case.run.base_ref().to_owned(),
        base_sha: case.run.base_sha().map(str::to_owned),
        owner: None,
    }
}
