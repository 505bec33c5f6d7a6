//! What is late without a red run: runs that hang, jobs that fall silent. Each is told once and ended once, with a
//! restart at every point.

use jiff::SignedDuration;
use prow_notifier::standin::prow::Job;

use crate::inside::{Inside, passed, start};

const RULES: &str = r#"
classify:
  - name: nightly
    match: ['job="nightly"']
    set: { component: nightly, stage: nightly, every: 24h }
  - name: publish
    match: ['repo=~"(?<service>.+)-controller"', 'job="publish"']
    set: { service: "$service", stage: publish, severity: critical }
pipelines:
  - name: release
    stages:
      - { name: publish, overdue: 2h }
"#;

fn texts(inside: &Inside) -> Vec<String> {
    let messages = inside.messages("platform").into_iter();
    messages
        .map(|message| {
            message.payload["text"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_run_that_hangs_is_told_once_and_its_end_once_over_restarts() {
    let mut inside = Inside::new(RULES).await;
    let hanging = Job::new("s3-controller", "publish", "v1.2.3", start());
    let hanging = hanging.ended("pending", "Job is running.", None);
    inside.accept(std::slice::from_ref(&hanging)).await;
    inside.step().await;
    inside.restart().await;
    inside.pass(SignedDuration::from_mins(119)).await;
    assert_eq!(texts(&inside).len(), 0);
    inside.pass(SignedDuration::from_mins(2)).await;
    inside.restart().await;
    inside.pass(SignedDuration::from_hours(5)).await;
    assert_eq!(texts(&inside).len(), 1);
    assert!(
        texts(&inside)[0].contains("overdue"),
        "{:?}",
        texts(&inside)
    );
    let ended = hanging.ended("success", "Job succeeded.", Some(inside.now()));
    inside.accept(&[ended]).await;
    inside.pass(SignedDuration::from_hours(5)).await;
    assert_eq!(texts(&inside).len(), 2);
    assert!(
        texts(&inside)[1].contains("ended after all"),
        "{:?}",
        texts(&inside)
    );
    inside.counts().await;
}

#[tokio::test]
async fn a_job_that_falls_silent_is_told_once_and_its_next_run_ends_it_over_restarts() {
    let mut inside = Inside::new(RULES).await;
    let now = inside.now();
    inside.accept(&[passed("s3", "nightly", now)]).await;
    inside.pass(SignedDuration::from_hours(29)).await;
    inside.restart().await;
    assert_eq!(texts(&inside).len(), 0);
    inside.pass(SignedDuration::from_hours(40)).await;
    inside.restart().await;
    inside.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(texts(&inside).len(), 1);
    assert!(
        texts(&inside)[0].contains("has not run"),
        "{:?}",
        texts(&inside)
    );
    let now = inside.now();
    let again = [passed("s3", "nightly", now)];
    inside.accept(&again).await;
    inside.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(texts(&inside).len(), 2);
    inside.counts().await;
}
