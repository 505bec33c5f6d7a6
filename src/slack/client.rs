//! Posts to an incoming webhook and sorts Slack's answers into what to do next. Decides nothing and retries
//! nothing. Contract: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use std::{fmt, time::Duration};

use reqwest::{Response, StatusCode, Url, header::RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::hosts::{AllowedHosts, Way, is_inner};
use crate::http::{Http, is_wrong_address, root_cause};

/// From the request's start to the end of the answer. Whoever sends for a receiver holds its queue for so long at
/// least, so it bounds how soon another can take over from one that died.
pub const TIMEOUT: Duration = Duration::from_secs(8);
/// Slack answers with a word; what is longer comes from something else.
const ANSWER_BYTES: usize = 4096;
/// No pause is shorter, so that a zero does not spin.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// No pause is longer, so that a slip does not silence a receiver for a day.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Pause when Slack does not say how long.
const PAUSE_UNSAID: Duration = Duration::from_secs(10);

/// An incoming webhook. Its address is a secret and never shown.
pub struct Webhook {
    url: SecretString,
    host: String,
    way: Way,
}

/// Why an address cannot be a webhook; the address itself is never in the text.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WebhookError {
    /// Not an absolute address.
    #[error("webhook is not a web address, it should begin with https://")]
    NotAnAddress,
    /// Carries a user or a password, which nobody but a forger puts there.
    #[error("webhook address on {host} has a user name in it, remove it")]
    User {
        /// Its host.
        host: String,
    },
    /// Plain http to elsewhere than a listed loopback address.
    #[error(
        "webhook on {host} is not https; plain http is only for a loopback address that stands with its \
         port in delivery.allowed_hosts"
    )]
    NotHttps {
        /// Its host, with the port.
        host: String,
    },
    /// Host not on the list.
    #[error("webhook host {host} is not allowed, add it to delivery.allowed_hosts")]
    NotAllowed {
        /// Its host.
        host: String,
    },
    /// An inner address.
    #[error("webhook host {host} is not a public address, Slack's is")]
    Inner {
        /// Its host.
        host: String,
    },
}

/// What an attempt came to, and so what to do. Reasons are a few words for people, free of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Delivered.
    Sent,
    /// Too fast: pause this webhook; no attempt is counted.
    RateLimited {
        /// For how long, from 1 s to 1 h.
        retry_after: Duration,
    },
    /// Try again with backoff.
    Retry {
        /// Why.
        reason: String,
        /// Whether Slack may have taken the message all the same.
        maybe_delivered: bool,
    },
    /// Not Slack's answer, as from a proxy: try again a few times only.
    Suspicious {
        /// Why.
        reason: String,
    },
    /// Slack refuses the form: send once more as plain text.
    BadPayload {
        /// Slack's word.
        reason: String,
    },
    /// The webhook or its channel is gone: use the fallback.
    Dead {
        /// Slack's word.
        reason: String,
    },
    /// We refuse to go where we are led: give up.
    Refused {
        /// Why.
        reason: String,
    },
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Checks an address; white space around it, as at the end of a secret's file, does not count.
    pub fn new(url: SecretString, allowed: &AllowedHosts) -> Result<Self, WebhookError> {
        let parsed =
            Url::parse(url.expose_secret().trim()).map_err(|_| WebhookError::NotAnAddress)?;
        let host = parsed.host_str().unwrap_or_default().to_owned();
        if host.is_empty() {
            return Err(WebhookError::NotAnAddress);
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(WebhookError::User { host });
        }
        match allowed.way(&parsed) {
            Some(way) => Ok(Self { url, host, way }),
            None if is_inner(&host) && parsed.scheme() == "https" => {
                Err(WebhookError::Inner { host })
            }
            None if parsed.scheme() == "https" => Err(WebhookError::NotAllowed { host }),
            None => Err(WebhookError::NotHttps {
                host: with_port(host, &parsed),
            }),
        }
    }

    /// The host, which is no secret.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Connects to the host, over TLS where posting does, and posts nothing: asks for the host's root and takes any
    /// answer. The error says why there is none, without the address.
    pub async fn reach(&self, http: &Http) -> Result<(), String> {
        let mut root = Url::parse(self.url.expose_secret().trim())
            .map_err(|_| "it is no address".to_owned())?;
        root.set_path("/");
        root.set_query(None);
        root.set_fragment(None);
        let asked = self.client(http).get(root).timeout(TIMEOUT).send().await;
        asked.map(drop).map_err(|error| match sort_error(&error) {
            Answer::Retry { reason, .. }
            | Answer::Suspicious { reason }
            | Answer::BadPayload { reason }
            | Answer::Dead { reason }
            | Answer::Refused { reason } => reason,
            Answer::Sent | Answer::RateLimited { .. } => "no answer".to_owned(),
        })
    }

    fn client<'a>(&self, http: &'a Http) -> &'a reqwest::Client {
        match self.way {
            Way::Outside => http.guarded(),
            Way::Loopback => http.loopback(),
        }
    }

    /// Posts a message once; waits for the answer for at most [`TIMEOUT`].
    pub async fn post(&self, http: &Http, payload: &Value) -> Answer {
        let request = self
            .client(http)
            .post(self.url.expose_secret().trim())
            .timeout(TIMEOUT)
            .json(payload);
        match request.send().await {
            Ok(response) => sort(response).await,
            Err(error) => sort_error(&error),
        }
    }
}

