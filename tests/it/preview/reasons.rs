//! Why runs broke, in a preview: read from a folder, or from where a deck's runs say.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    standin::{
        bucket::{BucketStandin, Object},
        prow::{DeckStandin, Job},
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{data, preview, read};
use crate::program::{program, repository};

const PUBLISH: &str = "tests/data/prow/prowjobs/01-postsubmit-failure-s3-post-submit.json";
const STORED: &str = "s3/ack-prow-logs/logs/s3-post-submit/2090378317919162368";

/// A folder with the log of [`PUBLISH`] at this path.
fn folder_with(path: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(path);
    fs::create_dir_all(&run).unwrap();
    let log = repository("tests/data/storage").join(STORED);
    fs::copy(log.join("build-log.txt"), run.join("build-log.txt")).unwrap();
    folder
}

#[test]
fn a_copy_of_the_bucket_is_read_however_much_of_its_path_it_has() {
    for path in [
        STORED,
        STORED.trim_start_matches("s3/"),
        STORED.trim_start_matches("s3/ack-prow-logs/"),
    ] {
        let folder = folder_with(path);
        let shown = preview(&[PUBLISH])
            .args(["--artifacts".as_ref(), folder.path()])
            .run()
            .ok();
        let reason = "compile error: pkg/resource/bucket/sdk.go:412:21: undefined: ";
        assert!(shown.contains(reason), "{path}\n{shown}");
        assert!(shown.contains("#1:build-log.txt%3A128"), "{path}\n{shown}");
    }
}

#[test]
fn a_run_that_the_folder_lacks_is_told_without_a_reason_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let shown = preview(&[PUBLISH])
        .args(["--artifacts".as_ref(), folder.path()])
        .run()
        .ok();
    let note = "there is nothing of s3://ack-prow-logs/logs/s3-post-submit/2090378317919162368 in";
    assert!(shown.contains(note), "{shown}");
    let undecorated = data("prowjobs/22-postsubmit-failure-post-undecorated.json");
    let shown = preview(&[])
        .args(["--artifacts".as_ref(), folder.path(), &undecorated])
        .run()
        .ok();
    assert!(shown.contains("the job is not decorated"), "{shown}");
}

#[test]
fn a_folder_that_is_none_is_an_error_of_usage() {
    for folder in ["no/such/folder", "README.md"] {
        let said = preview(&[PUBLISH, "--artifacts", folder]).run().refused();
        assert!(said.contains("--artifacts: "), "{said}");
        assert!(said.contains(folder), "{said}");
    }
}

/// A run of a minute's length that ended an hour ago, in a bucket of GCS.
fn run(job: &str, base_ref: &str, state: &str) -> (Job, Value) {
    let began: Timestamp = Clock::System.now() - SignedDuration::from_mins(61);
    let ended = began + SignedDuration::from_mins(1);
    let description = format!("Job {state}.");
    let job =
        Job::new("s3-controller", job, base_ref, began).ended(state, &description, Some(ended));
    let text = job.to_json().to_string();
    let text = text
        .replace("s3://ack", "gs://ack")
        .replace("/s3/ack", "/gs/ack");
    (job, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_decks_runs_are_read_in_their_bucket_green_ones_with_signs_too() {
    let tasks = TaskTracker::new();
    let deck = DeckStandin::start(&tasks).await.unwrap();
    let bucket = BucketStandin::start(&tasks).await.unwrap();
    let (failed, failed_json) = run("s3-post-submit", "v1.2.3", "failure");
    let (idle, idle_json) = run("s3-controller-release-tag", "main", "success");
    deck.set_jobs(vec![failed_json, idle_json]);
    let log = |job: &Job| format!("{}/build-log.txt", job.directory());
    bucket.put(
        &log(&failed),
        Object::Bytes("x\nError: disk quota\nwrite /tmp/x: no space left on device\n".into()),
    );
    bucket.put(
        &log(&idle),
        Object::Bytes("a [ERROR] v9.0.0 is no next version. AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\n".into()),
    );
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("gcs.yaml");
    let endpoint = format!(
        "{{ for: gs, endpoint: '{}', anonymous: true }}",
        bucket.url()
    );
    fs::write(
        &config,
        format!("artifacts: {{ endpoints: [{endpoint}] }}\n"),
    )
    .unwrap();
    let program = program(&["preview", "--format", "json", "--deck", &deck.url()])
        .config("config/ack.yaml")
        .config(&config);
    let ran = tokio::task::spawn_blocking(|| program.run()).await.unwrap();
    let shown = ran.ok();
    let lines = read(&shown);
    assert_eq!(
        (lines[0]["verdict"].as_str(), lines[1]["verdict"].as_str()),
        (Some("fail"), Some("soft-fail")),
        "{shown}"
    );
    assert!(shown.contains("disk full:"), "{shown}");
    assert!(shown.contains("no next version"), "{shown}");
    assert!(!shown.contains("wJalrXUtnFEMI"), "{shown}");
    deck.stop().await;
}
