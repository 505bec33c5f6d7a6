//! The lists below `artifacts`: where logs are when nothing else tells, and how buckets are reached.

mod read;

use std::{fmt, path::PathBuf};

use super::{
    error::{Place, Problem},
    yaml::Node,
};
use crate::domain::location::{Location, Provider, Strategy};

/// Keys of a default location.
pub const DEFAULT_KEYS: [&str; 9] = [
    "org",
    "repo",
    "cluster",
    "namespace",
    "location",
    "path_prefix",
    "path_strategy",
    "default_org",
    "default_repo",
];
/// Keys of an endpoint.
pub const ENDPOINT_KEYS: [&str; 8] = [
    "for",
    "endpoint",
    "region",
    "path_style",
    "credentials_file",
    "ca_file",
    "anonymous",
    "instance_credentials",
];

/// The lists of all files.
#[derive(Debug, Clone, Default)]
pub struct Artifacts {
    /// Where logs are when neither the run nor its page tells.
    pub defaults: Vec<DefaultLocation>,
    /// How buckets are reached.
    pub endpoints: Vec<Endpoint>,
}

/// Where the logs of some runs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultLocation {
    /// Of this org only.
    pub org: Option<String>,
    /// Of this repository of the org only.
    pub repo: Option<String>,
    /// Of this build cluster only.
    pub cluster: Option<String>,
    /// Of pods in this namespace only.
    pub namespace: Option<String>,
    /// The bucket with the prefix of all paths.
    pub root: Location,
    /// How pull requests' folders are made.
    pub strategy: Strategy,
    /// The org that the strategy shortens.
    pub default_org: String,
    /// The repository that it shortens.
    pub default_repo: String,
    /// Where it stands.
    pub place: Place,
}

impl DefaultLocation {
    /// How narrow its conditions are when they hold, `None` when they do not. A repository counts most, then
    /// the org, the namespace, the cluster.
    fn specificity(&self, org: &str, repo: &str, cluster: &str, namespace: &str) -> Option<u8> {
        let mut sum = 0;
        for (wanted, value, weight) in [
            (&self.repo, repo, 8),
            (&self.org, org, 4),
            (&self.namespace, namespace, 2),
            (&self.cluster, cluster, 1),
        ] {
            match wanted {
                Some(wanted) if wanted == value => sum += weight,
                Some(_) => return None,
                None => {}
            }
        }
        Some(sum)
    }
}

/// How a bucket, or all buckets of a provider, are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Of which provider.
    pub provider: Provider,
    /// Of which bucket; `None` for all.
    pub bucket: Option<String>,
    /// Address of the server; `None` for the provider's own.
    pub endpoint: Option<String>,
    /// Region of S3; by default from the environment, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path; by default so for an endpoint of one's own.
    pub path_style: Option<bool>,
    /// File with credentials: Prow's JSON for S3, a service account for GCS.
    pub credentials_file: Option<PathBuf>,
    /// File with the certificate of the authority that signed the server's.
    pub ca_file: Option<PathBuf>,
    /// Whether requests are not signed.
    pub anonymous: bool,
    /// Whether the cloud's metadata service may be asked for credentials.
    pub instance_credentials: bool,
    /// Where it stands.
    pub place: Place,
}

impl fmt::Display for DefaultLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<String> = [
            ("org", &self.org),
            ("repo", &self.repo),
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
        ]
        .into_iter()
        .filter_map(|(key, wanted)| Some(format!("{key}={}", wanted.as_ref()?)))
        .collect();
        let conditions = if conditions.is_empty() {
            "everything".to_owned()
        } else {
            conditions.join(" ")
        };
        let (root, strategy) = (&self.root, self.strategy.as_str());
        write!(f, "{conditions} → {root}, {strategy}")?;
        if self.strategy == Strategy::Explicit {
            return Ok(());
        }
        write!(f, " for {}/{}", self.default_org, self.default_repo)
    }
}

impl fmt::Display for Endpoint {
    /// Without any secret: credentials are only ever named by their file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bucket {
            Some(bucket) => write!(f, "{}://{bucket} →", self.provider.as_str())?,
            None => write!(f, "{} →", self.provider.as_str())?,
        }
        write!(
            f,
            " {}",
            self.endpoint.as_deref().unwrap_or("the provider's own")
        )?;
        if let Some(region) = &self.region {
            write!(f, ", region {region}")?;
        }
        if let Some(file) = &self.credentials_file {
            write!(f, ", credentials in file {}", file.display())?;
        }
        if let Some(file) = &self.ca_file {
            write!(f, ", CA in file {}", file.display())?;
        }
        if self.anonymous {
            f.write_str(", anonymous")?;
        }
        if self.instance_credentials {
            f.write_str(", credentials of the instance")?;
        }
        Ok(())
    }
}

impl Artifacts {
    /// Adds the lists of one more file; `section` is `artifacts.defaults` or `artifacts.endpoints`.
    pub fn read(&mut self, section: &str, node: &Node, problems: &mut Vec<Problem>) {
        let items = match node.items(section) {
            Ok(items) => items,
            Err(problem) => return problems.push(problem),
        };
        for item in items {
            let read = if section == "artifacts.defaults" {
                read::default_location(item).map(|default| self.defaults.push(default))
            } else {
                self.read_endpoint(item)
            };
            if let Err(problem) = read {
                problems.push(problem);
            }
        }
    }

    /// The default for a run: of those whose conditions hold, the one with the narrowest, and of equals the
    /// last.
    pub fn default_for(
        &self,
        org: &str,
        repo: &str,
        cluster: &str,
        namespace: &str,
    ) -> Option<&DefaultLocation> {
        self.defaults
            .iter()
            .filter_map(|one| Some((one.specificity(org, repo, cluster, namespace)?, one)))
            .max_by_key(|(narrow, _)| *narrow)
            .map(|(_, one)| one)
    }

