//! Where a run's files are: provider, bucket and path, checked. What comes from outside and could lead out of a
//! bucket is refused here with the reason, before anything is asked for.

use std::fmt;

/// Longest key that S3 and GCS take, in bytes.
const MAX_PATH: usize = 1024;
/// Longest part of a path, in bytes. Kubernetes' and Prow's names are shorter.
const MAX_SEGMENT: usize = 255;

/// Who keeps the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Google Cloud Storage.
    Gs,
    /// S3, Amazon's or anything that speaks it.
    S3,
    /// A folder of this machine.
    File,
}

impl Provider {
    /// The word used in URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gs => "gs",
            Self::S3 => "s3",
            Self::File => "file",
        }
    }

    /// The provider of a word; `gcs` is deck's old name of `gs`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "gs" | "gcs" => Some(Self::Gs),
            "s3" => Some(Self::S3),
            "file" => Some(Self::File),
            _ => None,
        }
    }
}

/// A folder in a bucket. Its parts are checked, so that it names what it seems to name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Who keeps it.
    pub provider: Provider,
    /// The bucket; empty for files.
    pub bucket: String,
    /// Path below the bucket, without slashes at its ends; may be empty. Of files, the path from the root.
    pub path: String,
}

/// Why a text from outside is not used as a part of a location. Shows at most the beginning of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{shown}` {why}")]
pub struct Refused {
    what: &'static str,
    shown: String,
    why: String,
}

impl Refused {
    /// A refusal of a text.
    pub fn new(what: &'static str, text: &str, why: impl Into<String>) -> Self {
        let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let mut shown: String = text.chars().take(60).map(plain).collect();
        if shown.len() < text.len() && text.chars().nth(60).is_some() {
            shown.push('…');
        }
        Self {
            what,
            shown,
            why: why.into(),
        }
    }
}

impl Location {
    /// Reads `s3://bucket/path`, `gs://..`, `file:///..`, an absolute path, or as Prow does a bare bucket,
    /// which is of GCS.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let (provider, rest) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let provider = Provider::parse(scheme).ok_or_else(|| {
                    Refused::new("location", text, "has a scheme other than gs, s3 and file")
                })?;
                (provider, rest)
            }
            None if text.starts_with('/') => (Provider::File, text),
            None => (Provider::Gs, text),
        };
        if provider == Provider::File {
            if !rest.starts_with('/') {
                return Err(Refused::new("location", text, "is not an absolute path"));
            }
            return Self::new(provider, "", rest);
        }
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(provider, bucket, path)
    }

    /// Checks the parts. Slashes at the ends of `path` do not count.
    pub fn new(provider: Provider, bucket: &str, path: &str) -> Result<Self, Refused> {
        if provider != Provider::File {
            check_bucket(bucket)?;
        }
        let path = path.trim_matches('/');
        if path.len() > MAX_PATH {
            let why = format!("is longer than the {MAX_PATH} bytes that a key can have");
            return Err(Refused::new("path", path, why));
        }
        if !path.is_empty() {
            for segment in path.split('/') {
                check_segment("path", segment)?;
            }
        }
        Ok(Self {
            provider,
            bucket: bucket.to_owned(),
            path: path.to_owned(),
        })
    }

    /// What is at `path` below it.
    pub fn join(&self, path: &str) -> Result<Self, Refused> {
        let joined = match (self.path.as_str(), path.trim_matches('/')) {
            ("", below) => below.to_owned(),
            (above, "") => above.to_owned(),
            (above, below) => format!("{above}/{below}"),
        };
        Self::new(self.provider, &self.bucket, &joined)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (provider, bucket, path) = (self.provider.as_str(), &self.bucket, &self.path);
        if path.is_empty() && self.provider != Provider::File {
            return write!(f, "{provider}://{bucket}");
        }
        write!(f, "{provider}://{bucket}/{path}")
    }
}

