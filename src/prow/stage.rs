//! What a command inside a job reports of its failure, before Prow knows of it: the body of `POST /hooks/stage`,
//! written by `exec` and read by the daemon.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    deck::DeckUrl,
    parse::{
        ParseError,
        raw::{First, Maybe, Refs, Text},
        time,
    },
};
use crate::domain::{
    classify::annotation,
    observation::{Artifacts, Observation, RunName, Source},
    prowjob::{JobType, State},
};

/// Longest log tail of a report, in bytes.
pub const LONGEST_TAIL: usize = 64 << 10;
/// Longest description that is kept, in characters.
const LONGEST_WHAT: usize = 500;
/// Longest of the names, in bytes.
const LONGEST_NAME: usize = 253;

/// A report as it is sent. Texts may be empty where nothing is known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Random and the same for every attempt to send it; names the run when nothing else does.
    pub id: String,
    /// The stage that failed.
    pub stage: String,
    /// The service it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What is known of the run.
    #[serde(flatten)]
    pub job: JobSpec,
    /// The command line.
    pub command: String,
    /// What became of it, for people.
    pub what: String,
    /// Its exit code, as a shell tells it.
    pub exit_code: u8,
    /// The signal that it died of, such as `SIGKILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The end of what it printed, at most [`LONGEST_TAIL`]; empty when it printed to a terminal.
    pub log_tail: String,
}

/// What Prow tells the processes of a run about it: `JOB_SPEC`, or the single variables
/// (<https://docs.prow.k8s.io/docs/jobs/#job-environment-variables>).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    /// `metadata.name` of the ProwJob.
    #[serde(rename(deserialize = "prowjobid"))]
    pub run: String,
    /// Build id.
    #[serde(rename(deserialize = "buildid"))]
    pub build_id: String,
    /// Name of the job.
    pub job: String,
    /// Type of the job.
    #[serde(rename = "type")]
    pub job_type: String,
    /// Prow's agent.
    pub agent: String,
    /// The code under test, as Prow writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refs: Option<Value>,
    /// Code that is checked out beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_refs: Vec<Value>,
}

impl JobSpec {
    /// Reads it from a job's environment. What is not there stays empty.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let get = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let mut spec: Self = serde_json::from_str(&get("JOB_SPEC")).unwrap_or_default();
        for (field, name) in [
            (&mut spec.run, "PROW_JOB_ID"),
            (&mut spec.build_id, "BUILD_ID"),
            (&mut spec.job, "JOB_NAME"),
            (&mut spec.job_type, "JOB_TYPE"),
        ] {
            if field.is_empty() {
                *field = get(name);
            }
        }
        if spec.refs.is_none() && !get("REPO_OWNER").is_empty() {
            spec.refs = Some(refs(&get));
        }
        spec
    }
}

fn refs(get: &impl Fn(&str) -> String) -> Value {
    let mut refs = serde_json::json!({
        "org": get("REPO_OWNER"),
        "repo": get("REPO_NAME"),
        "base_ref": get("PULL_BASE_REF"),
        "base_sha": get("PULL_BASE_SHA"),
    });
    if let (Ok(number), Some(refs)) = (get("PULL_NUMBER").parse::<u64>(), refs.as_object_mut()) {
        let pull = serde_json::json!({ "number": number, "sha": get("PULL_PULL_SHA") });
        refs.insert("pulls".to_owned(), Value::Array(vec![pull]));
    }
    refs
}

/// A report as it comes in, of which nothing is sure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    stage: Text<'a>,
    #[serde(borrow)]
    service: Text<'a>,
    #[serde(borrow)]
    run: Text<'a>,
    #[serde(borrow)]
    build_id: Text<'a>,
    #[serde(borrow)]
    job: Text<'a>,
    #[serde(borrow, rename = "type")]
    job_type: Text<'a>,
    #[serde(borrow)]
    agent: Text<'a>,
    #[serde(borrow)]
    refs: Maybe<Refs<'a>>,
    #[serde(borrow)]
    extra_refs: First<Refs<'a>>,
    #[serde(borrow)]
    what: Text<'a>,
    #[serde(borrow)]
    started_at: Text<'a>,
    #[serde(borrow)]
    finished_at: Text<'a>,
    #[serde(borrow)]
    log_tail: Text<'a>,
}

