//! What is told only from so many failures on, and deadlines that are learned: over restarts too.

use jiff::SignedDuration;
use prow_notifier::{domain::decision::Decision, slack::preview_text, standin::prow::Job};

use crate::inside::{Inside, failed, passed};

const RULES: &str = r#"
classify:
  - name: nightly
    match: ['job="nightly"']
    set: { component: nightly, stage: nightly, after: 3 }
  - name: any
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?<stage>.+)"']
    set: { service: "$service", stage: "$stage", severity: critical }
pipelines:
  - name: release
    stages:
      - { name: tag }
      - { name: publish, needs: [{ stage: tag, within: learned }] }
"#;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn texts(inside: &Inside) -> Vec<String> {
    let messages = inside.messages("platform").into_iter();
    messages
        .map(|message| preview_text(&message.payload))
        .collect()
}

#[tokio::test]
async fn the_third_failure_in_a_row_is_told_and_a_success_counts_anew() {
    let mut inside = Inside::new(RULES).await;
    for (is_good, messages) in [
        (false, 0),
        (false, 0),
        (true, 0),
        (false, 0),
        (false, 0),
        (false, 1),
        (true, 2),
    ] {
        let run = if is_good { passed } else { failed };
        inside.accept(&[run("s3", "nightly", inside.now())]).await;
        inside.step().await;
        inside.restart().await;
        inside.pass(30 * MINUTE).await;
        assert_eq!(texts(&inside).len(), messages, "{:#?}", texts(&inside));
    }
    assert!(
        texts(&inside)[0].contains("3 failed runs"),
        "{:#?}",
        texts(&inside)
    );
    let counts = inside.counts().await;
    assert_eq!(counts.decisions.get(&Decision::BelowThreshold), Some(&4));
}

fn of_version(job: Job, number: i64) -> Job {
    Job {
        base_ref: format!("v1.{number}.0"),
        ..job
    }
}

#[tokio::test]
async fn a_deadline_that_is_learned_follows_what_the_last_releases_took() {
    let mut inside = Inside::new(RULES).await;
    for number in 0..8 {
        let tag = of_version(passed("s3", "tag", inside.now()), number);
        inside.accept(&[tag]).await;
        inside.pass(2 * HOUR).await;
        let published = of_version(passed("s3", "publish", inside.now()), number);
        inside.accept(&[published]).await;
        inside.pass(HOUR).await;
        inside.restart().await;
    }
    let before = texts(&inside).len();
    assert_eq!(
        before,
        16,
        "late by the least that is learned, each time: {:#?}",
        texts(&inside)
    );
    let tag = of_version(passed("s3", "tag", inside.now()), 8);
    inside.accept(&[tag]).await;
    inside.pass(229 * MINUTE).await;
    assert_eq!(texts(&inside).len(), before);
    inside.pass(2 * MINUTE).await;
    let told = texts(&inside);
    assert_eq!(told.len(), before + 1);
    // Twice the 115 minutes from the tag to the start of publishing.
    assert!(
        told[before].contains("did not start within 3 h 50 min"),
        "{}",
        told[before]
    );
    inside.counts().await;
}
