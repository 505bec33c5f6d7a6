//! Configuration: files and environment to one immutable value. *Settings* come in layers, *rules* are
//! lists joined over the files in order; both may stand in one file.

pub mod access;
pub mod artifacts;
pub mod error;
pub mod mute;
pub mod pipelines;
pub mod redact;
pub mod rules;
pub mod schema;
pub mod settings;
pub mod shown;
pub mod snapshot;
pub mod store_url;
pub mod units;
pub mod yaml;

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use self::{
    artifacts::Artifacts,
    error::{ConfigError, Problem},
    rules::{Receiver, Rules, SecretSource},
    settings::{Gathered, Layers, Settings},
};
use crate::{domain::nearest, evidence::rules::LogRules};

/// Where configuration is looked for when nothing is said.
pub const DEFAULT_PATH: &str = "/etc/prow-notifier";
/// Top-level keys that hold lists of rules.
pub const RULE_SECTIONS: [&str; 7] = [
    "classify",
    "pipelines",
    "receivers",
    "routes",
    "mute",
    "log_rules",
    "redact",
];

/// A configuration, read and checked as far as that needs no secrets.
#[derive(Debug, Clone)]
pub struct Config {
    /// Settings of the process.
    pub settings: Settings,
    /// The lists.
    pub rules: Rules,
    /// The log rules compiled, the built-in ones behind them.
    pub log_rules: LogRules,
    /// Where logs are and how they are reached.
    pub artifacts: Artifacts,
    /// The merged layers, for showing where each value came from.
    pub layers: Layers,
    /// The files it was read from, in order.
    pub files: Vec<PathBuf>,
    /// Of the files' names and texts, as they were read.
    pub files_hash: [u8; 32],
}

impl Config {
    /// Reads files and folders (their `*.yaml` in name order), then the environment.
    pub fn load(
        paths: &[PathBuf],
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let files = find_files(paths)?;
        let mut problems = Vec::new();
        let mut gathered = Gathered::default();
        let mut rules = Rules::default();
        let mut artifacts = Artifacts::default();
        let mut hash = Sha256::new();
        for file in &files {
            let read = read_text(file).and_then(|text| {
                hash.update(file.to_string_lossy().as_bytes());
                hash.update(Sha256::digest(&text));
                let into = (&mut gathered, &mut rules, &mut artifacts);
                read_file(file, text, into, &mut problems)
            });
            if let Err(problem) = read {
                problems.push(problem);
            }
        }
        rules.check_names(&mut problems);
        if !problems.is_empty() {
            return Err(ConfigError(problems));
        }
        let log_rules = LogRules::with(rules.log_rules.clone()).map_err(|error| {
            let what = format!("the log rules cannot be used together: {error}");
            Problem::general(what, "use fewer or smaller patterns")
        })?;
        let layers = gathered.merge(environment)?;
        let settings = Settings::read(&layers)?;
        check_receiver_names(&layers, &settings, &rules)?;
        Ok(Self {
            settings,
            rules,
            log_rules,
            artifacts,
            layers,
            files,
            files_hash: hash.finalize().into(),
        })
    }
}

fn read_text(file: &Path) -> Result<String, Problem> {
    fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Problem::general(
            format!("{} is not a text file in UTF-8", file.display()),
            "name a YAML file with --config",
        ),
        _ => Problem::general(
            format!("cannot read {}: {error}", file.display()),
            "check path and permissions",
        ),
    })
}

fn read_file(
    file: &Path,
    text: String,
    (gathered, rules, artifacts): (&mut Gathered, &mut Rules, &mut Artifacts),
    problems: &mut Vec<Problem>,
) -> Result<(), Problem> {
    let root = yaml::parse(file, text)?;
    let known: Vec<String> = RULE_SECTIONS
        .iter()
        .map(|&name| name.to_owned())
        .chain(settings::children(""))
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (lists, values): (Vec<_>, Vec<_>) = root
        .known_entries("the configuration", &known, problems)
        .partition(|(key, _)| RULE_SECTIONS.contains(key));
    for (key, node) in lists {
        rules.read(key, node, problems);
    }
    for (key, node) in &values {
        for (list, node) in settings::lists_below(key, node) {
            artifacts.read(list, node, problems);
        }
    }
    gathered.add_file(values.into_iter(), problems);
    Ok(())
}

fn find_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    let default = [PathBuf::from(DEFAULT_PATH)];
    let given = if paths.is_empty() {
        &default[..]
    } else {
        paths
    };
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            files.extend(yaml_files(path)?);
        } else if path.exists() || !paths.is_empty() {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        let looked = given
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Problem::general(
            format!("no configuration in {looked}"),
            "name a file or folder with --config, or see it work without any: prow-notifier demo",
        ));
    }
    Ok(files)
}

/// The folder's `*.yaml` in name order. Kubernetes puts hidden folders beside them, which are left out.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let failed = |error: std::io::Error| {
        Problem::general(
            format!("cannot list {}: {error}", folder.display()),
            "check path and permissions",
        )
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_receiver_names(
    layers: &Layers,
    settings: &Settings,
    rules: &Rules,
) -> Result<(), ConfigError> {
    let names = || {
        rules
            .receivers
            .iter()
            .map(|receiver| receiver.name.as_str())
    };
    let mut problems = Vec::new();
    for (key, name) in [
        ("default_receiver", &settings.default_receiver),
        ("fallback_receiver", &settings.fallback_receiver),
    ] {
        let Some(name) = name else { continue };
        match rules.receivers.iter().find(|known| known.name == *name) {
            Some(Receiver {
                secret: SecretSource::Dir(_),
                ..
            }) => {
                let what = format!(
                    "`{name}` has one webhook per service, so what has no service would be told to nobody"
                );
                let hint = "name a receiver with webhook_url_file; a route can lead to the services' own before it";
                problems.push(layers.problem(key, &what, hint));
            }
            Some(_) => {}
            None => {
                let hint = nearest::hint(name, names());
                let what = format!("no receiver is named `{name}`{hint}");
                problems.push(layers.problem(key, &what, ""));
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError(problems))
    }
}
