//! Puts together what one run left behind.

mod copy;
mod pod;
mod survey;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use lru::LruCache;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    EndpointHealth, Gathered, Outcome,
    breaker::Breaker,
    bucket::{self, Bucket, Means},
    configmaps::ConfigMaps,
    failure::Failure,
    fetch::Folder,
    namespaces::{Namespaces, Repository},
};
pub use survey::Page;

use crate::{
    clock::Clock,
    config::{Config, artifacts::Artifacts, settings::ArtifactSettings},
    domain::{
        location::{Location, Provider},
        observation::Observation,
    },
    evidence::{LogText, Remains},
    http::Http,
    prow::{
        deck::DeckUrl,
        storage::{BUILD_LOG, Layout, Logs, Place, Stored},
    },
};

/// Buckets that are kept open, and endpoints whose failures are counted. Runs name buckets, so there could be
/// any number.
const MAX_BUCKETS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// Uploads follow the end of a run, and this late they will not come any more.
const UPLOAD_GRACE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// Reads what runs left behind. Cheap to clone; clones share buckets, breakers and the limit of reads.
#[derive(Debug, Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ArtifactSettings,
    lists: Artifacts,
    environment: BTreeMap<String, String>,
    namespaces: Option<Namespaces>,
    configmaps: Option<ConfigMaps>,
    deck: Option<DeckUrl>,
    http: Http,
    clock: Clock,
    turns: Semaphore,
    buckets: Mutex<LruCache<String, Bucket>>,
    breakers: Mutex<LruCache<String, Breaker>>,
    /// A folder of this machine that holds what the buckets hold.
    copy: Option<Location>,
}

/// What could be read of a run, and the first thing that went wrong.
#[derive(Default)]
struct Haul {
    remains: Remains,
    failure: Option<Failure>,
    /// Whether anything was answered, if only that it is not there.
    answered: bool,
}

impl Haul {
    fn keep<T>(&mut self, read: Result<Option<T>, Failure>) -> Option<T> {
        match read {
            Ok(found) => {
                self.answered = true;
                found
            }
            Err(failure) => {
                // What concerns the endpoint says more than what concerns one file.
                let is_worse = |old: &Failure| failure.of_endpoint && !old.of_endpoint;
                if self.failure.as_ref().is_none_or(is_worse) {
                    self.failure = Some(failure);
                }
                None
            }
        }
    }
}

impl Reader {
    /// A reader that obeys `config`. Credentials of `environment` are used where none are configured.
    pub fn new(
        config: &Config,
        environment: &BTreeMap<String, String>,
        http: Http,
        clock: Clock,
    ) -> Self {
        let deck = config.settings.deck.as_ref();
        let mut inner = Inner::new(config, environment, http, clock);
        inner.deck = deck.and_then(|deck| deck.url.parse().ok());
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Reads what a run left behind, in at most `artifacts.timeout` once it is its turn.
    pub async fn gather(&self, run: &Observation) -> Gathered {
        self.inner.gather(run).await
    }

    /// How each endpoint that was used lately does.
    pub fn health(&self) -> Vec<EndpointHealth> {
        let breakers = lock(&self.inner.breakers);
        let mut health: Vec<EndpointHealth> = breakers
            .iter()
            .map(|(endpoint, breaker)| EndpointHealth {
                endpoint: endpoint.clone(),
                state: breaker.state(),
                since: breaker.since(),
                why: breaker.why().to_owned(),
            })
            .collect();
        health.sort_by(|one, other| one.endpoint.cmp(&other.endpoint));
        health
    }

    /// The locations that the configuration names, for trying each with [`Self::probe`].
    pub fn locations(&self) -> Vec<Location> {
        let defaults = self.inner.lists.defaults.iter();
        defaults.map(|default| default.root.clone()).collect()
    }

    /// Where the credentials for a location come from, in words; never what they are.
    pub fn credentials(&self, location: &Location) -> String {
        self.inner.means(location).source(location.provider)
    }

    /// Asks a bucket for a file that need not be there; the error says why it cannot be read.
    pub async fn probe(&self, location: &Location) -> Result<(), String> {
        let bucket = self.inner.open(location)?;
        let folder = Folder {
            bucket: &bucket,
            location,
            settings: &self.inner.settings,
        };
        let read = folder.small("latest-build.txt").await;
        read.map(drop).map_err(|failure| failure.why)
    }
}

impl Inner {
    /// Without a deck.
    fn new(
        config: &Config,
        environment: &BTreeMap<String, String>,
        http: Http,
        clock: Clock,
    ) -> Self {
        let settings = config.settings.artifacts.clone();
        let folder = settings.namespaces_folder.clone();
        let key = settings.namespaces_key.clone();
        Self {
            lists: config.artifacts.clone(),
            environment: environment.clone(),
            namespaces: folder.map(|folder| Namespaces::new(folder, key)),
            configmaps: ConfigMaps::new(&settings, clock.clone()),
            deck: None,
            http,
            clock,
            turns: Semaphore::new(settings.concurrency.max(1)),
            buckets: Mutex::new(LruCache::new(MAX_BUCKETS)),
            breakers: Mutex::new(LruCache::new(MAX_BUCKETS)),
            settings,
            copy: None,
        }
    }

