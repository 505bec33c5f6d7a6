//! What is in force: each setting with the layer that set it, the rules, the files, and a reload that was refused.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::age::DataAge;
use crate::{
    config::{
        Config,
        settings::{SETTINGS, Setting},
        shown,
    },
    pipeline::Shared,
};

/// The configuration in force. No secret is in it, only where each comes from.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Configuration {
    /// How old the rest of the data is.
    pub data: DataAge,
    /// When it was read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded_at: Option<Timestamp>,
    /// The last reload, if that was refused: then the files on disk are not what is in force.
    pub refused: Option<RefusedReload>,
    /// The files it was read from, in order.
    pub files: Vec<String>,
    /// Every setting, in the order of the documents.
    pub settings: Vec<SettingItem>,
    /// The lists.
    pub sections: Vec<Section>,
}

/// A reload that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedReload {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What is wrong with the files.
    pub why: String,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingItem {
    /// Dotted key.
    pub key: String,
    /// Its value; `None` when it is not set.
    pub value: Option<String>,
    /// The layer and place that set it.
    pub origin: Option<String>,
    /// Its meaning.
    pub doc: String,
    /// What that overrode, the strongest first.
    pub overrode: Vec<Overridden>,
}

/// A value that another layer overrode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Overridden {
    /// The value.
    pub value: String,
    /// The layer and place that set it.
    pub origin: String,
}

/// One of the lists of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Section {
    /// Its key in the configuration.
    pub name: String,
    /// Its entries, each in a line.
    pub lines: Vec<String>,
}

/// Reads what is in force.
pub fn load(shared: &Shared) -> Configuration {
    let live = shared.live();
    let config = &live.snapshot.config;
    // What stands on a wrong line of a file can be anything, a secret too.
    let redactor = &live.snapshot.redactor;
    Configuration {
        data: DataAge::of(shared),
        loaded_at: live.loaded_at(),
        refused: live.refused().map(|(at, why)| RefusedReload {
            at,
            why: redactor
                .lines(&why.lines().collect::<Vec<_>>())
                .lines()
                .join("\n"),
        }),
        files: config
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
        settings: SETTINGS
            .iter()
            .map(|setting| SettingItem::of(config, setting))
            .collect(),
        sections: sections(config),
    }
}

impl SettingItem {
    fn of(config: &Config, setting: &Setting) -> Self {
        let mut standing = config.layers.standing(setting.key);
        let last = standing.pop();
        let overrode = standing.iter().rev().map(|before| Overridden {
            value: shown::value(&before.texts),
            origin: before.origin.clone(),
        });
        Self {
            key: setting.key.to_owned(),
            doc: setting.doc.to_owned(),
            overrode: overrode.collect(),
            value: last.as_ref().map(|last| shown::value(&last.texts)),
            origin: last.map(|last| last.origin),
        }
    }
}

fn sections(config: &Config) -> Vec<Section> {
    let rules = &config.rules;
    let section = |name: &str, lines: Vec<String>| Section {
        name: name.to_owned(),
        lines,
    };
    vec![
        section("classify", rules.classify.iter().map(shown::rule).collect()),
        section(
            "pipelines",
            rules.pipelines.iter().map(shown::pipeline).collect(),
        ),
        section(
            "receivers",
            rules.receivers.iter().map(shown::receiver).collect(),
        ),
        section("routes", rules.routes.iter().map(shown::route).collect()),
        section(
            "log_rules",
            rules.log_rules.iter().map(shown::log_rule).collect(),
        ),
        section(
            "redact",
            rules.redact.iter().map(|own| own.name.clone()).collect(),
        ),
        section(
            "artifacts.defaults",
            config
                .artifacts
                .defaults
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        section(
            "artifacts.endpoints",
            config
                .artifacts
                .endpoints
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
    ]
}
