//! Gathers settings in layers: defaults, files in order, environment. The `config` crate merges them and
//! keeps where each value came from.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use config::{ConfigError as LayerError, Source, Value, ValueKind};

use super::{
    form::{Form, read_form},
    table::{EXTENDED, LISTS, SETTINGS, Setting, children},
};
use crate::{
    config::{
        error::{ConfigError, Place, Problem},
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
    /// Where each setting stands in the last file that has it.
    places: BTreeMap<&'static str, Place>,
}

/// A value as one layer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its text, or the texts of a list.
    pub texts: Vec<String>,
    /// The layer: `default`, a place in a file, an environment variable.
    pub origin: String,
}

/// The merged layers.
#[derive(Clone)]
pub struct Layers {
    merged: config::Config,
    /// The layers by themselves, from the weakest to the strongest.
    all: Vec<Layer>,
    places: BTreeMap<&'static str, Place>,
}

impl Gathered {
    /// Adds one file's settings; `entries` are its top-level keys without the lists of rules. Every problem
    /// is told, not only the first.
    pub fn add_file<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a str, &'a Node)>,
        problems: &mut Vec<Problem>,
    ) {
        let mut layer = Layer::default();
        for (key, node) in entries {
            self.add(&mut layer, key, node, problems);
        }
        self.layers.push(layer);
    }

    fn add(&mut self, layer: &mut Layer, key: &str, node: &Node, problems: &mut Vec<Problem>) {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) {
            match self.value(setting, node) {
                Ok(value) => {
                    layer.0.insert(key.to_owned(), value);
                    self.places.insert(setting.key, node.place.clone());
                }
                Err(problem) => problems.push(problem),
            }
            return;
        }
        if matches!(node.kind, Kind::Null) || LISTS.contains(&key) {
            return;
        }
        let below = children(key);
        let known: Vec<&str> = below.iter().map(String::as_str).collect();
        for (name, value) in node.known_entries(&format!("`{key}`"), &known, problems) {
            self.add(layer, &format!("{key}.{name}"), value, problems);
        }
    }

    fn value(&mut self, setting: &Setting, node: &Node) -> Result<Value, Problem> {
        let key = setting.key;
        let origin = node.place.to_string();
        if setting.form == Form::List {
            let list = self.lists.entry(key).or_default();
            for item in node.items(key)? {
                add(list, &item.place.to_string(), item.text(key)?);
            }
            let whole = with_standing(key, list.clone());
            return Ok(Value::new(Some(&origin), ValueKind::Array(whole)));
        }
        let text = node.text(key)?;
        read_form(setting.form, text).map_err(|hint| {
            let what = format!("`{text}` is not a value for {key}");
            Problem::at(node.place.clone(), what, hint)
        })?;
        Ok(Value::new(Some(&origin), text.to_owned()))
    }

    /// Merges defaults, files and environment.
    pub fn merge(self, environment: &BTreeMap<String, String>) -> Result<Layers, ConfigError> {
        let failed = |error: LayerError| ConfigError::from(Problem::general(error.to_string(), ""));
        let layers: Vec<Layer> = [defaults()]
            .into_iter()
            .chain(self.layers)
            .chain([environment_layer(environment)?])
            .collect();
        let mut builder = config::Config::builder();
        for layer in &layers {
            builder = builder.add_source(layer.clone());
        }
        Ok(Layers {
            merged: builder.build().map_err(failed)?,
            all: layers,
            places: self.places,
        })
    }
}

fn defaults() -> Layer {
    let mut layer = Layer::default();
    for setting in SETTINGS {
        let Some(default) = setting.default else {
            continue;
        };
        let value = if setting.form == Form::List {
            let items = default.split(',').map(|item| Value::new(None, item));
            ValueKind::Array(items.collect())
        } else {
            ValueKind::String(default.to_owned())
        };
        let value = Value::new(Some(&"default".to_owned()), value);
        layer.0.insert(setting.key.to_owned(), value);
    }
    layer
}

/// The lists of `LISTS` that stand directly below a section.
pub fn lists_below<'a>(
    section: &'a str,
    node: &'a Node,
) -> impl Iterator<Item = (&'static str, &'a Node)> {
    let entries: &[(String, Place, Node)] = match &node.kind {
        Kind::Map(entries) => entries,
        Kind::Null | Kind::Text(_) | Kind::List(_) => &[],
    };
    entries.iter().filter_map(move |(key, _, value)| {
        let whole = format!("{section}.{key}");
        let list = LISTS.into_iter().find(|list| *list == whole)?;
        Some((list, value))
    })
}

/// Adds to a list, once.
fn add(list: &mut Vec<Value>, origin: &str, item: &str) {
    let is_known = |known: &Value| matches!(&known.kind, ValueKind::String(text) if text == item);
    if !list.iter().any(is_known) {
        list.push(Value::new(Some(&origin.to_owned()), item));
    }
}

/// A list with what it holds whatever is written. At its end, so that numbers in errors are as written.
fn with_standing(key: &str, mut list: Vec<Value>) -> Vec<Value> {
    let setting = SETTINGS.iter().find(|setting| setting.key == key);
    let default = setting.and_then(|setting| setting.default);
    if let Some(host) = default.filter(|_| key == EXTENDED) {
        add(&mut list, "default", host);
    }
    list
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
            Form::List => {
                let mut list = Vec::new();
                text.split(',')
                    .for_each(|item| add(&mut list, &origin, item.trim()));
                ValueKind::Array(with_standing(setting.key, list))
            }
            Form::Text | Form::Duration | Form::Size | Form::Number | Form::Flag => {
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

impl fmt::Debug for Layers {
    /// Without the values, some of which hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Standing {
    fn of(value: &Value) -> Option<Self> {
        let texts = match &value.kind {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| item.clone().into_string().unwrap_or_default())
                .collect(),
            _ => vec![value.clone().into_string().ok()?],
        };
        Some(Self {
            texts,
            origin: value.origin().unwrap_or("default").to_owned(),
        })
    }
}

impl Layers {
    /// A value: its text, or texts of a list, and where it came from.
    pub fn effective(&self, key: &str) -> Option<(Vec<String>, String)> {
        let mut value = &self.merged.cache;
        for part in key.split('.') {
            let ValueKind::Table(table) = &value.kind else {
                return None;
            };
            value = table.get(part)?;
        }
        let standing = Standing::of(value)?;
        Some((standing.texts, standing.origin))
    }

    /// What each layer has to say of a value, from the weakest to the one in effect.
    pub fn standing(&self, key: &str) -> Vec<Standing> {
        self.all
            .iter()
            .filter_map(|layer| Standing::of(layer.0.get(key)?))
            .collect()
    }

    /// A problem with a value, told where the value stands.
    pub fn problem(&self, key: &str, what: &str, hint: &str) -> Problem {
        let what = format!("{key}: {what}");
        let origin = self.effective(key).map(|(_, origin)| origin);
        let place = self.places.get(key);
        match (place, origin) {
            (Some(place), Some(origin)) if place.to_string() == origin => {
                Problem::at(place.clone(), what, hint)
            }
            (_, Some(origin)) => Problem::general(format!("{origin}: {what}"), hint),
            (_, None) => Problem::general(what, hint),
        }
    }
}