    async fn gather(&self, run: &Observation) -> Gathered {
        let (layout, warning) = self.layout(run).await;
        let place = self.place(run, layout.as_ref());
        let Ok(_turn) = self.turns.acquire().await else {
            return Gathered::nothing(run, "the daemon is stopping".to_owned());
        };
        let deadline = Instant::now() + self.settings.timeout;
        let mut gathered = match place {
            Place::Nothing(why) => Gathered::nothing(run, why),
            Place::OnlyDeck(why) => self.read_deck(run, why, deadline).await,
            Place::Stored(stored) => self.read_stored(run, &stored, deadline).await,
        };
        gathered.remains.description.clone_from(&run.description);
        gathered.warning = warning;
        gathered.log_page = self.page(run, gathered.location.as_deref());
        gathered
    }

    /// What the configuration says of a run's place: its namespace's repository, else the defaults. With a
    /// warning when the repository cannot be used.
    async fn layout(&self, run: &Observation) -> (Option<Layout>, Option<String>) {
        let namespace = run.artifacts.namespace.as_deref().unwrap_or_default();
        let default = self
            .lists
            .default_for(run.org(), run.repo(), &run.cluster, namespace)
            .map(|default| Layout {
                root: default.root.clone(),
                strategy: default.strategy,
                default_org: default.default_org.clone(),
                default_repo: default.default_repo.clone(),
            });
        match self.repository(&run.cluster, namespace).await {
            Ok(None) => (default, None),
            Ok(Some(repository)) => match repository.root(default.as_ref().map(|one| &one.root)) {
                Ok(root) => {
                    let layout = default.unwrap_or_else(|| Layout::explicit(root.clone()));
                    (Some(Layout { root, ..layout }), None)
                }
                Err(why) => (default, Some(why)),
            },
            Err(why) => (default, Some(why)),
        }
    }

    /// The repository of a namespace. Kubernetes knows those of its own cluster only, which Prow calls `default`.
    async fn repository(&self, cluster: &str, space: &str) -> Result<Option<Repository>, String> {
        match (&self.namespaces, &self.configmaps) {
            (Some(folder), _) => folder.repository(space),
            (None, Some(api)) if cluster == "default" => api.repository(space).await,
            (None, _) => Ok(None),
        }
    }

    /// Where people see the run.
    fn page(&self, run: &Observation, location: Option<&str>) -> Option<String> {
        let is_web = |url: &&String| url.starts_with("https://") || url.starts_with("http://");
        if let Some(url) = run.url.as_ref().filter(is_web) {
            return Some(url.clone());
        }
        let path = location?.replacen("://", "/", 1);
        Some(format!("{}/view/{path}", self.deck.as_ref()?))
    }

