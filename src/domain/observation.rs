//! One sighting of a run, from whichever source, in one shape.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::prowjob::{JobType, Refs, State};

/// `metadata.name` of the ProwJob: the only stable identity of a run. Build ids change when a pod is
/// made anew, and labels of a fresh rerun still name its original.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunName(pub String);

impl RunName {
    /// What a person means by what they copied: of the address of a run's page its last part, and of `id:0123abcd`, as
    /// messages show it, what stands behind the colon.
    pub fn meant(text: &str) -> Self {
        let text = text.trim();
        let address = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let name = match address {
            Some(address) => address
                .split(['?', '#'])
                .next()
                .and_then(|path| path.trim_end_matches('/').rsplit('/').next())
                .unwrap_or(text),
            None => text.strip_prefix("id:").unwrap_or(text),
        };
        Self(name.to_owned())
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a sighting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `POST /hooks/prowjob`.
    Webhook,
    /// Polling of deck's `/prowjobs.js`.
    Deck,
    /// Kubernetes, which lists ProwJobs and tells of each change.
    Watch,
    /// A GitHub `status` event.
    Github,
    /// A message that Google Pub/Sub pushed.
    Pubsub,
    /// The folder of a finished run in a bucket.
    Bucket,
    /// A file given on the command line.
    File,
    /// `POST /hooks/stage`: a command inside the run's own job.
    Exec,
}

impl Source {
    /// The word used in metrics, the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Deck => "deck",
            Self::Watch => "watch",
            Self::Github => "github",
            Self::Pubsub => "pubsub",
            Self::Bucket => "bucket",
            Self::File => "file",
            Self::Exec => "exec",
        }
    }
}

/// One sighting of a run. Applying it twice changes nothing; an older one never undoes a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Which run.
    pub run: RunName,
    /// Who told us.
    pub source: Source,
    /// When we were told; the time of a decision never precedes it.
    pub seen_at: Timestamp,
    /// `spec.type`.
    pub job_type: JobType,
    /// `spec.job`, never the label, which Prow cuts to 63 characters.
    pub job: String,
    /// `spec.agent`; empty means `kubernetes`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// Build cluster alias; never empty (`default`).
    pub cluster: String,
    /// Code under test; absent for periodics. `extra_refs` are inputs, not owners, and are not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Refs>,
    /// `status.state`.
    pub state: State,
    /// `status.description`, Prow's free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `status.url`, where deck shows the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `status.build_id`; not stable, unique only within a job name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// `status.startTime`, else `metadata.creationTimestamp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// `status.pendingTime`: when its pod was made, which ends the wait for its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_at: Option<Timestamp>,
    /// `status.completionTime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Commit author and first line of the message, when the source tells them (GitHub statuses do).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Where Prow was told to keep what the run leaves behind.
    #[serde(default, skip_serializing_if = "Artifacts::is_empty")]
    pub artifacts: Artifacts,
    /// Whether only a GitHub status or a Pub/Sub message told us of the run, so that its name, and more, is inferred.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// Whether it stood in the first deck list after the first start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
    /// Of a run that ended while nobody told us anything: since when that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed_since: Option<Timestamp>,
    /// Whether it is the word of a command inside the job, before Prow has one: the run's real end still comes, and
    /// may be a good one when the job's script puts up with the failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// The end of what that command printed, at most 64 KiB and as it was: not to be shown before it is redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_tail: Option<String>,
}

/// What a ProwJob says of its logs: `spec.decoration_config.gcs_configuration` and what names the files. All
/// empty when the source leaves it out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Artifacts {
    /// `bucket`, with or without a scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// `path_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// `path_strategy`: `explicit`, `legacy` or `single`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_strategy: Option<String>,
    /// `default_org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_org: Option<String>,
    /// `default_repo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_repo: Option<String>,
    /// `job_url_prefix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_url_prefix: Option<String>,
    /// `local_output_dir`: files go straight into this folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_output_dir: Option<String>,
    /// The run's own folder (`gs://bucket/logs/job/1`), when the source names it and nothing that it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// `spec.namespace`, where the ProwJob lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Names of `spec.pod_spec.containers`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// Whether `spec.decoration_config` is there; `None` when the source leaves it out on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decorated: Option<bool>,
}

impl Artifacts {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What GitHub tells of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Login of the author, else the name in the commit.
    pub author: String,
    /// First line of the message.
    pub title: String,
}

impl Observation {
    /// When it started; when we were told of it, where nobody says.
    pub fn began_at(&self) -> Timestamp {
        self.started_at.unwrap_or(self.seen_at)
    }

    /// Whether the run is over: a final state *and* a completion time. An aborted run without one is
    /// still winding down.
    pub fn is_finished(&self) -> bool {
        self.state.is_final() && self.completed_at.is_some()
    }

    /// Organisation, empty for runs without refs.
    pub fn org(&self) -> &str {
        self.refs.as_ref().map_or("", |refs| &refs.org)
    }

    /// Repository, empty for runs without refs.
    pub fn repo(&self) -> &str {
        self.refs.as_ref().map_or("", |refs| &refs.repo)
    }

    /// Branch or tag, empty for runs without refs.
    pub fn base_ref(&self) -> &str {
        self.refs.as_ref().map_or("", |refs| &refs.base_ref)
    }

    /// Commit, when known.
    pub fn base_sha(&self) -> Option<&str> {
        self.refs.as_ref().and_then(|refs| refs.base_sha.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_copy_means_the_run_or_the_message() {
        for (copied, meant) in [
            ("id:0123abcd", "0123abcd"),
            ("0123abcd", "0123abcd"),
            (" 2090378317919162368\n", "2090378317919162368"),
            (
                "https://prow.example.org/view/gs/logs/logs/publish/2090378317919162368/",
                "2090378317919162368",
            ),
            ("http://localhost:8080/r/a-run?lang=en#why", "a-run"),
            // What did not happen has a key in the place of a run, and addresses of buckets may stand in it.
            (
                "prow-notifier|logs gs://logs",
                "prow-notifier|logs gs://logs",
            ),
        ] {
            assert_eq!(RunName::meant(copied).0, meant, "{copied}");
        }
    }
}
