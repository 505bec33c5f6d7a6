//! Argo's ConfigMap `artifact-repositories` of each namespace, read through the API of Kubernetes: that one object by
//! its name, kept for a while. Secrets that it names are not read.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use lru::LruCache;
use serde::Deserialize;

use super::namespaces::{self, DEFAULT_KEY, Repository};
use crate::{
    clock::Clock,
    cluster::{Cluster, ClusterError, Problem, Resource, Target, Verb},
    config::settings::ArtifactSettings,
    domain::{doom::is_object_name, fold::to_signed},
};

/// What Argo calls it.
const NAME: &str = "artifact-repositories";
const CONFIGMAPS: Resource = Resource {
    group: "",
    version: "v1",
    plural: "configmaps",
    manifest: "deploy/overlays/artifact-repositories in that namespace",
};
/// Longest answer, in bytes; the data of a ConfigMap is at most 1 MiB.
const MAX_CONFIGMAP: usize = 4 << 20;
/// Namespaces that are remembered; runs name them, so there could be any number.
const MAX_NAMESPACES: NonZeroUsize = NonZeroUsize::new(1000).expect("not zero");
/// What went wrong is tried again after so long at most.
const FAILURE_KEPT: Duration = Duration::from_secs(60);

type Found = Result<Option<Repository>, String>;

/// The repositories of namespaces, as the API server knows them.
#[derive(Debug)]
pub struct ConfigMaps {
    kubeconfig: Option<PathBuf>,
    key: Option<String>,
    timeout: Duration,
    lifetime: Duration,
    clock: Clock,
    read: Mutex<LruCache<String, (Timestamp, Found)>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    metadata: Metadata,
    data: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    annotations: BTreeMap<String, String>,
}

impl ConfigMaps {
    /// Off unless configured.
    pub fn new(settings: &ArtifactSettings, clock: Clock) -> Option<Self> {
        settings.namespaces_api.then(|| Self {
            kubeconfig: settings.kubeconfig.clone(),
            key: settings.namespaces_key.clone(),
            timeout: settings.request_timeout,
            lifetime: settings.namespaces_lifetime,
            clock,
            read: Mutex::new(LruCache::new(MAX_NAMESPACES)),
        })
    }

    /// The repository of a namespace; `None` when it has no such ConfigMap. The error names namespace and key.
    pub async fn repository(&self, namespace: &str) -> Found {
        if namespace.is_empty() {
            return Ok(None);
        }
        if !is_object_name(namespace) {
            return Err("the run names a namespace that Kubernetes does not allow".to_owned());
        }
        let now = self.clock.now();
        if let Some(found) = self.remembered(namespace, now) {
            return found;
        }
        let found = self.fetch(namespace).await;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.put(namespace.to_owned(), (now, found.clone()));
        found
    }

    fn remembered(&self, namespace: &str, now: Timestamp) -> Option<Found> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = read.get(namespace)?;
        let kept = match found {
            Ok(_) => self.lifetime,
            Err(_) => self.lifetime.min(FAILURE_KEPT),
        };
        (now.duration_since(*at) < to_signed(kept)).then(|| found.clone())
    }

    async fn fetch(&self, namespace: &str) -> Found {
        let body = match self.ask(namespace).await {
            Err(error) if matches!(error.problem, Problem::Missing(_)) => return Ok(None),
            read => read.map_err(|error| error.to_string())?,
        };
        parse(namespace, &body, self.key.clone()).map(Some)
    }

    async fn ask(&self, namespace: &str) -> Result<bytes::Bytes, ClusterError> {
        let target = Target {
            verb: Verb::Get,
            resource: CONFIGMAPS,
            namespace,
            name: NAME,
        };
        let cluster = Cluster::connect(self.kubeconfig.as_deref()).await?;
        cluster.get(&target, &[], self.timeout, MAX_CONFIGMAP).await
    }
}

fn parse(namespace: &str, body: &[u8], key: Option<String>) -> Result<Repository, String> {
    let place = format!("ConfigMap {NAME} of namespace {namespace}");
    let read: ConfigMap =
        serde_json::from_slice(body).map_err(|error| format!("{place}: {error}"))?;
    let wanted = key.or_else(|| read.metadata.annotations.get(DEFAULT_KEY).cloned());
    let (key, text) = namespaces::choose(wanted, &place, &read.data)?;
    let place = format!("{place}, key {key}");
    let node = namespaces::parse(Path::new(&place), text.clone())?;
    namespaces::repository(&place, &node)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::location::Location;

    fn root(configmap: &serde_json::Value, key: Option<&str>) -> Result<String, String> {
        let body = configmap.to_string();
        let found = parse("team-a", body.as_bytes(), key.map(str::to_owned))?;
        let default = Location::parse("gs://default-logs").unwrap();
        found.root(Some(&default)).map(|root| root.to_string())
    }

    #[test]
    fn the_named_key_counts_and_errors_name_namespace_and_key() {
        let two = json!({
            "metadata": { "annotations": { DEFAULT_KEY: "team" }, "managedFields": [{ "f:data": {} }] },
            "data": {
                "team": "s3:\n  bucket: team-logs\n  keyFormat: \"ci/{{pod.name}}\"\n  secretKeySecret: { name: x, key: y }\n",
                "bad": "s3: [",
            },
        });
        assert_eq!(root(&two, None).unwrap(), "s3://team-logs/ci");
        for (key, words) in [("bad", "key bad"), ("other", "has no key other")] {
            let why = root(&two, Some(key)).unwrap_err();
            assert!(
                why.contains(words) && why.contains("namespace team-a"),
                "{why}"
            );
        }
        let prefix = json!({ "data": { "only": "keyPrefix: a/b" } });
        assert_eq!(root(&prefix, None).unwrap(), "gs://default-logs/a/b");
        assert!(root(&json!([]), None).unwrap_err().contains("team-a"));
    }
}
