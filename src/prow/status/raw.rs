//! The JSON of a `status` event, read as tolerantly as ProwJobs are.

use serde::Deserialize;

use super::Status;
use crate::{
    domain::{observation::Commit, prowjob::State},
    prow::parse::{
        ParseError,
        raw::{Maybe, Text},
        time,
    },
};

/// Prow pads descriptions with this so that GitHub's page hides what follows.
const PADDING: char = '\u{2001}';

/// What precedes the base commit in a description, in any case.
const BASE_SHA: &str = "basesha:";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(borrow)]
    sha: Text<'a>,
    #[serde(borrow)]
    target_url: Text<'a>,
    #[serde(borrow)]
    context: Text<'a>,
    #[serde(borrow)]
    description: Text<'a>,
    #[serde(borrow)]
    state: Text<'a>,
    #[serde(borrow)]
    updated_at: Text<'a>,
    #[serde(borrow)]
    commit: Maybe<CommitInfo<'a>>,
    #[serde(borrow)]
    repository: Maybe<Repository<'a>>,
    #[serde(borrow)]
    branches: Option<&'a serde_json::value::RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommitInfo<'a> {
    #[serde(borrow)]
    commit: Maybe<GitCommit<'a>>,
    #[serde(borrow)]
    author: Maybe<Person<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GitCommit<'a> {
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow)]
    author: Maybe<Person<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Person<'a> {
    #[serde(borrow)]
    login: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository<'a> {
    #[serde(borrow)]
    full_name: Text<'a>,
    #[serde(borrow)]
    html_url: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Branch<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

pub(super) fn status(body: &[u8]) -> Result<Status, ParseError> {
    let event: Maybe<Event<'_>> = serde_json::from_slice(body).map_err(ParseError::json)?;
    let event = event.0.ok_or(ParseError::NotAnObject {
        place: String::new(),
    })?;
    let repository = event.repository.0.unwrap_or_default();
    let (org, repo) = repository
        .full_name
        .get()
        .and_then(|name| name.split_once('/'))
        .ok_or(missing("repository.full_name"))?;
    let (description, base_sha) = trimmed(event.description.get().unwrap_or_default());
    Ok(Status {
        org: org.to_owned(),
        repo: repo.to_owned(),
        repo_link: repository.html_url.get().map(str::to_owned),
        context: event.context.owned().ok_or(missing("context"))?,
        state: State::parse(event.state.get().ok_or(missing("state"))?),
        sha: event.sha.owned().ok_or(missing("sha"))?,
        description: description.to_owned(),
        base_sha: base_sha.map(str::to_owned),
        target_url: event.target_url.owned().unwrap_or_default(),
        branches: event
            .branches
            .map(|raw| branches(raw.get()))
            .unwrap_or_default(),
        updated_at: time(&event.updated_at),
        commit: event.commit.0.and_then(commit),
    })
}

fn missing(field: &'static str) -> ParseError {
    ParseError::Missing {
        place: String::new(),
        field,
    }
}

fn branches(json: &str) -> Vec<String> {
    let branches: Vec<Maybe<Branch<'_>>> = serde_json::from_str(json).unwrap_or_default();
    branches
        .into_iter()
        .filter_map(|branch| branch.0?.name.owned())
        .collect()
}

fn commit(info: CommitInfo<'_>) -> Option<Commit> {
    let git = info.commit.0.unwrap_or_default();
    let author = info
        .author
        .0
        .and_then(|person| person.login.owned())
        .or_else(|| git.author.0.and_then(|person| person.name.owned()))
        .unwrap_or_default();
    let title = git.message.get().and_then(|text| text.lines().next());
    let title = title.unwrap_or_default().to_owned();
    (!author.is_empty() || !title.is_empty()).then_some(Commit { author, title })
}

/// Splits a description into what is meant for people and the base commit after it.
fn trimmed(description: &str) -> (&str, Option<&str>) {
    let blank = |c: char| c == PADDING || c.is_whitespace();
    // Lower case in ASCII keeps every byte in its place.
    let at = description.to_ascii_lowercase().rfind(BASE_SHA);
    let parts = at.and_then(|at| description.split_at_checked(at));
    if let Some((text, rest)) = parts {
        let sha = rest
            .get(BASE_SHA.len()..)
            .unwrap_or_default()
            .trim_matches(blank);
        let is_suffix = text.is_empty() || text.ends_with(blank);
        if is_suffix && sha.len() >= 7 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return (text.trim_matches(blank), Some(sha));
        }
    }
    (description.trim_matches(blank), None)
}
