//! Rules as lines that people read, for the command line and for the page. Secrets are named, never shown.

use super::{
    rules::{Receiver, SecretSource},
    settings::without_credentials,
    units,
};
use crate::{
    domain::{
        classify::{Rule, Template},
        matcher::Matcher,
        mute::Window,
        pipeline::Pipeline,
        route::Route,
    },
    evidence::rules::LogRule,
};

/// A log rule.
pub fn log_rule(rule: &LogRule) -> String {
    let LogRule {
        name,
        pattern,
        weight,
        class,
    } = rule;
    format!("{name}: {pattern} -> {class}, weight {weight}")
}

fn matchers(list: &[Matcher]) -> String {
    if list.is_empty() {
        "everything".to_owned()
    } else {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A classification rule.
pub fn rule(rule: &Rule) -> String {
    let set = &rule.set;
    let severity = set.severity.map(|severity| severity.to_string());
    let sets: Vec<String> = [
        ("service", text(set.service.as_ref())),
        ("controller", text(set.controller.as_ref())),
        ("component", text(set.component.as_ref())),
        ("stage", text(set.stage.as_ref())),
        ("severity", severity),
        ("runbook", text(set.runbook.as_ref())),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.map(|value| format!("{key} {value}")))
    .collect();
    let line = format!("{}: {}", rule.name, matchers(&rule.matchers));
    if sets.is_empty() {
        line
    } else {
        format!("{line} → {}", sets.join(", "))
    }
}

fn text(template: Option<&Template>) -> Option<String> {
    template.map(ToString::to_string)
}

/// A receiver.
pub fn receiver(receiver: &Receiver) -> String {
    let mention = receiver.mention_on_critical.as_ref();
    let mention = mention.map_or_else(String::new, |mention| format!(", mentions {mention}"));
    let from = secret(&receiver.secret);
    format!("{}: slack, {from}{mention}", receiver.name)
}

/// Where a secret comes from, never the secret.
fn secret(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => format!("URL in file {}", path.display()),
        SecretSource::Dir(path) => format!("one URL file per service in {}", path.display()),
        SecretSource::Env(name) => format!("URL in environment variable {name}"),
    }
}

/// A route.
pub fn route(route: &Route) -> String {
    let digest = route
        .digest
        .map(|period| format!(", digest {}", units::show(period)))
        .unwrap_or_default();
    let muted = if route.mute.is_empty() {
        String::new()
    } else {
        format!(", muted by {}", route.mute.join(", "))
    };
    let goes_on = if route.continues { ", continue" } else { "" };
    format!(
        "{} → {}{digest}{muted}{goes_on}",
        matchers(&route.matchers),
        route.receiver
    )
}

/// A mute window.
pub fn window(window: &Window) -> String {
    let critical = if window.critical {
        ", critical too"
    } else {
        ""
    };
    let what = matchers(&window.matchers);
    format!("{}: {what}, {}{critical}", window.name, window.words())
}

/// A pipeline and its stages.
pub fn pipeline(pipeline: &Pipeline) -> String {
    let stages: Vec<&str> = pipeline
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    format!("{}: {}", pipeline.name, stages.join(" → "))
}

/// The value of a setting.
pub fn value(texts: &[String]) -> String {
    texts
        .iter()
        .map(|text| without_credentials(text))
        .collect::<Vec<_>>()
        .join(", ")
}
