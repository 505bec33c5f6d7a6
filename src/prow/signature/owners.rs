//! Whose word a body is, before it may be believed: the org and repo of everything in it, and nothing else.

use std::{borrow::Cow, collections::BTreeSet};

use serde::Deserialize;

use crate::prow::parse::{
    Element, ParseError, Parts,
    raw::{First, Maybe, Text},
};

/// The (org, repo) pairs that a body speaks of; a repo may be empty. None at all, and only `*` may sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryKeys(pub BTreeSet<(String, String)>);

/// The body cannot be read as far as its owners.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell whose body it is: {0}")]
pub struct OwnersError(String);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owned<'a> {
    #[serde(borrow)]
    metadata: Maybe<Metadata<'a>>,
    #[serde(borrow)]
    spec: Maybe<Spec<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata<'a> {
    #[serde(borrow)]
    labels: Maybe<Labels<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels<'a> {
    #[serde(borrow, rename = "prow.k8s.io/refs.org")]
    org: Text<'a>,
    #[serde(borrow, rename = "prow.k8s.io/refs.repo")]
    repo: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec<'a> {
    #[serde(borrow)]
    refs: Maybe<Refs<'a>>,
    #[serde(borrow)]
    extra_refs: First<Refs<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Refs<'a> {
    #[serde(borrow)]
    org: Text<'a>,
    #[serde(borrow)]
    repo: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GithubEvent<'a> {
    #[serde(borrow)]
    repository: Maybe<Repository<'a>>,
    #[serde(borrow)]
    organization: Maybe<Organization<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Repository<'a> {
    #[serde(borrow)]
    full_name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Organization<'a> {
    #[serde(borrow)]
    login: Text<'a>,
}

/// The owners of a body of ProwJobs: of each its refs, else its first extra ref, else its labels.
pub fn repositories(body: &Parts<'_>) -> Result<RepositoryKeys, OwnersError> {
    let mut owners = BTreeSet::new();
    for (_, element) in &body.elements {
        match element {
            Ok(Element::List) => {}
            Ok(Element::Present(json) | Element::Gone(json)) => owners.extend(owner(json)?),
            Err(error) => return Err(OwnersError(error.to_string())),
        }
    }
    Ok(RepositoryKeys(owners))
}

fn owner(json: &[u8]) -> Result<Option<(String, String)>, OwnersError> {
    let job: Maybe<Owned<'_>> = serde_json::from_slice(json).map_err(unreadable)?;
    let job = job.0.unwrap_or_default();
    let spec = job.spec.0.unwrap_or_default();
    let labels = job
        .metadata
        .0
        .and_then(|metadata| metadata.labels.0)
        .unwrap_or_default();
    Ok(spec
        .refs
        .0
        .and_then(Refs::pair)
        .or_else(|| spec.extra_refs.0.and_then(Refs::pair))
        .or_else(|| pair(labels.org, labels.repo)))
}

fn unreadable(error: serde_json::Error) -> OwnersError {
    OwnersError(ParseError::json(error).to_string())
}

impl Refs<'_> {
    fn pair(self) -> Option<(String, String)> {
        pair(self.org, self.repo)
    }
}

fn pair(org: Text<'_>, repo: Text<'_>) -> Option<(String, String)> {
    if org.get().is_none() && repo.get().is_none() {
        return None;
    }
    Some((
        org.owned().unwrap_or_default(),
        repo.owned().unwrap_or_default(),
    ))
}

/// The owner of a report from inside a job: its refs, else its first extra ref.
pub fn stage_repositories(body: &[u8]) -> Result<RepositoryKeys, OwnersError> {
    let report: Maybe<Spec<'_>> = serde_json::from_slice(body).map_err(unreadable)?;
    let report = report.0.unwrap_or_default();
    let refs = report.refs.0.and_then(Refs::pair);
    let owner = refs.or_else(|| report.extra_refs.0.and_then(Refs::pair));
    Ok(RepositoryKeys(owner.into_iter().collect()))
}

/// The owner of a GitHub event: `repository.full_name`, else `organization.login`.
pub fn github_repositories(body: &[u8]) -> Result<RepositoryKeys, OwnersError> {
    let event: Maybe<GithubEvent<'_>> = serde_json::from_slice(body).map_err(unreadable)?;
    let event = event.0.unwrap_or_default();
    let repository = event.repository.0.unwrap_or_default();
    let organization = event.organization.0.unwrap_or_default();
    let owner: Option<Cow<'_, str>> = repository
        .full_name
        .get()
        .or(organization.login.get())
        .map(Cow::Borrowed);
    Ok(RepositoryKeys(
        owner
            .map(|owner| {
                let (org, repo) = owner.split_once('/').unwrap_or((&owner, ""));
                (org.to_owned(), repo.to_owned())
            })
            .into_iter()
            .collect(),
    ))
}
