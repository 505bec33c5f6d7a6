//! What releases and incidents come to in numbers: per release and not per run, so that many green runs do not hide a
//! version that never came out. Pages, API and metrics take the same numbers from here.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::stats::{Lasted, Passed, median_lasting, quantile};

/// A release as figures see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Its service.
    pub service: String,
    /// When its first stage started.
    pub began_at: Timestamp,
    /// When the last of its required stages had done its work.
    pub done_at: Option<Timestamp>,
    /// Runs beyond the first of each stage.
    pub reruns: u64,
    /// Runs that a person stopped.
    pub stopped: u64,
    /// Green runs that did not do their work.
    pub soft_failed: u64,
    /// Whether a person did the work of a stage, such as pushing a tag.
    pub hand_made: bool,
    /// Seconds that its runs took.
    pub run_s: u64,
    /// Of these, seconds of runs beyond the first of each stage.
    pub retry_s: u64,
}

/// An incident as figures see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IncidentRow {
    /// When it broke: the end of its first bad run, or the missed deadline.
    pub broke_at: Timestamp,
    /// When we saw that.
    pub seen_at: Option<Timestamp>,
    /// When the first message about it was accepted.
    pub notified_at: Option<Timestamp>,
    /// When somebody took it on; nothing tells us so far.
    pub acknowledged_at: Option<Timestamp>,
    /// When it was good again; `None` while it is open.
    pub restored_at: Option<Timestamp>,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every required stage did its work in time.
    Succeeded,
    /// It came too late, a newer one overtook it, or its time is over.
    Failed,
    /// It still has time.
    InFlight,
}

/// Of what was measured: its number, mean and quantiles in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub n: usize,
    /// Arithmetic mean, rounded down.
    pub mean_s: Option<i64>,
    /// Median by nearest rank.
    pub p50_s: Option<i64>,
    /// 90 % took no longer.
    pub p90_s: Option<i64>,
    /// 95 % took no longer.
    pub p95_s: Option<i64>,
}

/// Figures of releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseFigures {
    /// Releases that succeeded or failed.
    pub finished: usize,
    /// Those that succeeded.
    pub succeeded: usize,
    /// Those that did so without a second run or a hand.
    pub first_try: usize,
    /// Releases that still have time.
    pub in_flight: usize,
    /// From the start of the first stage to the end of the last required one, of all that are through.
    pub lead: Spread,
    /// What people did: reruns, stopped runs, stages done by hand; over all releases, those in flight included.
    pub interventions: Interventions,
    /// Green runs that did not do their work.
    pub soft_failed: u64,
    /// Seconds of all runs.
    pub run_s: u64,
    /// Seconds of runs beyond the first of each stage.
    pub retry_s: u64,
    /// When the last one was through.
    pub last_good_at: Option<Timestamp>,
}

/// What people did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interventions {
    /// Runs started again.
    pub reruns: u64,
    /// Runs stopped.
    pub stopped: u64,
    /// Stages done by hand.
    pub by_hand: u64,
}

/// Figures of incidents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentFigures {
    /// How many.
    pub incidents: usize,
    /// Those that are open.
    pub open: usize,
    /// The longest of those has been open for so many seconds.
    pub open_at_least_s: Option<i64>,
    /// From the break to when we saw it: how fast we are.
    pub detection: Spread,
    /// From the break to the accepted message (MTTD).
    pub detect: Spread,
    /// From the message to somebody taking it on (MTTA).
    pub acknowledge: Spread,
    /// From the break to the recovery (MTTR): Kaplan and Meier's median in seconds; `None` while too many are open.
    pub restore_median_s: Option<i64>,
    /// The same of those that recovered, open ones left out.
    pub restored: Spread,
}

impl Interventions {
    /// All together.
    pub fn total(self) -> u64 {
        self.reruns + self.stopped + self.by_hand
    }
}

impl Spread {
    /// Of values in seconds.
    pub fn of(mut seconds: Vec<i64>) -> Self {
        seconds.sort_unstable();
        let n = seconds.len();
        let mean = |n: i64| seconds.iter().sum::<i64>().checked_div(n);
        Self {
            n,
            mean_s: i64::try_from(n).ok().and_then(mean),
            p50_s: quantile(&seconds, 50),
            p90_s: quantile(&seconds, 90),
            p95_s: quantile(&seconds, 95),
        }
    }
}

impl ReleaseRow {
    /// What people did to it.
    pub fn interventions(&self) -> Interventions {
        Interventions {
            reruns: self.reruns,
            stopped: self.stopped,
            by_hand: u64::from(self.hand_made),
        }
    }

