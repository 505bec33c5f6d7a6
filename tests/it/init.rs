//! `init` as a command: a configuration that loads and knows the jobs it was made from.

use std::{collections::BTreeMap, fs, path::Path};

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    config::Config,
    domain::{
        classify::{Classification, classify},
        observation::{Observation, Source},
        verdict::Verdict,
    },
    prow::parse,
    standin::prow::{DeckStandin, Job},
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::program::{Ran, no_environment, program, repository};

fn now() -> Timestamp {
    Clock::System.now() - SignedDuration::from_mins(30)
}

/// ProwJobs of the jobs that a project has configured, in the shape of the recorded lists.
fn jobs(list: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository(list)).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| prowjob(&line)).collect()
}

fn prowjob(line: &Value) -> Value {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let mut job = Job::new(&text("repo"), &text("name"), &text("ref"), now());
    job.org = text("org");
    let mut job = job.to_json();
    job["spec"]["type"] = line["type"].clone();
    job["metadata"]["name"] = json!(format!("{}-{}-{}", text("org"), text("repo"), text("name")));
    if text("repo").is_empty() {
        job["spec"].as_object_mut().unwrap().remove("refs");
    }
    job
}

async fn init(jobs: Vec<Value>, output: Option<&Path>) -> Ran {
    let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    deck.set_jobs(jobs);
    let mut command = program(&["init", "--deck", &deck.url()]);
    if let Some(output) = output {
        command = command.args(["--output".as_ref(), output.as_os_str()]);
    }
    let ran = tokio::task::spawn_blocking(|| command.run()).await.unwrap();
    deck.stop().await;
    ran
}

/// What a configuration makes of jobs, by name of the run.
fn classes(config: &Path, jobs: &[Value]) -> BTreeMap<String, (Observation, Classification)> {
    let config = Config::load(&[config.to_owned()], &no_environment()).unwrap();
    let read = jobs.iter().map(|job| {
        let run = parse::observation(job.to_string().as_bytes(), Source::File, now()).unwrap();
        let class = classify(&config.rules.classify, &run, Verdict::Pass);
        (run.run.0.clone(), (run, class))
    });
    read.collect()
}

#[tokio::test]
async fn the_jobs_of_a_fleet_become_services_and_stages() {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("first.yaml");
    let jobs = jobs("tests/data/ack-jobs.ndjson");
    let ran = init(jobs.clone(), Some(&output)).await;
    assert!(ran.stderr.contains("preview --deck"), "{}", ran.stderr);
    ran.ok();
    let shipped = classes(&repository("config/ack.yaml"), &jobs);
    let (mut controllers, mut right) = (0, 0);
    for (name, (run, class)) in classes(&output, &jobs) {
        let watched = ["postsubmit", "periodic"].contains(&run.job_type.as_str());
        assert_eq!(class.rule.is_some(), watched, "{name}");
        let by_hand = &shipped[&name].1;
        if watched && by_hand.service.is_some() {
            controllers += 1;
            right += usize::from(class.service == by_hand.service);
        }
    }
    // Written by hand in an afternoon, and guessed in a second.
    assert!(controllers > 300, "{controllers}");
    assert_eq!(right, controllers);
    let text = fs::read_to_string(&output).unwrap();
    assert!(
        text.contains(r#"'repo=~"(?<service>.+)-controller"', 'job=~".+-post-submit"'"#),
        "{text}"
    );
    assert!(text.lines().filter(|line| line.ends_with("# ?")).count() > 2);
}

#[tokio::test]
async fn every_watched_job_of_a_mixed_prow_has_a_rule() {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("first.yaml");
    let jobs = jobs("tests/data/kubernetes-jobs.ndjson");
    let ran = init(jobs.clone(), Some(&output)).await;
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    ran.ok();
    let mut seen = 0;
    for (name, (run, class)) in classes(&output, &jobs) {
        if ["postsubmit", "periodic"].contains(&run.job_type.as_str()) {
            seen += 1;
            assert!(class.rule.is_some() && class.stage.is_some(), "{name}");
        }
    }
    assert!(seen > 200, "{seen}");
}

#[tokio::test]
async fn what_runs_on_versions_is_critical_and_the_rest_is_a_guess() {
    let run = |service: &str, job: &str, base: &str| {
        Job::new(&format!("{service}-operator"), job, base, now()).to_json()
    };
    let mut jobs = Vec::new();
    for service in ["red", "green", "blue"] {
        jobs.push(run(service, &format!("{service}-publish"), "v1.0.0"));
        jobs.push(run(service, &format!("{service}-operator-tag"), "main"));
    }
    let ran = init(jobs, None).await;
    let text = ran.ok();
    let rules: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("set:"))
        .map(str::trim)
        .collect();
    assert_eq!(
        rules,
        [
            r#"set: { service: "$service", stage: "tag", severity: non-critical }  # ?"#,
            r#"set: { service: "$service", stage: "publish", severity: critical }"#,
        ],
        "{text}"
    );
}

#[tokio::test]
async fn a_file_that_exists_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("mine.yaml");
    fs::write(&output, "mine").unwrap();
    let complaint = init(Vec::new(), Some(&output)).await.refused();
    assert!(complaint.contains("exists already"), "{complaint}");
    assert_eq!(fs::read_to_string(&output).unwrap(), "mine");
}

#[tokio::test]
async fn a_deck_without_jobs_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("first.yaml");
    let ran = init(Vec::new(), Some(&output)).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    assert!(!output.exists());
}

#[tokio::test]
async fn names_that_could_break_the_file_are_told_not_written() {
    let mut odd = Job::new("odd-repo", "post-it", "main", now()).to_json();
    odd["spec"]["job"] = json!("x\"'\n]: {");
    let fine = Job::new("fine", "post-fine", "main", now()).to_json();
    let ran = init(vec![odd, fine], None).await;
    assert!(ran.stderr.contains("no rule for x"), "{}", ran.stderr);
    assert!(!ran.ok().contains("odd-repo"));
}
