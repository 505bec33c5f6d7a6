//! What the daemon answers, and its metrics.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::RequestBuilder;
use sha2::Sha256;

use super::{DEADLINE, TOKEN};

/// An answer of the daemon.
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Seconds, if it says when to come again.
    pub(crate) retry_after: Option<u64>,
    /// Body.
    pub(crate) text: String,
}

impl Reply {
    /// Sends a request and reads the answer.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response = request.timeout(DEADLINE).send().await.unwrap();
        let retry_after = response.headers().get("retry-after");
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after.map(|value| value.to_str().unwrap().parse().unwrap()),
            text: response.text().await.unwrap(),
        }
    }
}

/// Metrics at one moment, by name with labels and without the prefix. All of ours are whole numbers, but
/// for times.
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(super) fn read(text: &str) -> Self {
        let samples = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("prow_notifier_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum over all labels.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small counts"
    )]
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let of_name = |known: &str| known.split('{').next() == Some(name);
        self.0
            .iter()
            .filter(|(known, _)| of_name(known))
            .map(|(_, value)| *value as u64)
            .sum()
    }

    /// One sample, such as `decisions_total{decision="notify"}`; 0 when there is none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small counts"
    )]
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |value| *value as u64)
    }

    /// How often it was decided so.
    pub(crate) fn decided(&self, decision: &str) -> u64 {
        self.get(&format!("decisions_total{{decision=\"{decision}\"}}"))
    }
}

/// The signature of a body.
pub(crate) fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
