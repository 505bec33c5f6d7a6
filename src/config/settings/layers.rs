//! Gathers settings in layers: defaults, files in order, environment. The `config` crate merges them and
//! keeps where each value came from.

use std::collections::{BTreeMap, HashMap};

use config::{Config as Layers, ConfigError as LayerError, Source, Value, ValueKind};

use super::table::{Form, SETTINGS, children, read_form};
use crate::{
    config::{
        error::{ConfigError, Problem},
        yaml::{Kind, Node},
    },
    domain::nearest,
};

/// Prefix of environment variables: `PROW_NOTIFIER__SERVER__LISTEN` is `server.listen`.
pub const ENV_PREFIX: &str = "PROW_NOTIFIER__";

/// One layer on its way into the `config` crate: flat keys with values and where each stands.
#[derive(Debug, Clone, Default)]
pub struct Layer(HashMap<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, LayerError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

/// Gathers the layers of all files.
#[derive(Debug, Default)]
pub struct Gathered {
    layers: Vec<Layer>,
    /// Lists are joined over the files, so each layer carries what came before.
    lists: BTreeMap<&'static str, Vec<Value>>,
}

impl Gathered {
    /// Adds one file's settings; `entries` are its top-level keys without the lists of rules.
    pub fn add_file<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a str, &'a Node)>,
        problems: &mut Vec<Problem>,
    ) {
        let mut layer = Layer::default();
        for (key, node) in entries {
            if let Err(problem) = self.add(&mut layer, key, node) {
                problems.push(problem);
            }
        }
        self.layers.push(layer);
    }

    fn add(&mut self, layer: &mut Layer, key: &str, node: &Node) -> Result<(), Problem> {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            let origin = node.place.to_string();
            let value = match setting.form {
                Form::List => {
                    let list = self.lists.entry(setting.key).or_default();
                    for item in node.items(key)? {
                        list.push(Value::new(
                            Some(&item.place.to_string()),
                            item.text(key)?.to_owned(),
                        ));
                    }
                    Value::new(Some(&origin), ValueKind::Array(list.clone()))
                }
                Form::Text | Form::Duration | Form::Size | Form::Number => {
                    let text = node.text(key)?;
                    read_form(setting.form, text).map_err(|hint| {
                        Problem::at(
                            node.place.clone(),
                            format!("`{text}` is not a value for {key}"),
                            hint,
                        )
                    })?;
                    Value::new(Some(&origin), text.to_owned())
                }
            };
            layer.0.insert(key.to_owned(), value);
            return Ok(());
        }
        if matches!(node.kind, Kind::Null) {
            return Ok(());
        }
        let below = children(key);
        let known: Vec<&str> = below.iter().map(String::as_str).collect();
        for (name, _, value) in node.entries(&format!("`{key}`"), &known)? {
            self.add(layer, &format!("{key}.{name}"), value)?;
        }
        Ok(())
    }

    /// Merges defaults, files and environment.
    pub fn merge(self, environment: &BTreeMap<String, String>) -> Result<Layers, ConfigError> {
        let failed = |error: LayerError| ConfigError::from(Problem::general(error.to_string(), ""));
        let mut builder = Layers::builder();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                let value = if setting.form == Form::List {
                    ValueKind::Array(
                        default
                            .split(',')
                            .map(|item| Value::new(None, item))
                            .collect(),
                    )
                } else {
                    ValueKind::String(default.to_owned())
                };
                builder = builder
                    .set_default(setting.key, Value::new(Some(&"default".to_owned()), value))
                    .map_err(failed)?;
            }
        }
        for layer in self.layers {
            builder = builder.add_source(layer);
        }
        builder
            .add_source(environment_layer(environment)?)
            .build()
            .map_err(failed)
    }
}

fn environment_layer(environment: &BTreeMap<String, String>) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let mut problems = Vec::new();
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let hint = nearest::hint(&key, SETTINGS.iter().map(|setting| setting.key));
            problems.push(Problem::general(
                format!("environment variable {name} names no setting{hint}"),
                "",
            ));
            continue;
        };
        if let Err(hint) = read_form(setting.form, text) {
            problems.push(Problem::general(
                format!("environment variable {name}: `{text}` is not a value for {key}"),
                hint,
            ));
        }
        let origin = format!("environment {name}");
        let value = match setting.form {
            Form::List => ValueKind::Array(
                text.split(',')
                    .map(|item| Value::new(Some(&origin), item.trim()))
                    .collect(),
            ),
            Form::Text | Form::Duration | Form::Size | Form::Number => {
                ValueKind::String(text.clone())
            }
        };
        layer.0.insert(key, Value::new(Some(&origin), value));
    }
    if problems.is_empty() {
        Ok(layer)
    } else {
        Err(ConfigError(problems))
    }
}

/// A merged value: its text (lists joined with commas) and where it came from.
pub fn effective(layers: &Layers, key: &str) -> Option<(Vec<String>, String)> {
    let mut value = &layers.cache;
    for part in key.split('.') {
        let ValueKind::Table(table) = &value.kind else {
            return None;
        };
        value = table.get(part)?;
    }
    let texts = match &value.kind {
        ValueKind::Array(items) => items
            .iter()
            .map(|item| item.clone().into_string().unwrap_or_default())
            .collect(),
        _ => vec![value.clone().into_string().ok()?],
    };
    Some((texts, value.origin().unwrap_or("default").to_owned()))
}
