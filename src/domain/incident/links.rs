//! Where to look: the addresses that a message about an incident shows.

use std::fmt::Write as _;

use super::{Facts, Incident, Kind, is_web};
use crate::domain::{job::is_tag, notification::Link};

impl Incident {
    pub(super) fn links(&self) -> Vec<Link> {
        let link = |label: &str, url: Option<String>| {
            url.map(|url| Link {
                label: label.to_owned(),
                url,
            })
        };
        let latest = &self.latest;
        // What did not start has no run: the one that should have started it is shown, and called so.
        let has_run = self.kind != Kind::Stalled;
        let runbook = latest.class.runbook.clone().filter(|url| is_web(url));
        [
            link(if has_run { "Run" } else { "After" }, latest.url.clone()),
            link(
                "History",
                latest
                    .url
                    .as_deref()
                    .filter(|_| has_run)
                    .and_then(|url| history_url(url, &latest.job)),
            ),
            link("Commit", commit_url(latest)),
            link(COMPARE, self.compare_url()),
            link("Runbook", runbook),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// From the last good to the first bad state of the repository.
    fn compare_url(&self) -> Option<String> {
        let good = self.last_good.as_ref()?;
        let bad = &self.first;
        // An annotated tag's SHA is the tag object's, so tags are compared by name.
        let (from, to) = if is_tag(&bad.base_ref) && is_tag(&good.base_ref) {
            (good.base_ref.as_str(), bad.base_ref.as_str())
        } else {
            (good.base_sha.as_deref()?, bad.base_sha.as_deref()?)
        };
        compare_url(bad, from, to)
    }

    /// From an earlier version of its release to the one that it is about, for what has no good run of its own. Tags of
    /// a repository are taken to be written alike; `None` where the incident is about none.
    pub fn since_version(&self, earlier: &str) -> Option<Link> {
        let latest = &self.latest;
        let tag = latest.base_ref.as_str();
        let prefix = tag.strip_suffix(latest.version.as_deref()?)?;
        let url = compare_url(latest, &format!("{prefix}{earlier}"), tag)?;
        Some(Link {
            label: COMPARE.to_owned(),
            url,
        })
    }
}

/// Label of a link from a good to a bad state of the repository.
const COMPARE: &str = "Compare";

fn compare_url(facts: &Facts, from: &str, to: &str) -> Option<String> {
    let repository = facts.repo_link.as_deref()?.trim_end_matches('/');
    (from != to).then(|| format!("{repository}/compare/{}...{}", encode(from), encode(to)))
}

/// `base_link` of a postsubmit is a compare page, so the commit's address is made from the repository's.
fn commit_url(facts: &Facts) -> Option<String> {
    let repository = facts.repo_link.as_deref()?.trim_end_matches('/');
    if is_tag(&facts.base_ref) {
        return Some(format!(
            "{repository}/releases/tag/{}",
            encode(&facts.base_ref)
        ));
    }
    Some(format!(
        "{repository}/commit/{}",
        encode(facts.base_sha.as_deref()?)
    ))
}

/// `https://DECK/view/gs/BUCKET/logs/JOB/ID` → `https://DECK/job-history/gs/BUCKET/logs/JOB`, postsubmits
/// and periodics only. Deck's history page cannot show jobs with a path prefix.
fn history_url(url: &str, job: &str) -> Option<String> {
    let (deck, path) = url.split_once("/view/")?;
    let mut parts = path.trim_end_matches('/').split('/');
    let (provider, bucket) = (parts.next()?, parts.next()?);
    if !matches!(provider, "gs" | "s3" | "gcs") || parts.next()? != "logs" || parts.next()? != job {
        return None;
    }
    Some(format!(
        "{deck}/job-history/{provider}/{bucket}/logs/{}",
        encode(job)
    ))
}

/// Percent-encodes all but unreserved characters and `/`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}
