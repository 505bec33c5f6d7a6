//! What to say, before any Slack syntax. Text in here is raw outside text; renderers escape it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    classify::{Classification, Severity},
    doom::Doom,
    evidence::Evidence,
    incident::Kind,
    observation::RunName,
    root::Root,
    trouble::OURSELVES,
    verdict::Verdict,
};

/// What a notification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A job broke.
    Opened,
    /// It failed again since it was last spoken of.
    StillFailing,
    /// A stage did not start, or did not end, in time.
    Stalled,
    /// One stage failing in several services, or one cause behind failures of many kinds.
    SharedCause,
    /// It is good again.
    Recovered,
    /// What was not urgent, collected; also the summary of a first start.
    Digest,
}

impl Event {
    /// The word used in the CLI, the API, metrics and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::StillFailing => "still-failing",
            Self::Stalled => "stalled",
            Self::SharedCause => "shared-cause",
            Self::Recovered => "recovered",
            Self::Digest => "digest",
        }
    }
}

/// One message to one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Eight hex digits, the same however often the message is sent.
    pub id: String,
    /// What it says.
    pub event: Event,
    /// Concrete receiver, such as `platform` or `by-service/s3`.
    pub receiver: String,
    /// The highest severity of its items.
    pub severity: Severity,
    /// When it was decided.
    pub at: Timestamp,
    /// The incidents it speaks of, at most [`MAX_ITEMS`]; never empty.
    pub items: Vec<Item>,
    /// How many incidents it speaks of, with those that [`MAX_ITEMS`] left out.
    pub total: usize,
    /// How many owners (services) share the trouble, those told before included; 0 when it is alone.
    #[serde(default)]
    pub shared_by: usize,
    /// Names of owners that were told before and share the trouble; at most [`MAX_ITEMS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// Of a digest: why it is one (`collected since 10:00` or a first start).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<DigestKind>,
    /// Why it comes to this receiver though it was meant for another one that refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diverted: Option<Diverted>,
}

/// More incidents than this are counted, not listed.
pub const MAX_ITEMS: usize = 60;

/// Why a digest was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestKind {
    /// A route's `digest:` period ended; it began then.
    Period {
        /// When the first item came in.
        since: Timestamp,
    },
    /// What had failed before the first start.
    FirstStart,
    /// What happened while nobody told us anything.
    CatchUp {
        /// Since when that was so.
        since: Timestamp,
    },
    /// What a silence or a mute window hid that ended.
    Hushed {
        /// Which, in one clause.
        by: String,
        /// Since when it hid something.
        since: Timestamp,
        /// Incidents that it hid beside the items: still open, and told by themselves.
        told_apart: usize,
    },
}

/// A message that its own receiver refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverted {
    /// The receiver it was meant for.
    pub from: String,
    /// Slack's answer in words.
    pub reason: String,
}

/// One incident as a message tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What kind of thing is broken.
    #[serde(default)]
    pub kind: Kind,
    /// That its job is flaky, and what that rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaky: Option<String>,
    /// Whose, which stage, how bad.
    pub class: Classification,
    /// Prow's job name.
    pub job: String,
    /// `org/repo`; empty for periodics.
    pub repository: String,
    /// Version or branch of the first bad run; empty for periodics.
    pub base_ref: String,
    /// Whether [`Self::base_ref`] is a tag, that is a version.
    pub is_tag: bool,
    /// The run to look at: the latest bad one.
    pub run: RunName,
    /// Its verdict.
    pub verdict: Verdict,
    /// What broke, in words.
    pub what: String,
    /// When the first bad run ended.
    pub since: Timestamp,
    /// When the latest bad run ended.
    pub latest: Timestamp,
    /// How many runs were bad.
    pub failures: u64,
    /// Of these, how many since the incident was last spoken of.
    pub new_failures: u64,
    /// The last good run before.
    pub last_good: Option<LastGood>,
    /// What closed it; `None` while it is open.
    pub recovered: Option<Recovery>,
    /// Who may know more: commit author or pull request, when a source told.
    pub ask: Option<String>,
    /// Where to look, in the order to show: run, history, commit, compare, runbook.
    pub links: Vec<Link>,
    /// What broke further upstream and knocked it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Stages that cannot do their work while it is broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// Runs of these that are doomed.
    #[serde(default, skip_serializing_if = "Doom::is_empty")]
    pub doom: Doom,
    /// Why the run broke; `None` while nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Why there is no evidence: what could not be read, or that there is no log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_note: Option<String>,
    /// The deciding line in deck, or the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_link: Option<Link>,
}

impl Item {
    /// Whether it is about a stage that did not start in time: no run of that stage is there to be judged.
    pub fn is_stalled(&self) -> bool {
        self.verdict == Verdict::Running
    }

    /// Whether it is about no job and no run: a trouble of our own, or a mass failure.
    pub fn is_ours(&self) -> bool {
        self.kind == Kind::Mass
            || self.class.component == OURSELVES
                && self.class.rule.is_none()
                && self.repository.is_empty()
    }
}

/// The last good run before an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    /// When it ended.
    pub at: Timestamp,
    /// Its version or branch.
    pub base_ref: String,
}

/// The good run that closed an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// When it ended.
    pub at: Timestamp,
    /// Its name.
    pub run: RunName,
    /// Its version or branch.
    pub base_ref: String,
    /// From the first bad run to the good one.
    pub after: SignedDuration,
    /// Whose run it was, when it was somebody else's: of a stage that all share one is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The version that broke first, when a later one recovered: it never passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// The deciding line as deck shows it; `None` when the address carries a signature or
/// there is no line to point at. The fragment is Spyglass': the number of the lens, the file, the line.
pub fn log_link(run_url: &str, evidence: &Evidence) -> Option<Link> {
    let excerpt = evidence.excerpt.as_ref()?;
    let number = excerpt.deciding_line()?.number?;
    let (page, _) = run_url.split_once('#').unwrap_or((run_url, ""));
    let is_page = !page.contains('?') && is_web(page);
    let is_log = excerpt.file.ends_with("build-log.txt")
        && excerpt
            .file
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    (is_page && is_log).then(|| Link {
        label: format!("Log line {number}"),
        url: format!("{page}#1:{}%3A{number}", excerpt.file),
    })
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// A labelled address. Only `http` and `https` addresses are ever put here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// One word, such as `Run`.
    pub label: String,
    /// The address.
    pub url: String,
}
