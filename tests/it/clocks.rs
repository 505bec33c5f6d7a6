//! Clocks that jump by an hour, forward and back, as a host's does when it is set: what is due is told once all the
//! same. All times of ours are moments, not times of day, so a zone's summer time changes nothing.

use jiff::SignedDuration;
use prow_notifier::{
    clock::Clock,
    standin::{
        prow::Job,
        slack::{Act, Forced},
    },
};

use crate::inside::{Inside, failed, passed};

const RULES: &str = r#"
classify:
  - name: casual
    match: ['job="casual"']
    set: { component: casual, stage: casual, severity: non-critical }
  - name: any
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?<stage>.+)"']
    set: { service: "$service", stage: "$stage", severity: critical }
pipelines:
  - name: release
    stages:
      - { name: tag }
      - { name: publish, needs: [{ stage: tag, within: 30m }] }
routes:
  - match: ['severity="non-critical"']
    receiver: platform
    digest: 1h
"#;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR_MS: i64 = 3_600_000;

fn jump(inside: &Inside, by_ms: i64) {
    let Clock::Manual(millis) = &inside.clock else {
        unreachable!("tests have a clock of their own")
    };
    millis.fetch_add(by_ms, std::sync::atomic::Ordering::SeqCst);
}

fn headlines(inside: &Inside) -> Vec<String> {
    let messages = inside.messages("platform").into_iter();
    let first = messages.map(|message| {
        let text = prow_notifier::slack::preview_text(&message.payload);
        text.lines().next().unwrap().to_owned()
    });
    let mut all: Vec<String> = first.collect();
    all.sort();
    all
}

/// A failure, one again in its window, one for the digest, and a stage that does not start; at this minute the clock
/// jumps.
async fn said(minute: i64, by_ms: i64, restarts: bool) -> Vec<String> {
    let mut inside = Inside::new(RULES).await;
    let now = inside.now();
    let jobs: Vec<Job> = vec![
        failed("s3", "build", now),
        failed("s3", "casual", now),
        passed("s3", "tag", now),
    ];
    inside.accept(&jobs).await;
    inside.pass(5 * MINUTE).await;
    inside.accept(&[failed("s3", "build", inside.now())]).await;
    inside.step().await;
    inside.pass(SignedDuration::from_mins(minute - 5)).await;
    jump(&inside, by_ms);
    if restarts {
        inside.restart().await;
    }
    inside.accept(&jobs).await;
    inside.pass(6 * 60 * MINUTE).await;
    inside.counts().await;
    headlines(&inside)
}

#[tokio::test]
async fn windows_deadlines_and_digests_are_told_once_over_a_jump_of_an_hour() {
    let straight = said(20, 0, false).await;
    assert_eq!(straight.len(), 4, "{straight:#?}");
    for minute in [5, 20, 45, 65] {
        for by_ms in [HOUR_MS, -HOUR_MS] {
            for restarts in [false, true] {
                let jumped = said(minute, by_ms, restarts).await;
                assert_eq!(jumped, straight, "minute {minute}, {by_ms} ms, {restarts}");
            }
        }
    }
}

#[tokio::test]
async fn a_receiver_that_asked_to_wait_does_not_wait_for_a_clock_that_went_back_by_a_day() {
    for restarts in [false, true] {
        let mut inside = Inside::paced(RULES, None).await;
        let wait = Act::Answer {
            status: 429,
            headers: vec![("retry-after".to_owned(), "600".to_owned())],
            body: String::new(),
        };
        inside.slack.force("platform", Forced::from(wait));
        inside.accept(&[failed("s3", "build", inside.now())]).await;
        inside.pass(MINUTE).await;
        assert_eq!(headlines(&inside), [""; 0]);
        jump(&inside, -24 * HOUR_MS);
        if restarts {
            inside.restart().await;
        }
        inside.pass(MINUTE).await;
        assert_eq!(headlines(&inside).len(), 1, "restarts: {restarts}");
    }
}
