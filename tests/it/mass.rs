//! One cause behind failures of many kinds: the platform hears of it once, and each service of its own.

use jiff::SignedDuration;
use prow_notifier::{
    domain::decision::Decision,
    slack::preview_text,
    standin::{prow::Job, slack::Message},
};

use crate::inside::{EACH_JOB_A_STAGE, Inside, failed, passed};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// To the team and to the platform, which is the default receiver.
fn rules(more: &str) -> String {
    format!(
        "{EACH_JOB_A_STAGE}routes: [ {{ receiver: team, continue: true }}, {{ receiver: platform }} ]\n{more}"
    )
}

fn headlines(inside: &Inside, hook: &str) -> Vec<String> {
    let headline = |message: &Message| {
        let text = preview_text(&message.payload);
        text.lines()
            .next()
            .unwrap()
            .trim_start_matches("┌ ")
            .to_owned()
    };
    inside.messages(hook).iter().map(headline).collect()
}

/// That many jobs of as many stages and services.
fn jobs(inside: &Inside, count: usize, make: fn(&str, &str, jiff::Timestamp) -> Job) -> Vec<Job> {
    let job = |number| {
        make(
            &format!("s{number}"),
            &format!("stage-{number:02}"),
            inside.now(),
        )
    };
    (0..count).map(job).collect()
}

#[tokio::test]
async fn most_jobs_failing_is_told_once_to_the_platform_and_to_each_of_its_own() {
    let mut inside = Inside::new(&rules("")).await;
    inside.accept(&jobs(&inside, 12, failed)).await;
    inside.pass(MINUTE).await;
    assert_eq!(
        headlines(&inside, "platform"),
        ["🔴 Mass failure: 12 of 12 jobs that ended within 30 min failed"]
    );
    assert_eq!(inside.messages("team").len(), 12);
    inside.pass(5 * MINUTE).await;
    inside.accept(&jobs(&inside, 12, passed)).await;
    inside.pass(MINUTE).await;
    assert_eq!(
        headlines(&inside, "platform")[1..],
        ["✅ Mass failure is over"]
    );
    inside.pass(60 * MINUTE).await;
    assert_eq!(inside.messages("platform").len(), 2);
    assert_eq!(inside.messages("team").len(), 24);
    inside.counts().await;
}

#[tokio::test]
async fn what_outlives_a_mass_failure_is_told_after_it() {
    let mut inside = Inside::new(&rules("")).await;
    inside.accept(&jobs(&inside, 12, failed)).await;
    inside.pass(MINUTE).await;
    inside.accept(&jobs(&inside, 11, passed)).await;
    inside.pass(60 * MINUTE).await;
    let told = headlines(&inside, "platform");
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[2].contains("s11 v1.2.3: stage-11 failed"), "{told:#?}");
}

#[tokio::test]
async fn the_window_is_kept_over_a_restart() {
    let mut inside = Inside::new(&rules("")).await;
    for (number, job) in jobs(&inside, 12, failed).into_iter().enumerate() {
        inside.accept(&[job]).await;
        inside.pass(MINUTE).await;
        if number % 4 == 1 {
            inside.restart().await;
        }
    }
    let told = headlines(&inside, "platform");
    assert_eq!(told.len(), 10, "nine alone, then all: {told:#?}");
    assert!(told[9].contains("Mass failure: 10 of 10 jobs"), "{told:#?}");
    let counts = inside.counts().await;
    assert_eq!(
        counts.decisions.get(&Decision::Notify),
        Some(&12),
        "the team is told of each"
    );
}

#[tokio::test]
async fn half_of_the_jobs_is_no_mass_failure_and_neither_is_one_stage() {
    let mut inside = Inside::new(&rules("")).await;
    let mut some = jobs(&inside, 12, failed);
    some[6..].clone_from_slice(&jobs(&inside, 12, passed)[6..]);
    inside.accept(&some).await;
    inside.pass(MINUTE).await;
    assert_eq!(inside.messages("platform").len(), 6);

    let mut inside = Inside::new(&rules("")).await;
    let now = inside.now();
    let one_stage: Vec<Job> = (0..12)
        .map(|number| failed(&format!("s{number}"), "publish", now))
        .collect();
    inside.accept(&one_stage).await;
    inside.pass(MINUTE).await;
    assert_eq!(
        headlines(&inside, "platform"),
        ["🔴 publish fails in 12 services"]
    );
}

#[tokio::test]
async fn old_failures_count_no_more() {
    let mut inside = Inside::new(&rules("mass: { jobs: 4, window: 10m }\n")).await;
    for job in jobs(&inside, 6, failed) {
        let now = inside.now();
        inside
            .accept(&[job.ended("failure", "Job failed.", Some(now))])
            .await;
        inside.pass(4 * MINUTE).await;
    }
    assert_eq!(
        inside.messages("platform").len(),
        6,
        "never four within ten minutes"
    );
}

#[tokio::test]
async fn what_nobody_else_is_told_of_is_not_folded() {
    let mut inside = Inside::new(EACH_JOB_A_STAGE).await;
    inside.accept(&jobs(&inside, 12, failed)).await;
    inside.pass(MINUTE).await;
    assert_eq!(inside.messages("platform").len(), 13);
}
