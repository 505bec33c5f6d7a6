//! When news waits for its reason, and what a reason that comes late still changes.

use std::time::Duration;

use jiff::Timestamp;
use prow_notifier::{
    domain::{
        evidence::{CauseClass, Evidence, Finding, Origin},
        flush::Told,
        notification::Event,
        observation::{Observation, RunName, Source},
        policy::Policy,
        route::{Reach, Routing},
        state::State,
    },
    prow::parse,
    standin::prow::Job,
};

use crate::inside::{failed, passed, start};

struct Core {
    state: State,
    policy: Policy,
    told: Vec<(i64, Event, Vec<String>)>,
}

fn at(second: i64) -> Timestamp {
    start() + jiff::SignedDuration::from_secs(second)
}

fn seen(job: &Job) -> Observation {
    let json = job.to_json().to_string();
    parse::observation(json.as_bytes(), Source::Webhook, start()).unwrap()
}

fn found(headline: &str) -> Finding {
    Finding::Found(Evidence {
        class: CauseClass::Compile,
        headline: headline.to_owned(),
        signature: None,
        origin: Origin::Log,
        rule: None,
        excerpt: None,
    })
}

impl Core {
    fn new(group_wait: u64) -> Self {
        Self {
            state: State::default(),
            policy: Policy {
                reads_evidence: true,
                group_wait: Duration::from_secs(group_wait),
                routing: Routing {
                    receivers: vec![("platform".to_owned(), Reach::Single)],
                    default_receiver: Some("platform".to_owned()),
                    ..Routing::default()
                },
                ..Policy::default()
            },
            told: Vec::new(),
        }
    }

    fn see(&mut self, second: i64, job: &Job) -> RunName {
        let run = seen(job);
        self.state.observe(&self.policy, &run, at(second));
        self.flush(second);
        run.run
    }

    fn learn(&mut self, second: i64, run: &RunName, finding: &Finding, more_soon: bool) {
        self.state.learn(run, finding, more_soon);
        self.flush(second);
    }

    fn flush(&mut self, second: i64) {
        let told = self.state.flush(&self.policy, at(second), false);
        self.told.extend(
            told.iter()
                .map(|told| (second, told.notification.event, reasons(told))),
        );
    }

    /// Seconds at which something falls due by itself.
    fn due(&self) -> Option<i64> {
        self.state
            .next_owed()
            .map(|due| due.duration_since(start()).as_secs())
    }
}

fn reasons(told: &Told) -> Vec<String> {
    let items = told.notification.items.iter();
    items
        .map(|item| {
            let evidence = item
                .evidence
                .as_ref()
                .map(|evidence| evidence.headline.clone());
            evidence
                .or_else(|| item.evidence_note.clone())
                .unwrap_or_default()
        })
        .collect()
}

fn job(service: &str) -> Job {
    failed(service, "publish", start())
}

#[test]
fn a_message_waits_for_its_reason_and_goes_the_moment_it_is_known() {
    let mut core = Core::new(5);
    let run = core.see(0, &job("s3"));
    assert_eq!((core.told.len(), core.due()), (0, Some(5)));
    core.learn(2, &run, &found("undefined: x"), false);
    assert_eq!(
        core.told,
        [(2, Event::Opened, vec!["undefined: x".to_owned()])]
    );
}

#[test]
fn a_message_never_waits_longer_than_group_wait() {
    let mut core = Core::new(5);
    let run = core.see(0, &job("s3"));
    core.learn(1, &run, &Finding::Unreadable("503".to_owned()), true);
    core.flush(4);
    assert_eq!(core.told, []);
    core.flush(5);
    let note = core.told[0].2[0].clone();
    assert!(note.contains("503"), "{note}");
    core.learn(60, &run, &found("undefined: x"), false);
    assert_eq!(core.told.len(), 1, "a late reason is no message of its own");
    let item = core.state.incidents.values().next().unwrap().item();
    assert_eq!(item.evidence.unwrap().headline, "undefined: x");
}

#[test]
fn a_stream_of_siblings_does_not_hold_the_first_one_back() {
    let mut core = Core::new(5);
    for (second, service) in [(0, "s3"), (2, "sqs"), (4, "sns")] {
        core.see(second, &job(service));
    }
    core.flush(5);
    let seconds: Vec<i64> = core.told.iter().map(|told| told.0).collect();
    assert!(
        seconds.iter().all(|second| *second == 5) && !seconds.is_empty(),
        "{:?}",
        core.told
    );
}

#[test]
fn without_group_wait_and_when_no_reason_can_be_had_nothing_waits() {
    let mut core = Core::new(0);
    core.see(0, &job("s3"));
    assert_eq!(core.told.len(), 1);
    let mut core = Core::new(5);
    let run = core.see(0, &job("s3"));
    core.learn(
        1,
        &run,
        &Finding::Nothing("the job is not decorated".to_owned()),
        false,
    );
    assert_eq!(core.told.len(), 1);
    let mut core = Core::new(5);
    let run = core.see(0, &job("s3"));
    core.learn(1, &run, &Finding::Unreadable("403".to_owned()), false);
    assert_eq!(core.told.len(), 1, "nobody tries again soon");
}

#[test]
fn a_recovery_waits_for_no_reason_of_its_own() {
    let mut core = Core::new(5);
    let run = core.see(0, &job("s3"));
    core.learn(1, &run, &found("undefined: x"), false);
    core.see(3, &passed("s3", "publish", at(3)));
    assert_eq!(
        core.told.last().map(|told| (told.0, told.1)),
        Some((3, Event::Recovered))
    );
}

#[test]
fn a_reason_of_an_unknown_run_changes_nothing() {
    let mut core = Core::new(5);
    core.learn(1, &RunName("nobody".to_owned()), &found("x"), false);
    assert!(core.told.is_empty() && core.state.changed.runs.is_empty());
}