    fn means(&self, location: &Location) -> Means<'_> {
        Means {
            endpoint: self.lists.endpoint_for(location.provider, &location.bucket),
            environment: &self.environment,
            request_timeout: self.settings.request_timeout,
        }
    }

    fn open(&self, location: &Location) -> Result<Bucket, String> {
        if location.provider == Provider::File {
            return bucket::open_folder(location, &self.settings.folders);
        }
        let name = name_of(location);
        if let Some(bucket) = lock(&self.buckets).get(&name) {
            return Ok(bucket.clone());
        }
        let bucket = bucket::open(location, &self.means(location))?;
        lock(&self.buckets).put(name, bucket.clone());
        Ok(bucket)
    }

    async fn read_stored(&self, run: &Observation, stored: &Stored, deadline: Instant) -> Gathered {
        let location = &stored.folder;
        let endpoint = name_of(location);
        let unreadable = |why: String| Gathered {
            location: Some(location.to_string()),
            ..Gathered::new(Outcome::Unreadable {
                why: format!("{endpoint} cannot be read: {why}"),
                endpoint: endpoint.clone(),
            })
        };
        if let Some(why) = self.left_alone(&endpoint) {
            return unreadable(why);
        }
        let bucket = match self.open(location) {
            Ok(bucket) => bucket,
            Err(why) => {
                self.note(&endpoint, Some(&why));
                return unreadable(why);
            }
        };
        let folder = Folder {
            bucket: &bucket,
            location,
            settings: &self.settings,
        };
        let mut haul = self.haul(&folder, &stored.logs, deadline).await;
        // Where the log came from works, even if something beside it did not come.
        let at_fault = haul
            .failure
            .as_ref()
            .filter(|failure| failure.of_endpoint && haul.remains.logs.is_empty());
        if haul.answered || at_fault.is_some() {
            self.note(&endpoint, at_fault.map(|failure| failure.why.as_str()));
        }
        if haul.remains.logs.is_empty() && haul.failure.is_none() {
            self.add_deck_logs(run, &mut haul, deadline).await;
        }
        let mut gathered = match haul.failure.take() {
            Some(failure) if haul.remains.logs.is_empty() => unreadable(failure.why),
            _ => Gathered::new(self.outcome(run, stored, &haul.remains)),
        };
        gathered.remains = haul.remains;
        gathered.location = Some(location.to_string());
        gathered
    }

    fn outcome(&self, run: &Observation, stored: &Stored, remains: &Remains) -> Outcome {
        let says_why = !remains.logs.is_empty()
            || !remains.junit.is_empty()
            || remains.podinfo.is_some()
            || remains.clone_records.is_some();
        if says_why {
            return Outcome::Read;
        }
        let endpoint = name_of(&stored.folder);
        if let Logs::None(why) = &stored.logs {
            return Outcome::Nothing(why.clone());
        }
        let age = run
            .completed_at
            .map(|end| self.clock.now().duration_since(end));
        if remains.finished.is_none() && age.is_none_or(|age| age < UPLOAD_GRACE) {
            return Outcome::Unreadable {
                why: format!("there is no log in {} yet", stored.folder),
                endpoint,
            };
        }
        Outcome::Nothing(format!(
            "there is no log in {}: nothing was uploaded, or it has been deleted with age",
            stored.folder
        ))
    }

