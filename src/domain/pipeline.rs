//! How stages follow each other on the way of a release, as configured.

use std::{collections::BTreeSet, time::Duration};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{
    classify::{Classification, Severity},
    doom::AbortDownstream,
    job::is_tag,
    matcher::{Labels, Matcher},
    observation::Observation,
    overdue::Overdue,
    verdict::Verdict,
};

/// The stages of one kind of release.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name, unique.
    pub name: String,
    /// Which runs belong to it, among those whose stage it has; all must match.
    pub matchers: Vec<Matcher>,
    /// Its stages, in the order of the configuration; names are unique over all pipelines.
    pub stages: Vec<Stage>,
}

/// One stage.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// Its name, as classification sets it.
    pub name: String,
    /// What it needs, in order.
    pub needs: Vec<Need>,
    /// Whether there is one thing that all services share, so that one success heals all of them.
    pub shared: bool,
    /// How bad it is when it does not start.
    pub severity: Severity,
    /// What the log of a green run tells of its work.
    pub signs: Signs,
    /// A run that takes so long is told.
    pub overdue: Option<Overdue>,
}

/// One edge.
#[derive(Debug, Clone, Default)]
pub struct Need {
    /// The earlier stage.
    pub stage: String,
    /// The earlier stage starts this one, which is late when it has not started after so long. `None`: it needs
    /// what the other made, but something else starts it, or a person does.
    pub within: Option<Duration>,
    /// `within` is the least: what runs took so far may ask for more.
    pub learned: bool,
    /// A person starts it, so it waits and is not late.
    pub gate: bool,
    /// How long a person may take; told as stalled after that. `None`: as long as it takes.
    pub patience: Option<Duration>,
    /// What becomes of its runs when the earlier stage fails.
    pub abort_downstream: AbortDownstream,
}

/// Patterns that are looked for in the logs of green runs, line by line. A group `version` names the release.
#[derive(Debug, Clone, Default)]
pub struct Signs {
    /// It did not do its work.
    pub soft_fail: Vec<Regex>,
    /// It had nothing to do.
    pub no_op: Vec<Regex>,
    /// It did its work; where this is set, green alone does not prove that.
    pub done: Vec<Regex>,
}

/// What the log of a green run says of its work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What kind of green it is; `None` when no sign was found.
    pub sign: Option<Sign>,
    /// The line.
    pub line: String,
    /// The version that it names.
    pub version: Option<String>,
}

/// A kind of green.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It did not do its work.
    SoftFail,
    /// It had nothing to do.
    NoOp,
    /// It did its work.
    Done,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    /// In this pipeline.
    pub pipeline: &'a Pipeline,
    /// At this stage.
    pub stage: &'a Stage,
}

/// Longest line of a log that is kept.
const MAX_LINE: usize = 300;

impl Signs {
    /// Whether logs of green runs need not be read.
    pub fn is_empty(&self) -> bool {
        self.soft_fail.is_empty() && self.no_op.is_empty() && self.done.is_empty()
    }

    /// Looks for signs: a failure weighs more than idleness, and that more than work.
    pub fn read(&self, log: &str) -> Said {
        let kinds = [
            (Sign::SoftFail, &self.soft_fail),
            (Sign::NoOp, &self.no_op),
            (Sign::Done, &self.done),
        ];
        for (sign, patterns) in kinds {
            for line in log.lines() {
                if let Some(found) = patterns.iter().find_map(|pattern| pattern.captures(line)) {
                    return Said {
                        sign: Some(sign),
                        line: line.trim().chars().take(MAX_LINE).collect(),
                        version: found
                            .name("version")
                            .map(|version| version.as_str().trim_start_matches('v').to_owned()),
                    };
                }
            }
        }
        Said::default()
    }
}

impl Need {
    fn orders_stops(&self) -> bool {
        !self.gate && self.abort_downstream == AbortDownstream::On
    }
}

