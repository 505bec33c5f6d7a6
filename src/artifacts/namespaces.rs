//! Buckets and prefixes that differ by namespace, as Argo Workflows keeps them: the ConfigMap
//! `artifact-repositories` (<https://argo-workflows.readthedocs.io/en/latest/artifact-repository-ref/>), here
//! from a folder per namespace; `configmaps` asks Kubernetes itself.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use crate::{
    config::yaml::{self, Kind, Node},
    domain::location::{Location, Provider, check_segment},
};

/// The annotation that names the key to use.
pub(super) const DEFAULT_KEY: &str = "workflows.argoproj.io/default-artifact-repository";
/// Longest file that is read, in bytes; the whole of a ConfigMap is at most 1 MiB.
const MAX_FILE: u64 = 1 << 20;
/// Namespaces that are remembered; runs name them, so there could be any number.
const MAX_NAMESPACES: usize = 1000;

/// Where a namespace keeps its artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    provider: Option<Provider>,
    /// `None`: the bucket of the defaults.
    bucket: Option<String>,
    prefix: String,
    /// Where it stands, for errors.
    place: String,
}

impl Repository {
    /// The bucket with its prefix. Without a bucket of its own the prefix is below that of the defaults.
    pub fn root(&self, default: Option<&Location>) -> Result<Location, String> {
        let told = |why: String| format!("{}: {why}", self.place);
        let root = match (&self.bucket, self.provider, default) {
            (Some(bucket), Some(provider), _) => Location::new(provider, bucket, &self.prefix),
            (_, _, Some(default)) => default.join(&self.prefix),
            (_, _, None) => {
                return Err(told(
                    "it names no bucket, and neither does artifacts.defaults".to_owned(),
                ));
            }
        };
        root.map_err(|refused| told(refused.to_string()))
    }
}

/// The repositories of all namespaces, read when they change.
#[derive(Debug)]
pub struct Namespaces {
    folder: PathBuf,
    key: Option<String>,
    read: Mutex<BTreeMap<String, Cached>>,
}

#[derive(Debug, Clone)]
struct Cached {
    stamp: Vec<Stamp>,
    result: Result<Option<Repository>, String>,
}

/// Name, time and length of a file; when all are the same, so is the text.
type Stamp = (PathBuf, Option<SystemTime>, u64);

impl Namespaces {
    /// Repositories below `folder`; `key` is the key of each ConfigMap to use.
    pub fn new(folder: PathBuf, key: Option<String>) -> Self {
        Self {
            folder,
            key,
            read: Mutex::default(),
        }
    }

    /// The repository of a namespace; `None` when it has no folder. The error names file and key.
    pub fn repository(&self, namespace: &str) -> Result<Option<Repository>, String> {
        if namespace.is_empty() {
            return Ok(None);
        }
        check_segment("namespace", namespace).map_err(|refused| refused.to_string())?;
        let folder = self.folder.join(namespace);
        let stamp = match stamp(&folder) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => {
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot list {}: {error}", folder.display())),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = read.get(namespace)
            && cached.stamp == stamp
        {
            return cached.result.clone();
        }
        let result = self.load(&folder, &stamp);
        if read.len() >= MAX_NAMESPACES {
            read.clear();
        }
        let cached = Cached {
            stamp,
            result: result.clone(),
        };
        read.insert(namespace.to_owned(), cached);
        result
    }

    fn load(&self, folder: &Path, files: &[Stamp]) -> Result<Option<Repository>, String> {
        let mut named = None;
        let mut data: BTreeMap<String, (PathBuf, Node)> = BTreeMap::new();
        for (file, _, length) in files {
            if *length > MAX_FILE {
                return Err(format!(
                    "{} is longer than a ConfigMap can be",
                    file.display()
                ));
            }
            let text = fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let node = parse(file, text)?;
            if let Some(entries) = field(&node, "data") {
                // A manifest: the ConfigMap as it is applied.
                named = default_key(&node);
                for (key, text) in texts(entries, file)? {
                    data.insert(key, (file.clone(), parse(file, text)?));
                }
            } else {
                // A file of a mounted ConfigMap, which is named by its key.
                let name = file.file_name().unwrap_or_default();
                data.insert(name.to_string_lossy().into_owned(), (file.clone(), node));
            }
        }
        let wanted = self.key.clone().or(named);
        let (key, (file, node)) = choose(wanted, &folder.display().to_string(), &data)?;
        repository(&format!("{}, key {key}", file.display()), node).map(Some)
    }
}

/// The key that is wanted by its name, else the only one; `place` is the ConfigMap, for errors.
pub(super) fn choose<'a, T>(
    wanted: Option<String>,
    place: &str,
    data: &'a BTreeMap<String, T>,
) -> Result<(&'a String, &'a T), String> {
    if let Some(wanted) = wanted {
        return data
            .get_key_value(&wanted)
            .ok_or_else(|| format!("{place} has no key {wanted}"));
    }
    let mut keys = data.iter();
    match (keys.next(), keys.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("{place} holds no artifact repository")),
        (Some(_), Some(_)) => Err(format!(
            "{place} holds several keys; set artifacts.namespaces.key, or annotate the ConfigMap with {DEFAULT_KEY}"
        )),
    }
}