    fn lead_s(&self, at: Timestamp) -> Option<i64> {
        let done = self.done_at.filter(|done| *done <= at)?;
        Some(seconds(self.began_at, done))
    }

    fn outcome(&self, overtaken: bool, at: Timestamp, sla: SignedDuration) -> Outcome {
        let done = self.done_at.filter(|done| *done <= at);
        let within = |end: Timestamp| end.duration_since(self.began_at) <= sla;
        match done {
            Some(done) if within(done) => Outcome::Succeeded,
            Some(_) => Outcome::Failed,
            None if overtaken || !within(at) => Outcome::Failed,
            None => Outcome::InFlight,
        }
    }
}

/// What became of each release by a time, in the order given. A release is in time when it is through within `sla`
/// of its begin; one that is not through when a newer one of its service begins has failed.
pub fn outcomes(rows: &[ReleaseRow], at: Timestamp, sla: SignedDuration) -> Vec<Outcome> {
    let mut newest: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.began_at <= at) {
        let known = newest.entry(&row.service).or_insert(row.began_at);
        *known = row.began_at.max(*known);
    }
    rows.iter()
        .map(|row| {
            let overtaken = newest
                .get(row.service.as_str())
                .is_some_and(|newest| *newest > row.began_at);
            row.outcome(overtaken, at, sla)
        })
        .collect()
}

/// Figures of releases as of a time, each with what became of it.
pub fn of_releases<'a>(
    rows: impl IntoIterator<Item = (&'a ReleaseRow, Outcome)>,
    at: Timestamp,
) -> ReleaseFigures {
    let mut figures = ReleaseFigures::default();
    let mut lead = Vec::new();
    for (row, outcome) in rows {
        let by_people = row.interventions();
        match outcome {
            Outcome::Succeeded => {
                figures.finished += 1;
                figures.succeeded += 1;
                figures.first_try += usize::from(by_people.total() == 0);
            }
            Outcome::Failed => figures.finished += 1,
            Outcome::InFlight => figures.in_flight += 1,
        }
        lead.extend(row.lead_s(at));
        figures.last_good_at = figures
            .last_good_at
            .max(row.done_at.filter(|done| *done <= at));
        figures.interventions.reruns += by_people.reruns;
        figures.interventions.stopped += by_people.stopped;
        figures.interventions.by_hand += by_people.by_hand;
        figures.soft_failed += row.soft_failed;
        figures.run_s += row.run_s;
        figures.retry_s += row.retry_s;
    }
    figures.lead = Spread::of(lead);
    figures
}

/// Figures of incidents as of a time.
pub fn of_incidents<'a>(
    rows: impl IntoIterator<Item = &'a IncidentRow>,
    at: Timestamp,
) -> IncidentFigures {
    let mut figures = IncidentFigures::default();
    let (mut detection, mut detect, mut acknowledge) = (Vec::new(), Vec::new(), Vec::new());
    let (mut restored, mut lasted) = (Vec::new(), Vec::new());
    for row in rows {
        figures.incidents += 1;
        let by = |end: Option<Timestamp>| end.filter(|end| *end <= at);
        detection.extend(by(row.seen_at).map(|seen| seconds(row.broke_at, seen)));
        detect.extend(by(row.notified_at).map(|told| seconds(row.broke_at, told)));
        let taken = by(row.notified_at).zip(by(row.acknowledged_at));
        acknowledge.extend(taken.map(|(told, taken)| seconds(told, taken)));
        let ended = by(row.restored_at);
        let seconds = seconds(row.broke_at, ended.unwrap_or(at));
        let goes_on = ended.is_none();
        lasted.push(Lasted { seconds, goes_on });
        if goes_on {
            figures.open += 1;
            figures.open_at_least_s = figures.open_at_least_s.max(Some(seconds));
        } else {
            restored.push(seconds);
        }
    }
    figures.detection = Spread::of(detection);
    figures.detect = Spread::of(detect);
    figures.acknowledge = Spread::of(acknowledge);
    figures.restore_median_s = median_lasting(&lasted);
    figures.restored = Spread::of(restored);
    figures
}

impl ReleaseFigures {
    /// Successes among finished releases.
    pub fn success(&self) -> Passed {
        Passed {
            good: self.succeeded,
            all: self.finished,
        }
    }

    /// Successes at the first try among finished releases.
    pub fn at_first(&self) -> Passed {
        Passed {
            good: self.first_try,
            all: self.finished,
        }
    }
}

/// Never below zero: clocks of others differ.
fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs().max(0)
}

#[cfg(test)]
mod tests;
