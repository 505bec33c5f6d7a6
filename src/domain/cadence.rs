//! Jobs that run at regular times, and are missed when they do not: a periodic that was switched off has no red run
//! anywhere.

use std::time::Duration;

use super::{
    incident::{GoodRun, IncidentId},
    observe::Case,
    state::State,
    time::{after, words},
    watch::{Awaits, Watch, WatchKey, origin},
};

/// A job may be late by a quarter of its period, but always by so long: a busy Prow starts periodics late.
const LEAST_SLACK: Duration = Duration::from_secs(10 * 60);

/// How long after a start the next one is missed.
pub fn missed_after(every: Duration) -> Duration {
    every.saturating_add((every / 4).max(LEAST_SLACK))
}

impl State {
    /// Waits for the next run of a job that is to run every so often; this one was awaited. Returns the incident
    /// whose end is news.
    pub(super) fn expect_next(&mut self, case: &Case<'_>) -> Option<IncidentId> {
        let key = WatchKey::next_of(&case.job);
        let known = self.watches.get(&key);
        let Some(every) = case.class.every else {
            // Nobody asks for it any more.
            let late = self.drop_watch(&key)?.incident?;
            return self.came_after_all(case, late);
        };
        let started = case.run.began_at();
        if known.is_some_and(|known| known.since >= started) {
            return None;
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
        self.came_after_all(case, late?)
    }

    fn came_after_all(&mut self, case: &Case<'_>, late: IncidentId) -> Option<IncidentId> {
        self.close(late, GoodRun::start_of(case.run), case.now)
            .then_some(late)
    }
}
