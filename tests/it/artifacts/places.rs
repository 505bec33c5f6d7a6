//! Addresses that must not be asked, folders, deck, and repositories by namespace.

use std::{fs, os::unix::fs::symlink};

use prow_notifier::{
    artifacts::Outcome,
    standin::{
        bucket::{BucketStandin, Object},
        prow::{DeckStandin, Fault},
    },
};
use tokio_util::task::TaskTracker;

use super::{as_listed, copy, reader, reader_with, sample, unreadable};
use crate::program::repository;

#[tokio::test]
async fn a_run_cannot_name_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let config = format!(
        "  endpoints: [{{ for: s3, endpoint: '{}' }}]\n",
        bucket.url()
    );
    let (reader, _) = reader(folder.path(), &config);
    let mut run = sample("24-");
    // A run names buckets, never servers.
    run.artifacts.bucket = Some(bucket.url());
    let gathered = reader.gather(&run).await;
    assert!(
        matches!(&gathered.outcome, Outcome::Nothing(why) if why.contains("scheme")),
        "{gathered:?}"
    );
    assert_eq!(bucket.requests(), [""; 0]);
}

#[tokio::test]
async fn only_folders_that_are_named_are_read_and_links_do_not_lead_out() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs-of-prow");
    copy(&repository("tests/data/storage/s3/ack-prow-logs"), &logs);
    let mut run = sample("01-");
    run.artifacts.bucket = Some(logs.display().to_string());
    let (closed, _) = reader(folder.path(), "  timeout: 10s\n");
    let gathered = closed.gather(&run).await;
    assert!(
        unreadable(&gathered).contains("artifacts.folders"),
        "{gathered:?}"
    );

    let (open, _) = reader(
        folder.path(),
        &format!("  folders: ['{}']\n", logs.display()),
    );
    let gathered = open.gather(&run).await;
    assert_eq!(gathered.outcome, Outcome::Read, "{gathered:?}");
    assert_eq!(gathered.remains.logs.len(), 1);
    assert_eq!(gathered.remains.junit.len(), 1);

    let log = logs.join("logs/s3-post-submit/2090378317919162368/build-log.txt");
    fs::remove_file(&log).unwrap();
    fs::write(folder.path().join("secret"), "hunter2").unwrap();
    symlink(folder.path().join("secret"), &log).unwrap();
    let gathered = open.gather(&run).await;
    assert!(
        unreadable(&gathered).contains("a link out of the folder"),
        "{gathered:?}"
    );
}

#[tokio::test]
async fn a_namespace_has_its_own_repository_and_a_bad_one_falls_back_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let key = "logs/s3-post-submit/2090378317919162368/build-log.txt";
    for place in ["default-logs", "team-logs/in/team"] {
        let text = format!("from {place}");
        bucket.put(&format!("{place}/{key}"), Object::Bytes(text.into()));
    }
    let repositories = folder.path().join("namespaces");
    let config = format!(
        "  namespaces: {{ folder: '{}' }}\n  endpoints: [{{ for: gs, endpoint: '{}' }}]\n  defaults: [{{ location: 'gs://default-logs' }}]\n",
        repositories.display(),
        bucket.url()
    );
    let (reader, _) = reader(folder.path(), &config);
    let mut run = as_listed(sample("01-"));
    run.url = None;
    run.artifacts.namespace = Some("team".to_owned());
    for (text, expected, warning) in [
        (
            "gcs: { bucket: team-logs, key: 'in/team/{{pod.name}}' }",
            "from team-logs/in/team",
            "",
        ),
        ("gcs: [", "from default-logs", "default-v1:1"),
    ] {
        fs::create_dir_all(repositories.join("team")).unwrap();
        fs::write(repositories.join("team/default-v1"), text).unwrap();
        let gathered = reader.gather(&run).await;
        let log = gathered
            .remains
            .logs
            .first()
            .map(|log| String::from_utf8_lossy(&log.bytes));
        assert_eq!(log.as_deref(), Some(expected), "{gathered:?}");
        assert!(gathered.warning.unwrap_or_default().contains(warning));
    }
}

#[tokio::test]
async fn deck_is_the_last_resort_while_the_pod_lives() {
    let folder = tempfile::tempdir().unwrap();
    let deck = DeckStandin::start(&TaskTracker::new()).await.unwrap();
    let config = format!("sources: {{ deck: {{ url: '{}' }} }}\n", deck.url());
    let (reader, _) = reader_with(folder.path(), &config);
    let mut run = as_listed(sample("01-"));
    // A page that tells no bucket, as that of a job that is not decorated.
    run.url = Some("https://jobs.example.com/1".to_owned());
    let gone = reader.gather(&run).await;
    assert!(
        matches!(&gone.outcome, Outcome::Nothing(why) if why.contains("deck has no log of it either")),
        "{gone:?}"
    );
    let build_id = run.build_id.clone().unwrap();
    deck.set_log(&run.job, &build_id, "test", "all is lost\n");
    let gathered = reader.gather(&run).await;
    assert_eq!(gathered.outcome, Outcome::Read);
    assert_eq!(gathered.remains.logs[0].bytes, b"all is lost\n");
    assert_eq!(gathered.log_page, run.url);
    deck.set_fault(Some(Fault::Redirect(
        "https://login.example.com".to_owned(),
    )));
    let gathered = reader.gather(&run).await;
    assert!(unreadable(&gathered).contains("login page"), "{gathered:?}");
    assert!(reader.health()[0].endpoint.starts_with("deck 127.0.0.1"));
}
