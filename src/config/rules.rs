//! The lists of a configuration, joined over the files in order: classification, pipelines, receivers, routes,
//! what logs say, and what to take out of them.

mod log;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use super::{
    error::{Place, Problem},
    mute, pipelines, redact, units,
    yaml::{Kind, Node},
};
use crate::{
    domain::{
        classify::{Assignments, Rule, Severity, Template, VARIABLES},
        matcher::Matcher,
        mute::Window,
        nearest,
        pipeline::Pipeline,
        route::Route,
    },
    evidence::{redact::OwnPattern, rules::LogRule},
};

/// Keys of a classification rule.
pub const CLASSIFY_KEYS: [&str; 3] = ["name", "match", "set"];
/// Keys of a rule's `set`.
pub const SET_KEYS: [&str; 8] = [
    "service",
    "controller",
    "component",
    "stage",
    "severity",
    "every",
    "after",
    "runbook",
];
/// Keys of a receiver.
pub const RECEIVER_KEYS: [&str; 2] = ["name", "slack"];
/// Keys of a receiver's `slack`.
pub const SLACK_KEYS: [&str; 4] = [
    "webhook_url_file",
    "webhook_url_dir",
    "webhook_url_env",
    "mention_on_critical",
];
/// Keys of a route.
pub const ROUTE_KEYS: [&str; 5] = ["match", "receiver", "digest", "continue", "mute"];

/// Keys of a log rule.
pub const LOG_RULE_KEYS: [&str; 5] = ["name", "pattern", "class", "weight", "example"];

/// The lists of all files.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Classification, first match wins.
    pub classify: Vec<Rule>,
    /// Receivers.
    pub receivers: Vec<Receiver>,
    /// Routes, in order.
    pub routes: Vec<Route>,
    /// Times in which some things are not told.
    pub mute: Vec<Window>,
    /// How stages follow each other.
    pub pipelines: Vec<Pipeline>,
    /// Where the names of each pipeline stand.
    pub(super) pipeline_places: Vec<pipelines::Places>,
    /// What lines of logs mean, before the built-in rules.
    pub log_rules: Vec<LogRule>,
    /// Patterns of the operator's own secrets.
    pub redact: Vec<OwnPattern>,
    /// Where each route names its receiver, for checking it once all files are read.
    route_places: Vec<Place>,
    /// Where routes name mute windows.
    mute_places: Vec<(String, Place)>,
}

/// A destination as configured.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Where its webhook URL comes from.
    pub secret: SecretSource,
    /// Put before critical messages, such as `<!subteam^S0123>`.
    pub mention_on_critical: Option<String>,
    /// Where it stands.
    pub place: Place,
}

/// Where a webhook URL comes from; never from the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file with one URL.
    File(PathBuf),
    /// A folder with one file per service.
    Dir(PathBuf),
    /// An environment variable.
    Env(String),
}

impl Rules {
    /// Adds the lists of one more file; every problem is reported, not only the first.
    pub fn read(&mut self, section: &str, node: &Node, problems: &mut Vec<Problem>) {
        let items = match node.items(section) {
            Ok(items) => items,
            Err(problem) => return problems.push(problem),
        };
        for item in items {
            let read = match section {
                "classify" => self.read_rule(item),
                "receivers" => self.read_receiver(item),
                "pipelines" => self.read_pipeline(item),
                "log_rules" => {
                    log::read(item, &self.log_rules).map(|rule| self.log_rules.push(rule))
                }
                "mute" => mute::read(item, &self.mute).map(|window| self.mute.push(window)),
                "redact" => redact::read(item).map(|pattern| self.redact.push(pattern)),
                _ => self.read_route(item),
            };
            if let Err(problem) = read {
                problems.push(problem);
            }
        }
    }

