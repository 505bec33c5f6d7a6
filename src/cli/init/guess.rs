//! From the names of jobs and repositories to services and stages. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{job::is_tag, observation::Observation, prowjob::JobType};

/// So many repositories with one ending are a family.
const FAMILY: usize = 3;
/// So many repositories of a family are named as examples.
const EXAMPLES: usize = 3;

/// A job as deck lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    /// When it runs.
    pub(super) kind: JobType,
    /// Organisation; empty for periodics.
    pub(super) org: String,
    /// Repository; empty for periodics.
    pub(super) repo: String,
    /// Its name.
    pub(super) name: String,
    /// Whether the run was of a version.
    pub(super) tagged: bool,
}

/// Everything that could be guessed.
#[derive(Debug)]
pub(super) struct Guess {
    /// Types to watch, those that were seen.
    pub(super) types: Vec<&'static str>,
    /// In the order in which they are to be asked.
    pub(super) rules: Vec<Rule>,
}

/// One rule: which jobs, and what they are.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Unique among the rules.
    pub(super) name: String,
    /// `postsubmit` or `periodic`.
    pub(super) kind: &'static str,
    /// Organisation; empty for periodics.
    pub(super) org: String,
    /// What the repository must be.
    pub(super) repo: Pattern,
    /// What the job must be.
    pub(super) job: Pattern,
    /// Whether `repo` captures the service.
    pub(super) service: Service,
    /// The job's name without its service.
    pub(super) stage: String,
    /// Whether it was seen on a version.
    pub(super) tagged: bool,
    /// Repositories that have it.
    pub(super) repos: BTreeSet<String>,
}

/// Where a service comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    /// The part of the repository's name before the family's ending.
    Stem,
    /// The whole name of the repository.
    Repository,
    /// There seems to be none.
    None,
}

/// What a name must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern {
    /// Any.
    Any,
    /// This name.
    Exactly(String),
    /// A regular expression.
    Like(String),
}

/// What the jobs of one rule share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    kind: &'static str,
    org: String,
    /// Ending of the family, such as `-controller`; empty outside of one.
    family: String,
    /// Only repository; empty where several share the shape.
    repo: String,
    /// Name before, what stands for the service, name after.
    job: (String, Mark, String),
}

/// What of a job's name differs from service to service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Repository,
    Stem,
    Nothing,
}

impl Job {
    /// The job of a run.
    pub(super) fn of(run: &Observation) -> Self {
        Self {
            kind: run.job_type.clone(),
            org: run.org().to_owned(),
            repo: run.repo().to_owned(),
            name: run.job.clone(),
            tagged: is_tag(run.base_ref()),
        }
    }

    /// Only of watched types, and only with names that need no quoting anywhere.
    fn kind(&self) -> Option<&'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let names = [&self.org, &self.repo, &self.name];
        if !names.iter().all(|name| name.chars().all(plain)) {
            return None;
        }
        match self.kind {
            JobType::Postsubmit => Some("postsubmit"),
            JobType::Periodic => Some("periodic"),
            JobType::Presubmit | JobType::Batch | JobType::Other(_) => None,
        }
    }
}

impl Guess {
    /// Guesses from all jobs.
    pub(super) fn new<'a>(jobs: impl Iterator<Item = &'a Job>) -> Self {
        let jobs: Vec<(&Job, &'static str)> =
            jobs.filter_map(|job| Some((job, job.kind()?))).collect();
        let families = families(jobs.iter().map(|(job, _)| *job));
        let mut shapes: BTreeMap<Shape, Vec<&Job>> = BTreeMap::new();
        for (job, kind) in &jobs {
            shapes
                .entry(shape(job, kind, &families))
                .or_default()
                .push(job);
        }
        let mut rules: Vec<Rule> = shapes
            .iter()
            .flat_map(|(shape, jobs)| rules(shape, jobs))
            .collect();
        // The more of a name a rule asks for, the earlier it is asked.
        rules.sort_by_key(|rule| {
            (
                std::cmp::Reverse(rule.kind),
                rule.org.clone(),
                std::cmp::Reverse(rule.job.weight()),
            )
        });
        name_all(&mut rules);
        let mut types: Vec<&'static str> = jobs.iter().map(|(_, kind)| *kind).collect();
        types.sort_unstable_by(|one, other| other.cmp(one));
        types.dedup();
        Self { types, rules }
    }

    /// How many services the rules tell apart, as far as they were seen.
    pub(super) fn services(&self) -> usize {
        let with_service = self
            .rules
            .iter()
            .filter(|rule| rule.service != Service::None);
        let repos: BTreeSet<(&str, &str)> = with_service
            .flat_map(|rule| {
                rule.repos
                    .iter()
                    .map(|repo| (rule.org.as_str(), repo.as_str()))
            })
            .collect();
        repos.len()
    }
}

/// Endings that many repositories of an organisation share, the longest first.
fn families<'a>(jobs: impl Iterator<Item = &'a Job>) -> BTreeMap<String, Vec<String>> {
    let mut members: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for job in jobs {
        for (at, _) in job.repo.match_indices('-').filter(|(at, _)| *at > 0) {
            let ending = job.repo.get(at..).unwrap_or_default();
            members
                .entry((&job.org, ending))
                .or_default()
                .insert(&job.repo);
        }
    }
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((org, ending), repos) in members {
        if repos.len() >= FAMILY {
            families
                .entry(org.to_owned())
                .or_default()
                .push(ending.to_owned());
        }
    }
    for endings in families.values_mut() {
        endings.sort_by_key(|ending| std::cmp::Reverse(ending.len()));
    }
    families
}

