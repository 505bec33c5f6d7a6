//! What tests start from.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    observation::{Artifacts, Observation, RunName, Source},
    prowjob::{JobType, State},
};

/// A postsubmit that waits for its turn, of no repository, at the beginning of time.
pub(crate) fn run(name: &str, job: &str) -> Observation {
    Observation {
        run: RunName(name.to_owned()),
        source: Source::Deck,
        seen_at: Timestamp::UNIX_EPOCH,
        job_type: JobType::Postsubmit,
        job: job.to_owned(),
        agent: String::new(),
        cluster: "default".to_owned(),
        refs: None,
        state: State::Triggered,
        description: String::new(),
        url: None,
        build_id: None,
        started_at: None,
        pending_at: None,
        completed_at: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        commit: None,
        artifacts: Artifacts::default(),
        inferred: false,
        initial: false,
        missed_since: None,
        provisional: false,
        log_tail: None,
    }
}
