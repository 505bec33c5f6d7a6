//! Evidence from end to end: logs in a bucket, the reader, the worker and the sender around a real store, on a
//! clock that only the test moves.

mod bounded;
mod flaky;
mod green;
mod late;
mod restarts;
mod secrets;
mod stalled;
mod unreadable;

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    domain::{evidence::Finding, observation::RunName},
    slack::preview_text,
    standin::{
        bucket::{BucketStandin, Object},
        prow::Job,
        slack::Message,
    },
    store::Trail,
};
use tokio_util::task::TaskTracker;

use crate::inside::{EACH_JOB_A_STAGE, Inside};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Number of the deciding line in [`log`].
const DECIDING: usize = 203;

/// What messages about the bucket call themselves.
const TROUBLE: &str = "reading logs";

/// The parts of the daemon, and the bucket that they read.
struct World {
    inside: Inside,
    bucket: BucketStandin,
}

/// A log whose line [`DECIDING`] says what broke, with noise around.
fn log(what: &str) -> String {
    let mut lines: Vec<String> = (1..DECIDING)
        .map(|number| format!("+ step {number} of the build is done"))
        .collect();
    lines.push(format!("pkg/resource/manager.go:42:7: undefined: {what}"));
    lines.push("make: *** [Makefile:31: build-controller] Error 1".to_owned());
    lines.join("\n") + "\n"
}

/// Settings under which the bucket at `url` is read.
fn reading(url: &str, retry: &str) -> String {
    format!(
        "artifacts:\n  enabled: true\n  retry: {{ {retry} }}\n  endpoints: [{{ for: s3, endpoint: '{url}', anonymous: true }}]\n"
    )
}

impl World {
    /// With each job a stage of its own, and no pipelines.
    async fn new(retry: &str) -> Self {
        Self::with(EACH_JOB_A_STAGE, retry).await
    }

    /// With these rules, at no pace.
    async fn with(rules: &str, retry: &str) -> Self {
        let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
        let reading = reading(&bucket.url(), retry);
        let config = format!("{rules}{reading}delivery: {{ rate_per_s: 10000, burst: 10000 }}\n");
        let inside = Inside::paced(&config, None).await;
        Self { inside, bucket }
    }

    fn put_log(&self, job: &Job, text: &str) {
        let path = format!("{}/build-log.txt", job.directory());
        self.bucket
            .put(&path, Object::Bytes(text.to_owned().into()));
    }

    /// Accepts a run and does what follows at once.
    async fn see(&mut self, job: &Job) {
        self.inside.accept(std::slice::from_ref(job)).await;
        self.inside.step().await;
    }

    /// When each message about a run came and what it says, to the default receiver.
    fn said(&self) -> Vec<(SignedDuration, String)> {
        self.messages(|text| !text.contains(TROUBLE))
    }

    /// The same of messages about the bucket.
    fn troubles(&self) -> Vec<(SignedDuration, String)> {
        self.messages(|text| text.contains(TROUBLE))
    }

    fn messages(&self, wanted: impl Fn(&str) -> bool) -> Vec<(SignedDuration, String)> {
        let messages = self.inside.messages("platform");
        messages
            .iter()
            .map(|message| (since_start(message.at), shown(message)))
            .filter(|(_, text)| wanted(text))
            .collect()
    }

    async fn trail(&self, job: &Job) -> Trail {
        let store = &self.inside.shared().store;
        store.explain(&RunName(job.name())).await.unwrap().unwrap()
    }

    /// The deciding line of a run, as far as it was read.
    async fn headline(&self, job: &Job) -> Result<String, String> {
        match self.trail(job).await.evidence.map(|read| read.finding) {
            Some(Finding::Found(evidence)) => Ok(evidence.headline),
            other => Err(format!("{other:?}")),
        }
    }

    /// What was decided on a run, in order.
    async fn decisions(&self, job: &Job) -> Vec<&'static str> {
        let decisions = self.trail(job).await.decisions;
        decisions.iter().map(|row| row.decision.as_str()).collect()
    }
}

fn since_start(at: Timestamp) -> SignedDuration {
    at.duration_since(crate::inside::start())
}

fn shown(message: &Message) -> String {
    preview_text(&message.payload)
}
