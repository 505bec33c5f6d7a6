//! A command's report from inside its job, and the run's real end: one incident, in whichever order they come.

use std::time::Duration;

use super::*;
use crate::domain::{
    notification::{Event, Notification},
    observation::{RunName, Source},
    prowjob::{JobType, Refs},
    route::{Reach, Routing},
    samples,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

/// A run as deck shows it.
fn seen(name: &str, state: ProwState, end: i64) -> Observation {
    Observation {
        seen_at: at(end),
        refs: Some(Refs {
            org: "my-org".to_owned(),
            repo: "s3-controller".to_owned(),
            base_ref: "v1.2.3".to_owned(),
            ..Refs::default()
        }),
        completed_at: state.is_final().then(|| at(end)),
        state,
        build_id: Some(format!("build-of-{name}")),
        started_at: Some(at(end - 60)),
        ..samples::run(name, "s3-post-submit")
    }
}

/// What a command in a run's job reports.
fn reported(name: &str, end: i64) -> Observation {
    Observation {
        source: Source::Exec,
        description: "exit code 2 from make".to_owned(),
        provisional: true,
        ..seen(name, ProwState::Failure, end)
    }
}

struct Core {
    state: State,
    policy: Policy,
    told: Vec<Notification>,
}

impl Core {
    fn new() -> Self {
        let routing = Routing {
            routes: Vec::new(),
            receivers: vec![("platform".to_owned(), Reach::Single)],
            default_receiver: Some("platform".to_owned()),
        };
        Self {
            state: State::default(),
            policy: Policy {
                keeps_deadlines: true,
                pipelines: Vec::new(),
                mutes: Vec::new(),
                rules: Vec::new(),
                routing,
                types: vec![JobType::Postsubmit],
                max_age: Duration::from_secs(48 * 3600),
                window: Duration::from_secs(3600),
                group_wait: Duration::ZERO,
                reads_evidence: false,
                ..Policy::default()
            },
            told: Vec::new(),
        }
    }

    fn see(&mut self, run: &Observation) -> Outcome {
        let outcome = self.state.observe(&self.policy, run, run.seen_at);
        let told = self.state.flush(&self.policy, run.seen_at, false);
        self.told
            .extend(told.into_iter().map(|told| told.notification));
        outcome
    }

    fn events(&self) -> Vec<Event> {
        self.told.iter().map(|told| told.event).collect()
    }

    fn open(&self) -> usize {
        let incidents = self.state.incidents.values();
        incidents.filter(|incident| incident.is_open()).count()
    }
}

#[test]
fn a_reported_failure_is_told_and_its_runs_end_is_not() {
    let mut core = Core::new();
    core.see(&seen("a", ProwState::Pending, 0));
    assert_eq!(core.see(&reported("a", 10)).decision, Decision::Unmatched);
    assert_eq!(core.told[0].items[0].what, "exit code 2 from make");
    for (again, provisional) in [
        (seen("a", ProwState::Pending, 11), true),
        (reported("a", 12), true),
        (seen("a", ProwState::Failure, 20), false),
        (reported("a", 21), false),
        (seen("a", ProwState::Success, 22), false),
    ] {
        assert_eq!(core.see(&again).decision, Decision::Deduplicated);
        assert_eq!(core.state.runs[&again.run].provisional, provisional);
    }
    assert_eq!(core.events(), [Event::Opened]);
    assert_eq!(core.open(), 1);
}

#[test]
fn whatever_bad_end_comes_after_a_report_is_the_same_failure() {
    for state in [ProwState::Failure, ProwState::Error, ProwState::Aborted] {
        let mut core = Core::new();
        core.see(&reported("a", 10));
        let outcome = core.see(&seen("a", state, 20));
        assert_eq!(outcome.decision, Decision::Deduplicated);
        assert_eq!((core.events().len(), core.open()), (1, 1));
    }
}

#[test]
fn a_run_that_passes_in_the_end_takes_its_report_back() {
    let mut core = Core::new();
    core.see(&reported("a", 10));
    let outcome = core.see(&seen("a", ProwState::Success, 20));
    assert_eq!(outcome.decision, Decision::Recovered);
    assert!(
        outcome.reason.contains("passed in the end"),
        "{}",
        outcome.reason
    );
    assert_eq!(core.events(), [Event::Opened, Event::Recovered]);
    let item = &core.told[1].items[0];
    assert_eq!(item.recovered.as_ref().unwrap().run, item.run);
    assert_eq!(core.open(), 0);
    // The next failure is a new one, and its report too.
    assert_eq!(core.see(&reported("b", 30)).decision, Decision::Unmatched);
    assert_eq!(core.told.last().unwrap().items[0].failures, 1);
    assert_eq!(
        core.see(&seen("b", ProwState::Failure, 40)).decision,
        Decision::Deduplicated
    );
    assert_eq!(
        core.see(&seen("c", ProwState::Success, 50)).decision,
        Decision::Recovered
    );
}

#[test]
fn a_report_that_comes_after_the_good_end_says_nothing() {
    let mut core = Core::new();
    core.see(&seen("a", ProwState::Success, 20));
    assert_eq!(
        core.see(&reported("a", 10)).decision,
        Decision::Deduplicated
    );
    assert_eq!((core.events().len(), core.open()), (0, 0));
}

#[test]
fn a_good_end_after_a_report_closes_what_was_broken_before() {
    let mut core = Core::new();
    core.see(&seen("a", ProwState::Failure, 10));
    core.see(&reported("b", 20));
    // Its clock is behind: the end comes before the report.
    core.see(&seen("b", ProwState::Success, 19));
    assert_eq!(core.events(), [Event::Opened, Event::Recovered]);
    assert_eq!(core.open(), 0);
    let line = core.state.timelines.values().next().unwrap();
    assert_eq!(line.len(), 2, "each run has one place: {line:?}");
}

#[test]
fn a_report_that_does_not_know_its_run_is_matched_by_build_id() {
    let nameless = Observation {
        run: RunName("exec:1".to_owned()),
        inferred: true,
        ..reported("a", 10)
    };
    let mut core = Core::new();
    core.see(&nameless);
    let outcome = core.see(&seen("a", ProwState::Failure, 20));
    assert_eq!(outcome.decision, Decision::Deduplicated);
    assert_eq!(core.events(), [Event::Opened]);

    let mut core = Core::new();
    core.see(&nameless);
    let outcome = core.see(&seen("a", ProwState::Success, 20));
    assert_eq!(outcome.decision, Decision::Recovered);
    assert_eq!(core.open(), 0);
}
