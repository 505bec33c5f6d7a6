//! Laws of the core: order and repetition of sightings change nothing, and nothing is left undecided.

mod doom;
mod learning;
mod mass;
mod releases;
mod silences;

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use prow_notifier::domain::{
    classify::{Assignments, Rule, Severity, Template},
    decision::Decision,
    flush::Told,
    matcher::Matcher,
    notification::{Event, Notification},
    observation::{Artifacts, Observation, RunName, Source},
    observe::Outcome,
    policy::Policy,
    prowjob::{JobType, Refs, State as ProwState},
    route::{Reach, Route, Routing},
    silence::Silence,
    state::State,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

/// A finished run of `publish` in `<service>-controller`, ending at `end` seconds.
fn run(name: &str, service: &str, state: ProwState, end: i64) -> Observation {
    Observation {
        run: RunName(name.to_owned()),
        source: Source::Deck,
        seen_at: at(end),
        job_type: JobType::Postsubmit,
        job: format!("{service}-post-submit"),
        agent: String::new(),
        cluster: "default".to_owned(),
        refs: Some(Refs {
            org: "aws-controllers-k8s".to_owned(),
            repo: format!("{service}-controller"),
            base_ref: format!("v1.0.{end}"),
            base_sha: Some(format!("{end:040x}")),
            ..Refs::default()
        }),
        state,
        description: String::new(),
        url: None,
        build_id: None,
        started_at: Some(at(end - 60)),
        pending_at: None,
        completed_at: Some(at(end)),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        commit: None,
        inferred: false,
        artifacts: Artifacts::default(),
        initial: false,
        missed_since: None,
        provisional: false,
        log_tail: None,
    }
}

fn rule(severity: Severity) -> Rule {
    let text = |text: &str| Some(Template::parse(text));
    Rule {
        name: "publish".to_owned(),
        matchers: vec![Matcher::parse(r#"repo=~"(?<service>.+)-controller""#).unwrap()],
        set: Assignments {
            service: text("$service"),
            stage: text("publish"),
            severity: Some(severity),
            ..Assignments::default()
        },
    }
}

fn route(receiver: &str, digest: Option<u64>, continues: bool) -> Route {
    Route {
        matchers: Vec::new(),
        receiver: receiver.to_owned(),
        digest: digest.map(Duration::from_secs),
        continues,
        mute: Vec::new(),
    }
}

fn policy(severity: Severity, routes: Vec<Route>) -> Policy {
    Policy {
        rules: vec![rule(severity)],
        routing: Routing {
            routes,
            receivers: vec![
                ("platform".to_owned(), Reach::Single),
                ("by-service".to_owned(), Reach::EveryService),
            ],
            default_receiver: Some("platform".to_owned()),
        },
        ..Policy::default()
    }
}

fn both() -> Policy {
    policy(
        Severity::Critical,
        vec![
            route("by-service", None, true),
            route("platform", None, false),
        ],
    )
}

/// A state that is fed one observation after the other, with time in between.
struct Daemon {
    policy: Policy,
    state: State,
    now: i64,
    said: Vec<Notification>,
}

impl Daemon {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::default(),
            now: 0,
            said: Vec::new(),
        }
    }

    fn observe(&mut self, run: &Observation) -> Outcome {
        let outcome = self.state.observe(&self.policy, run, at(self.now));
        self.flush(false);
        outcome
    }

    fn flush(&mut self, more_to_come: bool) {
        let told = self.state.flush(&self.policy, at(self.now), more_to_come);
        self.said
            .extend(told.into_iter().map(|told| told.notification));
    }

    /// Moves time on, stopping at everything that falls due.
    fn advance(&mut self, seconds: i64) {
        let end = self.now + seconds;
        while let Some(due) = self.state.next_due().filter(|due| *due <= at(end)) {
            self.now = self.now.max(due.as_second() - at(0).as_second());
            let before = self.said.len();
            self.flush(false);
            if self.said.len() == before && self.state.next_due() == Some(due) {
                break;
            }
        }
        self.now = end;
        self.flush(false);
    }

    fn fails(&mut self, name: &str, service: &str) -> Outcome {
        self.observe(&run(name, service, ProwState::Failure, self.now))
    }

    fn passes(&mut self, name: &str, service: &str) -> Outcome {
        self.observe(&run(name, service, ProwState::Success, self.now))
    }

    fn events(&self, receiver: &str) -> Vec<Event> {
        self.said
            .iter()
            .filter(|said| said.receiver == receiver)
            .map(|said| said.event)
            .collect()
    }
}

#[test]
fn a_failure_is_told_once_and_its_recovery_once() {
    let mut daemon = Daemon::new(both());
    assert_eq!(daemon.passes("a", "s3").decision, Decision::NotFailed);
    daemon.advance(60);
    let opened = daemon.fails("b", "s3");
    assert_eq!(
        (opened.decision, opened.receivers),
        (
            Decision::Notify,
            vec!["by-service/s3".to_owned(), "platform".to_owned()]
        )
    );
    daemon.advance(60);
    assert_eq!(daemon.fails("c", "s3").decision, Decision::Deduplicated);
    daemon.advance(60);
    assert_eq!(daemon.passes("d", "s3").decision, Decision::Recovered);
    assert_eq!(daemon.events("platform"), [Event::Opened, Event::Recovered]);
    assert_eq!(
        daemon.events("by-service/s3"),
        [Event::Opened, Event::Recovered]
    );
    let recovered = &daemon.said.last().unwrap().items[0];
    assert_eq!(
        (
            recovered.failures,
            recovered.recovered.as_ref().unwrap().after
        ),
        (2, SignedDuration::from_secs(120))
    );
    assert_eq!(recovered.last_good.as_ref().unwrap().at, at(0));
}

#[test]
fn a_window_ends_with_one_reminder_and_the_next_is_twice_as_long() {
    let mut daemon = Daemon::new(policy(Severity::Critical, Vec::new()));
    daemon.fails("a", "s3");
    daemon.advance(1_800);
    daemon.fails("b", "s3");
    daemon.fails("c", "s3");
    daemon.advance(1_800);
    assert_eq!(
        daemon.events("platform"),
        [Event::Opened, Event::StillFailing]
    );
    let item = &daemon.said[1].items[0];
    assert_eq!((item.failures, item.new_failures), (3, 2));
    daemon.advance(600);
    daemon.fails("d", "s3");
    daemon.advance(6_599);
    assert_eq!(daemon.said.len(), 2, "the second window lasts two hours");
    daemon.advance(2);
    assert_eq!(daemon.events("platform").len(), 3);
    daemon.advance(30 * 86_400);
    assert_eq!(
        daemon.said.len(),
        3,
        "a window in which nothing came ends in silence"
    );
    let again = daemon.fails("e", "s3");
    assert_eq!(again.decision, Decision::Notify);
    assert_eq!(daemon.events("platform").last(), Some(&Event::StillFailing));
}

#[test]
fn two_services_go_alone_and_from_the_third_on_they_share_a_message() {
    let mut daemon = Daemon::new(both());
    let decisions: Vec<Decision> = (0..6)
        .map(|index| {
            daemon.advance(30);
            daemon
                .fails(&format!("r{index}"), &format!("s{index}"))
                .decision
        })
        .collect();
    assert!(
        decisions
            .iter()
            .all(|decision| *decision == Decision::Notify),
        "each service's own receiver is told"
    );
    assert_eq!(
        daemon.events("platform"),
        [Event::Opened, Event::Opened, Event::SharedCause]
    );
    let shared = daemon
        .said
        .iter()
        .find(|said| said.event == Event::SharedCause)
        .unwrap();
    assert_eq!(
        (shared.earlier.clone(), shared.shared_by),
        (vec!["s0".to_owned(), "s1".to_owned()], 3)
    );
    for index in 0..6 {
        assert_eq!(
            daemon.events(&format!("by-service/s{index}")),
            [Event::Opened]
        );
    }
    daemon.advance(600);
    let update = daemon.said.last().unwrap();
    assert_eq!(
        (update.event, update.items.len(), update.shared_by),
        (Event::SharedCause, 3, 6)
    );
    for index in 0..6 {
        daemon.passes(&format!("g{index}"), &format!("s{index}"));
    }
    daemon.advance(600);
    let recovered: Vec<usize> = daemon
        .said
        .iter()
        .filter(|said| said.receiver == "platform" && said.event == Event::Recovered)
        .map(|said| said.items.len())
        .collect();
    assert_eq!(
        recovered,
        [1, 5],
        "the first at once, the end of all in one"
    );
}

#[test]
fn siblings_of_one_batch_make_one_message() {
    let mut daemon = Daemon::new(policy(Severity::Critical, Vec::new()));
    for index in 0..32 {
        daemon.state.observe(
            &daemon.policy,
            &run(
                &format!("r{index}"),
                &format!("s{index}"),
                ProwState::Failure,
                0,
            ),
            at(0),
        );
        daemon.flush(true);
    }
    assert!(daemon.said.is_empty(), "more is to come");
    daemon.flush(false);
    assert_eq!(daemon.said.len(), 1);
    assert_eq!(
        (daemon.said[0].event, daemon.said[0].items.len()),
        (Event::SharedCause, 32)
    );
}

#[test]
fn a_message_never_waits_longer_than_group_wait() {
    let mut daemon = Daemon::new(policy(Severity::Critical, Vec::new()));
    daemon.state.observe(
        &daemon.policy,
        &run("r", "s3", ProwState::Failure, 0),
        at(0),
    );
    daemon.now = 4;
    daemon.flush(true);
    assert!(daemon.said.is_empty());
    daemon.now = 5;
    daemon.flush(true);
    assert_eq!(daemon.said.len(), 1);
}

#[test]
fn a_digest_collects_what_is_not_critical_and_nothing_else() {
    let mut daemon = Daemon::new(policy(
        Severity::NonCritical,
        vec![route("platform", Some(3_600), false)],
    ));
    assert_eq!(daemon.fails("a", "s3").decision, Decision::Digest);
    daemon.advance(60);
    daemon.fails("b", "lambda");
    daemon.passes("c", "s3");
    daemon.advance(3_539);
    assert!(daemon.said.is_empty());
    daemon.advance(1);
    assert_eq!(daemon.events("platform"), [Event::Digest]);
    let items = &daemon.said[0].items;
    assert_eq!(items.len(), 2);
    assert!(items[0].recovered.is_some() && items[1].recovered.is_none());
    let mut critical = Daemon::new(policy(
        Severity::Critical,
        vec![route("platform", Some(3_600), false)],
    ));
    critical.fails("a", "s3");
    assert_eq!(
        critical.events("platform"),
        [Event::Opened],
        "a critical failure never waits for a digest"
    );
}

#[test]
fn old_runs_of_the_first_list_are_summed_up_once() {
    let mut policy = policy(Severity::Critical, Vec::new());
    policy.first_start = Some(at(300_000));
    let mut daemon = Daemon::new(policy);
    daemon.now = 300_000;
    for index in 0..50 {
        let mut old = run(
            &format!("r{index}"),
            &format!("s{index}"),
            ProwState::Failure,
            i64::from(index),
        );
        old.initial = true;
        let outcome = daemon.state.observe(&daemon.policy, &old, at(300_000));
        assert_eq!(outcome.decision, Decision::Digest);
        daemon.flush(true);
    }
    let mut healed = run("ok", "s0", ProwState::Success, 100);
    healed.initial = true;
    daemon.observe(&healed);
    assert_eq!(daemon.events("platform"), [Event::Digest]);
    assert_eq!(
        daemon.said[0].items.len(),
        49,
        "what was healed before the start is not worth a word"
    );
    let outcome = daemon.observe(&run("late", "zzz", ProwState::Failure, 1));
    assert_eq!(
        outcome.decision,
        Decision::Stale,
        "later, only max_age counts"
    );
    assert_eq!(daemon.said.len(), 1);
}

#[test]
fn a_stale_failure_is_never_told_but_the_next_fresh_one_is() {
    let mut daemon = Daemon::new(policy(Severity::Critical, Vec::new()));
    daemon.now = 200_000;
    assert_eq!(
        daemon
            .observe(&run("old", "s3", ProwState::Failure, 0))
            .decision,
        Decision::Stale
    );
    assert!(daemon.said.is_empty());
    assert_eq!(daemon.fails("new", "s3").decision, Decision::Notify);
    assert_eq!(
        (daemon.said.len(), daemon.said[0].items[0].since),
        (1, at(0))
    );
}

#[test]
fn an_unmatched_postsubmit_goes_to_the_default_receiver_and_other_types_do_not() {
    let mut policy = both();
    policy.rules.clear();
    let mut daemon = Daemon::new(policy);
    let outcome = daemon.fails("a", "s3");
    assert_eq!(
        (outcome.decision, outcome.receivers),
        (Decision::Unmatched, vec!["platform".to_owned()])
    );
    assert!(daemon.said[0].items[0].class.rule.is_none());
    let mut periodic = run("p", "x", ProwState::Failure, 0);
    (periodic.job_type, periodic.refs) = (JobType::Periodic, None);
    assert_eq!(daemon.observe(&periodic).decision, Decision::Ignored);
    let mut presubmit = run("q", "x", ProwState::Failure, 0);
    presubmit.job_type = JobType::Presubmit;
    assert_eq!(daemon.observe(&presubmit).decision, Decision::Ignored);
}

#[test]
fn a_status_and_the_prowjob_behind_it_are_one_run() {
    let mut daemon = Daemon::new(both());
    let mut status = run("github:x", "s3", ProwState::Failure, 0);
    (status.inferred, status.build_id) = (true, Some("42".to_owned()));
    assert_eq!(daemon.observe(&status).decision, Decision::Notify);
    let mut real = run("real", "s3", ProwState::Failure, 0);
    real.build_id = Some("42".to_owned());
    assert_eq!(daemon.observe(&real).decision, Decision::Deduplicated);
    assert_eq!(daemon.events("platform"), [Event::Opened]);
}

/// A finished run of one of a few jobs, at a whole minute.
fn any_run() -> impl Strategy<Value = Observation> {
    (0..4_u8, 0..40_i64, prop_oneof![3 => Just(ProwState::Failure), 2 => Just(ProwState::Success), 1 => Just(ProwState::Error)])
        .prop_map(|(service, minute, state)| {
            let service = format!("s{service}");
            let name = format!("{service}-{minute}");
            run(&name, &service, state, minute * 60)
        })
}

/// Distinct runs, and an order in which each is seen at least once.
fn history() -> impl Strategy<Value = (Vec<Observation>, Vec<usize>)> {
    prop::collection::vec(any_run(), 1..30).prop_flat_map(|mut runs| {
        runs.sort_by(|a, b| (a.completed_at, &a.run).cmp(&(b.completed_at, &b.run)));
        runs.dedup_by(|a, b| a.run == b.run);
        let all: Vec<usize> = (0..runs.len()).chain(0..runs.len()).collect();
        (Just(runs), Just(all).prop_shuffle())
    })
}

/// What a state says of its incidents, without the numbers given on the way.
fn incidents(state: &State) -> Vec<String> {
    let mut all: Vec<String> = state
        .incidents
        .values()
        .map(|i| {
            format!(
                "{} {} {} {} {:?} {:?}",
                i.job, i.first.run, i.latest.run, i.failures, i.last_good, i.closed_by
            )
        })
        .collect();
    all.sort();
    all
}

fn say(
    policy: &Policy,
    runs: &[Observation],
    order: impl Iterator<Item = usize>,
) -> (State, Vec<Outcome>, Vec<String>) {
    say_under(policy, &[], runs, order)
}

fn say_under(
    policy: &Policy,
    silences: &[Silence],
    runs: &[Observation],
    order: impl Iterator<Item = usize>,
) -> (State, Vec<Outcome>, Vec<String>) {
    let mut state = State::default();
    state.set_silences(silences.to_vec(), at(0));
    let now = at(3_600);
    let mut outcomes = Vec::new();
    let mut told: Vec<Told> = Vec::new();
    for index in order {
        outcomes.push(state.observe(policy, &runs[index], now));
        told.extend(state.flush(policy, now, true));
    }
    told.extend(state.flush(policy, now, false));
    // Then let windows and folds run out.
    for hours in 1..60 {
        told.extend(state.flush(policy, at(3_600 * (hours + 1)), false));
    }
    let mut said: Vec<String> = told
        .into_iter()
        .map(|told| format!("{:?}", told.notification))
        .collect();
    said.sort();
    (state, outcomes, said)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_change_nothing((runs, order) in history(), critical in any::<bool>()) {
        let policy = if critical { both() } else { policy(Severity::NonCritical, vec![route("platform", Some(600), false)]) };
        let (sorted, _, expected) = say(&policy, &runs, 0..runs.len());
        let (shuffled, outcomes, said) = say(&policy, &runs, order.iter().copied());
        prop_assert_eq!(incidents(&sorted), incidents(&shuffled));
        prop_assert_eq!(expected, said);
        prop_assert_eq!(outcomes.len(), order.len(), "each sighting has its decision");
        let again = outcomes.iter().filter(|outcome| outcome.decision == Decision::Deduplicated).count();
        prop_assert!(again >= runs.len(), "each second sighting is a repetition");
    }

    #[test]
    fn every_incident_is_opened_once_and_closed_once((runs, order) in history()) {
        let mut daemon = Daemon::new(policy(Severity::Critical, Vec::new()));
        daemon.now = 3_600;
        for index in order {
            daemon.observe(&runs[index]);
            daemon.advance(1);
        }
        daemon.advance(40 * 86_400);
        let mut open: BTreeMap<(String, RunName), i32> = BTreeMap::new();
        for said in daemon.said.iter().filter(|said| said.event == Event::Recovered) {
            for item in &said.items {
                let closer = item.recovered.as_ref().unwrap().run.clone();
                *open.entry((item.job.clone(), closer)).or_default() += 1;
            }
        }
        prop_assert!(daemon.state.folds.values().all(|fold| fold.waiting.is_empty()), "nothing stays owed");
        for incident in daemon.state.incidents.values().filter(|incident| incident.announced_at.is_some()) {
            // Of what joined a shared cause late, nothing is said when it is over before its turn comes.
            prop_assert!(incident.told_failures > 0 || !incident.is_open(), "it was spoken of");
        }
    }
}

#[test]
fn what_ends_at_the_end_of_time_is_told_like_any_other() {
    let now = Timestamp::MAX - SignedDuration::from_secs(1);
    let (mut state, policy) = (State::default(), both());
    for service in ["s0", "s1", "s2", "s3", "s4"] {
        let failed = Observation {
            completed_at: Some(now),
            ..run(service, service, ProwState::Failure, 0)
        };
        state.observe(&policy, &failed, now);
        assert!(!state.flush(&policy, now, false).is_empty(), "{service}");
    }
}

#[test]
fn without_a_window_every_failure_is_told() {
    let mut policy = both();
    policy.window = Duration::ZERO;
    let mut daemon = Daemon::new(policy);
    for name in ["a", "b", "c"] {
        daemon.fails(name, "s3");
        daemon.advance(60);
    }
    daemon.passes("d", "s3");
    let told = [
        Event::Opened,
        Event::StillFailing,
        Event::StillFailing,
        Event::Recovered,
    ];
    assert_eq!(daemon.events("platform"), told);
}
