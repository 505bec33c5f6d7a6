//! What runs left behind, read over real HTTP: from an S3 server that checks signatures, from a bucket that
//! misbehaves, from folders and from deck.

mod bucket;
mod listing;
mod places;
mod tls;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use prow_notifier::{
    artifacts::{Gathered, Outcome, Reader},
    clock::Clock,
    config::Config,
    domain::observation::{Artifacts, Observation, Source},
    http::Http,
    prow::parse,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tokio::net::TcpListener;

use crate::program::repository;

/// Half an hour after the end of the samples' runs, when all uploads are done.
const NOW: &str = "2026-08-20T16:00:00Z";

/// A reader of a configuration below `artifacts:`, with the clock it reads.
fn reader(folder: &Path, artifacts: &str) -> (Reader, Clock) {
    reader_with(folder, &format!("artifacts:\n{artifacts}"))
}

fn reader_with(folder: &Path, config: &str) -> (Reader, Clock) {
    let file = folder.join("config.yaml");
    fs::write(&file, config).unwrap();
    let config = Config::load(&[file], &BTreeMap::new()).unwrap();
    let clock = Clock::manual(NOW.parse().unwrap());
    let reader = Reader::new(
        &config,
        &BTreeMap::new(),
        Http::new().unwrap(),
        clock.clone(),
    );
    (reader, clock)
}

/// A run of the samples, by the beginning of its file's name.
fn sample(number: &str) -> Observation {
    let folder = repository("tests/data/prow/prowjobs");
    let mut files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let is_it = |file: &PathBuf| {
        file.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(number)
    };
    let json = fs::read(files.find(is_it).unwrap()).unwrap();
    parse::observation(&json, Source::Webhook, Timestamp::UNIX_EPOCH).unwrap()
}

/// The same run as deck's list shows it: without decoration.
fn as_listed(mut run: Observation) -> Observation {
    run.artifacts = Artifacts::default();
    run
}

#[track_caller]
fn unreadable(gathered: &Gathered) -> &str {
    match &gathered.outcome {
        Outcome::Unreadable { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

const KEYS: &str = r#""access_key":"notifier","secret_key":"hunter2","region":"us-east-1""#;

/// An S3 server with the samples' buckets that knows one key.
fn s3_service(root: &Path) -> S3Service {
    copy(&repository("tests/data/storage/s3"), root);
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root).unwrap());
    builder.set_auth(SimpleAuth::from_single("notifier", "hunter2"));
    builder.build()
}

/// Starts it.
async fn s3_server(root: &Path) -> SocketAddr {
    let service = s3_service(root);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    address
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

async fn s3_reader(folder: &Path, credentials: &str) -> Reader {
    let address = s3_server(&folder.join("s3")).await;
    let credentials = credentials.replace("ADDRESS", &address.to_string());
    let file = folder.join("credentials.json");
    fs::write(&file, format!("{{{credentials}}}")).unwrap();
    let mut config = format!(
        "  endpoints: [{{ for: s3, credentials_file: {}",
        file.display()
    );
    if !credentials.contains("endpoint") {
        write!(config, ", endpoint: 'http://{address}'").unwrap();
    }
    reader(folder, &(config + " }]\n")).0
}

#[tokio::test]
async fn a_failed_run_is_read_from_s3_with_all_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let reader = s3_reader(folder.path(), KEYS).await;
    let run = sample("01-");
    let gathered = reader.gather(&run).await;
    assert_eq!(gathered.outcome, Outcome::Read, "{gathered:?}");
    let remains = &gathered.remains;
    let path = "logs/s3-post-submit/2090378317919162368";
    let stored = repository(&format!("tests/data/storage/s3/ack-prow-logs/{path}"));
    let file = |name: &str| fs::read(stored.join(name)).unwrap();
    assert_eq!(remains.logs.len(), 1);
    let log = &remains.logs[0];
    assert_eq!(
        (log.file.as_str(), &log.bytes),
        ("build-log.txt", &file("build-log.txt"))
    );
    assert_eq!((log.first_line, log.starts_line), (Some(1), true));
    assert_eq!(remains.finished, Some(file("finished.json")));
    assert_eq!(remains.clone_records, Some(file("clone-records.json")));
    assert_eq!(remains.podinfo, None);
    let name = "artifacts/junit_release.xml";
    assert_eq!(remains.junit, [(name.to_owned(), file(name))]);
    assert_eq!(remains.description, "Job failed.");
    assert_eq!(
        gathered.location,
        Some(format!("s3://ack-prow-logs/{path}"))
    );
    assert_eq!(gathered.log_page, run.url);
    assert_eq!(reader.health()[0].state.as_str(), "working");
}

#[tokio::test]
async fn the_credential_file_may_name_the_server_in_both_of_its_meanings() {
    for server in [
        r#""endpoint":"ADDRESS","insecure":true,"s3_force_path_style":true"#,
        r#""endpoint":"http://ADDRESS","s3_force_path_style":true"#,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let reader = s3_reader(folder.path(), &format!("{KEYS},{server}")).await;
        let gathered = reader.gather(&as_listed(sample("01-"))).await;
        assert_eq!(gathered.outcome, Outcome::Read, "{server}: {gathered:?}");
    }
}

#[tokio::test]
async fn every_sample_in_s3_is_read_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let reader = s3_reader(folder.path(), KEYS).await;
    for (number, logs) in [
        ("01-", 1),
        ("03-", 1),
        ("13-", 1),
        ("18-", 1),
        ("20-", 1),
        ("21-", 1),
    ] {
        for run in [sample(number), as_listed(sample(number))] {
            let gathered = reader.gather(&run).await;
            assert_eq!(gathered.remains.logs.len(), logs, "{number}: {gathered:?}");
        }
    }
    // Prow could not start these pods; what crier wrote is there all the same.
    let unstarted = reader.gather(&sample("08-")).await;
    assert!(unstarted.remains.podinfo.is_some() && unstarted.remains.logs.is_empty());
    assert_eq!(unstarted.outcome, Outcome::Read);
    for number in ["07-", "11-"] {
        let nothing = reader.gather(&sample(number)).await;
        assert!(
            matches!(nothing.outcome, Outcome::Nothing(_)),
            "{number}: {nothing:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = KEYS.replace("hunter2", "swordfish");
    let reader = s3_reader(folder.path(), &wrong).await;
    let gathered = reader.gather(&sample("01-")).await;
    let why = unreadable(&gathered);
    assert!(
        why.contains("s3://ack-prow-logs cannot be read: it answered 403"),
        "{why}"
    );
    assert!(!format!("{gathered:?}").contains("swordfish"));
    assert_eq!(reader.health()[0].state.as_str(), "failing");
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let reader = s3_reader(folder.path(), KEYS).await;
    let mut run = sample("01-");
    run.artifacts.bucket = Some("s3://no-such-logs".to_owned());
    let gathered = reader.gather(&run).await;
    assert!(
        unreadable(&gathered).contains("the bucket does not exist"),
        "{gathered:?}"
    );
}
