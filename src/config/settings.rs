//! Settings of the process, read from the merged layers.

mod form;
mod layers;
mod least;
mod missed;
mod table;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    access::{self, AccessSettings, Reads},
    error::{ConfigError, Problem},
    store_url::StoreUrl,
    units,
};
use crate::domain::{
    doom::{StopPolicy, is_object_name},
    mass::MassPolicy,
    nearest,
    prowjob::{JOB_TYPES, JobType},
};

pub use form::Form;
pub use layers::{ENV_PREFIX, Gathered, Layer, Layers, Standing, lists_below};
pub use missed::{BackfillSettings, PubsubSettings};
pub use table::{SETTINGS, Setting, children};

/// The settings, read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// See [`SETTINGS`].
    pub external_url: Option<String>,
    /// Where state is kept.
    pub store: StoreUrl,
    /// See [`SETTINGS`].
    pub retention: Duration,
    /// See [`SETTINGS`].
    pub listen: SocketAddr,
    /// Bytes.
    pub max_body_bytes: usize,
    /// Requests a second and burst per address.
    pub inbound: Pace,
    /// Who may read and act.
    pub access: AccessSettings,
    /// See [`SETTINGS`].
    pub hmac_file: Option<PathBuf>,
    /// See [`SETTINGS`].
    pub deck: Option<DeckSettings>,
    /// See [`SETTINGS`].
    pub watch: Option<WatchSettings>,
    /// Who may push Pub/Sub messages; `None` refuses all of them.
    pub pubsub: Option<PubsubSettings>,
    /// How long a silence may last.
    pub longest_silence: Duration,
    /// See [`SETTINGS`].
    pub types: Vec<JobType>,
    /// See [`SETTINGS`].
    pub max_age: Duration,
    /// See [`SETTINGS`].
    pub release_sla: Duration,
    /// When Prow or a source is in trouble.
    pub pulse: Limits,
    /// See [`SETTINGS`].
    pub window: Duration,
    /// See [`SETTINGS`].
    pub group_wait: Duration,
    /// From when on failures of many kinds have one cause.
    pub mass: MassPolicy,
    /// Stopping of runs that cannot succeed any more.
    pub stops: StopPolicy,
    /// See [`SETTINGS`].
    pub allowed_hosts: Vec<String>,
    /// Messages a second and burst per webhook.
    pub outbound: Pace,
    /// See [`SETTINGS`].
    pub retry: Retry,
    /// Reading of logs.
    pub artifacts: ArtifactSettings,
    /// Finding what was missed.
    pub backfill: BackfillSettings,
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

/// From when on something counts as trouble; settings under `watch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Polls of deck in a row that fail, or bring an old list.
    pub polls: u32,
    /// Runs that wait for long.
    pub pile_up: u32,
    /// How long that is.
    pub pile_up_age: Duration,
    /// No webhook for so long, while deck shows runs that ended.
    pub silent_after: Duration,
}

/// Polling of deck.
#[derive(Clone, PartialEq, Eq)]
pub struct DeckSettings {
    /// Its address, not yet checked.
    pub url: String,
    /// Pause between polls.
    pub interval: Duration,
    /// Whole answer.
    pub timeout: Duration,
}

impl fmt::Debug for DeckSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeckSettings")
            .field("url", &without_credentials(&self.url))
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Watching of ProwJobs through the API of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Where the ProwJobs live.
    pub namespace: String,
    /// Who we are to the API server; `None`: the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Single answers.
    pub timeout: Duration,
    /// A watch is asked for anew after so long.
    pub renew: Duration,
}

impl WatchSettings {
    /// A watch that told nothing for so long does not work.
    pub fn patience(&self) -> Duration {
        ((self.renew + self.timeout) * 2).max(Duration::from_secs(300))
    }
}

/// Reading of logs: times, sizes in bytes and numbers, each as [`SETTINGS`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of settings says what each means")]
pub struct ArtifactSettings {
    pub enabled: bool,
    pub request_timeout: Duration,
    pub timeout: Duration,
    pub max_read: usize,
    pub tail: usize,
    pub max_counted: usize,
    pub max_unpacked: usize,
    pub max_file: usize,
    pub max_reports: usize,
    pub concurrency: usize,
    pub retry: Retry,
    pub breaker_failures: u32,
    pub folders: Vec<PathBuf>,
    pub namespaces_folder: Option<PathBuf>,
    pub namespaces_key: Option<String>,
    pub namespaces_api: bool,
    pub namespaces_lifetime: Duration,
    pub kubeconfig: Option<PathBuf>,
}

/// Retrying of deliveries and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// First pause.
    pub base: Duration,
    /// Longest pause.
    pub cap: Duration,
    /// When to give up.
    pub max_age: Duration,
}

/// No longer `mass.window` is of use: the store remembers how jobs ended for so long.
const LONGEST_MASS: Duration = Duration::from_secs(6 * 3600);

