//! `config show`, `config explain` and `config schema`.

mod explain;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Format, Outcome, out};
use crate::config::{
    Config,
    rules::{Receiver, SecretSource},
    schema::schema,
    settings::{Form, SETTINGS, without_credentials},
    units,
};
use crate::domain::{
    classify::{Rule, Template},
    mute::Window,
    route::Route,
};
use crate::evidence::rules::LogRule;

/// What to show.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print the effective configuration; secrets are named, never shown
    Show {
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print for each value the one in effect, which layer and line set it, and what it overrode
    Explain {
        /// A setting such as dedup.window, or a section such as delivery.retry; all when left out
        key: Option<String>,
        /// How to print.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the JSON Schema of a configuration file
    Schema,
}

/// Runs the command.
pub fn run(
    command: &Command,
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
) -> Result<Outcome> {
    match command {
        Command::Schema => out::line(&serde_json::to_string_pretty(&schema())?),
        Command::Explain { key, format } => {
            let config = Config::load(paths, environment)?;
            explain::run(&config, key.as_deref(), *format)?;
        }
        Command::Show { format } => {
            let config = Config::load(paths, environment)?;
            match format {
                Format::Json => out::line(&serde_json::to_string_pretty(&as_json(&config))?),
                Format::Text => show(&config),
            }
        }
    }
    Ok(Outcome::Done)
}

fn show(config: &Config) {
    let width = SETTINGS
        .iter()
        .map(|setting| setting.key.len())
        .max()
        .unwrap_or_default();
    for setting in SETTINGS {
        let (value, origin) = config.layers.effective(setting.key).map_or_else(
            || ("(not set)".to_owned(), String::new()),
            |(texts, origin)| (masked(&texts), origin),
        );
        let line = format!(
            "{:width$}  {value}  {}",
            setting.key,
            out::styled(out::DIM, &origin)
        );
        out::line(line.trim_end());
    }
    section("classify", config.rules.classify.iter().map(rule_line));
    section(
        "receivers",
        config.rules.receivers.iter().map(receiver_line),
    );
    section("routes", config.rules.routes.iter().map(route_line));
    if !config.rules.mute.is_empty() {
        section("mute", config.rules.mute.iter().map(window_line));
    }
    let log_rules = &config.rules.log_rules;
    if !log_rules.is_empty() {
        section("log_rules", log_rules.iter().map(log_rule_line));
    }
    let own = &config.rules.redact;
    if !own.is_empty() {
        section("redact", own.iter().map(|pattern| pattern.name.clone()));
    }
    let artifacts = &config.artifacts;
    section(
        "artifacts.defaults",
        artifacts.defaults.iter().map(ToString::to_string),
    );
    section(
        "artifacts.endpoints",
        artifacts.endpoints.iter().map(ToString::to_string),
    );
}

fn log_rule_line(rule: &LogRule) -> String {
    let LogRule {
        name,
        pattern,
        weight,
        class,
    } = rule;
    format!("{name}: {pattern} -> {class}, weight {weight}")
}

fn section(title: &str, lines: impl ExactSizeIterator<Item = String>) {
    out::line("");
    out::line(&out::styled(
        out::BOLD,
        &format!("{title} ({})", lines.len()),
    ));
    for line in lines {
        out::line(&format!("  {line}"));
    }
}

fn matchers(list: &[crate::domain::matcher::Matcher]) -> String {
    if list.is_empty() {
        "everything".to_owned()
    } else {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn rule_line(rule: &Rule) -> String {
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

fn receiver_line(receiver: &Receiver) -> String {
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

fn route_line(route: &Route) -> String {
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

fn window_line(window: &Window) -> String {
    let critical = if window.critical {
        ", critical too"
    } else {
        ""
    };
    let what = matchers(&window.matchers);
    format!("{}: {what}, {}{critical}", window.name, window.words())
}

fn masked(texts: &[String]) -> String {
    texts
        .iter()
        .map(|text| without_credentials(text))
        .collect::<Vec<_>>()
        .join(", ")
}

fn as_json(config: &Config) -> Value {
    let mut settings = Map::new();
    for setting in SETTINGS {
        if let Some((texts, origin)) = config.layers.effective(setting.key) {
            let value = if setting.form == Form::List {
                json!(texts)
            } else {
                json!(masked(&texts))
            };
            settings.insert(
                setting.key.to_owned(),
                json!({ "value": value, "origin": origin }),
            );
        }
    }
    json!({
        "settings": settings,
        "classify": config.rules.classify.iter().map(rule_line).collect::<Vec<_>>(),
        "receivers": config.rules.receivers.iter().map(receiver_line).collect::<Vec<_>>(),
        "routes": config.rules.routes.iter().map(route_line).collect::<Vec<_>>(),
        "mute": config.rules.mute.iter().map(window_line).collect::<Vec<_>>(),
        "log_rules": config.rules.log_rules.iter().map(log_rule_line).collect::<Vec<_>>(),
        "redact": config.rules.redact.iter().map(|pattern| &pattern.name).collect::<Vec<_>>(),
        "artifacts.defaults": config.artifacts.defaults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "artifacts.endpoints": config.artifacts.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "files": config.files,
    })
}
