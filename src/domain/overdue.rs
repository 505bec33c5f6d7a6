//! Runs that take too long. The wait for a node is not counted: a run is on the clock once Prow says when its pod
//! began, else once it is pending, from its creation on.

use std::time::Duration;

use super::{
    history::History,
    incident::{IncidentId, Run},
    observe::Case,
    pipeline::Spot,
    prowjob::State as ProwState,
    state::State,
    time::{after, words},
    verdict::Verdict,
    watch::{Awaits, Watch, WatchKey, origin},
};

/// When a run of a stage takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// After so long.
    After(Duration),
    /// Far beyond what good runs of its job took so far.
    Learned,
}

/// Nothing shorter is learned.
pub const LEARNED_FLOOR: Duration = Duration::from_secs(30 * 60);
/// What is learned is so many times what 95 % of the runs stayed below.
pub const LEARNED_FACTOR: u32 = 3;

impl Overdue {
    /// After how long, and why, for people. `None` while too little is known to learn from.
    pub fn limit(self, history: Option<&History>) -> Option<(Duration, String)> {
        match self {
            Self::After(limit) => {
                let shown = words(i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
                Some((limit, format!("its stage allows {shown}")))
            }
            Self::Learned => {
                let usual = history?.usual_duration()?;
                let limit = (usual * LEARNED_FACTOR).max(LEARNED_FLOOR);
                let shown = words(i64::try_from(usual.as_secs()).unwrap_or(i64::MAX));
                Some((limit, format!("19 of 20 good runs ended within {shown}")))
            }
        }
    }
}

impl State {
    /// Waits for the end of a run that has begun, or no longer. Returns the incident whose end is news.
    pub(super) fn expect_end(
        &mut self,
        case: &Case<'_>,
        spot: Option<Spot<'_>>,
    ) -> Option<IncidentId> {
        let run = case.run;
        let key = WatchKey::end_of(&run.run);
        if run.is_finished() {
            return self.end_came(case, &key);
        }
        let begun = run.pending_at.or(run.started_at);
        if run.state != ProwState::Pending || run.inferred || self.watches.contains_key(&key) {
            return None;
        }
        let (begun, overdue) = (begun?, spot?.stage.overdue?);
        if let Some((limit, why)) = overdue.limit(self.histories.get(&case.job)) {
            let watch = Watch {
                waits_for: Awaits::End,
                since: begun,
                due_at: after(begun, limit),
                why,
                incident: None,
                origin: origin(run),
            };
            self.put_watch(key, watch);
        }
        None
    }

    fn end_came(&mut self, case: &Case<'_>, key: &WatchKey) -> Option<IncidentId> {
        let id = self.drop_watch(key)?.incident?;
        let end = self.runs.get(&case.run.run).and_then(Run::as_good)?;
        match case.judged.verdict {
            Verdict::Pass | Verdict::NoOp => self.close(id, end, case.now).then_some(id),
            // Its failure is told as such, and whoever stopped it knows.
            Verdict::SoftFail
            | Verdict::Fail
            | Verdict::Infra
            | Verdict::AbortedByHuman
            | Verdict::Superseded
            | Verdict::Running => {
                self.close_silently(id, end);
                None
            }
        }
    }
}
