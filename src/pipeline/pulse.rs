//! Whether Prow and our own sources are alive, by what deck answers, what Kubernetes tells and what webhooks bring:
//! judged here by what a source found, and reported when it changes.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tracing::warn;

use super::Shared;
use crate::{
    config::settings::Limits,
    domain::{fold::to_signed, observation::Observation, prowjob::State, trouble::Trouble},
};

/// What a list of deck shows of Prow as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs that have waited for longer than [`Limits::pile_up_age`].
    pub waiting: u32,
    /// Runs that ended within that time.
    pub ended: u32,
    /// The latest thing that happened to a run.
    pub active_at: Option<Timestamp>,
    /// When the latest run ended.
    pub ended_at: Option<Timestamp>,
}

/// Clocks of others may be wrong by so much, and deck renews its list only so often.
const TOLERANCE: Duration = Duration::from_secs(10 * 60);
/// Deck and we cannot get on.
pub const DECK: &str = "deck";
/// Deck shows an old list.
pub const LIST: &str = "deck list";
/// Runs pile up.
pub const QUEUE: &str = "prow queue";
/// Webhooks do not come.
pub const WEBHOOK: &str = "webhook";
/// Kubernetes and we cannot get on.
pub const WATCH: &str = "watch";
/// Kubernetes tells nothing.
pub const WATCH_SILENT: &str = "watch silent";

/// Runs cannot be stopped.
pub const STOP: &str = "stop";

