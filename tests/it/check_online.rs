//! `check --online` against stand-ins: what answers, what does not, and what to do about it.

use std::fs;

use jiff::SignedDuration;
use prow_notifier::{
    clock::Clock,
    standin::{
        bucket::{BucketStandin, Fault, Object},
        prow::{DeckStandin, Job},
        slack::{Options, SlackStandIn},
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use crate::program::{Ran, program};

struct Places {
    home: TempDir,
    deck: DeckStandin,
    bucket: BucketStandin,
    slack: SlackStandIn,
}

impl Places {
    /// A deck with one failed run whose log is in the bucket, and one webhook.
    async fn new() -> Self {
        let tasks = TaskTracker::new();
        let deck = DeckStandin::start(&tasks).await.unwrap();
        let bucket = BucketStandin::start(&tasks).await.unwrap();
        let slack = SlackStandIn::start(Options::default()).await.unwrap();
        let began = Clock::System.now() - SignedDuration::from_mins(30);
        let job = Job::new("s3-controller", "s3-post-submit", "v1.2.3", began);
        let text = job.to_json().to_string().replace("/view/s3/", "/view/gs/");
        deck.set_jobs(vec![serde_json::from_str(&text).unwrap()]);
        let log = format!("{}/build-log.txt", job.directory());
        bucket.put(&log, Object::Bytes("fine\n".into()));
        let home = tempfile::tempdir().unwrap();
        let show = |name: &str| home.path().join(name).display().to_string();
        fs::write(home.path().join("webhook"), slack.url("team")).unwrap();
        let config = format!(
            "store: {{ url: 'sqlite://{}' }}\n\
             sources: {{ deck: {{ url: '{}' }} }}\n\
             artifacts:\n  defaults: [{{ location: 'gs://ack-prow-logs' }}]\n  \
             endpoints: [{{ for: gs, endpoint: '{}', anonymous: true }}]\n\
             delivery: {{ allowed_hosts: ['{}'] }}\n\
             receivers: [{{ name: team, slack: {{ webhook_url_file: '{}' }} }}]\n\
             default_receiver: team\n",
            show("state.db"),
            deck.url(),
            bucket.url(),
            slack.host(),
            show("webhook"),
        );
        fs::write(home.path().join("c.yaml"), config).unwrap();
        Self {
            home,
            deck,
            bucket,
            slack,
        }
    }

    async fn check(&self, args: &[&str]) -> Ran {
        let program = program(&["check", "--online"])
            .args(args)
            .config(self.home.path().join("c.yaml"));
        tokio::task::spawn_blocking(|| program.run()).await.unwrap()
    }

    /// Name and status of each line.
    async fn statuses(&self) -> (i32, Vec<(String, String)>) {
        let ran = self.check(&["--format", "json"]).await;
        let read = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            assert_eq!(
                line["remedy"].is_string(),
                line["status"] == "failed",
                "{line}"
            );
            let name = text("check");
            let name = name.split(" 127.").next().unwrap_or_default();
            (name.to_owned(), text("status"))
        };
        (ran.code, ran.stdout.lines().map(read).collect())
    }
}

fn expected(failed: &[&str]) -> Vec<(String, String)> {
    [
        "config",
        "deck",
        "clock",
        "bucket gs://ack-prow-logs",
        "log of a run",
        "webhooks' host",
    ]
    .map(|name| {
        let status = if failed.contains(&name) {
            "failed"
        } else {
            "ok"
        };
        (name.to_owned(), status.to_owned())
    })
    .to_vec()
}

#[tokio::test]
async fn all_that_answers_is_ticked_off_and_nothing_is_posted() {
    let places = Places::new().await;
    let (code, statuses) = places.statuses().await;
    assert_eq!((code, statuses), (0, expected(&[])));
    let shown = places.check(&[]).await.ok();
    assert!(shown.contains("✓ deck: 1 run in "), "{shown}");
    assert!(
        shown.contains("credentials: anonymous, as configured"),
        "{shown}"
    );
    assert!(
        shown.contains("read in gs://ack-prow-logs/logs/s3-post-submit/"),
        "{shown}"
    );
    assert!(places.slack.messages().is_empty());
    assert!(!shown.contains(&places.slack.url("team")), "{shown}");
}

#[tokio::test]
async fn a_bucket_that_refuses_fails_the_check_with_a_remedy() {
    let places = Places::new().await;
    places
        .bucket
        .set_fault(Some(Fault::Status(403, "AccessDenied")));
    let (code, statuses) = places.statuses().await;
    let failed = ["bucket gs://ack-prow-logs", "log of a run"];
    assert_eq!((code, statuses), (1, expected(&failed)));
    let ran = places.check(&[]).await;
    assert!(
        ran.stdout.contains("✗ bucket gs://ack-prow-logs: "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("see artifacts.endpoints"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn a_deck_that_is_gone_fails_the_check_and_the_rest_is_tried() {
    let places = Places::new().await;
    places
        .deck
        .set_fault(Some(prow_notifier::standin::prow::Fault::Answer {
            status: 200,
            content_type: "text/html".to_owned(),
            body: "<html>Please log in</html>".to_owned(),
        }));
    let ran = places.check(&[]).await;
    assert_eq!(ran.code, 1);
    for line in [
        "✗ deck: ",
        "✓ bucket gs://ack-prow-logs: ",
        "– log of a run: ",
        "✓ webhooks' host ",
    ] {
        assert!(ran.stdout.contains(line), "{line}\n{}", ran.stdout);
    }
}
