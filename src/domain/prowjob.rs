//! Prow's own words for a job and its run: type, state, refs. No parsing of JSON here, see `prow::parse`.

pub mod build_time;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What makes Prow start a job (`spec.type`). Unknown words are kept, because Prow may grow new ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// Tests of an unmerged pull request.
    Presubmit,
    /// A push to a branch or a tag.
    Postsubmit,
    /// A timer.
    Periodic,
    /// Several pull requests tested together by Tide.
    Batch,
    /// A word this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// The words that this version knows.
pub const JOB_TYPES: [&str; 4] = ["presubmit", "postsubmit", "periodic", "batch"];

impl JobType {
    /// Reads Prow's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "presubmit" => Self::Presubmit,
            "postsubmit" => Self::Postsubmit,
            "periodic" => Self::Periodic,
            "batch" => Self::Batch,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Prow's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Presubmit => "presubmit",
            Self::Postsubmit => "postsubmit",
            Self::Periodic => "periodic",
            Self::Batch => "batch",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for JobType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `status.state` of a ProwJob. *failure*: the pod ran and failed; *error*: Prow could not run it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waiting for the optional scheduler.
    Scheduling,
    /// Created, no pod yet.
    Triggered,
    /// The pod exists.
    Pending,
    /// All containers exited 0.
    Success,
    /// The pod ran and failed.
    Failure,
    /// Stopped by somebody or something.
    Aborted,
    /// Prow or the cluster could not run it.
    Error,
    /// A word this version does not know; never final.
    #[serde(untagged)]
    Other(String),
}

impl State {
    /// Reads Prow's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "scheduling" => Self::Scheduling,
            "triggered" => Self::Triggered,
            "pending" => Self::Pending,
            "success" => Self::Success,
            "failure" => Self::Failure,
            "aborted" => Self::Aborted,
            "error" => Self::Error,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Prow's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Scheduling => "scheduling",
            Self::Triggered => "triggered",
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Aborted => "aborted",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }

    /// How far a run has come: a sighting with a lower number is an older one. Two deck replicas out of
    /// phase show the same run at different points.
    pub fn progress(&self) -> u8 {
        match self {
            Self::Other(_) => 0,
            Self::Scheduling => 1,
            Self::Triggered => 2,
            Self::Pending => 3,
            Self::Success | Self::Failure | Self::Aborted | Self::Error => 4,
        }
    }

    /// Whether Prow changes the state no more, once a completion time is set.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Success | Self::Failure | Self::Aborted | Self::Error
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The code under test (`spec.refs`), reduced to what we use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refs {
    /// GitHub organisation, or the URL of a Gerrit host.
    pub org: String,
    /// Repository.
    pub repo: String,
    /// Web address of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_link: Option<String>,
    /// Branch or tag name, without `refs/heads/` or `refs/tags/`.
    #[serde(default)]
    pub base_ref: String,
    /// Commit; for an annotated tag GitHub gives the tag object instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_sha: Option<String>,
    /// For postsubmits the push's compare page, not a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_link: Option<String>,
    /// First pull request, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
}

/// Organisation and repository of `org/repo`. Gerrit's organisation is the address of its host, which has slashes of
/// its own.
pub fn org_and_repo(repository: &str) -> (&str, &str) {
    let host = repository.find("://").map_or(0, |at| at + "://".len());
    let slash = repository.get(host..).and_then(|rest| rest.find('/'));
    let split = slash.and_then(|at| {
        let (org, rest) = repository.split_at_checked(host + at)?;
        Some((org, rest.strip_prefix('/')?))
    });
    split.unwrap_or((repository, ""))
}

/// A pull request under test (`spec.refs.pulls[0]`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Who opened it.
    #[serde(default)]
    pub author: String,
    /// Its head commit.
    #[serde(default)]
    pub sha: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_gerrit_is_an_organisation() {
        for (repository, split) in [
            ("", ("", "")),
            ("org", ("org", "")),
            ("org/repo", ("org", "repo")),
            ("https://host/repo", ("https://host", "repo")),
            ("https://host/a/b", ("https://host", "a/b")),
            ("https://", ("https://", "")),
        ] {
            assert_eq!(org_and_repo(repository), split, "{repository}");
        }
    }
}