impl Settings {
    /// Reads the merged layers.
    pub fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let reader = Reader { layers };
        let mut problems = Vec::new();
        let store = reader.store().map_err(|problem| problems.push(problem));
        let retention = reader.retention().map_err(|problem| problems.push(problem));
        let listen = reader.listen().map_err(|problem| problems.push(problem));
        let types = reader.types().map_err(|problem| problems.push(problem));
        let watch = reader.watch().map_err(|problem| problems.push(problem));
        let stops = reader.stops().map_err(|problem| problems.push(problem));
        let access = reader.access().map_err(|problem| problems.push(problem));
        let pubsub = reader.pubsub().map_err(|problem| problems.push(problem));
        let watched = watch.as_ref().ok().and_then(Option::as_ref);
        let backfill = reader
            .backfill(watched)
            .map_err(|problem| problems.push(problem));
        problems.extend(reader.short_pauses());
        let (Ok(store), Ok(retention), Ok(listen), Ok(types)) = (store, retention, listen, types)
        else {
            return Err(ConfigError(problems));
        };
        let (Ok(watch), Ok(stops), Ok(access), Ok(pubsub)) = (watch, stops, access, pubsub) else {
            return Err(ConfigError(problems));
        };
        let (Ok(backfill), true) = (backfill, problems.is_empty()) else {
            return Err(ConfigError(problems));
        };
        Ok(Self {
            external_url: reader.text("external_url"),
            store,
            retention,
            listen,
            max_body_bytes: reader.size("server.max_body"),
            inbound: reader.pace("server"),
            access,
            hmac_file: reader.text("sources.webhook.hmac_file").map(PathBuf::from),
            deck: reader.deck(),
            watch,
            pubsub,
            longest_silence: reader.duration("silences.max"),
            types,
            max_age: reader.duration("watch.max_age"),
            release_sla: reader.duration("board.release_sla"),
            pulse: Limits {
                polls: reader.number("watch.deck_failures"),
                pile_up: reader.number("watch.pile_up"),
                pile_up_age: reader.duration("watch.pile_up_age"),
                silent_after: reader.duration("watch.silent_after"),
            },
            window: reader.duration("dedup.window"),
            group_wait: reader.duration("dedup.group_wait"),
            mass: reader.mass(),
            stops,
            allowed_hosts: reader.list("delivery.allowed_hosts"),
            outbound: reader.pace("delivery"),
            retry: reader.retry("delivery.retry"),
            artifacts: reader.artifacts(),
            backfill,
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
        self.layers
            .effective(key)
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

    fn number(&self, key: &str) -> u32 {
        let text = self.text(key);
        text.and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    fn retry(&self, section: &str) -> Retry {
        let duration = |key: &str| self.duration(&format!("{section}.{key}"));
        Retry {
            base: duration("base"),
            cap: duration("cap"),
            max_age: duration("max_age"),
        }
    }

    fn deck(&self) -> Option<DeckSettings> {
        let time = |key: &str| self.duration(key).max(Duration::from_secs(1));
        self.text("sources.deck.url").map(|url| DeckSettings {
            url,
            interval: time("sources.deck.interval"),
            timeout: time("sources.deck.timeout"),
        })
    }

    fn artifacts(&self) -> ArtifactSettings {
        let number = |key: &str| usize::try_from(self.number(key)).unwrap_or(1);
        // A time of nothing would read nothing.
        let time = |key: &str| self.duration(key).max(Duration::from_millis(10));
        ArtifactSettings {
            enabled: self.text("artifacts.enabled").as_deref() != Some("false"),
            request_timeout: time("artifacts.request_timeout"),
            timeout: time("artifacts.timeout"),
            max_read: self.size("artifacts.max_read"),
            tail: self.size("artifacts.tail"),
            max_counted: self.size("artifacts.max_counted"),
            max_unpacked: self.size("artifacts.max_unpacked"),
            max_file: self.size("artifacts.max_file"),
            max_reports: number("artifacts.max_reports"),
            concurrency: number("artifacts.concurrency"),
            retry: self.retry("artifacts.retry"),
            breaker_failures: self.number("artifacts.breaker.failures"),
            folders: self
                .list("artifacts.folders")
                .into_iter()
                .map(PathBuf::from)
                .collect(),
            namespaces_folder: self.text("artifacts.namespaces.folder").map(PathBuf::from),
            namespaces_key: self.text("artifacts.namespaces.key"),
            namespaces_api: self.text("artifacts.namespaces.api").as_deref() == Some("true"),
            namespaces_lifetime: self.duration("artifacts.namespaces.lifetime"),
            kubeconfig: self.text("sources.watch.kubeconfig").map(PathBuf::from),
        }
    }

    fn store(&self) -> Result<StoreUrl, Problem> {
        let url = self.text("store.url").unwrap_or_default();
        let password_file = self.text("store.password_file").map(PathBuf::from);
        StoreUrl::parse(&url, password_file).map_err(|hint| {
            let url = without_credentials(&url);
            let what = format!("`{url}` is not a store this version knows");
            self.layers.problem("store.url", &what, &hint)
        })
    }

    fn mass(&self) -> MassPolicy {
        MassPolicy {
            share: self.number("mass.share"),
            jobs: self.number("mass.jobs"),
            services: self.number("mass.services"),
            window: self.duration("mass.window").min(LONGEST_MASS),
        }
    }

    fn watch(&self) -> Result<Option<WatchSettings>, Problem> {
        let Some(namespace) = self.namespace("sources.watch.namespace")? else {
            return Ok(None);
        };
        let second = Duration::from_secs(1);
        Ok(Some(WatchSettings {
            namespace,
            kubeconfig: self.text("sources.watch.kubeconfig").map(PathBuf::from),
            timeout: self.duration("sources.watch.timeout").max(second),
            renew: self.duration("sources.watch.renew").max(second),
        }))
    }

    fn stops(&self) -> Result<StopPolicy, Problem> {
        let own = self.namespace("abort.namespace")?;
        let watched = || self.text("sources.watch.namespace");
        Ok(StopPolicy {
            per_hour: self.number("abort.per_hour"),
            namespace: own.or_else(watched),
        })
    }

    fn namespace(&self, key: &str) -> Result<Option<String>, Problem> {
        let namespace = self.text(key);
        match namespace.as_deref().filter(|name| !is_object_name(name)) {
            Some(name) => Err(self.layers.problem(
                key,
                &format!("`{name}` is no name of a namespace"),
                "write lower case letters, digits and dashes, such as prow",
            )),
            None => Ok(namespace),
        }
    }

    fn retention(&self) -> Result<Duration, Problem> {
        let (key, least) = ("store.retention", "watch.max_age");
        let retention = self.duration(key);
        if retention < self.duration(least) {
            let what = format!(
                "what is forgotten before {least} ({}) is told again if it is still listed",
                units::show(self.duration(least))
            );
            let hint = format!("write a longer time than {least}, such as 400d");
            return Err(self.layers.problem(key, &what, &hint));
        }
        Ok(retention)
    }

    fn listen(&self) -> Result<SocketAddr, Problem> {
        let text = self.text("server.listen").unwrap_or_default();
        text.parse().map_err(|_| {
            self.layers.problem(
                "server.listen",
                &format!("`{text}` is not an address and port"),
                "write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080",
            )
        })
    }

    fn access(&self) -> Result<AccessSettings, Problem> {
        let layers = self.layers;
        let word = self.text("server.access.reads").unwrap_or_default();
        let reads = Reads::parse(&word).ok_or_else(|| {
            let hint = nearest::hint(&word, Reads::WORDS.into_iter());
            let what = format!("`{word}` says not who may read{hint}");
            layers.problem("server.access.reads", &what, "write open, token or proxy")
        })?;
        let mut proxy_from = Vec::new();
        for text in self.list("server.access.proxy.from") {
            let network = access::network(&text).ok_or_else(|| {
                let what = format!("`{text}` is no address and no range of addresses");
                let hint = "write 10.0.0.0/8 or 127.0.0.1";
                layers.problem("server.access.proxy.from", &what, hint)
            })?;
            proxy_from.push(network);
        }
        let tokens_file = self.text("server.access.tokens_file").map(PathBuf::from);
        let missing = match reads {
            Reads::Token if tokens_file.is_none() => Some("server.access.tokens_file"),
            Reads::Proxy if proxy_from.is_empty() => Some("server.access.proxy.from"),
            Reads::Open | Reads::Token | Reads::Proxy => None,
        };
        if let Some(key) = missing {
            let what = format!("`{word}` lets nobody read while {key} is not set");
            return Err(layers.problem("server.access.reads", &what, &format!("set {key}")));
        }
        let proxy_header = self.text("server.access.proxy.header").unwrap_or_default();
        Ok(AccessSettings {
            reads,
            tokens_file,
            proxy_header,
            proxy_from,
            metrics: self.text("server.access.metrics").as_deref() == Some("true"),
        })
    }

    /// Prow may grow new types, but a mistyped one would watch nothing and say nothing.
    fn types(&self) -> Result<Vec<JobType>, Problem> {
        let words = self.list("watch.types");
        let types: Vec<JobType> = words.iter().map(|word| JobType::parse(word)).collect();
        let unknown = types.iter().find_map(|known| match known {
            JobType::Other(word) => Some(word),
            _ => None,
        });
        let Some(word) = unknown else {
            return Ok(types);
        };
        let hint = nearest::hint(word, JOB_TYPES.into_iter());
        let what = format!("`{word}` is not a type of job{hint}");
        Err(self.layers.problem("watch.types", &what, ""))
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