fn shape(job: &Job, kind: &'static str, families: &BTreeMap<String, Vec<String>>) -> Shape {
    let endings = families.get(&job.org).into_iter().flatten();
    let family = endings
        .filter(|ending| job.repo.len() > ending.len())
        .find(|ending| job.repo.ends_with(*ending));
    let stem = family.and_then(|ending| job.repo.strip_suffix(ending.as_str()));
    let split = |part: &str, mark| {
        let (before, after) = split_at_word(&job.name, part)?;
        Some((before.to_owned(), mark, after.to_owned()))
    };
    let marked = split(&job.repo, Mark::Repository)
        .or_else(|| split(stem?, Mark::Stem))
        .unwrap_or_else(|| (job.name.clone(), Mark::Nothing, String::new()));
    Shape {
        kind,
        org: job.org.clone(),
        family: family.cloned().unwrap_or_default(),
        repo: String::new(),
        job: marked,
    }
}

/// Splits a name around a part of it that is a word of its own.
fn split_at_word<'a>(name: &'a str, part: &str) -> Option<(&'a str, &'a str)> {
    if part.is_empty() {
        return None;
    }
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
    name.match_indices(part).find_map(|(at, _)| {
        let (before, rest) = name.split_at(at);
        let after = rest.strip_prefix(part)?;
        (edge(before.chars().next_back()) && edge(after.chars().next())).then_some((before, after))
    })
}

/// One rule for a shape that many repositories have; one for each repository where that says nothing.
fn rules(shape: &Shape, jobs: &[&Job]) -> Vec<Rule> {
    let repos: BTreeSet<&str> = jobs.iter().map(|job| job.repo.as_str()).collect();
    let alone = shape.family.is_empty() && (repos.len() == 1 || shape.job.1 == Mark::Nothing);
    if !alone || shape.kind == "periodic" {
        return vec![rule(shape, jobs)];
    }
    repos
        .iter()
        .map(|repo| {
            let own: Vec<&Job> = jobs
                .iter()
                .copied()
                .filter(|job| job.repo == *repo)
                .collect();
            let shape = Shape {
                repo: (*repo).to_owned(),
                ..shape.clone()
            };
            rule(&shape, &own)
        })
        .collect()
}

fn rule(shape: &Shape, jobs: &[&Job]) -> Rule {
    let (before, mark, after) = &shape.job;
    let plain = [before.as_str(), after].concat();
    let (repo, service) = match (shape.repo.as_str(), shape.family.as_str()) {
        _ if shape.kind == "periodic" => (Pattern::Any, Service::None),
        ("", "") => (
            Pattern::Like("(?<service>.+)".to_owned()),
            Service::Repository,
        ),
        ("", family) => (
            Pattern::Like(format!("(?<service>.+){}", literal(family))),
            Service::Stem,
        ),
        (repo, _) => (Pattern::Exactly(repo.to_owned()), Service::None),
    };
    let like = |middle: &str| Pattern::Like([&literal(before), middle, &literal(after)].concat());
    let job = match mark {
        Mark::Nothing => Pattern::Exactly(plain.clone()),
        Mark::Repository if !shape.repo.is_empty() => {
            Pattern::Exactly([before, shape.repo.as_str(), after].concat())
        }
        Mark::Repository => like(&format!(".+{}", literal(&shape.family))),
        Mark::Stem => like(".+"),
    };
    let stage = word(&plain);
    Rule {
        name: String::new(),
        kind: shape.kind,
        org: shape.org.clone(),
        repo,
        job,
        service,
        stage: if stage.is_empty() {
            "build".to_owned()
        } else {
            stage
        },
        tagged: jobs.iter().any(|job| job.tagged),
        repos: jobs.iter().map(|job| job.repo.clone()).collect(),
    }
}

/// A name as a word for people: no separators at its ends or twice in a row.
fn word(name: &str) -> String {
    let parts = name
        .split(['-', '_', '.', '/'])
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

/// Text that a regular expression takes as it is. Of the names that come here only the dot means anything.
fn literal(text: &str) -> String {
    text.replace('.', "[.]")
}

/// Gives each rule a name of its own: the stage, and where that is taken, more.
fn name_all(rules: &mut [Rule]) {
    let mut taken = BTreeSet::new();
    for rule in rules {
        let place = match (&rule.repo, rule.kind) {
            (Pattern::Exactly(repo), _) => word(repo),
            (_, "periodic") => "periodic".to_owned(),
            _ => word(&rule.org),
        };
        let base = rule.stage.clone();
        let longer = format!("{place}-{base}");
        let numbered = (2..).map(|number| format!("{longer}-{number}"));
        let mut names = [base, longer.clone()].into_iter().chain(numbered);
        if let Some(name) = names.find(|name| !taken.contains(name)) {
            taken.insert(name.clone());
            rule.name = name;
        }
    }
}

impl Pattern {
    /// How much of a name it fixes; a whole name most.
    fn weight(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Like(regex) => regex.len(),
            Self::Exactly(_) => usize::MAX,
        }
    }
}

impl Rule {
    /// Some of its repositories, and how many there are.
    pub(super) fn seen(&self) -> String {
        let some: Vec<&str> = self
            .repos
            .iter()
            .take(EXAMPLES)
            .map(String::as_str)
            .collect();
        let more = self.repos.len().saturating_sub(EXAMPLES);
        if more > 0 {
            format!("{} and {more} more", some.join(", "))
        } else {
            some.join(", ")
        }
    }
}
