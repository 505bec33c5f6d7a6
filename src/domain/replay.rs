//! Drives the core over recorded runs with their own clock: each run is seen at the moment it ended, and
//! everything that falls due in between happens at its own time.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    evidence::Finding,
    flush::Told,
    observation::Observation,
    observe::{Outcome, Reading},
    policy::Policy,
    state::State,
};

/// A state with a clock of its own.
#[derive(Debug, Clone)]
pub struct Replay {
    /// All of the state that anything still depends on.
    pub state: State,
    now: Timestamp,
    /// How long what only age makes needless is kept, as a store does.
    retention: Duration,
    /// Sightings until something is forgotten again.
    until_sweep: usize,
}

/// What one run led to.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What became of it.
    pub outcome: Outcome,
    /// What was said before it, because it fell due.
    pub earlier: Vec<Told>,
    /// What was said because of it.
    pub told: Vec<Told>,
}

/// When a run would have been seen: at its end, else at its start.
pub fn seen_at(run: &Observation) -> Timestamp {
    run.completed_at.or(run.started_at).unwrap_or(run.seen_at)
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            state: State::default(),
            now: Timestamp::MIN,
            retention: Duration::MAX,
            until_sweep: SWEEP,
        }
    }
}

/// Forgetting looks at all that is held, so it is done only so often.
const SWEEP: usize = 16_384;

impl Replay {
    /// A replay that forgets what is older than this, where nothing depends on it.
    pub fn retaining(retention: Duration) -> Self {
        Self {
            retention,
            ..Self::default()
        }
    }

    /// Sees one run. Runs are to be given by [`seen_at`]; the clock never goes back.
    pub fn see(&mut self, policy: &Policy, run: &Observation) -> Seen {
        self.see_at(policy, run, seen_at(run), None, None)
    }

    /// Sees one run at a moment, with its log and what was found in it, as far as they are known. A finding about
    /// a green run goes before its log.
    pub fn see_at(
        &mut self,
        policy: &Policy,
        run: &Observation,
        at: Timestamp,
        log: Option<&str>,
        finding: Option<&Finding>,
    ) -> Seen {
        let earlier = self.advance(policy, at);
        let mut reading = Reading::of(policy, run, None);
        if reading.asks_for_log(policy) {
            let said = match (finding, log) {
                (Some(Finding::Green(said)), _) => Some(said.clone()),
                (_, Some(log)) => reading.spot(policy).map(|spot| spot.stage.signs.read(log)),
                (_, None) => None,
            };
            reading = Reading::of(policy, run, said);
        }
        let outcome = self.state.observe_read(policy, run, reading, self.now);
        if let Some(finding) = finding {
            self.state.learn(&run.run, &finding.brief(), false);
        }
        let told = self.state.flush(policy, self.now, false);
        Seen {
            outcome,
            earlier,
            told,
        }
    }

    /// Forgets now and then what nothing depends on any more. What was told before must have been rendered by then.
    pub fn tidy(&mut self, policy: &Policy) {
        self.until_sweep = self.until_sweep.saturating_sub(1);
        if self.until_sweep == 0 {
            self.state.forget(policy, self.now, self.retention);
            self.until_sweep = SWEEP.max(self.state.runs.len());
        }
    }

    /// Lets time pass up to `until`, stopping wherever something falls due.
    pub fn advance(&mut self, policy: &Policy, until: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(due) = self
            .state
            .next_due()
            .filter(|due| *due <= until && *due > self.now)
        {
            self.now = due;
            told.extend(self.state.flush(policy, due, false));
        }
        self.now = self.now.max(until);
        told
    }

    /// Lets everything that is owed fall due; what windows would bring later is left.
    pub fn finish(&mut self, policy: &Policy) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(due) = self.state.next_owed().filter(|due| *due > self.now) {
            told.extend(self.advance(policy, due));
        }
        told
    }
}
