//! ProwJobs in YAML, as deck's `/prowjob` and people write them. Scalars stay as written: an unquoted
//! `1.10` is a branch and `12e4567` a commit, never a number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ParseError, document::Place};

/// What we read of a document; other fields are skipped.
#[derive(Deserialize, Serialize)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<Option<Job>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Job>,
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize, Serialize)]
struct Job {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    creation_timestamp: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize, Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are Prow's")]
struct Spec {
    r#type: Option<String>,
    agent: Option<String>,
    cluster: Option<String>,
    job: Option<String>,
    refs: Option<Refs>,
    namespace: Option<String>,
    pod_spec: Option<PodSpec>,
    decoration_config: Option<Decoration>,
}

#[derive(Deserialize, Serialize)]
struct PodSpec {
    containers: Option<Vec<Option<Container>>>,
}

#[derive(Deserialize, Serialize)]
struct Container {
    name: Option<String>,
    image: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Decoration {
    gcs_configuration: Option<Gcs>,
}

#[derive(Deserialize, Serialize)]
struct Gcs {
    bucket: Option<String>,
    path_prefix: Option<String>,
    path_strategy: Option<String>,
    default_org: Option<String>,
    default_repo: Option<String>,
    job_url_prefix: Option<String>,
    local_output_dir: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Refs {
    org: Option<String>,
    repo: Option<String>,
    repo_link: Option<String>,
    base_ref: Option<String>,
    base_sha: Option<String>,
    base_link: Option<String>,
    pulls: Option<Vec<Option<Pull>>>,
}

#[derive(Deserialize, Serialize)]
struct Pull {
    number: Option<String>,
    author: Option<String>,
    sha: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Status {
    #[serde(rename = "startTime")]
    start_time: Option<String>,
    #[serde(rename = "pendingTime")]
    pending_time: Option<String>,
    #[serde(rename = "completionTime")]
    completion_time: Option<String>,
    state: Option<String>,
    description: Option<String>,
    url: Option<String>,
    build_id: Option<String>,
}

/// Calls `each` with every document of a YAML text, as JSON; empty documents are passed over.
pub(super) fn documents(
    bytes: &[u8],
    each: &mut impl FnMut(Place, Result<Vec<u8>, ParseError>),
) -> Result<(), ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| yaml_error(error.to_string()))?;
    for (number, text) in split(text).into_iter().enumerate() {
        each(Place::in_document(number), to_json(&text));
    }
    Ok(())
}

/// Cuts at the `---` and `...` lines, which at the start of a line can be nothing else.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        let rest = line
            .strip_prefix("---")
            .or_else(|| line.strip_prefix("..."))
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if rest.is_some() {
            documents.push(String::new());
        }
        if let Some(document) = documents.last_mut() {
            document.push_str(rest.unwrap_or(line));
            document.push('\n');
        }
    }
    documents.retain(|document| !is_blank(document));
    documents
}

fn is_blank(document: &str) -> bool {
    document
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

fn to_json(text: &str) -> Result<Vec<u8>, ParseError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document: Document = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| yaml_error(error.to_string()))?;
    serde_json::to_vec(&document).map_err(ParseError::json)
}

fn yaml_error(reason: String) -> ParseError {
    ParseError::Yaml {
        place: String::new(),
        reason,
    }
}
