//! Where Prow keeps what a run leaves behind, from the run itself, its page's address or defaults. Paths only:
//! nothing is asked for here.

#[cfg(test)]
mod tests;

use crate::domain::{
    location::{Location, Provider, Refused, Strategy, check_segment},
    observation::{Artifacts, Observation},
    prowjob::{JobType, Refs},
};

/// A bucket and how Prow lays out paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The bucket, and the folder in it under which all paths begin.
    pub root: Location,
    /// How pull requests' folders are made.
    pub strategy: Strategy,
    /// The org that [`Strategy::Legacy`] and [`Strategy::Single`] shorten.
    pub default_org: String,
    /// The repository that they shorten.
    pub default_repo: String,
}

/// Where a run's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a bucket or a folder.
    Stored(Stored),
    /// Only deck may still have the log, of the pod; says why.
    OnlyDeck(String),
    /// Nowhere; says why.
    Nothing(String),
}

/// Files of a run in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The run's folder.
    pub folder: Location,
    /// Its logs.
    pub logs: Logs,
    /// What told.
    pub told_by: ToldBy,
}

/// Names of the logs in a run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logs {
    /// These, in the order of the pod's containers.
    Named(Vec<String>),
    /// [`BUILD_LOG`] with one container, else one that ends with it for each.
    Unnamed,
    /// None; says why.
    None(String),
}

/// What told where files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    /// `decoration_config` of the run, or its own word.
    Run,
    /// `status.url`.
    Url,
    /// Defaults of the configuration.
    Defaults,
}

/// The log of a pod with one container; those of several begin with the container's name and a dash.
pub const BUILD_LOG: &str = "build-log.txt";

/// Finds the place of a run's files: by the run itself, else by the address of its page, else in `fallback`,
/// which the configuration gives for it.
pub fn place(run: &Observation, fallback: Option<&Layout>) -> Place {
    if let Some(place) = other_agent(run) {
        return place;
    }
    place_of_pod(run, fallback).unwrap_or_else(|refused| {
        Place::Nothing(format!("the log cannot be looked for: {refused}"))
    })
}

/// Agents that store no logs as pods do.
fn other_agent(run: &Observation) -> Option<Place> {
    match run.agent.as_str() {
        "" | "kubernetes" => None,
        "jenkins" => Some(Place::OnlyDeck(
            "the job runs on Jenkins, which keeps its log; Prow stores none".to_owned(),
        )),
        "tekton-pipeline" => Some(Place::Nothing(
            "the job is a Tekton pipeline; its steps' logs stay in the cluster, Prow stores none"
                .to_owned(),
        )),
        other => {
            let shown: String = other.chars().filter(|c| !c.is_control()).take(40).collect();
            Some(Place::Nothing(format!(
                "the job is run by the agent {shown}, of which no stored log is known"
            )))
        }
    }
}

fn place_of_pod(run: &Observation, fallback: Option<&Layout>) -> Result<Place, Refused> {
    let logs = logs(&run.artifacts)?;
    let stored = |folder, told_by| {
        let logs = logs.clone();
        Ok(Place::Stored(Stored {
            folder,
            logs,
            told_by,
        }))
    };
    if let Some(folder) = &run.artifacts.folder {
        return stored(Location::parse(folder)?, ToldBy::Run);
    }
    if let Some(folder) = &run.artifacts.local_output_dir {
        return stored(Location::parse(&format!("file://{folder}"))?, ToldBy::Run);
    }
    if let Some(layout) = Layout::of_run(&run.artifacts)?
        && let Some(path) = path(run, &layout)?
    {
        return stored(layout.root.join(&path)?, ToldBy::Run);
    }
    // The pod uploads nothing, but Prow itself does, and not where its page is told to be.
    if run.artifacts.decorated == Some(false)
        && let Some(layout) = fallback
        && let Some(path) = path(run, layout)?
    {
        return stored(layout.root.join(&path)?, ToldBy::Defaults);
    }
    let provider = fallback.map(|layout| layout.root.provider);
    if let Some(folder) = from_url(run, provider)? {
        return stored(folder, ToldBy::Url);
    }
    if let Some(layout) = fallback
        && let Some(path) = path(run, layout)?
    {
        return stored(layout.root.join(&path)?, ToldBy::Defaults);
    }
    Ok(unplaced(run))
}

fn unplaced(run: &Observation) -> Place {
    if run.build_id.is_none() {
        return Place::Nothing("no pod was started, so there is no log".to_owned());
    }
    Place::OnlyDeck(
        "neither the run nor its page nor artifacts.defaults says where its log is stored"
            .to_owned(),
    )
}

fn logs(artifacts: &Artifacts) -> Result<Logs, Refused> {
    if artifacts.decorated == Some(false) {
        return Ok(Logs::None(
            "the job is not decorated, so Prow stores no log of it".to_owned(),
        ));
    }
    if artifacts.decorated.is_none() {
        return Ok(Logs::Unnamed);
    }
    match artifacts.containers.as_slice() {
        [] | [_] => Ok(Logs::Named(vec![BUILD_LOG.to_owned()])),
        several => {
            let name = |container: &String| {
                check_segment("container name", container)?;
                Ok(format!("{container}-{BUILD_LOG}"))
            };
            let names: Result<_, Refused> = several.iter().take(MAX_CONTAINERS).map(name).collect();
            Ok(Logs::Named(names?))
        }
    }
}

