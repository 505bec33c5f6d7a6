//! What Prow itself stores of a run in the run's folder, read as an observation.

use jiff::Timestamp;
use serde::Deserialize;

use super::parse::{self, ParseError};
use crate::domain::observation::{Observation, Source};

/// The ProwJob as Prow last stored it.
pub const PROWJOB: &str = "prowjob.json";
/// What the pod, or Prow in its place, stored at the end.
pub const FINISHED: &str = "finished.json";

#[derive(Debug, Deserialize)]
struct Finished {
    /// Seconds since the epoch.
    timestamp: Option<i64>,
}

/// The run that a stored ProwJob tells of.
pub fn run(prowjob: &[u8], source: Source, seen_at: Timestamp) -> Result<Observation, ParseError> {
    parse::observation(prowjob, source, seen_at)
}

/// The same when somebody else says that it has ended: the stored ProwJob may be of a moment before. `None` when it
/// is of another run.
pub fn ended(
    mut stored: Observation,
    told: &Observation,
    finished: Option<&[u8]>,
) -> Option<Observation> {
    let is_same =
        stored.job == told.job && (stored.build_id.is_none() || stored.build_id == told.build_id);
    if !is_same {
        return None;
    }
    stored.build_id.clone_from(&told.build_id);
    if !stored.is_finished() {
        let at = finished.and_then(|json| serde_json::from_slice::<Finished>(json).ok());
        let at = at.and_then(|finished| Timestamp::from_second(finished.timestamp?).ok());
        stored.state = told.state.clone();
        stored.completed_at = at.map(|at| at.min(told.seen_at)).or(told.completed_at);
        stored.description.clone_from(&told.description);
        stored.url = stored.url.or_else(|| told.url.clone());
    }
    Some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::prow::Job;

    #[test]
    fn a_stored_prowjob_of_a_moment_before_is_ended_by_who_tells_of_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let job = Job::new(
            "s3-controller",
            "s3-post-submit",
            "v1.2.3",
            at("2026-08-20T09:00:00Z"),
        );
        let read = |job: &Job| {
            let json = job.to_json().to_string();
            run(json.as_bytes(), Source::Pubsub, at("2026-08-20T10:00:00Z")).unwrap()
        };
        let told = read(&job.clone().ended(
            "failure",
            "Job failed.",
            Some(at("2026-08-20T09:59:00Z")),
        ));
        let pending = read(&job.clone().ended("pending", "Job started.", None));
        let finished = br#"{"timestamp":1787219880,"passed":false,"result":"FAILURE"}"#;
        let known = ended(pending.clone(), &told, Some(finished)).unwrap();
        assert_eq!(
            (known.state, known.completed_at),
            (told.state.clone(), Some(at("2026-08-20T09:58:00Z")))
        );
        let known = ended(pending.clone(), &told, Some(b"{}")).unwrap();
        assert_eq!(known.completed_at, told.completed_at);
        // A ProwJob that has ended says best how.
        let passed = read(&job);
        assert_eq!(ended(passed.clone(), &told, None), Some(passed));
        let other = Observation {
            job: "other".to_owned(),
            ..pending
        };
        assert_eq!(ended(other, &told, None), None);
    }
}
