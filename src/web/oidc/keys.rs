//! Google's public keys: fetched when a token asks for one, kept as long as they are said to be good.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Response, Url, header};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use tracing::debug;

use crate::http::Http;

/// A token that names an unknown key has the keys fetched anew, but no more often than this.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// So long after a failure they are asked for again.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// Bounds of the time for which keys are kept, whatever they come with.
const KEPT_S: (i64, i64) = (300, 86_400);
/// When they come with none.
const KEPT_BY_DEFAULT_S: i64 = 3_600;
/// How long fetching may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Google's two keys take 1 KiB.
const MAX_BYTES: usize = 256 << 10;

/// A public key.
#[derive(Debug)]
pub(in crate::web) struct Key(RsaPublicKeyComponents<Vec<u8>>);

impl Key {
    /// Whether this is its signature, by RS256.
    pub(in crate::web) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = self
            .0
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature);
        verified.is_ok()
    }
}

/// The keys that are known.
#[derive(Debug, Default)]
pub(in crate::web) struct Keys {
    known: Mutex<Known>,
    /// Held while they are fetched; those who wait find them then.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    from: Option<Url>,
    keys: BTreeMap<String, Arc<Key>>,
    fresh_until: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// Why the last attempt failed.
    failed: Option<String>,
}

type Found = Result<Option<Arc<Key>>, String>;

impl Keys {
    /// The key of a name. `None` when Google has no such key; the error says why that cannot be told.
    pub(in crate::web) async fn find(
        &self,
        kid: &str,
        url: &Url,
        http: &Http,
        now: Timestamp,
    ) -> Found {
        if let Some(found) = self.with(|known| known.find(kid, url, now)) {
            return found;
        }
        let _turn = self.fetching.lock().await;
        if let Some(found) = self.with(|known| known.find(kid, url, now)) {
            return found;
        }
        debug!(%url, "Fetching the keys of Pub/Sub tokens");
        let fetched = fetch(url, http).await;
        self.with(|known| {
            known.take_in(url, fetched, now);
            known.find(kid, url, now)
        })
        .unwrap_or(Ok(None))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// What is known of a key; `None` when that is to be asked.
    fn find(&self, kid: &str, url: &Url, now: Timestamp) -> Option<Found> {
        let asked_at = self.asked_at.filter(|_| self.from.as_ref() == Some(url))?;
        let age = now.duration_since(asked_at);
        // A clock that was set back is no reason to trust them for longer.
        let is_fresh = self.fresh_until.is_some_and(|until| now < until) && !age.is_negative();
        if is_fresh && let Some(key) = self.keys.get(kid) {
            return Some(Ok(Some(Arc::clone(key))));
        }
        let pause = if self.failed.is_some() {
            RETRY
        } else {
            ASK_AGAIN
        };
        if age.is_negative() || age >= pause {
            return None;
        }
        Some(match &self.failed {
            Some(why) => Err(why.clone()),
            None => Ok(None),
        })
    }

    fn take_in(&mut self, url: &Url, fetched: Result<Fetched, String>, now: Timestamp) {
        if self.from.as_ref() != Some(url) {
            *self = Self::default();
            self.from = Some(url.clone());
        }
        self.asked_at = Some(now);
        match fetched {
            Ok(fetched) => {
                let kept = SignedDuration::from_secs(fetched.kept_s);
                self.keys = fetched.keys;
                self.fresh_until = now.checked_add(kept).ok();
                self.failed = None;
            }
            Err(why) => self.failed = Some(why),
        }
    }
}

#[derive(Debug)]
struct Fetched {
    keys: BTreeMap<String, Arc<Key>>,
    kept_s: i64,
}

/// A JWK set (RFC 7517).
#[derive(Debug, Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    n: String,
    e: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}

async fn fetch(url: &Url, http: &Http) -> Result<Fetched, String> {
    // Plain http is let through to loopback addresses only.
    let client = if url.scheme() == "http" {
        http.loopback()
    } else {
        http.open()
    };
    let host = url.host_str().unwrap_or_default();
    let failed = |why: &str| format!("{host} {why}");
    let request = client.get(url.clone()).timeout(TIMEOUT).send().await;
    let mut response = request.map_err(|_| failed("cannot be reached"))?;
    if !response.status().is_success() {
        return Err(failed(&format!("answered {}", response.status())));
    }
    let kept_s = kept_s(&response);
    let mut body = Vec::new();
    while let Some(chunk) = (response.chunk().await).map_err(|_| failed("broke off its answer"))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(failed("answered more than keys"));
        }
    }
    let keys = read(&body).ok_or_else(|| failed("answered with no set of keys"))?;
    if keys.is_empty() {
        return Err(failed("answered with no key for RS256"));
    }
    Ok(Fetched { keys, kept_s })
}

fn kept_s(response: &Response) -> i64 {
    let control = response.headers().get(header::CACHE_CONTROL);
    let control = control.and_then(|value| value.to_str().ok());
    let told = control.and_then(|text| {
        let mut words = text.split(',').map(str::trim);
        words
            .find_map(|word| word.strip_prefix("max-age="))?
            .parse()
            .ok()
    });
    told.unwrap_or(KEPT_BY_DEFAULT_S).clamp(KEPT_S.0, KEPT_S.1)
}

/// The keys for RS256 in a set; others are left out.
fn read(body: &[u8]) -> Option<BTreeMap<String, Arc<Key>>> {
    let set: Set = serde_json::from_slice(body).ok()?;
    let keys = set.keys.into_iter().filter_map(|key| {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let fits = key.kty == "RSA"
            && key.alg.is_none_or(|alg| alg == "RS256")
            && key.purpose.is_none_or(|purpose| purpose == "sig");
        let number = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let (n, e) = (number(&key.n)?, number(&key.e)?);
        fits.then(|| (key.kid, Arc::new(Key(RsaPublicKeyComponents { n, e }))))
    });
    Some(keys.collect())
}
