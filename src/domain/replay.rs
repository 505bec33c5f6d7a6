//! Drives the core over recorded runs with their own clock: each run is seen at the moment it ended, and
//! everything that falls due in between happens at its own time.

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
    /// The whole state, never forgotten.
    pub state: State,
    now: Timestamp,
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
        }
    }
}

impl Replay {
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
