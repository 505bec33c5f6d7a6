//! Evidence to classification, by ordered rules: whose run it is, which stage, how bad.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    matcher::{Labels, Matcher},
    observation::Observation,
    prowjob::JobType,
    verdict::Verdict,
};

/// How bad a failure is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Can wait for a digest.
    #[default]
    NonCritical,
    /// A version or a channel that users install from does not get its artefact.
    Critical,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::NonCritical => "non-critical",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Critical, Self::NonCritical]
            .into_iter()
            .find(|severity| severity.as_str() == word)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the rules make of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification {
    /// The rule that decided; `None` when no rule matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the run releases (`lambda`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The service's repository (`lambda-controller`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Owner: by rule, else the repository, else the job.
    pub component: String,
    /// Place in the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// How bad a failure is.
    pub severity: Severity,
    /// How often its job is to run; longer silence is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// How many bad runs in a row are told; `None` as 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NonZeroU32>,
    /// What to do, by rule or annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
}

impl Classification {
    /// The service, else the component.
    pub fn owner(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.component)
    }
}

/// One classification rule: matchers, all of which must hold, and what to set.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, unique.
    pub name: String,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// What it sets.
    pub set: Assignments,
}

/// Templates of a rule. Empty results count as unset, so an optional group may stay empty.
#[derive(Debug, Clone, Default)]
pub struct Assignments {
    /// Service.
    pub service: Option<Template>,
    /// Controller; by default the repository of a run that has a service.
    pub controller: Option<Template>,
    /// Component; by default the repository, else the job.
    pub component: Option<Template>,
    /// Stage.
    pub stage: Option<Template>,
    /// Severity; by default non-critical.
    pub severity: Option<Severity>,
    /// How often the job is to run.
    pub every: Option<Duration>,
    /// Bad runs in a row before it is told; by default 1.
    pub after: Option<NonZeroU32>,
    /// Runbook address.
    pub runbook: Option<Template>,
}

/// Text with `$name` or `${name}` for named groups and for `org`, `repo`, `job`, `ref`; `$$` is a dollar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Variables every template knows.
pub const VARIABLES: [&str; 4] = ["org", "repo", "job", "ref"];

impl Template {
    /// Reads a template; never fails, a lone `$` is itself.
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            let (name, tail) = variable(after);
            if name.is_empty() {
                plain.push('$');
                rest = after.strip_prefix('$').unwrap_or(after);
            } else {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Variable(name.to_owned()));
                rest = tail;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    /// Names of the variables in it.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn fill(&self, values: &BTreeMap<String, String>) -> Option<String> {
        let text: String = self
            .0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Variable(name) => values.get(name).map_or("", String::as_str),
            })
            .collect();
        Some(text).filter(|text| !text.is_empty())
    }
}

impl fmt::Display for Template {
    /// As it could be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('$', "$$"))?,
                Part::Variable(name) => write!(f, "${{{name}}}")?,
            }
        }
        Ok(())
    }
}

/// The name after a `$` and what follows it.
fn variable(after: &str) -> (&str, &str) {
    if let Some((name, tail)) = after
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'))
    {
        return (name, tail);
    }
    let end = after
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(after.len());
    after.split_at(end)
}

/// Per-job overrides by ProwJob annotation; the annotations are `prow-notifier.io/<key>`.
pub mod annotation {
    /// Overrides the service.
    pub const SERVICE: &str = "prow-notifier.io/service";
    /// Overrides the stage.
    pub const STAGE: &str = "prow-notifier.io/stage";
    /// Overrides the severity.
    pub const SEVERITY: &str = "prow-notifier.io/severity";
    /// Sends to this receiver, past the routes.
    pub const RECEIVER: &str = "prow-notifier.io/receiver";
    /// Sets the runbook.
    pub const RUNBOOK: &str = "prow-notifier.io/runbook";
    /// `"false"` takes the job out.
    pub const REPORT: &str = "prow-notifier.io/report";
}

/// Classifies a run: first matching rule, then the job's own annotations.
pub fn classify(rules: &[Rule], run: &Observation, verdict: Verdict) -> Classification {
    let labels = Labels {
        run,
        verdict,
        class: None,
    };
    let rule = rules.iter().find(|rule| {
        // Most rules fail on a plain comparison, so these go first.
        let all = |cheap| {
            let mut some = rule.matchers.iter().filter(|one| one.is_cheap() == cheap);
            some.all(|matcher| matcher.matches(&labels))
        };
        all(true) && all(false)
    });
    let mut class = rule.map_or_else(|| unclassified(run), |rule| apply(rule, &labels));
    override_by_annotations(&mut class, run);
    if class.service.is_some() && class.controller.is_none() && !run.repo().is_empty() {
        class.controller = Some(run.repo().to_owned());
    }
    class
}

/// Stage of failed postsubmits that no rule knows, so that they fold together.
pub const UNCLASSIFIED: &str = "unclassified";

/// Whether a run without a rule is told all the same: a failed postsubmit is, nothing else.
pub fn is_told_unmatched(run: &Observation) -> bool {
    run.job_type == JobType::Postsubmit
}

fn unclassified(run: &Observation) -> Classification {
    Classification {
        component: default_component(run),
        ..Classification::default()
    }
}

fn default_component(run: &Observation) -> String {
    if run.repo().is_empty() {
        run.job.clone()
    } else {
        run.repo().to_owned()
    }
}

fn apply(rule: &Rule, labels: &Labels<'_>) -> Classification {
    let run = labels.run;
    let mut values: BTreeMap<String, String> = VARIABLES
        .iter()
        .zip([run.org(), run.repo(), &run.job, run.base_ref()])
        .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
        .collect();
    for matcher in &rule.matchers {
        matcher.captures(labels, &mut values);
    }
    let fill = |template: &Option<Template>| {
        template
            .as_ref()
            .and_then(|template| template.fill(&values))
    };
    Classification {
        rule: Some(rule.name.clone()),
        service: fill(&rule.set.service),
        controller: fill(&rule.set.controller),
        component: fill(&rule.set.component).unwrap_or_else(|| default_component(run)),
        stage: fill(&rule.set.stage),
        severity: rule.set.severity.unwrap_or_default(),
        every: rule.set.every,
        after: rule.set.after,
        runbook: fill(&rule.set.runbook),
    }
}

fn override_by_annotations(class: &mut Classification, run: &Observation) {
    let given = |key: &str| {
        run.annotations
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    class.service = given(annotation::SERVICE).or(class.service.take());
    class.stage = given(annotation::STAGE).or(class.stage.take());
    class.runbook = given(annotation::RUNBOOK).or(class.runbook.take());
    if let Some(severity) = given(annotation::SEVERITY).and_then(|word| Severity::parse(&word)) {
        class.severity = severity;
    }
    let classified_by_hand = [
        annotation::SERVICE,
        annotation::STAGE,
        annotation::SEVERITY,
        annotation::RECEIVER,
    ];
    if class.rule.is_none() && classified_by_hand.iter().any(|key| given(key).is_some()) {
        class.rule = Some("annotations".to_owned());
    }
}