/// Containers whose logs are looked at; more are not found in any job.
const MAX_CONTAINERS: usize = 20;

impl Layout {
    /// A bucket in which pull requests' folders always name org and repository.
    pub fn explicit(root: Location) -> Self {
        Self {
            root,
            strategy: Strategy::Explicit,
            default_org: String::new(),
            default_repo: String::new(),
        }
    }

    /// The layout that a run carries itself.
    fn of_run(artifacts: &Artifacts) -> Result<Option<Self>, Refused> {
        let Some(bucket) = &artifacts.bucket else {
            return Ok(None);
        };
        let root = Location::parse(bucket)?;
        let root = match &artifacts.path_prefix {
            Some(prefix) => root.join(prefix)?,
            None => root,
        };
        let strategy = match artifacts.path_strategy.as_deref() {
            None => Strategy::default(),
            Some(word) => Strategy::parse(word).ok_or_else(|| {
                Refused::new("path_strategy", word, "is not explicit, legacy or single")
            })?,
        };
        Ok(Some(Self {
            root,
            strategy,
            default_org: artifacts.default_org.clone().unwrap_or_default(),
            default_repo: artifacts.default_repo.clone().unwrap_or_default(),
        }))
    }

    /// The part of a pull request's path that names org and repository; empty when it is left out.
    fn segment(&self, refs: &Refs) -> String {
        let is_org = refs.org == self.default_org;
        let is_default = is_org && refs.repo == self.default_repo;
        // Gerrit's org is the address of its instance.
        let org = refs.org.strip_prefix("https://").unwrap_or(&refs.org);
        let repo = refs.repo.replace('/', "_");
        match self.strategy {
            Strategy::Legacy | Strategy::Single if is_default => String::new(),
            Strategy::Legacy if is_org => repo,
            Strategy::Explicit | Strategy::Legacy | Strategy::Single => format!("{org}_{repo}"),
        }
    }
}

/// The run's folder below the root; `None` when the run does not say enough.
fn path(run: &Observation, layout: &Layout) -> Result<Option<String>, Refused> {
    let Some(build_id) = &run.build_id else {
        return Ok(None);
    };
    check_segment("job name", &run.job)?;
    check_segment("build id", build_id)?;
    let job = format!("{}/{build_id}", run.job);
    Ok(match &run.job_type {
        JobType::Postsubmit | JobType::Periodic => Some(format!("logs/{job}")),
        JobType::Batch => Some(format!("pr-logs/pull/batch/{job}")),
        JobType::Presubmit => {
            let pull = run
                .refs
                .as_ref()
                .and_then(|refs| Some((refs, refs.pull.as_ref()?)));
            let Some((refs, pull)) = pull else {
                return Ok(None);
            };
            let segment = layout.segment(refs);
            if segment.is_empty() {
                return Ok(Some(format!("pr-logs/pull/{}/{job}", pull.number)));
            }
            check_segment("org and repository", &segment)?;
            Some(format!("pr-logs/pull/{segment}/{}/{job}", pull.number))
        }
        JobType::Other(_) => None,
    })
}

/// The folder that the address of a run's page names: `PREFIX/view/[PROVIDER/]BUCKET/PATH`, or whatever
/// `job_url_prefix` stands before `[PROVIDER/]BUCKET/PATH`. `None` when it names none.
fn from_url(run: &Observation, assumed: Option<Provider>) -> Result<Option<Location>, Refused> {
    let Some(url) = &run.url else {
        return Ok(None);
    };
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let own = run
        .artifacts
        .job_url_prefix
        .as_deref()
        .filter(|prefix| !prefix.is_empty());
    let (before, rest) = match own.and_then(|prefix| Some((prefix, url.strip_prefix(prefix)?))) {
        Some(split) => split,
        None => match url.split_once("/view/") {
            Some(split) => split,
            None => return Ok(None),
        },
    };
    let rest = rest.trim_matches('/');
    let (first, below) = rest.split_once('/').unwrap_or((rest, ""));
    if first == "prowjob" {
        return Ok(None);
    }
    // `disableAppendStorageProvider` leaves the provider out; some prefixes bring it themselves.
    let in_prefix = before.trim_end_matches('/').rsplit('/').next();
    let (provider, path) = match (Provider::parse(first), in_prefix.and_then(Provider::parse)) {
        (Some(provider), _) => (provider, below),
        (None, Some(provider)) => (provider, rest),
        (None, None) => (assumed.unwrap_or(Provider::Gs), rest),
    };
    let folder = match provider {
        Provider::File => Location::new(provider, "", path)?,
        Provider::Gs | Provider::S3 => {
            let (bucket, path) = path.split_once('/').unwrap_or((path, ""));
            Location::new(provider, bucket, path)?
        }
    };
    let mut parts = folder.path.rsplit('/');
    let (_build, job) = (parts.next(), parts.next());
    if job != Some(run.job.as_str()) {
        return Err(Refused::new(
            "address",
            url,
            "is not that of a run of this job",
        ));
    }
    Ok(Some(folder))
}
