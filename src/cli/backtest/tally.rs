//! What a replay comes to: runs, decisions, jobs that no rule knows, and how much each receiver heard.

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit, tz::TimeZone};
use serde::Serialize;

use super::message::Message;
use crate::domain::{
    decision::Decision, observation::Observation, observe::Outcome, policy::Policy,
};

/// Sums over a whole history.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Recorded sightings, each of which has one decision.
    pub(super) runs: u64,
    /// First and last moment.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// How many runs came to what.
    pub(super) decisions: BTreeMap<Decision, u64>,
    /// Watched jobs without a rule.
    pub(super) unclassified: BTreeMap<Job, Unclassified>,
    /// What each receiver heard.
    pub(super) receivers: BTreeMap<String, Heard>,
}

/// A job over all branches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    /// `org/repo`; empty for periodics.
    pub(super) repository: String,
    /// Prow's name.
    pub(super) job: String,
}

/// Runs of a job that no rule knows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unclassified {
    /// All.
    pub(super) runs: u64,
    /// Of these, bad ones.
    pub(super) bad: u64,
}

/// Messages to one receiver.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// All.
    pub(super) messages: u64,
    /// By ISO week, such as `2024-W09`.
    pub(super) weeks: BTreeMap<String, u64>,
    /// By hour, in hours since 1970.
    hours: BTreeMap<i64, u64>,
}

/// An hour and the messages in it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Hour {
    /// Its beginning.
    pub(super) from: Timestamp,
    /// How many.
    pub(super) messages: u64,
}

impl Tally {
    /// Counts a recorded run.
    pub(super) fn run(
        &mut self,
        policy: &Policy,
        run: &Observation,
        outcome: &Outcome,
        at: Timestamp,
    ) {
        self.runs += 1;
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        *self.decisions.entry(outcome.decision).or_default() += 1;
        if outcome.class.rule.is_none() && policy.types.contains(&run.job_type) {
            let repository = match run.org() {
                "" => String::new(),
                org => format!("{org}/{}", run.repo()),
            };
            let job = Job {
                repository,
                job: run.job.clone(),
            };
            let known = self.unclassified.entry(job).or_default();
            known.runs += 1;
            known.bad += u64::from(outcome.verdict.is_bad());
        }
    }

    /// Counts a message.
    pub(super) fn message(&mut self, message: &Message) {
        let heard = self.receivers.entry(message.receiver.clone()).or_default();
        heard.messages += 1;
        *heard.weeks.entry(week(message.at)).or_default() += 1;
        *heard
            .hours
            .entry(message.at.as_second().div_euclid(3600))
            .or_default() += 1;
    }

    /// Messages to all receivers.
    pub(super) fn messages(&self) -> u64 {
        self.receivers.values().map(|heard| heard.messages).sum()
    }

    /// Weeks from the first to the last moment, at least one.
    pub(super) fn weeks(&self) -> i64 {
        let days = self
            .span
            .and_then(|(first, last)| last.since((Unit::Hour, first)).ok())
            .map_or(0, |span| i64::from(span.get_hours()) / 24);
        days / 7 + 1
    }
}

impl Heard {
    /// The hour with the most messages, the first of several.
    pub(super) fn busiest_hour(&self) -> Option<Hour> {
        let (hour, messages) = most(&self.hours)?;
        let from = Timestamp::from_second(hour.saturating_mul(3600)).ok()?;
        Some(Hour { from, messages })
    }

    /// The week with the most messages, the first of several.
    pub(super) fn busiest_week(&self) -> Option<(String, u64)> {
        most(&self.weeks)
    }
}

fn most<K: Clone + Ord>(counts: &BTreeMap<K, u64>) -> Option<(K, u64)> {
    let mut best: Option<(&K, u64)> = None;
    for (key, count) in counts {
        if best.is_none_or(|(_, known)| *count > known) {
            best = Some((key, *count));
        }
    }
    best.map(|(key, count)| (key.clone(), count))
}

fn week(at: Timestamp) -> String {
    let date = at.to_zoned(TimeZone::UTC).date().iso_week_date();
    format!("{}-W{:02}", date.year(), date.week())
}
