//! GitHub `status` events, which Prow's GitHub reporter causes: where no ProwJob is in sight, a run is
//! inferred from them.

mod raw;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use reqwest::Url;

use super::{
    deck::{DeckUrl, authority},
    parse::ParseError,
};
use crate::domain::{
    observation::{Artifacts, Commit, Observation, RunName, Source},
    prowjob::{JobType, Pull, Refs, State},
};

/// What a `status` event says, as it says it
/// (<https://docs.github.com/en/webhooks/webhook-events-and-payloads#status>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Owner of the repository.
    pub org: String,
    /// Name of the repository.
    pub repo: String,
    /// Web address of the repository.
    pub repo_link: Option<String>,
    /// The commit that has the status.
    pub sha: String,
    /// Prow's context, by default the job's name.
    pub context: String,
    /// Prow's description, without padding and base commit.
    pub description: String,
    /// The base commit that Prow hides in the description.
    pub base_sha: Option<String>,
    /// `pending`, `success`, `failure` or `error`; Prow's `aborted` comes as `failure`.
    pub state: State,
    /// Where the run can be seen; empty before it has a pod.
    pub target_url: String,
    /// Branches that have the commit at their head.
    pub branches: Vec<String>,
    /// When the status was set.
    pub updated_at: Option<Timestamp>,
    /// Who made the commit, and its title.
    pub commit: Option<Commit>,
}

/// Reads a `status` event.
pub fn status(body: &[u8]) -> Result<Status, ParseError> {
    raw::status(body)
}

impl Status {
    /// The run behind the status. `None` when the target is no Prow run: neither a Spyglass page
    /// (`/view/gs|s3|gcs|file/..`) nor on the configured deck.
    pub fn observation(&self, deck: Option<&DeckUrl>, seen_at: Timestamp) -> Option<Observation> {
        let run = Target::read(&self.target_url, deck)?;
        let finished = self.state.is_final();
        Some(Observation {
            run: RunName(format!(
                "github:{}/{}@{}/{}/{}",
                self.org,
                self.repo,
                self.sha.chars().take(12).collect::<String>(),
                self.context,
                run.build_id
            )),
            source: Source::Github,
            seen_at,
            refs: Some(self.refs(&run)),
            job_type: run.job_type,
            job: self.context.clone(),
            agent: String::new(),
            cluster: "default".to_owned(),
            state: self.state.clone(),
            description: self.description.clone(),
            url: Some(self.target_url.clone()),
            build_id: Some(run.build_id),
            started_at: None,
            pending_at: None,
            completed_at: self.updated_at.filter(|_| finished),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            commit: self.commit.clone(),
            inferred: true,
            artifacts: Artifacts::default(),
            initial: false,
            missed_since: None,
            provisional: false,
            log_tail: None,
        })
    }

    /// A pull request's commit is not its base, and the branch that has it is the contributor's.
    fn refs(&self, run: &Target) -> Refs {
        let pull = run.pull.map(|number| Pull {
            number,
            author: String::new(),
            sha: self.sha.clone(),
        });
        let of_pull = run.job_type == JobType::Presubmit;
        let base_ref = match self.branches.as_slice() {
            [only] if !of_pull => only.clone(),
            _ => String::new(),
        };
        let base_sha = if of_pull {
            self.base_sha.clone()
        } else {
            Some(self.sha.clone()).filter(|sha| !sha.is_empty())
        };
        Refs {
            org: self.org.clone(),
            repo: self.repo.clone(),
            repo_link: self.repo_link.clone(),
            base_ref,
            base_sha,
            base_link: None,
            pull,
        }
    }
}

/// What the path of a run's page tells.
struct Target {
    job_type: JobType,
    build_id: String,
    pull: Option<u64>,
}

impl Target {
    fn read(target_url: &str, deck: Option<&DeckUrl>) -> Option<Self> {
        let url = Url::parse(target_url).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let segments: Vec<&str> = url
            .path_segments()?
            .filter(|segment| !segment.is_empty())
            .collect();
        let is_view = segments.windows(2).any(|pair| {
            matches!(pair, [view, provider] if *view == "view"
                && matches!(*provider, "gs" | "s3" | "gcs" | "file"))
        });
        if !is_view && deck.is_none_or(|deck| deck.host() != authority(&url)) {
            return None;
        }
        let job_type = job_type(&segments);
        let pull = match segments.as_slice() {
            [.., number, _, _] if job_type == JobType::Presubmit => number.parse().ok(),
            _ => None,
        };
        Some(Self {
            job_type,
            build_id: (*segments.last()?).to_owned(),
            pull,
        })
    }
}

/// Type of the run, from the directory in which Prow stores it.
fn job_type(segments: &[&str]) -> JobType {
    let has = |name: &str| segments.contains(&name);
    if segments
        .windows(3)
        .any(|path| path == ["pr-logs", "pull", "batch"])
    {
        JobType::Batch
    } else if has("pr-logs") {
        JobType::Presubmit
    } else if has("logs") {
        // Periodics are stored there too, but have no commit to set a status on.
        JobType::Postsubmit
    } else {
        JobType::Other("unknown".to_owned())
    }
}
