//! Runs that take too long, jobs that fall silent and failures that are told from the third on, each told once and
//! ended once, also when the state is loaded anew at every step.

use std::num::NonZeroU32;

use super::*;
use crate::domain::{
    classify::{Assignments, Rule, Severity, Template},
    decision::Decision,
    notification::Event,
    overdue::Overdue,
    pipeline::{Pipeline, Stage},
    prowjob::{Refs, State as ProwState},
    route::{Reach, Routing},
    samples,
};

const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

struct Core {
    state: State,
    policy: Policy,
    told: Vec<(i64, Event, String)>,
}

impl Core {
    fn new(overdue: Option<Overdue>, set: Assignments) -> Self {
        let rule = Rule {
            name: "publish".to_owned(),
            matchers: Vec::new(),
            set: Assignments {
                service: Some(Template::parse("s3")),
                stage: Some(Template::parse("publish")),
                severity: Some(Severity::Critical),
                ..set
            },
        };
        let stage = Stage {
            name: "publish".to_owned(),
            severity: Severity::Critical,
            overdue,
            ..Stage::default()
        };
        let policy = Policy {
            rules: vec![rule],
            pipelines: vec![Pipeline {
                name: "release".to_owned(),
                matchers: Vec::new(),
                stages: vec![stage],
            }],
            routing: Routing {
                routes: Vec::new(),
                receivers: vec![("platform".to_owned(), Reach::Single)],
                default_receiver: Some("platform".to_owned()),
            },
            ..Policy::default()
        };
        Self {
            state: State::default(),
            policy,
            told: Vec::new(),
        }
    }

    fn overdue_after(hours: u64) -> Self {
        let limit = Duration::from_secs(hours * 3600);
        Self::new(Some(Overdue::After(limit)), Assignments::default())
    }

    fn flush(&mut self, second: i64) {
        let told = self.state.flush(&self.policy, at(second), false);
        self.told.extend(told.into_iter().map(|told| {
            let said = told.notification;
            (second, said.event, said.items[0].what.clone())
        }));
    }

    fn see(&mut self, run: &Run) -> Decision {
        let second = run.end.unwrap_or(run.seen);
        let outcome = self
            .state
            .observe(&self.policy, &run.observation(), at(second));
        self.flush(second);
        outcome.decision
    }

    fn events(&self) -> Vec<(i64, Event)> {
        self.told.iter().map(|told| (told.0, told.1)).collect()
    }
}

#[derive(Clone)]
struct Run {
    name: &'static str,
    state: ProwState,
    created: i64,
    pending: Option<i64>,
    seen: i64,
    end: Option<i64>,
    tag: &'static str,
}

fn run(name: &'static str, created: i64) -> Run {
    Run {
        name,
        state: ProwState::Pending,
        created,
        pending: None,
        seen: created,
        end: None,
        tag: "v1.2.3",
    }
}

impl Run {
    fn ended(&self, state: ProwState, end: i64) -> Self {
        let end = Some(end);
        Self {
            state,
            end,
            ..self.clone()
        }
    }

    fn observation(&self) -> Observation {
        Observation {
            seen_at: at(self.end.unwrap_or(self.seen)),
            refs: Some(Refs {
                org: "my-org".to_owned(),
                repo: "s3-controller".to_owned(),
                base_ref: self.tag.to_owned(),
                ..Refs::default()
            }),
            state: self.state.clone(),
            build_id: Some(format!("build-of-{}", self.name)),
            started_at: Some(at(self.created)),
            pending_at: self.pending.map(at),
            completed_at: self.end.map(at),
            ..samples::run(self.name, "s3-post-submit")
        }
    }
}

#[test]
fn a_run_that_takes_too_long_is_told_once_and_its_good_end_once() {
    let mut core = Core::overdue_after(2);
    let slow = run("a", 0);
    core.see(&slow);
    for second in [HOUR, 2 * HOUR - 1, 2 * HOUR, 2 * HOUR + 1, 5 * HOUR] {
        core.flush(second);
    }
    assert_eq!(
        core.state.next_due().map(|due| due > at(5 * HOUR)),
        Some(true)
    );
    let decision = core.see(&slow.ended(ProwState::Success, 6 * HOUR));
    assert_eq!(decision, Decision::Recovered);
    let told = [(2 * HOUR, Event::Stalled), (6 * HOUR, Event::Recovered)];
    assert_eq!(core.events(), told);
    assert_eq!(
        core.told[0].2,
        "still running after 2 h; its stage allows 2 h"
    );
    assert!(core.state.watches.is_empty());
}