fn with_port(host: String, url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// What to do when no answer came.
fn sort_error(error: &reqwest::Error) -> Answer {
    let (reason, maybe_delivered) = match () {
        () if is_wrong_address(error) => {
            return Answer::Refused {
                reason: "host resolves to an address that is not allowed".to_owned(),
            };
        }
        () if error.is_connect() => (format!("cannot connect ({})", root_cause(error)), false),
        () if error.is_timeout() => ("no answer in time".to_owned(), true),
        () => ("connection broke before the answer".to_owned(), true),
    };
    Answer::Retry {
        reason,
        maybe_delivered,
    }
}

async fn sort(mut response: Response) -> Answer {
    let status = response.status();
    let header = response.headers().get(RETRY_AFTER);
    let header = header
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok());
    let body = read(&mut response).await;
    if status == StatusCode::OK && body.is_none() {
        return Answer::Retry {
            reason: "answer broke off".to_owned(),
            maybe_delivered: true,
        };
    }
    decide(status, header, &body.unwrap_or_default())
}

/// The answer's first bytes; `None` when it breaks off.
async fn read(response: &mut Response) -> Option<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        let room = ANSWER_BYTES - body.len();
        body.extend(chunk.iter().take(room));
        if body.len() == ANSWER_BYTES {
            break;
        }
    }
    Some(String::from_utf8_lossy(&body).trim().to_owned())
}

/// The table of answers to actions. `pause` is the header `Retry-After`, in seconds.
fn decide(status: StatusCode, pause: Option<f64>, body: &str) -> Answer {
    let word = slack_word(body);
    let reason = match word {
        Some(word) => word.to_owned(),
        None => format!("status {}", status.as_u16()),
    };
    match (status.as_u16(), word) {
        (200, Some("ok")) => Answer::Sent,
        (200..=299, _) => Answer::Suspicious {
            reason: format!("status {} without Slack's ok", status.as_u16()),
        },
        (300..=399, _) => Answer::Refused {
            reason: format!("redirect (status {}), not followed", status.as_u16()),
        },
        (429, _) => Answer::RateLimited {
            retry_after: retry_after(pause, body),
        },
        // A gateway gave up on what it may have passed on.
        (408 | 502 | 504, _) => Answer::Retry {
            reason,
            maybe_delivered: true,
        },
        (500..=599, _) => Answer::Retry {
            reason,
            maybe_delivered: false,
        },
        (410, _) | (401 | 403 | 404, Some(_)) => Answer::Dead { reason },
        (400, Some("user_not_found" | "channel_not_found" | "channel_is_archived")) => {
            Answer::Dead { reason }
        }
        (413, _) | (400, Some(_)) => Answer::BadPayload { reason },
        _ => Answer::Suspicious {
            reason: format!("status {} that is not Slack's", status.as_u16()),
        },
    }
}

/// Slack's errors are one word of small letters and underscores; a proxy's page is not.
fn slack_word(body: &str) -> Option<&str> {
    let is_word =
        (2..=60).contains(&body.len()) && body.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_word.then_some(body)
}

#[derive(Deserialize)]
struct Pause {
    retry_after: f64,
}

/// How long to pause: the longer of header and body, within bounds.
fn retry_after(header: Option<f64>, body: &str) -> Duration {
    let in_body = serde_json::from_str::<Pause>(body)
        .ok()
        .map(|pause| pause.retry_after);
    let pause = [header, in_body]
        .into_iter()
        .flatten()
        .filter(|seconds| seconds.is_finite())
        .map(|seconds| seconds.clamp(PAUSE_MIN.as_secs_f64(), PAUSE_MAX.as_secs_f64()))
        .map(Duration::from_secs_f64)
        .max();
    pause.unwrap_or(PAUSE_UNSAID)
}

#[cfg(test)]
mod tests;