/// Checks the name of a bucket: lower-case letters, digits, `-`, `.` and `_`, 3 to 222 of them, which is what
/// GCS allows and wider than S3.
fn check_bucket(bucket: &str) -> Result<(), Refused> {
    let refused = |why: &str| Err(Refused::new("bucket", bucket, why));
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    if !(3..=222).contains(&bucket.len()) {
        return refused("is not 3 to 222 characters long");
    }
    if !bucket.chars().all(plain) {
        return refused("has other characters than a-z, 0-9, `-`, `.` and `_`");
    }
    if bucket.contains("..") || bucket.starts_with(['.', '-']) || bucket.ends_with(['.', '-']) {
        return refused("has dots or dashes where a bucket cannot have them");
    }
    Ok(())
}

/// Checks one part of a path: no way up, nothing encoded, nothing that a URL or a file system reads otherwise.
pub fn check_segment(what: &'static str, segment: &str) -> Result<(), Refused> {
    let refused = |why: String| Err(Refused::new(what, segment, why));
    if segment.is_empty() {
        return refused("is empty or has an empty part".to_owned());
    }
    if segment.len() > MAX_SEGMENT {
        return refused(format!("is longer than {MAX_SEGMENT} bytes"));
    }
    if matches!(segment, "." | "..") {
        return refused("leads to another folder".to_owned());
    }
    let odd = |c: &char| !c.is_ascii_graphic() || "/\\%?#*\"<>|".contains(*c);
    match segment.chars().find(odd) {
        Some('%') => refused("is percent-encoded, which no name in Prow is".to_owned()),
        Some(c) => refused(format!("holds {c:?}, which no name in Prow does")),
        None => Ok(()),
    }
}

/// How Prow makes the folder of a pull request's runs from org and repository (`path_strategy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strategy {
    /// Always `org_repo`.
    #[default]
    Explicit,
    /// Nothing for the default repository, the repository in the default org, else `org_repo`.
    Legacy,
    /// Nothing for the default repository, else `org_repo`.
    Single,
}

/// The words of [`Strategy`].
pub const STRATEGIES: [&str; 3] = ["explicit", "legacy", "single"];

impl Strategy {
    /// The word used by Prow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Legacy => "legacy",
            Self::Single => "single",
        }
    }

    /// The strategy of a word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "explicit" => Some(Self::Explicit),
            "legacy" => Some(Self::Legacy),
            "single" => Some(Self::Single),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read_as_prow_writes_them() {
        for (text, expected) in [
            ("s3://ack-prow-logs", "s3://ack-prow-logs"),
            ("s3://ack-prow-logs/", "s3://ack-prow-logs"),
            ("kubernetes-ci-logs", "gs://kubernetes-ci-logs"),
            ("gcs://example-logs/ci/prow/", "gs://example-logs/ci/prow"),
            ("file:///var/prow", "file:///var/prow"),
            ("/var/prow", "file:///var/prow"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused_with_a_reason() {
        let long = "a".repeat(10_000);
        for hostile in [
            "http://example-logs/x",
            "s3://",
            "s3://ab",
            "s3://a..b",
            "s3://Example",
            "s3://user:password@host/x",
            "s3://169.254.169.254:80/x",
            "s3://bucket\0/x",
            "s3://bucket/a/../b",
            "s3://bucket/%2e%2e/b",
            "s3://bucket/a//b",
            "s3://bucket/a\\b",
            "s3://bucket/a\nb",
            "s3://bucket/a?b",
            "s3://bucket/\u{202e}b",
            "file://relative",
            &format!("s3://bucket/{long}"),
            &format!("s3://{long}"),
        ] {
            let refused = Location::parse(hostile).unwrap_err().to_string();
            assert!(refused.len() < 400, "{refused}");
            assert!(!refused.contains('\0'), "{refused}");
        }
    }

    #[test]
    fn every_strategy_is_found_by_its_word() {
        for word in STRATEGIES {
            assert_eq!(Strategy::parse(word).map(Strategy::as_str), Some(word));
        }
    }
}
