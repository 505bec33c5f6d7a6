//! Folders of a bucket, page by page, from S3, GCS and a folder of this machine.

use std::{fs, path::Path};

use prow_notifier::{
    artifacts::Reader,
    domain::location::Location,
    standin::bucket::{BucketStandin, Fault, Object},
};
use tokio_util::task::TaskTracker;

use super::reader;

/// All pages from behind `after` on.
async fn all(reader: &Reader, above: &Location, after: Option<&str>) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut next) = (Vec::new(), 0, None);
    loop {
        let page = reader.folders(above, after, next).await.unwrap();
        pages += 1;
        names.extend(page.names);
        next = page.next;
        if next.is_none() {
            return (names, pages);
        }
    }
}

/// Jobs that sort by the slash behind their names.
const JOBS: [&str; 5] = ["a-b", "a.b", "a", "a0", "b"];

fn keys() -> Vec<String> {
    let files = JOBS
        .iter()
        .flat_map(|job| [1, 2].map(|build| format!("ci/logs/{job}/{build}/prowjob.json")));
    files
        .chain(["ci/logs/stray.txt".to_owned(), "ci/other/c/1/x".to_owned()])
        .collect()
}

async fn bucket_of(provider: &str, folder: &Path) -> (BucketStandin, Reader) {
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    for key in keys() {
        bucket.put(&format!("example-logs/{key}"), Object::Bytes("{}".into()));
    }
    bucket.set_page(2);
    let endpoint = format!(
        "  endpoints: [{{ for: {provider}, endpoint: '{}', anonymous: true }}]\n",
        bucket.url()
    );
    let (reader, _) = reader(folder, &endpoint);
    (bucket, reader)
}

#[tokio::test]
async fn folders_are_listed_page_by_page_and_from_the_middle() {
    let home = tempfile::tempdir().unwrap();
    for provider in ["s3", "gs"] {
        let (_bucket, reader) = bucket_of(provider, home.path()).await;
        let logs = Location::parse(&format!("{provider}://example-logs/ci/logs")).unwrap();
        assert_eq!(
            all(&reader, &logs, None).await,
            (JOBS.map(str::to_owned).to_vec(), 3),
            "{provider}"
        );
        let behind_a = all(&reader, &logs, Some("a0")).await.0;
        assert_eq!(behind_a, ["a0", "b"], "{provider}");
        let builds = all(&reader, &logs.join("a").unwrap(), Some("2")).await.0;
        assert_eq!(builds, ["2"], "{provider}");
        assert_eq!(
            all(&reader, &logs.join("none").unwrap(), None).await.0,
            [""; 0]
        );
    }
}

#[tokio::test]
async fn a_folder_of_this_machine_is_listed_in_the_same_order() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    for key in keys() {
        let file = logs.join(key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "{}").unwrap();
    }
    let (reader, _) = reader(home.path(), &format!("  folders: ['{}']\n", logs.display()));
    let above = Location::parse(&format!("file://{}/ci/logs", logs.display())).unwrap();
    assert_eq!(all(&reader, &above, None).await.0, JOBS);
    assert_eq!(all(&reader, &above, Some("a0")).await.0, ["a0", "b"]);
    let missing = above.join("none").unwrap();
    assert_eq!(all(&reader, &missing, None).await.0, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_listed_says_why_and_is_left_alone_after_a_while() {
    let home = tempfile::tempdir().unwrap();
    let (bucket, reader) = bucket_of("s3", home.path()).await;
    bucket.set_fault(Some(Fault::Status(403, "AccessDenied")));
    let logs = Location::parse("s3://example-logs/ci/logs").unwrap();
    let why = reader.folders(&logs, None, None).await.unwrap_err();
    assert!(
        why.starts_with("s3://example-logs/ci/logs cannot be listed: "),
        "{why}"
    );
    for _ in 0..5 {
        reader.folders(&logs, None, None).await.unwrap_err();
    }
    let asked = bucket.requests().len();
    reader.folders(&logs, None, None).await.unwrap_err();
    assert_eq!(bucket.requests().len(), asked);
}