/// What was last reported of each thing: whether it was in trouble.
#[derive(Debug, Default)]
pub struct Fares(BTreeMap<&'static str, bool>);

impl Fares {
    /// Reports each change once. What was in trouble before a restart is not known here, so the first word is told
    /// in any case.
    pub fn report(&mut self, shared: &Shared, key: &'static str, trouble: Option<Trouble>) {
        let is_trouble = trouble.is_some();
        if self.0.insert(key, is_trouble) == Some(is_trouble) {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!(trouble = key, reason = trouble.what, "In trouble: {key}");
        }
        shared.reports.fares(key, trouble);
        shared.inbox_bell.notify_one();
    }
}

impl Tally {
    /// Counts a run of the list.
    pub fn count(&mut self, run: &Observation, now: Timestamp, age: Duration) {
        let is_older = |at: Timestamp| now.duration_since(at) > to_signed(age);
        let queued = matches!(
            run.state,
            State::Triggered | State::Scheduling | State::Pending
        );
        // What has a pod runs; only what waits for one piles up.
        let waits = queued && run.pending_at.is_none_or(|_| run.state != State::Pending);
        self.waiting += u32::from(waits && run.started_at.is_some_and(is_older));
        self.ended += u32::from(run.completed_at.is_some_and(|at| !is_older(at)));
        self.ended_at = self.ended_at.max(run.completed_at);
        self.active_at = self
            .active_at
            .max(run.completed_at)
            .max(run.pending_at)
            .max(run.started_at);
    }
}

/// Deck failed so many times in a row; the last time why. `others` are the sources that are left.
pub fn unreachable(failures: u32, why: &str, others: &str, limits: &Limits) -> Option<Trouble> {
    (failures >= limits.polls).then(|| {
        trouble(
            "polling deck",
            format!("{failures} polls in a row failed: {why}. Until that works, {others}"),
        )
    })
}

/// Watching failed so many times in a row; the last time why.
pub fn unwatched(failures: u32, why: &str, others: &str, limits: &Limits) -> Option<Trouble> {
    (failures >= limits.polls).then(|| {
        trouble(
            "watching ProwJobs",
            format!("{failures} attempts in a row failed: {why}. Until that works, {others}"),
        )
    })
}

/// Stopping lost runs failed so many times in a row; the last time why.
pub fn unstoppable(failures: u32, why: &str, limits: &Limits) -> Option<Trouble> {
    (failures >= limits.polls).then(|| {
        trouble(
            "stopping lost runs",
            format!(
                "{failures} attempts in a row failed: {why}. Until that works, lost runs go on; `explain` shows the command that stops each"
            ),
        )
    })
}

/// The watch stands and tells nothing for long, while runs ended.
pub fn silent_watch(
    tally: &Tally,
    watched: Option<Timestamp>,
    now: Timestamp,
    limits: &Limits,
) -> Option<Trouble> {
    let silent = silent(tally, watched, now, limits)?;
    let what = silent.what.replace("none came", "Kubernetes told nothing");
    Some(trouble("hearing of ProwJobs from Kubernetes", what))
}

/// Whether a list is older than what a webhook has told since.
pub fn is_old(tally: &Tally, heard: Option<Timestamp>) -> bool {
    match (tally.active_at, heard) {
        (Some(active), Some(heard)) => heard.duration_since(active) > to_signed(TOLERANCE),
        _ => false,
    }
}

/// So many lists in a row were old.
pub fn stale(old_lists: u32, limits: &Limits) -> Option<Trouble> {
    (old_lists >= limits.polls).then(|| {
        trouble(
            "reading deck's list",
            format!(
                "the last {old_lists} lists lack what webhooks told long before: deck answers, but with an old list"
            ),
        )
    })
}

/// Many runs wait for long, and few end.
pub fn pile_up(tally: &Tally, limits: &Limits) -> Option<Trouble> {
    let stuck = tally.waiting >= limits.pile_up && tally.ended.saturating_mul(10) < tally.waiting;
    stuck.then(|| {
        trouble(
            "starting jobs",
            format!(
                "{} runs have waited for a pod for more than {} min and {} ended in that time: Prow or its cluster is stuck",
                tally.waiting,
                limits.pile_up_age.as_secs() / 60,
                tally.ended
            ),
        )
    })
}

/// No webhook came for long, while runs ended.
pub fn silent(
    tally: &Tally,
    heard: Option<Timestamp>,
    now: Timestamp,
    limits: &Limits,
) -> Option<Trouble> {
    let (heard, ended) = (heard?, tally.ended_at?);
    let quiet = now.duration_since(heard) > to_signed(limits.silent_after);
    let missed = ended.duration_since(heard) > to_signed(TOLERANCE);
    (quiet && missed).then(|| {
        trouble(
            "receiving webhooks",
            format!("none came since {heard}, though deck shows runs that ended later"),
        )
    })
}

fn trouble(part: &str, what: String) -> Trouble {
    Trouble {
        part: part.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::observation::Source, prow::parse, standin::prow::Job};

    const LIMITS: Limits = Limits {
        polls: 3,
        pile_up: 20,
        pile_up_age: Duration::from_secs(3600),
        silent_after: Duration::from_secs(6 * 3600),
    };

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + minute * 60).unwrap()
    }

    fn listed(jobs: &[Job], now: Timestamp) -> Tally {
        let mut tally = Tally::default();
        for job in jobs {
            let json = job.to_json().to_string();
            let run = parse::observation(json.as_bytes(), Source::Deck, now).unwrap();
            tally.count(&run, now, LIMITS.pile_up_age);
        }
        tally
    }

    fn queued(count: usize, since: i64) -> Vec<Job> {
        let job = Job::new("s3-controller", "build", "v1.2.3", at(since));
        vec![job.ended("triggered", "", None); count]
    }

    fn ended(count: usize, minute: i64) -> Vec<Job> {
        let job = Job::new("s3-controller", "build", "v1.2.3", at(minute - 5));
        vec![job.ended("success", "Job succeeded.", Some(at(minute))); count]
    }

    #[test]
    fn runs_pile_up_when_many_wait_for_long_and_few_end() {
        for (waiting, since, ending, trouble) in [
            (20, 0, 0, true),
            (19, 0, 0, false),
            (20, 50, 0, false),
            (40, 0, 3, true),
            (40, 0, 4, false),
            (20, 0, 1, true),
            (20, 0, 2, false),
        ] {
            let jobs = [queued(waiting, since), ended(ending, 90)].concat();
            let found = pile_up(&listed(&jobs, at(100)), &LIMITS);
            assert_eq!(found.is_some(), trouble, "{waiting} {since} {ending}");
        }
    }

    #[test]
    fn a_quiet_project_is_no_trouble() {
        let quiet = listed(&ended(3, 0), at(10_000));
        for heard in [None, Some(at(1))] {
            assert!(silent(&quiet, heard, at(10_000), &LIMITS).is_none());
            assert!(!is_old(&quiet, heard));
        }
        assert!(pile_up(&quiet, &LIMITS).is_none());
    }

    #[test]
    fn a_source_is_silent_when_another_shows_what_it_should_have_told() {
        let busy = listed(&ended(3, 300), at(370));
        assert!(silent(&busy, None, at(370), &LIMITS).is_none());
        assert!(silent(&busy, Some(at(295)), at(370), &LIMITS).is_none());
        assert!(silent(&busy, Some(at(20)), at(370), &LIMITS).is_none());
        assert!(silent(&busy, Some(at(5)), at(370), &LIMITS).is_some());
        assert!(is_old(&busy, Some(at(311))));
        assert!(!is_old(&busy, Some(at(309))));
    }

    #[test]
    fn deck_is_in_trouble_only_after_several_polls() {
        assert_eq!(unreachable(2, "503", "all is well", &LIMITS), None);
        let what = unreachable(3, "503", "all is well", &LIMITS).unwrap().what;
        assert!(what.starts_with("3 polls in a row failed: 503."), "{what}");
        assert_eq!(
            (stale(2, &LIMITS), stale(3, &LIMITS).is_some()),
            (None, true)
        );
    }
}
