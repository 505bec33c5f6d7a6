//! ProwJob JSON to [`Observation`], as tolerantly as Prow's many versions and writers ask for. Only the
//! run's name, job name and job type are required; whatever else is odd counts as absent.

mod artifacts;
mod document;
pub(crate) mod raw;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub(crate) use document::Element;
pub use document::{Parsed, Parts, document};

use crate::domain::{
    observation::{Observation, RunName, Source},
    prowjob::{JobType, Pull, Refs, State},
};

/// Longest object name that Kubernetes allows, in bytes.
const MAX_NAME: usize = 253;

/// Why something is not a ProwJob. The text says where and repeats none of what came.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Nothing came.
    #[error("nothing to read: expected a ProwJob, a list of them or a watch event")]
    Empty,
    /// A page for people came.
    #[error("an HTML page, not ProwJobs: a login page or a failing proxy may stand in between")]
    Html,
    /// Not JSON, or JSON of an impossible shape.
    #[error("{place}not readable as a ProwJob: {source}")]
    Json {
        /// Path of the element and a colon, or nothing.
        place: String,
        /// What `serde_json` says; it names line and column.
        source: serde_json::Error,
    },
    /// Not YAML, or YAML of an impossible shape.
    #[error("{place}not readable as a ProwJob in YAML: {reason}")]
    Yaml {
        /// Number of the document and a colon, or nothing.
        place: String,
        /// What the YAML reader says; it names line and column.
        reason: String,
    },
    /// The element is a text, a number or a list.
    #[error("{place}expected a ProwJob, which is an object")]
    NotAnObject {
        /// Path of the element and a colon, or nothing.
        place: String,
    },
    /// A field that nothing can be done without.
    #[error("{place}{field} is missing")]
    Missing {
        /// Path of the element with a dot, or nothing.
        place: String,
        /// Path of the field within it.
        field: &'static str,
    },
    /// A name that no Kubernetes object can have.
    #[error("{place}metadata.name is longer than the {MAX_NAME} bytes that Kubernetes allows")]
    LongName {
        /// Path of the element with a dot, or nothing.
        place: String,
    },
    /// More elements than the bytes can hold of them.
    #[error("more elements than there can be ProwJobs in a body of this length")]
    Crowded,
    /// Longer than etcd takes, so not from Kubernetes.
    #[error("{place}longer than 4 MiB, which no ProwJob is")]
    TooLong {
        /// Path of the element and a colon, or nothing.
        place: String,
    },
    /// A watch event whose type Kubernetes does not have.
    #[error(
        "{place}type is no watch event type: expected ADDED, MODIFIED, DELETED, BOOKMARK or ERROR"
    )]
    UnknownEvent {
        /// Path of the element with a dot, or nothing.
        place: String,
    },
}

impl ParseError {
    /// The same error, further out: `place` goes before the path it has.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        match &mut self {
            Self::Empty | Self::Html | Self::Crowded => {}
            Self::Missing { place, .. }
            | Self::LongName { place }
            | Self::UnknownEvent { place } => {
                if !outer.is_empty() {
                    *place = format!("{outer}.{place}");
                }
            }
            Self::Json { place, .. }
            | Self::Yaml { place, .. }
            | Self::NotAnObject { place }
            | Self::TooLong { place } => {
                if !outer.is_empty() {
                    *place = format!("{outer}: {place}");
                }
            }
        }
        self
    }

    pub(crate) fn json(source: serde_json::Error) -> Self {
        Self::Json {
            place: String::new(),
            source,
        }
    }
}

/// Reads one ProwJob.
pub fn observation(
    json: &[u8],
    source: Source,
    seen_at: Timestamp,
) -> Result<Observation, ParseError> {
    let job: raw::Maybe<raw::ProwJob<'_>> =
        serde_json::from_slice(json).map_err(ParseError::json)?;
    let job = job.0.ok_or(ParseError::NotAnObject {
        place: String::new(),
    })?;
    job.observation(source, seen_at)
}

/// Reads a ProwJob that begins at the start of `bytes`, and tells how many of them it takes. `None` when
/// it is not whole or not readable.
pub(crate) fn leading(
    bytes: &[u8],
    source: Source,
    seen_at: Timestamp,
) -> Option<(Result<Observation, ParseError>, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<raw::ProwJob<'_>>();
    let job = stream.next()?.ok()?;
    Some((job.observation(source, seen_at), stream.byte_offset()))
}

impl raw::ProwJob<'_> {
    /// Checks what is required and takes over the rest.
    fn observation(self, source: Source, seen_at: Timestamp) -> Result<Observation, ParseError> {
        let missing = |field| ParseError::Missing {
            place: String::new(),
            field,
        };
        let metadata = self.metadata.0.unwrap_or_default();
        let spec = self.spec.0.unwrap_or_default();
        let status = self.status.0.unwrap_or_default();
        let name = metadata.name.owned().ok_or(missing("metadata.name"))?;
        if name.len() > MAX_NAME {
            return Err(ParseError::LongName {
                place: String::new(),
            });
        }
        let artifacts = artifacts::read(spec.namespace, spec.pod_spec, spec.decoration_config);
        Ok(Observation {
            run: RunName(name),
            source,
            seen_at,
            job: spec.job.owned().ok_or(missing("spec.job"))?,
            job_type: JobType::parse(spec.r#type.get().ok_or(missing("spec.type"))?),
            agent: spec.agent.owned().unwrap_or_default(),
            cluster: spec.cluster.owned().unwrap_or_else(|| "default".to_owned()),
            refs: spec.refs.0.and_then(raw::Refs::checked),
            state: State::parse(status.state.get().unwrap_or_default()),
            description: status.description.owned().unwrap_or_default(),
            url: status.url.owned(),
            build_id: status.build_id.owned(),
            started_at: time(&status.start_time).or_else(|| time(&metadata.creation_timestamp)),
            pending_at: time(&status.pending_time),
            completed_at: time(&status.completion_time),
            labels: texts(metadata.labels),
            annotations: texts(metadata.annotations),
            commit: None,
            inferred: false,
            artifacts,
            initial: false,
            missed_since: None,
            provisional: false,
            log_tail: None,
        })
    }
}

impl raw::Refs<'_> {
    /// The refs, unless they name no repository (deck prints empty ones for periodics).
    pub(crate) fn checked(self) -> Option<Refs> {
        if self.org.get().is_none() && self.repo.get().is_none() {
            return None;
        }
        Some(Refs {
            org: self.org.owned().unwrap_or_default(),
            repo: self.repo.owned().unwrap_or_default(),
            repo_link: self.repo_link.owned(),
            base_ref: self.base_ref.owned().unwrap_or_default(),
            base_sha: self.base_sha.owned(),
            base_link: self.base_link.owned(),
            pull: self.pulls.0.and_then(raw::Pull::checked),
        })
    }
}

impl raw::Pull<'_> {
    fn checked(self) -> Option<Pull> {
        Some(Pull {
            number: self.number.get()?.parse().ok()?,
            author: self.author.owned().unwrap_or_default(),
            sha: self.sha.owned().unwrap_or_default(),
        })
    }
}

/// Reads an RFC 3339 time. Go's zero time (year 1) and anything else before 1970 count as absent.
pub(crate) fn time(text: &raw::Text<'_>) -> Option<Timestamp> {
    let time: Timestamp = text.get()?.parse().ok()?;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

fn texts(entries: raw::Maybe<raw::Entries<'_>>) -> BTreeMap<String, String> {
    let entries = entries.0.unwrap_or_default();
    entries
        .0
        .into_iter()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}