    async fn haul(&self, folder: &Folder<'_>, logs: &Logs, deadline: Instant) -> Haul {
        let (finished, podinfo, clones, reports, logs) = tokio::join!(
            within(deadline, folder.small("finished.json")),
            within(deadline, folder.small("podinfo.json")),
            within(deadline, folder.small("clone-records.json")),
            self.reports(folder, deadline),
            self.logs(folder, logs, deadline),
        );
        let mut haul = Haul::default();
        // The log's failure is the one to tell.
        let logs: Vec<LogText> = logs.into_iter().filter_map(|log| haul.keep(log)).collect();
        haul.remains = Remains {
            logs,
            finished: haul.keep(finished),
            podinfo: haul.keep(podinfo),
            clone_records: haul.keep(clones),
            ..Remains::default()
        };
        for report in reports {
            let kept = haul.keep(report);
            haul.remains.junit.extend(kept);
        }
        haul
    }

    async fn reports(
        &self,
        folder: &Folder<'_>,
        deadline: Instant,
    ) -> Vec<Result<Option<(String, Vec<u8>)>, Failure>> {
        let names = match within(deadline, folder.reports()).await {
            Ok(names) => names,
            Err(failure) => return vec![Err(failure)],
        };
        let mut reports = Vec::new();
        for name in names {
            let report = within(deadline, folder.small(&name)).await;
            let is_over = report.as_ref().is_err_and(|failure| failure.of_endpoint);
            reports.push(report.map(|report| report.map(|bytes| (name, bytes))));
            if is_over {
                break;
            }
        }
        reports
    }

    async fn logs(
        &self,
        folder: &Folder<'_>,
        logs: &Logs,
        deadline: Instant,
    ) -> Vec<Result<Option<LogText>, Failure>> {
        let mut names = match logs {
            Logs::None(_) => return Vec::new(),
            Logs::Named(names) => names.clone(),
            Logs::Unnamed => vec![BUILD_LOG.to_owned()],
        };
        let mut read = Vec::new();
        for round in 0..2 {
            for name in std::mem::take(&mut names) {
                let log = within(deadline, folder.log(&name)).await;
                let is_over = log.as_ref().is_err_and(|failure| failure.of_endpoint);
                read.push(log);
                if is_over {
                    return read;
                }
            }
            let has_log = read.iter().any(|log| !matches!(log, Ok(None)));
            if has_log || round > 0 {
                break;
            }
            names = vec!["clone-log.txt".to_owned()];
            if *logs == Logs::Unnamed {
                match within(deadline, folder.log_names()).await {
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => names = found,
                    Err(failure) => read.push(Err(failure)),
                }
            }
        }
        read
    }

    /// Why an endpoint is not asked now, if it is not.
    fn left_alone(&self, endpoint: &str) -> Option<String> {
        let now = self.clock.now();
        let mut breakers = lock(&self.breakers);
        let breaker = breakers.get_mut(endpoint)?;
        if breaker.allows(now) {
            return None;
        }
        // Kept with the run and told in messages, so it names no time that is soon over; `/readyz` says since when.
        Some(format!(
            "{} (it keeps failing, and is left alone for a while)",
            breaker.why()
        ))
    }

    fn note(&self, endpoint: &str, failed: Option<&str>) {
        let now: Timestamp = self.clock.now();
        let mut breakers = lock(&self.breakers);
        let breaker = breakers.get_or_insert_mut(endpoint.to_owned(), || Breaker::new(now));
        match failed {
            Some(why) => breaker.failed(now, why, self.settings.breaker_failures),
            None => breaker.succeeded(now),
        }
    }
}

/// All folders of this machine are one endpoint.
const FOLDERS: &str = "folders of this machine";

fn name_of_deck(deck: &DeckUrl) -> String {
    format!("deck {}", deck.host())
}

/// A bucket as people name it.
fn name_of(location: &Location) -> String {
    match location.provider {
        Provider::File => FOLDERS.to_owned(),
        Provider::Gs | Provider::S3 => {
            format!("{}://{}", location.provider.as_str(), location.bucket)
        }
    }
}

async fn within<T>(
    deadline: Instant,
    read: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || Failure::of_endpoint("not done in time (artifacts.timeout)");
    timeout_at(deadline, read)
        .await
        .unwrap_or_else(|_| Err(late()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
