//! Google's OIDC tokens, which authenticate Pub/Sub pushes
//! (<https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>).
//!
//! One algorithm is taken, whatever a token asks for, so there is none to be talked into.

mod keys;
#[cfg(test)]
mod tests;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{config::settings::PubsubSettings, http::Http};

pub(super) use keys::Keys;

/// The clocks of Google and of this machine may be so many seconds apart.
const LEEWAY_S: i64 = 60;
/// Who issues the tokens.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Why a token does not count. Nobody outside is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it carries no token")]
    Missing,
    #[error("its token cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("its token is not good: {0}")]
    Claim(&'static str),
    #[error("no key of Google has the name that its token gives")]
    UnknownKey,
    #[error("the signature of its token is wrong")]
    Signature,
    #[error("Google's keys cannot be had: {0}")]
    NoKeys(String),
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    /// Extensions that must be understood; none is.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    email: String,
    #[serde(default)]
    email_verified: bool,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
}

/// Checks a token. What costs nothing is looked at first, so that only a token that would be good asks for keys.
pub(super) async fn verify(
    token: &str,
    settings: &PubsubSettings,
    keys: &Keys,
    http: &Http,
    now: Timestamp,
) -> Result<(), Refused> {
    if token.is_empty() {
        return Err(Refused::Missing);
    }
    let (signed, signature) = (token.rsplit_once('.')).ok_or(Refused::Unreadable("no parts"))?;
    let (header, claims) = (signed.split_once('.')).ok_or(Refused::Unreadable("no parts"))?;
    let header: Header = part(header).ok_or(Refused::Unreadable("its header"))?;
    if header.alg != "RS256" || header.crit.is_some() {
        return Err(Refused::Claim("it asks for another algorithm"));
    }
    let claims: Claims = part(claims).ok_or(Refused::Unreadable("its claims"))?;
    check(&claims, settings, now)?;
    let signature = decoded(signature).ok_or(Refused::Unreadable("its signature"))?;
    let key = keys.find(&header.kid, &settings.keys_url, http, now).await;
    let key = key.map_err(Refused::NoKeys)?.ok_or(Refused::UnknownKey)?;
    if key.has_signed(signed.as_bytes(), &signature) {
        Ok(())
    } else {
        Err(Refused::Signature)
    }
}

fn check(claims: &Claims, settings: &PubsubSettings, now: Timestamp) -> Result<(), Refused> {
    let now = now.as_second();
    let latest = now.saturating_add(LEEWAY_S);
    let wrong = if !ISSUERS.contains(&claims.iss.as_str()) {
        "another issuer"
    } else if claims.aud != settings.audience {
        "another audience than sources.pubsub.audience"
    } else if claims.email != settings.service_account || !claims.email_verified {
        "another account than sources.pubsub.service_account"
    } else if claims.exp <= now.saturating_sub(LEEWAY_S) {
        "expired"
    } else if claims.iat > latest || claims.nbf.is_some_and(|from| from > latest) {
        "not valid yet; is the clock of this machine right?"
    } else {
        return Ok(());
    };
    Err(Refused::Claim(wrong))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&decoded(text)?).ok()
}
