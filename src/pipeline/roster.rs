//! What a watch knows of the runs that are not over, where no list comes again and again to count them in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::pulse::Tally;
use crate::domain::{
    fold::to_signed,
    observation::{Observation, RunName},
    prowjob::State,
};

/// Runs that are kept; no Prow has as many that are not over.
const MOST: usize = 50_000;
/// Ended runs that are kept; beyond a tenth of those that wait it makes no difference how many there are.
const MOST_ENDED: usize = MOST / 10;

/// Runs that wait for a pod, and when others ended.
#[derive(Debug, Default)]
pub struct Roster {
    /// With when they were made.
    waiting: BTreeMap<RunName, Option<Timestamp>>,
    /// By name too: a run that is over is told of again, as when Prow notes that it has reported it.
    ended: BTreeSet<(Timestamp, RunName)>,
    active_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
}

impl Roster {
    /// Takes in how a run stands.
    pub fn note(&mut self, run: &Observation) {
        let queued = matches!(
            run.state,
            State::Triggered | State::Scheduling | State::Pending
        );
        let waits = queued && (run.state != State::Pending || run.pending_at.is_none());
        if waits && self.waiting.len() < MOST {
            self.waiting.insert(run.run.clone(), run.started_at);
        } else {
            self.waiting.remove(&run.run);
        }
        if let Some(at) = run.completed_at {
            self.ended.insert((at, run.run.clone()));
            if self.ended.len() > MOST_ENDED {
                self.ended.pop_first();
            }
        }
        self.ended_at = self.ended_at.max(run.completed_at);
        self.active_at = self.active_at.max(latest(run));
    }

    /// A ProwJob is gone.
    pub fn forget(&mut self, run: &RunName) {
        self.waiting.remove(run);
    }

    /// What a list would show now.
    pub fn tally(&mut self, now: Timestamp, age: Duration) -> Tally {
        let is_older = |at: Timestamp| now.duration_since(at) > to_signed(age);
        self.ended.retain(|(at, _)| !is_older(*at));
        let waiting = self.waiting.values().flatten();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Tally {
            waiting: count(waiting.filter(|at| is_older(**at)).count()),
            ended: count(self.ended.len()),
            active_at: self.active_at,
            ended_at: self.ended_at,
        }
    }
}

/// The latest thing that happened to a run.
pub fn latest(run: &Observation) -> Option<Timestamp> {
    run.completed_at.max(run.pending_at).max(run.started_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::observation::Source, prow::parse, standin::prow::Job};

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn run(number: u8, state: &str, since: i64) -> Observation {
        let job = Job::new("s3-controller", &format!("job-{number}"), "main", at(1));
        let ended = matches!(state, "success" | "failure").then(|| at(since));
        let json = job.ended(state, "", ended).to_json().to_string();
        parse::observation(json.as_bytes(), Source::Watch, at(since)).unwrap()
    }

    proptest! {
        /// Whatever comes in between, it counts as a list of how all runs stand in the end would.
        #[test]
        fn it_counts_as_a_list_would(steps in prop::collection::vec((0_u8..6, 0_usize..4, 2_i64..200), 0..60)) {
            const STATES: [&str; 4] = ["triggered", "pending", "success", "failure"];
            let (mut roster, mut last) = (Roster::default(), BTreeMap::new());
            for (number, state, since) in steps {
                // A run that is over stays so, and is told of again.
                let over = last.get(&number).filter(|known: &&Observation| known.is_finished());
                let run = over.cloned().unwrap_or_else(|| run(number, STATES[state], since));
                roster.note(&run);
                last.insert(number, run);
            }
            let (now, age) = (at(200), Duration::from_secs(3600));
            let mut tally = Tally::default();
            for run in last.values() {
                tally.count(run, now, age);
            }
            let found = roster.tally(now, age);
            prop_assert_eq!((found.waiting, found.ended), (tally.waiting, tally.ended));
            prop_assert_eq!(found.ended_at, tally.ended_at);
        }
    }
}