/// Why a report says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or no object.
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// Without this nothing can be told.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Longer than any that Kubernetes or Prow allows.
    #[error("{0} is longer than {LONGEST_NAME} bytes")]
    TooLong(&'static str),
}

/// Reads a report as a sighting of its run: it failed, unless Prow says otherwise in the end.
pub fn report(
    body: &[u8],
    deck: Option<&DeckUrl>,
    seen_at: Timestamp,
) -> Result<Observation, ReportError> {
    let report: Maybe<Incoming<'_>> = serde_json::from_slice(body).map_err(ParseError::json)?;
    let report = report.0.ok_or(ReportError::Missing("the report"))?;
    for (name, text) in [
        ("id", &report.id),
        ("stage", &report.stage),
        ("service", &report.service),
        ("run", &report.run),
        ("build_id", &report.build_id),
        ("job", &report.job),
        ("type", &report.job_type),
    ] {
        if text.get().is_some_and(|text| text.len() > LONGEST_NAME) {
            return Err(ReportError::TooLong(name));
        }
    }
    report.observation(deck, seen_at)
}

impl Incoming<'_> {
    fn observation(
        self,
        deck: Option<&DeckUrl>,
        seen_at: Timestamp,
    ) -> Result<Observation, ReportError> {
        let id = given(self.id).ok_or(ReportError::Missing("id"))?;
        let stage = given(self.stage).ok_or(ReportError::Missing("stage"))?;
        let refs = self.refs.0.and_then(Refs::checked);
        let run = given(self.run);
        let build_id = given(self.build_id);
        let job = given(self.job);
        let page = deck.zip(job.as_ref()).zip(build_id.as_ref());
        let job_type = given(self.job_type).map_or_else(
            || match refs {
                Some(_) => JobType::Postsubmit,
                None => JobType::Periodic,
            },
            |word| JobType::parse(&word),
        );
        let annotations = [
            (annotation::STAGE, Some(stage.clone())),
            (annotation::SERVICE, given(self.service)),
        ];
        Ok(Observation {
            inferred: run.is_none(),
            run: RunName(run.unwrap_or_else(|| format!("exec:{id}"))),
            source: Source::Exec,
            seen_at,
            job_type,
            url: page.map(|((deck, job), build)| deck.run(job, build).to_string()),
            job: job.unwrap_or(stage),
            agent: given(self.agent).unwrap_or_default(),
            cluster: "default".to_owned(),
            refs,
            state: State::Failure,
            description: given(self.what)
                .map(|what| what.chars().take(LONGEST_WHAT).collect())
                .unwrap_or_default(),
            build_id,
            started_at: time(&self.started_at),
            // A node whose clock is fast must not tell of the future.
            pending_at: None,
            completed_at: Some(time(&self.finished_at).map_or(seen_at, |at| at.min(seen_at))),
            labels: BTreeMap::new(),
            annotations: annotations
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?)))
                .collect(),
            commit: None,
            artifacts: Artifacts::default(),
            initial: false,
            missed_since: None,
            provisional: true,
            log_tail: given(self.log_tail).map(|tail| end_of(&tail, LONGEST_TAIL).to_owned()),
        })
    }
}

fn given(text: Text<'_>) -> Option<String> {
    text.owned().filter(|text| !text.is_empty())
}

