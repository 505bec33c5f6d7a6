//! Settings of the process, in layers: defaults, files in order, environment. The `config` crate merges
//! them and keeps where each value came from.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use config::{Config as Layers, ConfigError as LayerError, Source, Value, ValueKind};

use super::{
    error::{ConfigError, Problem},
    units,
    yaml::{Kind, Node},
};
use crate::domain::{nearest, prowjob::JobType};

/// One setting: its key, how its text is read, its default and what it means.
#[derive(Debug)]
pub struct Setting {
    /// Dotted key, such as `server.listen`.
    pub key: &'static str,
    /// How its text is read.
    pub form: Form,
    /// Its default; `None` means unset.
    pub default: Option<&'static str>,
    /// Its meaning, one sentence.
    pub doc: &'static str,
}

/// How the text of a setting is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// `90s`, `1h30m`, `7d`.
    Duration,
    /// `4MiB`.
    Size,
    /// A whole number from 1.
    Number,
    /// A list of texts; lists of several files are joined.
    List,
}

macro_rules! settings {
    ($(($key:literal, $form:ident, $default:expr, $doc:literal)),* $(,)?) => {
        /// Every setting there is.
        pub const SETTINGS: &[Setting] = &[$(Setting { key: $key, form: Form::$form, default: $default, doc: $doc }),*];
    };
}

settings![
    (
        "external_url",
        Text,
        None,
        "Address under which people reach this daemon, for links in messages."
    ),
    (
        "store.url",
        Text,
        Some("sqlite:///var/lib/prow-notifier/state.db"),
        "Where state is kept: sqlite:// and a path."
    ),
    (
        "store.retention",
        Duration,
        Some("400d"),
        "Finished runs and sent messages older than this are deleted."
    ),
    (
        "server.listen",
        Text,
        Some("0.0.0.0:8080"),
        "Address and port to listen on."
    ),
    (
        "server.max_body",
        Size,
        Some("4MiB"),
        "Larger request bodies are refused with 413 before anything else is looked at."
    ),
    (
        "server.rate_per_s",
        Number,
        Some("1000"),
        "Requests a second that one address may send on average; more get 429."
    ),
    (
        "server.burst",
        Number,
        Some("5000"),
        "Requests that one address may send at once."
    ),
    (
        "sources.webhook.hmac_file",
        Text,
        None,
        "Prow's HMAC token file (one token, or a map of org or org/repo to tokens). Without it webhooks are refused."
    ),
    (
        "sources.deck.url",
        Text,
        None,
        "Address of deck. Without it nothing is polled."
    ),
    (
        "sources.deck.interval",
        Duration,
        Some("30s"),
        "How often deck is asked; it renews its own list every 30 s."
    ),
    (
        "sources.deck.timeout",
        Duration,
        Some("60s"),
        "How long one answer of deck may take as a whole."
    ),
    (
        "watch.types",
        List,
        Some("postsubmit,periodic"),
        "Job types that are watched."
    ),
    (
        "watch.max_age",
        Duration,
        Some("48h"),
        "Runs that finished longer ago are stored, never notified."
    ),
    (
        "dedup.window",
        Duration,
        Some("1h"),
        "First window in which repeated failures of one incident are counted, not told."
    ),
    (
        "dedup.group_wait",
        Duration,
        Some("5s"),
        "How long a message may wait for siblings still to come."
    ),
    (
        "delivery.allowed_hosts",
        List,
        Some("hooks.slack.com"),
        "Hosts that webhook URLs may name; plain http only to a loopback address with port."
    ),
    (
        "delivery.rate_per_s",
        Number,
        Some("1"),
        "Messages a second to one webhook."
    ),
    (
        "delivery.burst",
        Number,
        Some("5"),
        "Messages to one webhook at once after a pause."
    ),
    (
        "delivery.retry.base",
        Duration,
        Some("1s"),
        "First pause after a failed attempt, doubled each time."
    ),
    (
        "delivery.retry.cap",
        Duration,
        Some("5m"),
        "Longest pause between attempts."
    ),
    (
        "delivery.retry.max_age",
        Duration,
        Some("24h"),
        "A message that could not be sent for this long becomes a dead letter."
    ),
    (
        "default_receiver",
        Text,
        None,
        "Receiver of runs that no route takes."
    ),
    (
        "fallback_receiver",
        Text,
        None,
        "Receiver of messages whose own receiver is dead."
    ),
];

/// The settings, read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// See [`SETTINGS`].
    pub external_url: Option<String>,
    /// Path of the SQLite file.
    pub store_path: PathBuf,
    /// See [`SETTINGS`].
    pub retention: Duration,
    /// See [`SETTINGS`].
    pub listen: SocketAddr,
    /// Bytes.
    pub max_body_bytes: usize,
    /// Requests a second and burst per address.
    pub inbound: Pace,
    /// See [`SETTINGS`].
    pub hmac_file: Option<PathBuf>,
    /// See [`SETTINGS`].
    pub deck: Option<DeckSettings>,
    /// See [`SETTINGS`].
    pub types: Vec<JobType>,
    /// See [`SETTINGS`].
    pub max_age: Duration,
    /// See [`SETTINGS`].
    pub window: Duration,
    /// See [`SETTINGS`].
    pub group_wait: Duration,
    /// See [`SETTINGS`].
    pub allowed_hosts: Vec<String>,
    /// Messages a second and burst per webhook.
    pub outbound: Pace,
    /// See [`SETTINGS`].
    pub retry: Retry,
    /// See [`SETTINGS`].
    pub default_receiver: Option<String>,
    /// See [`SETTINGS`].
    pub fallback_receiver: Option<String>,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// On average, per second; at least 1.
    pub rate_per_s: u32,
    /// At once; at least 1.
    pub burst: u32,
}

