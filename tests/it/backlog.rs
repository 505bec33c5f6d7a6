//! More waits than one batch holds: each run is decided once, by the rules in force at its turn.

use std::fs;

use jiff::SignedDuration;
use prow_notifier::{
    domain::decision::Decision, pipeline::reload::Reload, slack::preview_text, standin::prow::Job,
};

use crate::inside::{Inside, failed, passed};

const RULES: &str = r#"
classify:
  - name: before
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?<stage>.+)"']
    set: { service: "$service", stage: "$stage", severity: critical }
"#;
const JOBS: i64 = 100;
const RUNS_EACH: i64 = 30;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Runs of each job in turn, the last ones bad for every tenth job.
fn backlog(inside: &Inside) -> Vec<Job> {
    let end = inside.now();
    let runs = (0..RUNS_EACH).flat_map(|turn| (0..JOBS).map(move |job| (turn, job)));
    runs.map(|(turn, job)| {
        let at = end - MINUTE * i32::try_from(RUNS_EACH - turn).unwrap();
        let bad = turn == RUNS_EACH - 1 && job % 10 == 0;
        let run = if bad { failed } else { passed };
        run(&format!("s{job}"), &format!("stage-{job}"), at)
    })
    .collect()
}

#[tokio::test]
async fn a_backlog_of_several_batches_is_decided_once_and_told_once() {
    let mut inside = Inside::new(RULES).await;
    inside.accept(&backlog(&inside)).await;
    let mut batches = 1;
    while inside.decide_some().await {
        batches += 1;
    }
    assert!(batches > 2, "{batches}");
    inside.pass(30 * MINUTE).await;
    let counts = inside.counts().await;
    let runs = u64::try_from(JOBS * RUNS_EACH).unwrap();
    assert_eq!((counts.runs, counts.incidents_open), (runs, 10));
    let decided = |decision| counts.decisions.get(&decision).copied().unwrap_or(0);
    assert_eq!(decided(Decision::NotFailed), runs - 10);
    assert_eq!(decided(Decision::Deduplicated), 0);
    let texts: Vec<String> = inside
        .messages("platform")
        .iter()
        .map(|message| preview_text(&message.payload))
        .collect();
    for job in (0..JOBS).step_by(10) {
        let named = texts.iter().filter(|text| {
            text.contains(&format!("stage-{job}\n")) || text.contains(&format!("stage-{job} "))
        });
        assert_eq!(named.count(), 1, "stage-{job}: {texts:#?}");
    }
}

#[tokio::test]
async fn rules_that_change_between_batches_hold_for_what_is_decided_next() {
    let mut inside = Inside::new(RULES).await;
    let jobs = backlog(&inside);
    inside.accept(&jobs).await;
    assert!(inside.decide_some().await);
    let rules = inside.home().join("config/20-test.yaml");
    fs::write(rules, RULES.replace("before", "after")).unwrap();
    assert_eq!(inside.reload(), Reload::Swapped);
    inside.decide().await;
    inside.counts().await;
    let mut rules = Vec::new();
    for job in &jobs {
        let name = prow_notifier::domain::observation::RunName(job.name());
        let trail = inside.shared().store.explain(&name).await.unwrap().unwrap();
        assert_eq!(trail.decisions.len(), 1);
        rules.push(trail.decisions[0].rule.clone().unwrap());
    }
    let first_new = rules.iter().position(|rule| rule == "after").unwrap();
    assert!(first_new > 0 && rules[first_new..].iter().all(|rule| rule == "after"));
}