/// The end of a text, at most so many bytes.
pub fn end_of(text: &str, longest: usize) -> &str {
    let mut from = text.len().saturating_sub(longest);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = r#"{"type":"postsubmit","job":"s3-post-submit","buildid":"42","prowjobid":"a-run",
        "refs":{"org":"my-org","repo":"s3-controller","repo_link":"https://github.com/my-org/s3-controller",
                "base_ref":"v1.2.3","base_sha":"0011","pulls":[{"number":7,"author":"me","sha":"22"}]},
        "agent":"kubernetes","decoration_config":{"timeout":"2h0m0s"}}"#;

    fn now() -> Timestamp {
        "2026-08-20T10:00:00Z".parse().unwrap()
    }

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    fn sent(report: &Report) -> Observation {
        let deck = "https://prow.example.org".parse().unwrap();
        let body = serde_json::to_vec(report).unwrap();
        super::report(&body, Some(&deck), now()).unwrap()
    }

    #[test]
    fn a_report_is_a_sighting_of_the_run_that_prow_names() {
        let report = Report {
            id: "1".to_owned(),
            stage: "build-image".to_owned(),
            service: Some("s3".to_owned()),
            job: JobSpec::from_environment(&environment(&[("JOB_SPEC", SPEC)])),
            what: "exit code 2: make".to_owned(),
            finished_at: Some("2026-08-20T09:59:59Z".parse().unwrap()),
            log_tail: "boom\n".to_owned(),
            ..Report::default()
        };
        let run = sent(&report);
        assert_eq!((run.run.0.as_str(), run.inferred), ("a-run", false));
        assert_eq!(run.completed_at, report.finished_at);
        assert_eq!((run.org(), run.repo()), ("my-org", "s3-controller"));
        assert_eq!((run.base_ref(), run.base_sha()), ("v1.2.3", Some("0011")));
        assert_eq!(run.refs.unwrap().pull.unwrap().number, 7);
        assert_eq!(run.job_type, JobType::Postsubmit);
        assert_eq!(run.annotations["prow-notifier.io/stage"], "build-image");
        assert_eq!(run.annotations["prow-notifier.io/service"], "s3");
        assert_eq!(run.description, "exit code 2: make");
        assert_eq!(run.log_tail.as_deref(), Some("boom\n"));
        let page = "https://prow.example.org/view/prowjob/s3-post-submit/42";
        assert_eq!(run.url.as_deref(), Some(page));
        assert!(run.provisional);
    }

    #[test]
    fn without_a_job_spec_the_single_variables_are_read() {
        let spec = JobSpec::from_environment(&environment(&[
            ("JOB_SPEC", "not json"),
            ("PROW_JOB_ID", "a-run"),
            ("BUILD_ID", "42"),
            ("JOB_NAME", "a-job"),
            ("JOB_TYPE", "presubmit"),
            ("REPO_OWNER", "my-org"),
            ("REPO_NAME", "my-repo"),
            ("PULL_BASE_REF", "main"),
            ("PULL_NUMBER", "7"),
            ("PULL_PULL_SHA", "22"),
        ]));
        let run = sent(&Report {
            id: "1".to_owned(),
            stage: "test".to_owned(),
            job: spec,
            ..Report::default()
        });
        assert_eq!((run.run.0.as_str(), run.job.as_str()), ("a-run", "a-job"));
        assert_eq!(run.job_type, JobType::Presubmit);
        assert_eq!((run.org(), run.base_ref()), ("my-org", "main"));
        assert_eq!(run.refs.unwrap().pull.unwrap().sha, "22");
    }

    #[test]
    fn a_report_from_nowhere_goes_by_its_own_id() {
        let run = sent(&Report {
            id: "1".to_owned(),
            stage: "publish".to_owned(),
            finished_at: Some("2099-01-01T00:00:00Z".parse().unwrap()),
            ..Report::default()
        });
        assert_eq!((run.run.0.as_str(), run.inferred), ("exec:1", true));
        assert_eq!(run.job, "publish");
        assert_eq!(run.completed_at, Some(now()));
    }

    #[test]
    fn what_is_no_report_is_refused_and_what_is_too_long_is_cut() {
        let long = format!(r#"{{"id":"1","stage":"{}"}}"#, "a".repeat(254));
        for wrong in [
            "",
            "{",
            "[]",
            "null",
            "{}",
            r#"{"id":"1"}"#,
            r#"{"id":"1","stage":""}"#,
            &long,
        ] {
            assert!(report(wrong.as_bytes(), None, now()).is_err(), "{wrong}");
        }
        let run = sent(&Report {
            id: "1".to_owned(),
            stage: "test".to_owned(),
            what: "é".repeat(1000),
            log_tail: "é".repeat(LONGEST_TAIL),
            ..Report::default()
        });
        assert_eq!(run.description.chars().count(), LONGEST_WHAT);
        assert_eq!(run.log_tail.unwrap().len(), LONGEST_TAIL);
        assert_eq!(end_of("aé", 1), "");
    }
}
