//! Messages of Prow's Pub/Sub reporter, as Google pushes them: what they say of a run, and where its files are.

mod place;
#[cfg(test)]
mod tests;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::parse::{
    ParseError,
    raw::{First, Maybe, Refs, Text},
    time,
};
use crate::domain::{
    location::Location,
    observation::{Artifacts, Observation, RunName, Source},
    prowjob::{JobType, State},
};

/// Names that are longer are none of Prow's.
const LONGEST_NAME: usize = 253;
/// The reporter tries again within so many seconds.
const REPEATED_WITHIN_S: i64 = 600;

/// Why a push is not one that Google makes.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] ParseError),
    /// `message.data` is not what it has to be.
    #[error("message.data is not base64")]
    Base64,
}

/// One pushed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What the publisher sent.
    pub data: Vec<u8>,
    /// The message's number, the same when it is delivered again; `None` when the push carries no envelope.
    pub id: Option<String>,
    /// When it was published.
    pub published_at: Option<Timestamp>,
}

/// The envelope (<https://cloud.google.com/pubsub/docs/push#receive_push>).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    message: Maybe<Message<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow, rename = "messageId")]
    id: Text<'a>,
    #[serde(borrow, rename = "message_id")]
    old_id: Text<'a>,
    #[serde(borrow, rename = "publishTime")]
    published: Text<'a>,
    #[serde(borrow, rename = "publish_time")]
    old_published: Text<'a>,
}

impl Push {
    /// Reads a push. Without an envelope around it (payload unwrapping) the body is the data itself; the reporter's
    /// own `message` is a text and no envelope.
    pub fn read(body: &[u8]) -> Result<Self, PushError> {
        let envelope: Maybe<Envelope<'_>> =
            serde_json::from_slice(body).map_err(ParseError::json)?;
        let Some(message) = envelope.0.and_then(|envelope| envelope.message.0) else {
            return Ok(Self {
                data: body.to_vec(),
                id: None,
                published_at: None,
            });
        };
        let data = message.data.get().unwrap_or_default();
        Ok(Self {
            data: BASE64_STANDARD
                .decode(data)
                .map_err(|_| PushError::Base64)?,
            id: message.id.owned().or_else(|| message.old_id.owned()),
            published_at: time(&message.published).or_else(|| time(&message.old_published)),
        })
    }
}

/// What the reporter says of a run
/// (<https://github.com/kubernetes-sigs/prow/blob/main/pkg/crier/reporters/pubsub/reporter.go>).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    gcs_path: Text<'a>,
    #[serde(borrow)]
    refs: First<Refs<'a>>,
    #[serde(borrow)]
    job_type: Text<'a>,
    #[serde(borrow)]
    job_name: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
}

/// The run that a push tells of, as far as it does: it names no ProwJob and no times. The error says why there is
/// none in it.
pub fn observation(push: &Push, seen_at: Timestamp) -> Result<Observation, &'static str> {
    let report: Maybe<Report<'_>> =
        serde_json::from_slice(&push.data).map_err(|_| "its data is not JSON")?;
    let report = report.0.ok_or("its data is not an object")?;
    let state = report.status.get().ok_or("it tells no status")?;
    let job = name(&report.job_name).ok_or("it names no job")?;
    let url = report.url.get().filter(|url| is_web(url));
    let texts = [report.gcs_path.get(), report.url.get()];
    let folder = texts
        .into_iter()
        .flatten()
        .find_map(|text| place::repaired(text, &job));
    let build_id = folder
        .as_ref()
        .and_then(|folder| folder.path.rsplit('/').next())
        .or_else(|| url.and_then(|url| place::build_in_page(url, &job)))
        .map(str::to_owned);
    let job_type = match report.job_type.get() {
        Some(word) => JobType::parse(word),
        None => JobType::Other("unknown".to_owned()),
    };
    let told = push.published_at.map_or(seen_at, |at| at.min(seen_at));
    let state = State::parse(state);
    let name = match (&build_id, &push.id) {
        (Some(build), _) => format!("pubsub:{job}/{build}"),
        (None, Some(id)) => format!("pubsub:{job}@{id}"),
        (None, None) => format!("pubsub:{job}@{}", told.as_millisecond()),
    };
    Ok(Observation {
        run: RunName(name),
        source: Source::Pubsub,
        seen_at,
        agent: String::new(),
        cluster: "default".to_owned(),
        // Of periodics the first refs are extra ones: inputs, not owners.
        refs: (report.refs.0)
            .filter(|_| job_type != JobType::Periodic)
            .and_then(Refs::checked),
        completed_at: Some(told).filter(|_| state.is_final()),
        description: report.message.owned().unwrap_or_default(),
        url: url.map(str::to_owned),
        build_id,
        started_at: None,
        pending_at: None,
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        commit: None,
        artifacts: Artifacts {
            folder: folder.as_ref().map(Location::to_string),
            ..Artifacts::default()
        },
        inferred: true,
        initial: false,
        missed_since: None,
        provisional: false,
        log_tail: None,
        job_type,
        job,
        state,
    })
}

/// By what a repetition under another number is known: all that the publisher said, and about when. `None` when
/// nobody says when.
pub fn content(push: &Push) -> Option<String> {
    let about = push.published_at?.as_second().div_euclid(REPEATED_WITHIN_S);
    Some(format!(
        "{} {about}",
        hex::encode(Sha256::digest(&push.data))
    ))
}

fn name(text: &Text<'_>) -> Option<String> {
    let name = text.get()?;
    (!name.is_empty() && name.len() <= LONGEST_NAME).then(|| name.to_owned())
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}