/// Polling of deck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeckSettings {
    /// Its address, not yet checked.
    pub url: String,
    /// Pause between polls.
    pub interval: Duration,
    /// Whole answer.
    pub timeout: Duration,
}

/// Retrying of deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub cap: Duration,
    /// When to give up.
    pub max_age: Duration,
}

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

/// Keys directly below a section: `sources` → `webhook`, `deck`.
pub fn children(section: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for setting in SETTINGS {
        let rest = if section.is_empty() {
            Some(setting.key)
        } else {
            setting
                .key
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split('.').next())
            && !found.iter().any(|known| known == name)
        {
            found.push(name.to_owned());
        }
    }
    found
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

/// Checks a text against its form; the error is a hint.
fn read_form(form: Form, text: &str) -> Result<(), &'static str> {
    match form {
        Form::Text | Form::List => Ok(()),
        Form::Duration => units::duration(text)
            .map(drop)
            .ok_or("write 90s, 1h30m or 7d"),
        Form::Size => units::size_bytes(text)
            .filter(|bytes| *bytes > 0)
            .map(drop)
            .ok_or("write a size such as 4MiB"),
        Form::Number => text
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
            .map(drop)
            .ok_or("write a whole number from 1"),
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

impl Settings {
    /// Reads the merged layers.
    pub fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let reader = Reader { layers };
        let mut problems = Vec::new();
        let store_path = reader
            .store_path()
            .map_err(|problem| problems.push(problem));
        let listen = reader.listen().map_err(|problem| problems.push(problem));
        let deck = reader.text("sources.deck.url").map(|url| DeckSettings {
            url,
            interval: reader
                .duration("sources.deck.interval")
                .max(Duration::from_secs(1)),
            timeout: reader
                .duration("sources.deck.timeout")
                .max(Duration::from_secs(1)),
        });
        let (Ok(store_path), Ok(listen)) = (store_path, listen) else {
            return Err(ConfigError(problems));
        };
        Ok(Self {
            external_url: reader.text("external_url"),
            store_path,
            retention: reader.duration("store.retention"),
            listen,
            max_body_bytes: reader.size("server.max_body"),
            inbound: reader.pace("server"),
            hmac_file: reader.text("sources.webhook.hmac_file").map(PathBuf::from),
            deck,
            types: reader
                .list("watch.types")
                .iter()
                .map(|word| JobType::parse(word))
                .collect(),
            max_age: reader.duration("watch.max_age"),
            window: reader.duration("dedup.window"),
            group_wait: reader.duration("dedup.group_wait"),
            allowed_hosts: reader.list("delivery.allowed_hosts"),
            outbound: reader.pace("delivery"),
            retry: Retry {
                base: reader.duration("delivery.retry.base"),
                cap: reader.duration("delivery.retry.cap"),
                max_age: reader.duration("delivery.retry.max_age"),
            },
            default_receiver: reader.text("default_receiver"),
            fallback_receiver: reader.text("fallback_receiver"),
        })
    }
}

/// Reads values whose form was checked when their layer was gathered.
struct Reader<'a> {
    layers: &'a Layers,
}

impl Reader<'_> {
    fn list(&self, key: &str) -> Vec<String> {
        effective(self.layers, key)
            .map(|(texts, _)| texts)
            .unwrap_or_default()
    }

    fn text(&self, key: &str) -> Option<String> {
        self.list(key)
            .into_iter()
            .next()
            .filter(|text| !text.is_empty())
    }

    fn duration(&self, key: &str) -> Duration {
        self.text(key)
            .and_then(|text| units::duration(&text))
            .unwrap_or_default()
    }

    fn size(&self, key: &str) -> usize {
        self.text(key)
            .and_then(|text| units::size_bytes(&text))
            .unwrap_or_default()
    }

    fn pace(&self, section: &str) -> Pace {
        let number = |key: &str| {
            self.text(&format!("{section}.{key}"))
                .and_then(|text| text.parse().ok())
                .unwrap_or(1)
        };
        Pace {
            rate_per_s: number("rate_per_s"),
            burst: number("burst"),
        }
    }

    fn origin(&self, key: &str) -> String {
        effective(self.layers, key).map_or_else(String::new, |(_, origin)| origin)
    }

    fn store_path(&self) -> Result<PathBuf, Problem> {
        let url = self.text("store.url").unwrap_or_default();
        let path = url
            .strip_prefix("sqlite://")
            .filter(|path| !path.is_empty());
        path.map(PathBuf::from).ok_or_else(|| {
            let what = format!(
                "{}: store.url `{}` is not a store this version knows",
                self.origin("store.url"),
                without_credentials(&url)
            );
            Problem::general(
                what,
                "write sqlite:// and a path, such as sqlite:///var/lib/prow-notifier/state.db",
            )
        })
    }

    fn listen(&self) -> Result<SocketAddr, Problem> {
        let text = self.text("server.listen").unwrap_or_default();
        text.parse().map_err(|_| {
            let what = format!(
                "{}: server.listen `{text}` is not an address and port",
                self.origin("server.listen")
            );
            Problem::general(
                what,
                "write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080",
            )
        })
    }
}

/// An address as it may be shown: user and password of `scheme://user:password@host` masked.
pub fn without_credentials(url: &str) -> String {
    match url
        .split_once("://")
        .and_then(|(scheme, rest)| rest.rsplit_once('@').map(|(_, host)| (scheme, host)))
    {
        Some((scheme, host)) => format!("{scheme}://***@{host}"),
        None => url.to_owned(),
    }
}
