//! The identity of a job, which its name alone is not: 77 repositories run `update-ack-chart`.

use std::{fmt, sync::LazyLock};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::observation::Observation;

/// (type, org, repo, job name, ref class) in one string, `|` between them; `|` cannot occur in the parts
/// that Prow checks and is masked in the others. Ref class is `branch:<name>`, `tag`, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobKey(pub String);

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JobKey {
    /// The identity of the job that a run belongs to.
    pub fn of(run: &Observation) -> Self {
        let mut key = String::with_capacity(96);
        for part in [run.job_type.as_str(), run.org(), run.repo(), &run.job] {
            if part.contains('|') {
                key.push_str(&part.replace('|', "_"));
            } else {
                key.push_str(part);
            }
            key.push('|');
        }
        match run.base_ref() {
            "" => {}
            tag if is_tag(tag) => key.push_str("tag"),
            branch => {
                key.push_str("branch:");
                key.push_str(branch);
            }
        }
        Self(key)
    }
}

/// Whether a ref name is a version. Prow strips `refs/tags/`, so only the shape is left: `v1.4.4`,
/// `46.9.0`, `v1.2.0-rc.1`, `v20240115-1a2b3c4`, `sdk/v1.2.3`, `chart-1.2.3`; but not `release-1.30`.
pub fn is_tag(name: &str) -> bool {
    static TAG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"^(?:[A-Za-z0-9._-]+[/-])*(?:v?\d+\.\d+\.\d+(?:[-+.].*)?|v\d{8}-[0-9A-Za-z.-]+)$",
        )
        .expect("a constant that a test compiles")
    });
    TAG.is_match(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_tags_and_branches_are_not() {
        for tag in [
            "v1.4.4",
            "46.9.0",
            "v1.2.0-rc.1",
            "v20240115-1a2b3c4",
            "sdk/v1.2.3",
            "chart-1.2.3",
            "v0.0.1+build",
        ] {
            assert!(is_tag(tag), "{tag}");
        }
        for branch in [
            "main",
            "master",
            "release-1.30",
            "v1.2",
            "stable",
            "feature/1.2",
            "dependabot/go_modules/x",
            "",
        ] {
            assert!(!is_tag(branch), "{branch}");
        }
    }
}
