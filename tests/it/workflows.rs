//! What the workflows promise: which job waits for which, that nothing floats, and who may do what.

use std::{collections::BTreeSet, fs};

use regex::Regex;
use serde_json::Value;

use crate::program::repository;

fn workflow(name: &str) -> Value {
    let path = repository(".github/workflows").join(name);
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(repository(".github/workflows")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn jobs(workflow: &Value) -> Vec<(&String, &Value)> {
    workflow["jobs"].as_object().unwrap().iter().collect()
}

fn steps(job: &Value) -> &[Value] {
    job["steps"].as_array().unwrap()
}

/// The jobs that a job waits for, and those that they wait for.
fn awaited(workflow: &Value, job: &str) -> BTreeSet<String> {
    let needs = &workflow["jobs"][job]["needs"];
    let direct: Vec<&str> = match needs {
        Value::Array(list) => list.iter().map(|name| name.as_str().unwrap()).collect(),
        other => other.as_str().into_iter().collect(),
    };
    direct
        .into_iter()
        .flat_map(|name| {
            let mut all = awaited(workflow, name);
            all.insert(name.to_owned());
            all
        })
        .collect()
}

/// Whether a job makes a cluster or works with one.
fn uses_a_cluster(job: &Value) -> bool {
    let touches = |step: &Value| {
        ["uses", "run"].iter().any(|key| {
            let text = step[*key].as_str().unwrap_or_default();
            text.contains("kind") || text.contains("kubectl")
        })
    };
    steps(job).iter().any(touches)
}

#[test]
fn no_cluster_is_made_before_the_images_are_built() {
    let ci = workflow("ci.yaml");
    let (with, without): (Vec<_>, Vec<_>) = jobs(&ci)
        .into_iter()
        .partition(|(_, job)| uses_a_cluster(job));
    let with: Vec<&str> = with.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(with, ["cluster"]);
    assert!(awaited(&ci, "cluster").contains("image"));
    for (name, _) in without {
        let awaited = awaited(&ci, name);
        assert!(!awaited.contains("cluster"), "{name} waits for {awaited:?}");
    }
    assert_eq!(awaited(&ci, "image"), BTreeSet::new());
    let runs: Vec<&str> = steps(&ci["jobs"]["image"])
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    assert!(runs.concat().contains("deploy/image daemon"), "{runs:?}");
}

#[test]
fn a_cluster_that_failed_leaves_its_logs() {
    let ci = workflow("ci.yaml");
    let on_failure: Vec<&Value> = steps(&ci["jobs"]["cluster"])
        .iter()
        .filter(|step| step["if"] == "failure()")
        .collect();
    let kept = on_failure.iter().any(|step| {
        let uses = step["uses"].as_str().unwrap_or_default();
        uses.starts_with("actions/upload-artifact@") && step["with"]["path"] == "/tmp/reports"
    });
    assert!(kept, "{on_failure:?}");
}

#[test]
fn every_action_is_pinned_by_its_commit() {
    let pinned = Regex::new("^[\\w.-]+/[\\w./-]+@[0-9a-f]{40}$").unwrap();
    let mut seen = 0;
    for name in names() {
        let workflow = workflow(&name);
        let all = jobs(&workflow);
        let steps = all.iter().flat_map(|(_, job)| steps(job));
        for uses in steps.filter_map(|step| step["uses"].as_str()) {
            assert!(pinned.is_match(uses), "{name}: {uses}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn nothing_floats_on_latest() {
    let mut files = vec![
        repository(".ci/run"),
        repository("deploy/Dockerfile"),
        repository("deploy/e2e/kind"),
        repository("deploy/e2e/prow.yaml"),
        repository("deploy/e2e/values.yaml"),
    ];
    files.extend(
        names()
            .iter()
            .map(|name| repository(".github/workflows").join(name)),
    );
    let floating = Regex::new(":latest\\b|-latest\\b|tag[ =:]+latest\\b").unwrap();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = floating.find(&text).map(|found| found.as_str());
        assert_eq!(found, None, "{}", file.display());
    }
}

/// What a job may do beyond reading the repository.
fn writes(job: &Value) -> Vec<&str> {
    let Some(permissions) = job["permissions"].as_object() else {
        return Vec::new();
    };
    let granted = permissions.iter();
    granted
        .filter(|(_, access)| *access != "read")
        .map(|(scope, access)| {
            assert_eq!(access, "write");
            scope.as_str()
        })
        .collect()
}

#[test]
fn a_job_may_do_only_what_it_does() {
    let ci = workflow("ci.yaml");
    assert_eq!(ci["permissions"], serde_json::json!({ "contents": "read" }));
    let release = workflow("release.yaml");
    assert_eq!(release["permissions"], serde_json::json!({}));
    for (name, job) in jobs(&ci) {
        assert_eq!(writes(job), Vec::<&str>::new(), "{name}");
    }
    for (name, job) in jobs(&release) {
        assert!(job["permissions"].is_object(), "{name}");
        let expected: &[&str] = match name.as_str() {
            "version" => &[],
            "image" => &["packages"],
            _ => &["id-token", "packages"],
        };
        let mut found = writes(job);
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
        let signs = steps(job).iter().any(|step| {
            let run = step["run"].as_str().unwrap_or_default();
            run.contains("cosign sign")
        });
        assert_eq!(signs, expected.contains(&"id-token"), "{name}");
    }
}

#[test]
fn every_job_ends_and_leaves_no_credentials_behind() {
    for name in names() {
        let workflow = workflow(&name);
        for (job_name, job) in jobs(&workflow) {
            assert!(job["timeout-minutes"].is_u64(), "{name}: {job_name}");
            for step in steps(job) {
                let uses = step["uses"].as_str().unwrap_or_default();
                if uses.starts_with("actions/checkout@") {
                    let kept = &step["with"]["persist-credentials"];
                    assert_eq!(kept, &Value::Bool(false), "{name}: {job_name}");
                }
            }
        }
    }
}

#[test]
fn a_release_says_what_is_in_it_and_where_it_came_from() {
    let release = workflow("release.yaml");
    let build = steps(&release["jobs"]["image"])
        .iter()
        .find(|step| step["id"] == "build")
        .unwrap();
    assert_eq!(build["with"]["sbom"], Value::Bool(true));
    assert_eq!(build["with"]["provenance"], "mode=max");
    let platforms = &release["jobs"]["image"]["strategy"]["matrix"]["platform"];
    let arches: Vec<&str> = platforms
        .as_array()
        .unwrap()
        .iter()
        .map(|platform| platform["arch"].as_str().unwrap())
        .collect();
    assert_eq!(arches, ["amd64", "arm64"]);
}

#[test]
fn what_is_built_is_what_the_lock_file_says() {
    let mut texts = vec![
        (".ci/run".to_owned(), repository(".ci/run")),
        ("Dockerfile".to_owned(), repository("deploy/Dockerfile")),
    ];
    texts.extend(
        names()
            .into_iter()
            .map(|name| (name.clone(), repository(".github/workflows").join(name))),
    );
    let building =
        Regex::new("cargo (build|test|run|clippy|doc|bench|install|fetch|deny)\\b").unwrap();
    let mut seen = 0;
    for (name, path) in texts {
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().filter(|line| building.is_match(line)) {
            seen += 1;
            let told = line.trim_start().starts_with('#') || line.contains("--version >");
            assert!(told || line.contains("--locked"), "{name}: {line}");
        }
    }
    assert!(seen >= 6, "{seen}");
}