/// The files of a folder that are not hidden; Kubernetes puts hidden ones beside a mounted ConfigMap's.
fn stamp(folder: &Path) -> io::Result<Vec<Stamp>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let metadata = fs::metadata(&path)?;
        if !hidden && metadata.is_file() {
            files.push((path, metadata.modified().ok(), metadata.len()));
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn parse(file: &Path, text: String) -> Result<Node, String> {
    yaml::parse(file, text).map_err(|problem| match problem.place {
        Some(place) => format!("{place}: {}", problem.what),
        None => problem.what,
    })
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let found = entries.iter().find(|(key, ..)| key == name);
    found.map(|(.., value)| value)
}

fn default_key(manifest: &Node) -> Option<String> {
    let annotations = field(field(manifest, "metadata")?, "annotations")?;
    let named = field(annotations, DEFAULT_KEY)?.text("annotation").ok()?;
    Some(named.to_owned())
}

fn texts(data: &Node, file: &Path) -> Result<Vec<(String, String)>, String> {
    let Kind::Map(entries) = &data.kind else {
        return Err(format!("{}: data is no map", file.display()));
    };
    let text = |(key, _, value): &(String, _, Node)| {
        let text = value.text(key);
        let text = text.map_err(|_| format!("{}: key {key} holds no text", file.display()))?;
        Ok((key.clone(), text.to_owned()))
    };
    entries.iter().map(text).collect()
}

/// Reads one repository; keys that are about uploading are of no use here.
pub(super) fn repository(place: &str, node: &Node) -> Result<Repository, String> {
    let (provider, inner) = match (field(node, "s3"), field(node, "gcs")) {
        (Some(s3), None) => (Some(Provider::S3), s3),
        (None, Some(gcs)) => (Some(Provider::Gs), gcs),
        (Some(_), Some(_)) => return Err(format!("{place}: it has both s3 and gcs")),
        (None, None) => match field(node, "keyPrefix") {
            Some(_) => (None, node),
            None => return Err(format!("{place}: it has neither s3 nor gcs nor keyPrefix")),
        },
    };
    let text = |name: &str| match field(inner, name).map(|value| (&value.kind, value)) {
        None | Some((Kind::Null, _)) => Ok(None),
        Some((_, value)) => match value.text(name) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(_) => Err(format!("{place}: {name} holds no text")),
        },
    };
    let format = match text("keyFormat")? {
        Some(format) => Some(format),
        None => text("key")?,
    };
    let prefix = match (format, text("keyPrefix")?) {
        (Some(format), _) => fixed_part(&format),
        (None, Some(prefix)) => prefix,
        (None, None) => String::new(),
    };
    let read = Repository {
        provider,
        bucket: text("bucket")?,
        prefix: prefix.trim_matches('/').to_owned(),
        place: place.to_owned(),
    };
    // What is wrong with it is to be told now, and not only when a run needs it.
    let any = Location::new(Provider::S3, "any", "").map_err(|refused| refused.to_string())?;
    read.root(Some(&any)).map(|_| read)
}