impl Pipeline {
    /// A stage by its name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The stages that a stage starts, and how soon.
    pub fn started_by<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Stage, Duration)> + 'a {
        self.stages.iter().filter_map(move |stage| {
            let need = stage.needs.iter().find(|need| need.stage == name)?;
            Some((stage, need.within?))
        })
    }

    /// Everything that a stage needs, directly or not.
    pub fn upstream(&self, name: &str) -> BTreeSet<&str> {
        self.over_edges(name, |_| true)
    }

    /// What a stage needs without a person in between: when that is broken, this one breaks of itself.
    pub fn roots_of(&self, name: &str) -> BTreeSet<&str> {
        self.over_edges(name, |need| !need.gate)
    }

    /// What a stage cannot succeed without, over edges along which its runs are to be stopped.
    pub fn stopped_by(&self, name: &str) -> BTreeSet<&str> {
        self.over_edges(name, |need| {
            !need.gate && need.abort_downstream != AbortDownstream::Off
        })
    }

    /// What a stage cannot succeed without, over edges along which its runs are stopped without asking.
    pub fn ordered_by(&self, name: &str) -> BTreeSet<&str> {
        self.over_edges(name, Need::orders_stops)
    }

    /// Whether any of its edges has runs stopped.
    pub fn orders_stops(&self) -> bool {
        let mut needs = self.stages.iter().flat_map(|stage| &stage.needs);
        needs.any(Need::orders_stops)
    }

    fn over_edges(&self, name: &str, follow: impl Fn(&Need) -> bool) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![name];
        while let Some(stage) = open.pop().and_then(|name| self.stage(name)) {
            for need in stage.needs.iter().filter(|need| follow(need)) {
                if found.insert(need.stage.as_str()) {
                    open.push(&need.stage);
                }
            }
        }
        found
    }

    /// Everything that needs a stage, directly or not, in the order of the configuration.
    pub fn downstream(&self, name: &str) -> Vec<&str> {
        self.stages
            .iter()
            .map(|stage| stage.name.as_str())
            .filter(|stage| self.upstream(stage).contains(name))
            .collect()
    }

    /// Stages that every release must see: those that another starts by a deadline, and those that start them. Of a
    /// pipeline without deadlines, all. Shared ones are nobody's own: any success there heals all.
    pub fn required(&self) -> impl Iterator<Item = &Stage> {
        let awaited = |stage: &&Stage| stage.needs.iter().any(|need| need.within.is_some());
        let started: BTreeSet<&str> = self
            .stages
            .iter()
            .filter(awaited)
            .flat_map(|stage| {
                let mut all = self.proven_by(&stage.name);
                all.insert(&stage.name);
                all
            })
            .collect();
        self.stages.iter().filter(move |stage| {
            let is_asked = started.is_empty() || started.contains(stage.name.as_str());
            is_asked && !stage.shared
        })
    }

    /// Stages whose work is proven when this one starts: those that start it, directly or not.
    pub fn proven_by(&self, name: &str) -> BTreeSet<&str> {
        self.over_edges(name, |need| need.within.is_some())
    }
}

/// Where a classified run stands, if it is part of a release: indices of pipeline and stage.
pub fn spot(
    pipelines: &[Pipeline],
    run: &Observation,
    class: &Classification,
    verdict: Verdict,
) -> Option<(usize, usize)> {
    let name = class.stage.as_deref()?;
    let labels = Labels {
        run,
        verdict,
        class: Some(class),
    };
    pipelines
        .iter()
        .enumerate()
        .filter(|(_, pipeline)| {
            pipeline
                .matchers
                .iter()
                .all(|matcher| matcher.matches(&labels))
        })
        .find_map(|(index, pipeline)| {
            let stage = pipeline
                .stages
                .iter()
                .position(|stage| stage.name == name)?;
            Some((index, stage))
        })
}

/// The version that a run works on: its tag, without a leading `v`.
pub fn version(run: &Observation) -> Option<String> {
    let tag = run.base_ref();
    is_tag(tag).then(|| tag.trim_start_matches('v').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs() -> Signs {
        let patterns = |text: &str| vec![Regex::new(text).unwrap()];
        Signs {
            soft_fail: patterns(r"\[ERROR\]"),
            no_op: patterns("Skipping"),
            done: patterns(r"tagged with v(?<version>\S+)$"),
        }
    }

    #[test]
    fn a_green_log_is_read_for_failure_before_idleness_before_work() {
        let read = |log: &str| {
            let said = signs().read(log);
            (said.sign, said.version)
        };
        assert_eq!(
            read("x\nok: tagged with v1.2.3\n"),
            (Some(Sign::Done), Some("1.2.3".to_owned()))
        );
        assert_eq!(read("a\nSkipping s3\n"), (Some(Sign::NoOp), None));
        assert_eq!(
            read("tagged with v1.2.3\nSkipping\n[ERROR] no\n"),
            (Some(Sign::SoftFail), None)
        );
        assert_eq!(read("nothing of the kind"), (None, None));
    }

    #[test]
    fn neighbours_are_found_through_the_edges() {
        let stage = |name: &str, needs: &[(&str, Option<u64>)]| Stage {
            name: name.to_owned(),
            needs: needs
                .iter()
                .map(|(stage, within)| Need {
                    stage: (*stage).to_owned(),
                    within: within.map(Duration::from_secs),
                    ..Need::default()
                })
                .collect(),
            severity: Severity::Critical,
            ..Stage::default()
        };
        let pipeline = Pipeline {
            name: "p".to_owned(),
            matchers: Vec::new(),
            stages: vec![
                stage("tag", &[]),
                stage("publish", &[("tag", Some(60))]),
                stage("chart", &[("tag", Some(60)), ("publish", None)]),
                stage("site", &[("chart", None)]),
            ],
        };
        assert_eq!(pipeline.downstream("tag"), ["publish", "chart", "site"]);
        assert_eq!(pipeline.downstream("site"), Vec::<&str>::new());
        assert_eq!(
            pipeline.upstream("site"),
            BTreeSet::from(["tag", "publish", "chart"])
        );
        assert_eq!(pipeline.proven_by("chart"), BTreeSet::from(["tag"]));
        assert_eq!(pipeline.proven_by("site"), BTreeSet::new());
        let required = |pipeline: &Pipeline| -> Vec<String> {
            pipeline
                .required()
                .map(|stage| stage.name.clone())
                .collect()
        };
        assert_eq!(required(&pipeline), ["tag", "publish", "chart"]);
        let mut shared = pipeline.clone();
        shared.stages[2].shared = true;
        assert_eq!(required(&shared), ["tag", "publish"]);
        let started: Vec<&str> = pipeline
            .started_by("tag")
            .map(|(stage, _)| stage.name.as_str())
            .collect();
        assert_eq!(started, ["publish", "chart"]);
    }
}