    fn read_rule(&mut self, node: &Node) -> Result<(), Problem> {
        let (mut name, mut matchers, mut set) = (None, Vec::new(), Assignments::default());
        let mut set_node = None;
        for (key, place, value) in node.entries("a classify rule", &CLASSIFY_KEYS)? {
            match key.as_str() {
                "name" => name = Some((value.text("name")?.to_owned(), place)),
                "match" => matchers = read_matchers(value)?,
                _ => set_node = Some(value),
            }
        }
        let Some((name, place)) = name else {
            return Err(Problem::at(
                node.place.clone(),
                "a classify rule needs a name",
                "add `name: ...`; messages and `preview` show it",
            ));
        };
        if self.classify.iter().any(|rule| rule.name == name) {
            return Err(Problem::at(
                place.clone(),
                format!("a second classify rule named `{name}`"),
                "give each rule its own name",
            ));
        }
        if let Some(derived) = matchers.iter().find(|matcher| matcher.label.is_derived()) {
            return Err(Problem::at(
                node.place.clone(),
                format!("rule `{name}` matches on `{derived}`, which classification itself sets"),
                "match on type, org, repo, job, ref, cluster, state, verdict, label:<key> or annotation:<key>",
            ));
        }
        if let Some(node) = set_node {
            set = read_set(node, &matchers)?;
        }
        self.classify.push(Rule {
            name,
            matchers,
            set,
        });
        Ok(())
    }

    fn read_pipeline(&mut self, node: &Node) -> Result<(), Problem> {
        let (pipeline, places) = pipelines::read(node)?;
        if self
            .pipelines
            .iter()
            .any(|known| known.name == pipeline.name)
        {
            return Err(Problem::at(
                node.place.clone(),
                format!("a second pipeline named `{}`", pipeline.name),
                "give each pipeline its own name",
            ));
        }
        self.pipelines.push(pipeline);
        self.pipeline_places.push(places);
        Ok(())
    }

    fn read_receiver(&mut self, node: &Node) -> Result<(), Problem> {
        let (mut name, mut slack) = (None, None);
        for (key, _, value) in node.entries("a receiver", &RECEIVER_KEYS)? {
            match key.as_str() {
                "name" => name = Some((value.text("name")?.to_owned(), value.place.clone())),
                _ => slack = Some(read_slack(value)?),
            }
        }
        let Some((name, place)) = name else {
            return Err(Problem::at(
                node.place.clone(),
                "a receiver needs a name",
                "add `name: ...`; routes refer to it",
            ));
        };
        if name.is_empty() || name.contains(['/', '\\']) {
            return Err(Problem::at(
                place,
                format!("`{name}` cannot name a receiver"),
                "use a name without slashes",
            ));
        }
        if self.receivers.iter().any(|receiver| receiver.name == name) {
            return Err(Problem::at(
                place,
                format!("a second receiver named `{name}`"),
                "receivers of all files share one name space",
            ));
        }
        let Some((secret, mention_on_critical)) = slack else {
            return Err(Problem::at(
                node.place.clone(),
                format!("receiver `{name}` has no destination"),
                "add `slack: { webhook_url_file: ... }`",
            ));
        };
        self.receivers.push(Receiver {
            name,
            secret,
            mention_on_critical,
            place,
        });
        Ok(())
    }

    fn read_route(&mut self, node: &Node) -> Result<(), Problem> {
        let mut route = Route {
            matchers: Vec::new(),
            receiver: String::new(),
            digest: None,
            continues: false,
            mute: Vec::new(),
        };
        let mut receiver_place = None;
        for (key, _, value) in node.entries("a route", &ROUTE_KEYS)? {
            match key.as_str() {
                "match" => route.matchers = read_matchers(value)?,
                "receiver" => {
                    value.text("receiver")?.clone_into(&mut route.receiver);
                    receiver_place = Some(value.place.clone());
                }
                "digest" => {
                    route.digest =
                        Some(read_duration("digest", value)?).filter(|period| !period.is_zero());
                }
                "mute" => {
                    for item in value.items("mute")? {
                        let name = item.text("mute")?.to_owned();
                        self.mute_places.push((name.clone(), item.place.clone()));
                        route.mute.push(name);
                    }
                }
                _ => route.continues = read_bool("continue", value)?,
            }
        }
        let Some(place) = receiver_place else {
            return Err(Problem::at(
                node.place.clone(),
                "a route needs a receiver",
                "add `receiver: ...` with the name of a receiver",
            ));
        };
        self.routes.push(route);
        self.route_places.push(place);
        Ok(())
    }

    /// Checks that every named receiver and mute window exists, now that all files are read.
    pub fn check_names(&mut self, problems: &mut Vec<Problem>) {
        mute::check(&mut self.mute, &self.mute_places, problems);
        pipelines::check(self, problems);
        let known: BTreeSet<&str> = self
            .receivers
            .iter()
            .map(|receiver| receiver.name.as_str())
            .collect();
        for (route, place) in self.routes.iter().zip(&self.route_places) {
            if !known.contains(route.receiver.as_str()) {
                let hint = nearest::hint(&route.receiver, known.iter().copied());
                problems.push(Problem::at(
                    place.clone(),
                    format!("no receiver is named `{}`{hint}", route.receiver),
                    "",
                ));
            }
        }
    }
}

