//! The shipped configurations against the catalogues of jobs that they were written for: whose each job is,
//! which stage, how bad, and who would be told.

use std::{collections::BTreeSet, fs, path::PathBuf};

use jiff::Timestamp;
use prow_notifier::{
    config::Config,
    domain::{
        classify::{Classification, Severity, classify},
        matcher::Labels,
        observation::{Observation, Source},
        policy::Policy,
        prowjob::JobType,
        route::Reach,
        verdict::Verdict,
    },
    prow::parse,
};
use serde::Deserialize;
use serde_json::json;

use crate::program::{no_environment, repository};

const ACK: &str = include_str!("../data/ack-jobs.ndjson");
const KUBERNETES: &str = include_str!("../data/kubernetes-jobs.ndjson");
const PRODUCTION: &str = "aws-controllers-k8s";
const STAGING: &str = "ack-prow-staging";

/// A job of a catalogue and what is right for it.
#[derive(Debug, Clone, Deserialize)]
struct Job {
    r#type: String,
    org: String,
    repo: String,
    name: String,
    r#ref: String,
    labels: serde_json::Value,
    annotations: serde_json::Value,
    expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Expected {
    service: Option<String>,
    component: String,
    stage: Option<String>,
    critical: bool,
}

fn catalogue(lines: &str) -> Vec<Job> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn load(paths: &[&str]) -> Config {
    let paths: Vec<PathBuf> = paths.iter().map(|path| repository(path)).collect();
    Config::load(&paths, &no_environment()).unwrap()
}

/// A failed run of a job, read as it comes from Prow.
fn failed(job: &Job) -> Observation {
    let refs = json!({
        "org": job.org, "repo": job.repo, "base_ref": job.r#ref, "base_sha": "f".repeat(40),
        "pulls": if job.r#type == "presubmit" { json!([{ "number": 1 }]) } else { json!(null) },
    });
    let prowjob = json!({
        "metadata": {
            "name": format!("{}-{}", job.repo, job.name),
            "labels": job.labels,
            "annotations": job.annotations,
        },
        "spec": {
            "type": job.r#type, "job": job.name, "agent": "kubernetes",
            "refs": if job.org.is_empty() { json!(null) } else { refs },
        },
        "status": {
            "state": "failure", "description": "Job failed.",
            "startTime": "2026-08-20T10:00:00Z", "completionTime": "2026-08-20T10:10:00Z",
        },
    });
    let parsed = parse::document(
        prowjob.to_string().as_bytes(),
        Source::File,
        Timestamp::UNIX_EPOCH,
    );
    parsed.unwrap().observations.pop().unwrap()
}

fn classified(config: &Config, job: &Job) -> Classification {
    classify(&config.rules.classify, &failed(job), Verdict::Fail)
}

fn read_off(class: &Classification) -> Expected {
    Expected {
        service: class.service.clone(),
        component: class.component.clone(),
        stage: class.stage.clone(),
        critical: class.severity == Severity::Critical,
    }
}

/// Every job of a catalogue must come out as it says there.
fn check(config: &Config, jobs: &[Job]) {
    let wrong: Vec<String> = jobs
        .iter()
        .filter_map(|job| {
            let class = classified(config, job);
            let found = read_off(&class);
            (class.rule.is_none() || found != job.expected)
                .then(|| format!("{job:?}\n  came out as {class:?}"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} are wrong:\n{}",
        wrong.len(),
        jobs.len(),
        wrong.join("\n")
    );
}

fn ack_job(kind: &str, repo: &str, name: &str, base_ref: &str, expected: Expected) -> Job {
    Job {
        r#type: kind.to_owned(),
        org: PRODUCTION.to_owned(),
        repo: repo.to_owned(),
        name: name.to_owned(),
        r#ref: base_ref.to_owned(),
        labels: json!({}),
        annotations: json!({}),
        expected,
    }
}

fn of_service(service: &str, stage: &str, critical: bool) -> Expected {
    Expected {
        service: Some(service.to_owned()),
        component: format!("{service}-controller"),
        stage: Some(stage.to_owned()),
        critical,
    }
}

#[test]
fn every_job_of_ack_is_classified_as_the_catalogue_says() {
    let jobs = catalogue(ACK);
    assert_eq!(jobs.len(), 1051);
    check(&load(&["config/ack.yaml"]), &jobs);
}

#[test]
fn the_staging_copy_of_ack_is_the_same_but_never_critical() {
    let mut jobs = catalogue(ACK);
    for job in jobs.iter_mut().filter(|job| job.org == PRODUCTION) {
        STAGING.clone_into(&mut job.org);
        job.expected.critical = false;
    }
    check(&load(&["config/ack.yaml"]), &jobs);
}

#[test]
fn a_controller_of_tomorrow_is_known_already() {
    let mut jobs = Vec::new();
    // Names that begin or end like others, or like parts of the rules.
    for service in [
        "newservice",
        "s3newthing",
        "post",
        "x-controller-y",
        "release-tag",
        "s3-2",
    ] {
        let repo = format!("{service}-controller");
        for (name, base_ref, stage) in [
            (
                format!("{service}-controller-release-pr"),
                "main",
                "release-pr",
            ),
            (
                format!("{service}-controller-release-tag"),
                "main",
                "release-tag",
            ),
            (format!("{service}-post-submit"), "v0.0.1", "publish"),
            (
                "update-ack-chart".to_owned(),
                "v0.0.1",
                "umbrella-chart-update",
            ),
            (
                format!("{service}-controller-olm-bundle-pr"),
                "v0.0.1",
                "olm-bundle",
            ),
        ] {
            let expected = of_service(service, stage, true);
            jobs.push(ack_job("postsubmit", &repo, &name, base_ref, expected));
        }
        let expected = of_service(service, "presubmit", false);
        let name = format!("{service}-release-test");
        jobs.push(ack_job("presubmit", &repo, &name, "main", expected));
    }
    check(&load(&["config/ack.yaml"]), &jobs);
}

#[test]
fn shapes_that_only_old_logs_show_are_classified_too() {
    let publish = of_service("s3", "publish", true);
    let soak = of_service("ecr", "soak", false);
    let docs = of_service("s3", "docs", false);
    check(
        &load(&["config/ack.yaml"]),
        &[
            ack_job(
                "postsubmit",
                "s3-controller",
                "s3-post-submit",
                "stable",
                publish,
            ),
            ack_job(
                "postsubmit",
                "ecr-controller",
                "ecr-soak-on-release",
                "v0.0.1",
                soak,
            ),
            ack_job(
                "postsubmit",
                "s3-controller",
                "s3-docs-release",
                "v1.0.0",
                docs,
            ),
        ],
    );
}

#[test]
fn an_agent_workflow_has_the_service_that_its_comment_names() {
    let config = load(&["config/ack.yaml"]);
    for (arguments, service) in [
        ("service=s3,resource=Bucket", Some("s3")),
        ("resource=Bucket,service=s3control", Some("s3control")),
        ("service=sqs", Some("sqs")),
        ("resource=Bucket", None),
        ("microservice=s3", None),
        ("", None),
    ] {
        let mut job = ack_job(
            "periodic",
            "",
            "agent-workflow-add-resource",
            "",
            Expected {
                service: service.map(str::to_owned),
                component: "agent-workflow-add-resource".to_owned(),
                stage: Some("agent-workflow".to_owned()),
                critical: false,
            },
        );
        job.org.clear();
        job.annotations = json!({ "workflow-agent/command-args": arguments });
        check(&config, &[job]);
    }
}

#[test]
fn what_only_sounds_like_a_release_of_ack_is_left_unmatched() {
    let config = load(&["config/ack.yaml"]);
    for (repo, name) in [
        ("s3-controller", "s3-a-new-stage"),
        ("s3-controller", "s3-post-submit-later"),
        ("s3-controller", "update-ack-chart-2"),
        ("test-infra", "update-ack-chart"),
        ("code-generator", "s3-post-submit"),
    ] {
        let nothing = Expected {
            service: None,
            component: repo.to_owned(),
            stage: None,
            critical: false,
        };
        let job = ack_job("postsubmit", repo, name, "main", nothing.clone());
        let class = classified(&config, &job);
        assert_eq!(
            (class.rule.clone(), read_off(&class)),
            (None, nothing),
            "{name}"
        );
    }
    let mut fork = ack_job(
        "postsubmit",
        "s3-controller",
        "s3-post-submit",
        "main",
        of_service("s3", "", false),
    );
    fork.org = "somebody-else".to_owned();
    assert_eq!(classified(&config, &fork).rule, None);
}

#[test]
fn every_image_push_of_kubernetes_is_classified_as_the_catalogue_says() {
    let jobs = catalogue(KUBERNETES);
    assert_eq!(jobs.len(), 253);
    check(&load(&["config/kubernetes.yaml"]), &jobs);
}

/// Routes with a folder that holds a webhook for these services.
fn policy(config: &Config, services: &[&str]) -> Policy {
    let mut policy = config.preview_policy();
    let services: BTreeSet<String> = services.iter().map(|&service| service.to_owned()).collect();
    for (name, reach) in &mut policy.routing.receivers {
        if name == "by-service" {
            *reach = Reach::PerService(services.clone());
        }
    }
    policy
}

/// Who is told of a failed run, and how soon.
fn told(policy: &Policy, job: &Job) -> Vec<String> {
    let run = failed(job);
    let class = classify(&policy.rules, &run, Verdict::Fail);
    let labels = Labels {
        run: &run,
        verdict: Verdict::Fail,
        class: Some(&class),
    };
    let to = policy.routing.destinations(&labels).into_iter();
    to.map(|to| match to.digest {
        Some(period) if class.severity == Severity::NonCritical => {
            format!("{} within {} s", to.receiver, period.as_secs())
        }
        _ => to.receiver,
    })
    .collect()
}

#[test]
fn the_files_of_the_teams_load_with_the_rules_and_route_as_they_say() {
    let config = load(&["config/ack.yaml", "config/teams"]);
    let names = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let files: Vec<String> = config.files.iter().map(names).collect();
    assert_eq!(
        files,
        ["ack.yaml", "data.yaml", "lambda.yaml", "platform.yaml"]
    );
    let policy = policy(&config, &["s3", "rds"]);
    let publish = |service: &str| {
        ack_job(
            "postsubmit",
            &format!("{service}-controller"),
            &format!("{service}-post-submit"),
            "v1.2.3",
            of_service(service, "publish", true),
        )
    };
    let staging = |service: &str| Job {
        org: STAGING.to_owned(),
        ..publish(service)
    };
    let chart = ack_job(
        "postsubmit",
        "ack-chart",
        "ack-chart-release",
        "1.2.3",
        of_service("", "", true),
    );
    let mut marked = publish("s3");
    marked.annotations = json!({ "prow-notifier.io/receiver": "lambda-team" });
    for (job, receivers) in [
        (publish("lambda"), &["lambda-team"][..]),
        (publish("sns"), &["lambda-team"]),
        (publish("lambdacore"), &["platform"]),
        (publish("rds"), &["data-team", "by-service/rds", "platform"]),
        (publish("dynamodb"), &["data-team", "platform"]),
        (publish("s3"), &["by-service/s3", "platform"]),
        (publish("s3control"), &["platform"]),
        (chart, &["platform"]),
        (staging("lambda"), &["lambda-team within 3600 s"]),
        (staging("rds"), &["platform within 3600 s"]),
        (staging("s3"), &["platform within 3600 s"]),
        (marked, &["lambda-team"]),
    ] {
        assert_eq!(told(&policy, &job), receivers, "{} {}", job.org, job.name);
    }
    assert_eq!(
        config.settings.default_receiver.as_deref(),
        Some("platform")
    );
    assert_eq!(
        config.settings.fallback_receiver.as_deref(),
        Some("platform")
    );
}

#[test]
fn the_shipped_rules_watch_what_they_speak_of() {
    let types = |path: &str| load(&[path]).settings.types;
    assert_eq!(
        types("config/ack.yaml"),
        [JobType::Postsubmit, JobType::Periodic]
    );
    assert_eq!(types("config/kubernetes.yaml"), [JobType::Postsubmit]);
}

#[test]
fn the_configuration_of_the_manifests_loads() {
    let mut files: Vec<PathBuf> = fs::read_dir(repository("deploy/base/config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let config = Config::load(&files, &no_environment()).unwrap();
    assert!(config.settings.deck.is_some());
    let receivers = config.rules.receivers.iter();
    let receivers: Vec<&str> = receivers.map(|receiver| receiver.name.as_str()).collect();
    let default = config.settings.default_receiver.as_deref().unwrap();
    assert!(receivers.contains(&default), "{default} {receivers:?}");
}
