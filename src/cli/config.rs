//! `config show`, `config explain` and `config schema`.

mod explain;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::{Format, Outcome, out};
use crate::config::{
    Config,
    schema::schema,
    settings::{Form, SETTINGS},
    shown,
};

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
            |(texts, origin)| (shown::value(&texts), origin),
        );
        let line = format!(
            "{:width$}  {value}  {}",
            setting.key,
            out::styled(out::DIM, &origin)
        );
        out::line(line.trim_end());
    }
    section("classify", config.rules.classify.iter().map(shown::rule));
    section(
        "receivers",
        config.rules.receivers.iter().map(shown::receiver),
    );
    section("routes", config.rules.routes.iter().map(shown::route));
    if !config.rules.mute.is_empty() {
        section("mute", config.rules.mute.iter().map(shown::window));
    }
    let log_rules = &config.rules.log_rules;
    if !log_rules.is_empty() {
        section("log_rules", log_rules.iter().map(shown::log_rule));
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

fn as_json(config: &Config) -> Value {
    let mut settings = Map::new();
    for setting in SETTINGS {
        if let Some((texts, origin)) = config.layers.effective(setting.key) {
            let value = if setting.form == Form::List {
                json!(texts)
            } else {
                json!(shown::value(&texts))
            };
            settings.insert(
                setting.key.to_owned(),
                json!({ "value": value, "origin": origin }),
            );
        }
    }
    json!({
        "settings": settings,
        "classify": config.rules.classify.iter().map(shown::rule).collect::<Vec<_>>(),
        "receivers": config.rules.receivers.iter().map(shown::receiver).collect::<Vec<_>>(),
        "routes": config.rules.routes.iter().map(shown::route).collect::<Vec<_>>(),
        "mute": config.rules.mute.iter().map(shown::window).collect::<Vec<_>>(),
        "log_rules": config.rules.log_rules.iter().map(shown::log_rule).collect::<Vec<_>>(),
        "redact": config.rules.redact.iter().map(|pattern| &pattern.name).collect::<Vec<_>>(),
        "artifacts.defaults": config.artifacts.defaults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "artifacts.endpoints": config.artifacts.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "files": config.files,
    })
}