pub(super) fn read_matchers(node: &Node) -> Result<Vec<Matcher>, Problem> {
    let read = |node: &Node| {
        let text = node.text("a matcher")?;
        Matcher::written(text).map_err(|error| {
            let what = error.to_string();
            let hint = if what.contains("look-around") {
                "exclude with a matcher of its own, such as 'repo!~\"test-.+\"'"
            } else {
                ""
            };
            Problem::at(node.place.clone(), what, hint)
        })
    };
    match &node.kind {
        Kind::Text(_) => Ok(vec![read(node)?]),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            node.items("match")?.iter().map(read).collect()
        }
    }
}

fn read_set(node: &Node, matchers: &[Matcher]) -> Result<Assignments, Problem> {
    let groups: BTreeSet<&str> = matchers
        .iter()
        .flat_map(Matcher::group_names)
        .chain(VARIABLES)
        .collect();
    let mut set = Assignments::default();
    for (key, _, value) in node.entries("set", &SET_KEYS)? {
        let text = value.text(key)?;
        if key == "severity" {
            let severity = Severity::parse(text).ok_or_else(|| {
                Problem::at(
                    value.place.clone(),
                    format!("unknown severity `{text}`"),
                    "write critical or non-critical",
                )
            })?;
            set.severity = Some(severity);
            continue;
        }
        if key == "every" {
            set.every = Some(read_duration(key, value)?).filter(|every| !every.is_zero());
            continue;
        }
        if key == "after" {
            let after = text.parse().map_err(|_| {
                let what = format!("`after` is `{text}`");
                Problem::at(value.place.clone(), what, "write a number from 1 on")
            })?;
            set.after = Some(after);
            continue;
        }
        let template = Template::parse(text);
        if let Some(name) = template.variables().find(|name| !groups.contains(name)) {
            let hint = nearest::hint(name, groups.iter().copied());
            return Err(Problem::at(
                value.place.clone(),
                format!("nothing fills `${name}`{hint}"),
                "name a group in a `=~` matcher: (?<name>...)",
            ));
        }
        let slot = match key.as_str() {
            "service" => &mut set.service,
            "controller" => &mut set.controller,
            "component" => &mut set.component,
            "stage" => &mut set.stage,
            _ => &mut set.runbook,
        };
        *slot = Some(template);
    }
    Ok(set)
}

fn read_slack(node: &Node) -> Result<(SecretSource, Option<String>), Problem> {
    let (mut source, mut mention) = (None, None);
    for (key, place, value) in node.entries("slack", &SLACK_KEYS)? {
        let text = value.text(key)?.to_owned();
        if text.contains("://") {
            return Err(Problem::at(
                value.place.clone(),
                format!("`{key}` names a file or variable, it is not the URL itself"),
                "put the URL into a file and name the file",
            ));
        }
        let new = match key.as_str() {
            "mention_on_critical" => {
                mention = Some(text);
                continue;
            }
            "webhook_url_file" => SecretSource::File(text.into()),
            "webhook_url_dir" => SecretSource::Dir(text.into()),
            _ => SecretSource::Env(text),
        };
        if source.replace(new).is_some() {
            return Err(Problem::at(
                place.clone(),
                "two sources for one webhook URL",
                "keep one of webhook_url_file, webhook_url_dir, webhook_url_env",
            ));
        }
    }
    let source = source.ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            "slack needs a webhook URL",
            "add webhook_url_file, webhook_url_dir or webhook_url_env",
        )
    })?;
    Ok((source, mention))
}

pub(super) fn read_duration(key: &str, node: &Node) -> Result<Duration, Problem> {
    let text = node.text(key)?;
    units::duration(text).ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            format!("`{text}` is not a duration"),
            "write 90s, 1h30m or 7d",
        )
    })
}

pub(super) fn read_bool(key: &str, node: &Node) -> Result<bool, Problem> {
    match node.text(key)? {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Problem::at(
            node.place.clone(),
            format!("`{key}` is `{other}`"),
            "write true or false",
        )),
    }
}