/// The folders of a key format before the first that differs from run to run.
fn fixed_part(format: &str) -> String {
    let Some((fixed, _)) = format.split_once("{{") else {
        return format.to_owned();
    };
    fixed
        .rsplit_once('/')
        .map_or("", |(folders, _)| folders)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(namespaces: &Namespaces, namespace: &str) -> Result<Option<String>, String> {
        let default = Location::parse("gs://default-logs/top").unwrap();
        let repository = namespaces.repository(namespace)?;
        repository
            .map(|repository| repository.root(Some(&default)).map(|root| root.to_string()))
            .transpose()
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const MANIFEST: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  annotations:
    workflows.argoproj.io/default-artifact-repository: team
data:
  other: |
    gcs: { bucket: other-logs }
  team: |
    s3:
      bucket: team-logs
      endpoint: minio:9000
      insecure: true
      keyFormat: "ci/team/{{workflow.creationTimestamp.Y}}/{{pod.name}}"
      accessKeySecret: { name: minio, key: accesskey }
"#;

    #[test]
    fn repositories_are_read_as_argo_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("a/manifest.yaml", MANIFEST),
                (
                    "b/default-v1",
                    "s3:
  bucket: b-logs
  keyPrefix: in/b/
",
                ),
                ("b/.hidden", "]["),
                (
                    "c/default-v1",
                    "gcs: { bucket: c-logs, key: 'x/{{pod.name}}' }",
                ),
                ("d/default-v1", "keyPrefix: d"),
                ("e/default-v1", "s3: { keyFormat: '{{pod.name}}' }"),
            ],
        );
        let namespaces = Namespaces::new(folder.path().to_owned(), None);
        for (namespace, expected) in [
            ("a", Some("s3://team-logs/ci/team")),
            ("b", Some("s3://b-logs/in/b")),
            ("c", Some("gs://c-logs/x")),
            ("d", Some("gs://default-logs/top/d")),
            ("e", Some("gs://default-logs/top")),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(root(&namespaces, namespace).unwrap().as_deref(), expected);
        }
        let other = Namespaces::new(folder.path().to_owned(), Some("other".to_owned()));
        assert_eq!(
            root(&other, "a").unwrap().as_deref(),
            Some("gs://other-logs")
        );
        assert!(root(&other, "b").unwrap_err().contains("no key other"));
    }

    #[test]
    fn what_is_malformed_is_told_with_file_and_key() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("s3: [", "key-a:1"),
            ("azure: {}", "key key-a: it has neither s3 nor gcs"),
            ("s3: { bucket: A }", "key key-a: bucket `A`"),
            (
                "s3: { bucket: team-logs, keyPrefix: ../x }",
                "another folder",
            ),
            ("s3: { bucket: [a] }", "bucket holds no text"),
            (
                "s3: {}
gcs: {}",
                "both s3 and gcs",
            ),
        ] {
            write(folder.path(), &[("ns/key-a", text)]);
            // Anew each time: texts of one length written within one tick look alike.
            let namespaces = Namespaces::new(folder.path().to_owned(), None);
            let why = root(&namespaces, "ns").unwrap_err();
            assert!(why.contains(expected) && why.contains("key-a"), "{why}");
        }
        write(folder.path(), &[("ns/key-b", "keyPrefix: x")]);
        let namespaces = Namespaces::new(folder.path().to_owned(), None);
        assert!(
            root(&namespaces, "ns")
                .unwrap_err()
                .contains("several keys")
        );
        assert!(
            root(&namespaces, "../ns")
                .unwrap_err()
                .contains("namespace")
        );
        let missing = Namespaces::new(folder.path().join("missing"), None);
        assert!(root(&missing, "ns").unwrap_err().contains("missing"));
    }

    #[test]
    fn a_change_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let namespaces = Namespaces::new(folder.path().to_owned(), None);
        assert_eq!(root(&namespaces, "ns"), Ok(None));
        write(folder.path(), &[("ns/k", "keyPrefix: one")]);
        assert_eq!(
            root(&namespaces, "ns").unwrap().unwrap(),
            "gs://default-logs/top/one"
        );
        write(folder.path(), &[("ns/k", "keyPrefix: three")]);
        assert_eq!(
            root(&namespaces, "ns").unwrap().unwrap(),
            "gs://default-logs/top/three"
        );
    }
}