#[test]
fn the_failure_of_an_overdue_run_takes_over_without_a_word_of_recovery() {
    for state in [ProwState::Failure, ProwState::Error] {
        let mut core = Core::overdue_after(2);
        let slow = run("a", 0);
        core.see(&slow);
        core.flush(2 * HOUR);
        core.see(&slow.ended(state, 3 * HOUR));
        core.flush(9 * HOUR);
        let told = [(2 * HOUR, Event::Stalled), (3 * HOUR, Event::Opened)];
        assert_eq!(core.events(), told);
        let open = core.state.incidents.values().filter(|one| one.is_open());
        assert_eq!(open.count(), 1);
    }
}

#[test]
fn waiting_for_a_turn_does_not_count() {
    let mut core = Core::overdue_after(2);
    let mut queued = run("a", 0);
    queued.state = ProwState::Triggered;
    core.see(&queued);
    core.flush(10 * HOUR);
    queued.state = ProwState::Pending;
    queued.pending = Some(10 * HOUR);
    queued.seen = 10 * HOUR;
    core.see(&queued);
    core.flush(12 * HOUR - 1);
    assert!(core.told.is_empty());
    core.flush(12 * HOUR);
    assert_eq!(core.events(), [(12 * HOUR, Event::Stalled)]);
}

#[test]
fn a_limit_is_learned_from_good_runs_and_never_short() {
    for (minutes, limit) in [(5, 30), (20, 60)] {
        let mut core = Core::new(Some(Overdue::Learned), Assignments::default());
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        for (index, name) in (0..).zip(names) {
            // Too little is known yet.
            core.see(&run(name, index * HOUR));
            assert!(core.state.watches.is_empty());
            core.see(
                &run(name, index * HOUR).ended(ProwState::Success, index * HOUR + minutes * 60),
            );
        }
        core.see(&run("slow", 100 * HOUR));
        core.flush(100 * HOUR + limit * 60 - 1);
        assert!(core.told.is_empty());
        core.flush(100 * HOUR + limit * 60);
        assert_eq!(core.told.len(), 1);
        let why = format!("19 of 20 good runs ended within {minutes} min");
        assert!(core.told[0].2.ends_with(&why), "{}", core.told[0].2);
    }
}

#[test]
fn a_run_whose_end_never_comes_is_forgotten_in_silence() {
    let mut core = Core::overdue_after(2);
    core.see(&run("a", 0));
    for day in 0..20 {
        core.flush(day * 24 * HOUR);
    }
    assert_eq!(core.told.len(), 1);
    assert!(core.state.watches.is_empty());
    assert!(core.state.incidents.values().all(|one| !one.is_open()));
}

#[test]
fn a_job_that_falls_silent_is_told_once_and_its_next_start_ends_it() {
    let every = Some(Duration::from_secs(86_400));
    let set = Assignments {
        every,
        ..Assignments::default()
    };
    let mut core = Core::new(None, set);
    core.flush(1000 * HOUR);
    assert!(core.told.is_empty(), "never before it was seen");
    core.see(&run("a", 0).ended(ProwState::Success, 60));
    core.see(&run("b", 24 * HOUR).ended(ProwState::Success, 24 * HOUR + 60));
    // A quarter of the period late is fine.
    for hour in [47, 53, 54, 55, 90] {
        core.flush(hour * HOUR);
    }
    core.see(&run("c", 100 * HOUR));
    core.flush(124 * HOUR);
    let told = [(54 * HOUR, Event::Stalled), (100 * HOUR, Event::Recovered)];
    assert_eq!(core.events(), told);
    assert_eq!(
        core.told[0].2,
        "no run has started for 1 d 6 h; it is to run every 1 d"
    );
}

#[test]
fn a_failure_is_told_when_it_has_come_often_enough_in_a_row() {
    let set = Assignments {
        after: NonZeroU32::new(3),
        ..Assignments::default()
    };
    let mut core = Core::new(None, set);
    let ends = [
        ("a", ProwState::Failure, Decision::BelowThreshold),
        ("b", ProwState::Failure, Decision::BelowThreshold),
        ("c", ProwState::Success, Decision::NotFailed),
        ("d", ProwState::Failure, Decision::BelowThreshold),
        ("e", ProwState::Failure, Decision::BelowThreshold),
        ("f", ProwState::Failure, Decision::Notify),
        ("g", ProwState::Failure, Decision::Deduplicated),
        ("h", ProwState::Success, Decision::Recovered),
    ];
    for (minute, (name, state, decision)) in (0..).zip(ends) {
        let ended = run(name, minute * 60).ended(state, minute * 60 + 30);
        assert_eq!(core.see(&ended), decision, "{name}");
    }
    let events: Vec<Event> = core.told.iter().map(|told| told.1).collect();
    assert_eq!(events, [Event::Opened, Event::Recovered]);
}
