//! Settings of what fills the gaps of other sources: Pub/Sub messages, and buckets after an outage.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;

use super::{Reader, WatchSettings, without_credentials};
use crate::config::error::Problem;

/// Who may push Pub/Sub messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubsubSettings {
    /// What tokens must be for.
    pub audience: String,
    /// Whose tokens must be.
    pub service_account: String,
    /// Where the keys are that tokens are signed with.
    pub keys_url: Url,
}

/// Finding in buckets what was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillSettings {
    /// Whether it is done.
    pub enabled: bool,
    /// After so long without a word of any source.
    pub after: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// Requests that it may take.
    pub max_requests: u64,
    /// Jobs at once; at least 1.
    pub concurrency: usize,
}

impl Reader<'_> {
    pub(super) fn backfill(
        &self,
        watch: Option<&WatchSettings>,
    ) -> Result<BackfillSettings, Problem> {
        let enabled = self.text("backfill.enabled").as_deref() != Some("false");
        Ok(BackfillSettings {
            enabled,
            after: if enabled {
                self.gap_after(watch)?
            } else {
                self.duration("backfill.after")
            },
            timeout: self.duration("backfill.timeout"),
            max_requests: self.number("backfill.max_requests").into(),
            concurrency: usize::try_from(self.number("backfill.concurrency")).unwrap_or(1),
        })
    }

    pub(super) fn pubsub(&self) -> Result<Option<PubsubSettings>, Problem> {
        let [audience, account, keys] =
            ["audience", "service_account", "keys_url"].map(|key| format!("sources.pubsub.{key}"));
        let missing = |set: &str, key: &str| {
            let what = format!("{set} alone lets nobody push messages");
            self.layers.problem(set, &what, &format!("set {key} too"))
        };
        let (audience, service_account) = match (self.text(&audience), self.text(&account)) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(missing(&audience, &account)),
            (None, Some(_)) => return Err(missing(&account, &audience)),
            (Some(audience), Some(account)) => (audience, account),
        };
        let text = self.text(&keys).unwrap_or_default();
        let keys_url = Url::parse(&text).ok().filter(is_of_keys).ok_or_else(|| {
            let what = format!("`{}` is no place for keys", without_credentials(&text));
            let hint = "write https://host/path; plain http only to a loopback address";
            self.layers.problem(&keys, &what, hint)
        })?;
        Ok(Some(PubsubSettings {
            audience,
            service_account,
            keys_url,
        }))
    }
}

/// Whether keys may be believed that come from there.
fn is_of_keys(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    url.scheme() == "https" || (url.scheme() == "http" && address.is_ok_and(|ip| ip.is_loopback()))
}
