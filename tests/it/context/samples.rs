//! Runs to send, and how to look at the messages they lead to.

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    slack::preview_text,
    standin::{prow::Job, slack::Message},
};

/// So long ago.
fn minutes_ago(minutes: i64) -> Timestamp {
    Clock::System.now() - SignedDuration::from_mins(minutes)
}

/// The job that publishes a service, which failed so long ago.
pub(crate) fn failed(service: &str, minutes: i64) -> Job {
    let ended = Some(minutes_ago(minutes));
    passed(service, minutes).ended("failure", "Job failed.", ended)
}

/// The job that publishes a service, which passed so long ago.
pub(crate) fn passed(service: &str, minutes: i64) -> Job {
    let (repository, job) = (
        format!("{service}-controller"),
        format!("{service}-post-submit"),
    );
    let started = minutes_ago(minutes + 5);
    Job::new(&repository, &job, "v1.2.3", started).ended(
        "success",
        "Job succeeded.",
        Some(minutes_ago(minutes)),
    )
}

/// The webhooks of messages.
pub(crate) fn hooks(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.hook.as_str())
        .collect()
}

/// A message as people see it.
pub(crate) fn text(message: &Message) -> String {
    preview_text(&message.payload)
}

/// Checks that a message has all by which people know what [`failed`].
#[track_caller]
pub(crate) fn names_what_broke(message: &Message, service: &str) {
    let text = text(message);
    for part in [
        &format!("{service}-controller"),
        "publish",
        "critical",
        "v1.2.3",
        &format!("{service}-post-submit"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// The visible id of a message.
pub(crate) fn id(message: &Message) -> String {
    let shown = message.payload.to_string();
    let (_, after) = shown.rsplit_once("id:").expect("every message shows an id");
    let id: String = after.chars().take(8).collect();
    assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{shown}");
    id
}
