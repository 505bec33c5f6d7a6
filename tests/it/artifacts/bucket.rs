//! A bucket that holds odd things, or answers as none should: the right text or the reason, in bounded time.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use prow_notifier::{
    artifacts::{Outcome, Reader},
    clock::Clock,
    domain::observation::Observation,
    evidence::LogText,
    standin::bucket::{BucketStandin, Fault, Object},
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::{reader, sample, unreadable};
use crate::program::repository;

const LOG: &str = "example-logs/ci/prow/logs/post-with-prefix/2090383099425722368/build-log.txt";

struct Setup {
    bucket: BucketStandin,
    reader: Reader,
    clock: Clock,
    run: Observation,
    _folder: TempDir,
}

async fn setup(more: &str) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    bucket
        .put_folder(&repository("tests/data/storage/gs"))
        .unwrap();
    let config = format!(
        "  endpoints: [{{ for: gs, endpoint: '{}' }}]\n{more}",
        bucket.url()
    );
    let (reader, clock) = reader(folder.path(), &config);
    Setup {
        bucket,
        reader,
        clock,
        run: sample("24-"),
        _folder: folder,
    }
}

impl Setup {
    async fn log(&self) -> LogText {
        let gathered = self.reader.gather(&self.run).await;
        assert_eq!(gathered.outcome, Outcome::Read, "{gathered:?}");
        gathered.remains.logs.into_iter().next().unwrap()
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_prefixed_run_and_one_of_several_containers_are_read_from_gcs() {
    let setup = setup("").await;
    let stored =
        |path: &str| std::fs::read(repository("tests/data/storage/gs").join(path)).unwrap();
    assert_eq!(setup.log().await.bytes, stored(LOG));
    let folder = Path::new("example-logs/logs/post-two-containers/2090382847767482368");
    let several = sample("23-");
    for run in [super::as_listed(several.clone()), several.clone()] {
        let gathered = setup.reader.gather(&run).await;
        let mut names: Vec<&str> = gathered
            .remains
            .logs
            .iter()
            .map(|log| log.file.as_str())
            .collect();
        if run.artifacts != several.artifacts {
            assert_eq!(names, ["aux1-build-log.txt", "main-build-log.txt"]);
        }
        names.sort_unstable();
        assert_eq!(names, ["aux1-build-log.txt", "main-build-log.txt"]);
        for log in &gathered.remains.logs {
            assert_eq!(log.bytes, stored(&folder.join(&log.file).to_string_lossy()));
        }
    }
}

#[tokio::test]
async fn odd_texts_come_as_they_are_packed_or_not() {
    let setup = setup("").await;
    for odd in [
        &b""[..],
        b"one line without an end",
        b"\xff\xfe invalid \xc3\x28 UTF-8\n\0\n",
        b"\x1b[31mred\x1b[0m 10%\r 20%\r100%\n",
    ] {
        for object in [
            Object::Bytes(odd.to_vec().into()),
            Object::Bytes(packed(odd).into()),
            Object::Packed(packed(odd).into()),
        ] {
            setup.bucket.put(LOG, object);
            let log = setup.log().await;
            assert_eq!((log.bytes.as_slice(), log.first_line), (odd, Some(1)));
        }
    }
}

#[tokio::test]
async fn of_a_large_log_the_end_is_read_with_its_line_numbers() {
    let setup = setup("  max_read: 64KiB\n  tail: 1KiB\n  max_counted: 1MiB\n").await;
    setup.bucket.put(LOG, Object::Lines(160_000));
    let log = setup.log().await;
    assert_eq!(log.bytes.len(), 1024);
    assert_eq!((log.first_line, log.starts_line), (Some(9937), true));
    assert!(log.bytes.starts_with(b"line 0000009936\n"));
}

#[tokio::test]
async fn of_two_gigabytes_only_the_end_is_asked_for() {
    let setup = setup("  tail: 1000B\n").await;
    setup.bucket.put(LOG, Object::Lines(2 << 30));
    let log = setup.log().await;
    assert_eq!(
        (log.bytes.len(), log.first_line, log.starts_line),
        (1000, None, false)
    );
    assert!(log.bytes.ends_with(b"line 0134217727\n"));
}

#[tokio::test]
async fn a_bomb_is_refused_and_the_rest_is_read() {
    let setup = setup("  max_unpacked: 1MiB\n").await;
    setup
        .bucket
        .put(LOG, Object::Packed(packed(&vec![b'\n'; 50_000_000]).into()));
    let gathered = setup.reader.gather(&setup.run).await;
    let why = unreadable(&gathered);
    assert!(why.contains("unpacks to more than 1048576 bytes"), "{why}");
    assert!(gathered.remains.finished.is_some());
    assert_eq!(
        setup.reader.health()[0].state.as_str(),
        "working",
        "it is the file's fault"
    );
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_as_it_should_is_told_in_time() {
    let setup =
        setup("  request_timeout: 300ms\n  timeout: 1s\n  breaker: { failures: 100 }\n").await;
    for (fault, expected) in [
        (Fault::Hang, "in time"),
        (Fault::Drip(Duration::from_secs(1)), "in time"),
        (
            Fault::Status(403, "AccessDenied"),
            "403 Forbidden; may these credentials",
        ),
        (
            Fault::Status(404, "NoSuchBucket"),
            "the bucket does not exist",
        ),
        (Fault::Status(503, "SlowDown"), "503 Service Unavailable"),
        (Fault::Html, "an HTML page came"),
        (
            Fault::Redirect("http://169.254.169.254/".to_owned()),
            "it sent elsewhere",
        ),
    ] {
        setup.bucket.set_fault(Some(fault.clone()));
        let begun = Instant::now();
        let gathered = setup.reader.gather(&setup.run).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{fault:?}");
        let why = unreadable(&gathered);
        assert!(why.contains(expected), "{fault:?}: {why}");
        assert!(
            why.starts_with("gs://example-logs cannot be read: "),
            "{why}"
        );
        let health = &setup.reader.health()[0];
        assert_eq!(
            (health.endpoint.as_str(), health.state.as_str()),
            ("gs://example-logs", "failing")
        );
    }
    setup.bucket.set_fault(None);
    setup.log().await;
    assert_eq!(setup.reader.health()[0].state.as_str(), "working");
}

#[tokio::test]
async fn a_bucket_that_keeps_failing_is_left_alone_for_a_while() {
    let setup = setup("  breaker: { failures: 2 }\n").await;
    setup
        .bucket
        .set_fault(Some(Fault::Status(403, "AccessDenied")));
    for _ in 0..2 {
        setup.reader.gather(&setup.run).await;
    }
    let asked = setup.bucket.requests().len();
    let gathered = setup.reader.gather(&setup.run).await;
    assert!(
        unreadable(&gathered).contains("it keeps failing, and is left alone"),
        "{gathered:?}"
    );
    assert_eq!(setup.bucket.requests().len(), asked);
    assert_eq!(setup.reader.health()[0].state.as_str(), "open");
    setup.bucket.set_fault(None);
    setup.clock.advance(Duration::from_secs(10));
    setup.log().await;
    assert_eq!(setup.reader.health()[0].state.as_str(), "working");
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_worth_asking_again() {
    let setup = setup("").await;
    let mut run = setup.run.clone();
    run.build_id = Some("1".to_owned());
    let gathered = setup.reader.gather(&run).await;
    assert!(
        matches!(gathered.outcome, Outcome::Nothing(_)),
        "{gathered:?}"
    );
    run.completed_at = Some(setup.clock.now());
    let gathered = setup.reader.gather(&run).await;
    assert!(
        unreadable(&gathered)
            .contains("no log in gs://example-logs/ci/prow/logs/post-with-prefix/1 yet")
    );
    assert_eq!(setup.reader.health()[0].state.as_str(), "working");
}