    /// How a bucket is reached: its own entry, else that of its provider.
    pub fn endpoint_for(&self, provider: Provider, bucket: &str) -> Option<&Endpoint> {
        let of = |wanted: Option<&str>| {
            self.endpoints
                .iter()
                .find(|one| one.provider == provider && one.bucket.as_deref() == wanted)
        };
        of(Some(bucket)).or_else(|| of(None))
    }

    fn read_endpoint(&mut self, node: &Node) -> Result<(), Problem> {
        let endpoint = read::endpoint(node)?;
        let same = |other: &Endpoint| {
            (other.provider, &other.bucket) == (endpoint.provider, &endpoint.bucket)
        };
        if let Some(other) = self.endpoints.iter().find(|other| same(other)) {
            return Err(Problem::at(
                endpoint.place,
                "a second endpoint for the same buckets",
                format!("the first stands at {}; keep one of them", other.place),
            ));
        }
        self.endpoints.push(endpoint);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> (Artifacts, Vec<String>) {
        let root = yaml::parse(Path::new("a.yaml"), text.to_owned()).unwrap();
        let (mut lists, mut problems) = (Artifacts::default(), Vec::new());
        for (key, node) in root.known_entries("x", &["defaults", "endpoints"], &mut Vec::new()) {
            lists.read(&format!("artifacts.{key}"), node, &mut problems);
        }
        let problems = problems.iter().map(ToString::to_string).collect();
        (lists, problems)
    }

    #[test]
    fn the_narrowest_default_wins_and_of_equals_the_last() {
        let (lists, problems) = read(concat!(
            "defaults:\n",
            "- { location: 's3://any' }\n",
            "- { location: 's3://cluster', cluster: c }\n",
            "- { location: 's3://namespace', namespace: n }\n",
            "- { location: 's3://org', org: o }\n",
            "- { location: 's3://org-both', org: o, cluster: c, namespace: n }\n",
            "- { location: 's3://repo', org: o, repo: r }\n",
            "- { location: 's3://repo-later/x', org: o, repo: r, path_prefix: y }\n",
        ));
        assert_eq!(problems, [""; 0]);
        for (org, repo, cluster, namespace, expected) in [
            ("x", "x", "x", "x", "s3://any"),
            ("x", "r", "c", "x", "s3://cluster"),
            ("x", "r", "c", "n", "s3://namespace"),
            ("o", "x", "x", "n", "s3://org"),
            ("o", "x", "c", "n", "s3://org-both"),
            ("o", "r", "c", "n", "s3://repo-later/x/y"),
        ] {
            let found = lists.default_for(org, repo, cluster, namespace).unwrap();
            assert_eq!(found.root.to_string(), expected, "{org} {repo}");
        }
    }

    #[test]
    fn a_bucket_has_its_own_endpoint_before_that_of_its_provider() {
        let (lists, problems) = read(concat!(
            "endpoints:\n",
            "- { for: s3, region: a }\n",
            "- { for: 's3://logs', region: b, endpoint: 'http://minio:9000/' }\n",
        ));
        assert_eq!(problems, [""; 0]);
        let region = |provider, bucket| {
            let found = lists.endpoint_for(provider, bucket)?;
            found.region.as_deref()
        };
        assert_eq!(region(Provider::S3, "logs"), Some("b"));
        assert_eq!(region(Provider::S3, "other"), Some("a"));
        assert_eq!(region(Provider::Gs, "logs"), None);
        assert_eq!(
            lists
                .endpoint_for(Provider::S3, "logs")
                .unwrap()
                .endpoint
                .as_deref(),
            Some("http://minio:9000")
        );
    }

    #[test]
    fn each_mistake_is_told_with_its_place_and_no_secret() {
        for (text, expected) in [
            ("defaults: [{ org: a }]", "needs a location"),
            ("defaults: [{ location: 's3://A' }]", "bucket `A`"),
            ("defaults: [{ locaton: 's3://abc' }]", "location"),
            (
                "defaults: [{ location: 's3://abc', path_prefix: ../x }]",
                "another folder",
            ),
            (
                "defaults: [{ location: 's3://abc', path_strategy: legcy }]",
                "legacy",
            ),
            (
                "defaults: [{ location: 's3://abc', path_strategy: legacy }]",
                "default_org",
            ),
            (
                "defaults: [{ location: 's3://abc', repo: r }]",
                "without its org",
            ),
            ("endpoints: [{ region: a }]", "the buckets it is for"),
            (
                "endpoints: [{ for: ftp }]",
                "neither a provider nor a bucket",
            ),
            (
                "endpoints: [{ for: 's3://abc/x' }]",
                "neither a provider nor a bucket",
            ),
            (
                "endpoints: [{ for: s3, endpoint: 'minio:9000' }]",
                "plain address",
            ),
            (
                "endpoints: [{ for: s3, endpoint: 'http://u:hunter2@h' }]",
                "plain address",
            ),
            (
                "endpoints: [{ for: s3, anonymous: maybe }]",
                "true or false",
            ),
            (
                "endpoints: [{ for: s3, anonymous: true, credentials_file: x }]",
                "two sources",
            ),
            ("endpoints: [{ for: s3 }, { for: s3 }]", "a second endpoint"),
        ] {
            let (_, problems) = read(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with("a.yaml:1:"), "{}", problems[0]);
            assert!(problems[0].contains(expected), "{}", problems[0]);
            assert!(!problems[0].contains("hunter2"), "{}", problems[0]);
        }
    }
}
