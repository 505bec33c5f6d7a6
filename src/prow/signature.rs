//! Signatures of webhooks, checked against Prow's own HMAC token files, so that one secret serves Prow's hook
//! and us. Only SHA-256 counts, in constant time, and nothing but the owners of a body is read before.

mod dated;
mod owners;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::yaml::to_json;

pub use dated::{DATED_HEADER, sign_dated};
pub use owners::{
    OwnersError, RepositoryKeys, github_repositories, repositories, stage_repositories,
};

/// What the header begins with.
const SCHEME: &str = "sha256=";

/// Key of the tokens for repositories that have none of their own.
const EVERYBODY: &str = "*";

/// The tokens that may sign, by `org/repo`, `org` or `*`
/// (<https://docs.prow.k8s.io/docs/components/optional/hmac/>).
pub struct TokenFile {
    file: PathBuf,
    tokens: BTreeMap<String, Vec<SecretString>>,
}

/// Why a token file cannot be used. No text holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hmac token file {file}: {problem}", file = file.display())]
pub struct TokenFileError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: TokenFileProblem,
}

/// What is wrong with a token file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileProblem {
    /// No token in it.
    #[error("it is empty; write one token, or a map of org, org/repo or \"*\" to tokens")]
    Empty,
    /// A token of no characters, which anybody could sign with.
    #[error("key {0:?} has an empty token; remove it or give it a value")]
    EmptyToken(String),
    /// A key without tokens.
    #[error("key {0:?} has no tokens; remove it or give it one")]
    NoTokens(String),
    /// Neither format.
    #[error(
        "several lines that are not a map of org, org/repo or \"*\" to a list of {{value: TOKEN}}"
    )]
    Malformed,
    /// Not text.
    #[error("it is not text")]
    NotText,
}

/// Why a body is not accepted. For our log: the sender is told nothing more than 401.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// No header, or several.
    #[error("exactly one X-Hub-Signature-256 header is needed")]
    Missing,
    /// Another scheme, or not 64 hexadecimal digits.
    #[error("X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits")]
    Malformed,
    /// No dated header, or several.
    #[error("exactly one X-Prow-Notifier-Signature header is needed")]
    DatedMissing,
    /// A dated header in another form.
    #[error("X-Prow-Notifier-Signature is not t=SECONDS,id=ID,v1= and 64 hexadecimal digits")]
    DatedMalformed,
    /// Signed too long ago, or in the future.
    #[error("signed at {signed_at}, more than five minutes from now; are both clocks right?")]
    OutOfTime {
        /// When, by the sender's clock.
        signed_at: Timestamp,
    },
    /// Nobody may sign for this repository.
    #[error("hmac token file {file} has no key for {owner:?}; add it, or a key \"*\"", file = file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
        /// `org/repo`, `org` or nothing.
        owner: String,
    },
    /// Signed with none of the key's tokens.
    #[error("not signed with a token of key {key:?} in hmac token file {file}", file = file.display())]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// Which key was asked.
        key: String,
    },
}

#[derive(Deserialize)]
struct Entry {
    value: Option<String>,
}

impl TokenFile {
    /// Reads a token file's content; `file` is for errors. A text that is not a map is one token for
    /// everybody, but only a single line: a broken map must not become a secret.
    pub fn parse(content: &[u8], file: &Path) -> Result<Self, TokenFileError> {
        let fail = |problem| TokenFileError {
            file: file.to_owned(),
            problem,
        };
        let text = std::str::from_utf8(content).map_err(|_| fail(TokenFileProblem::NotText))?;
        Ok(Self {
            tokens: tokens(text.trim()).map_err(fail)?,
            file: file.to_owned(),
        })
    }

    /// Whether the same tokens sign for every owner, so that it does not matter whose a body is.
    pub fn is_for_everybody(&self) -> bool {
        self.tokens.len() == 1 && self.tokens.contains_key(EVERYBODY)
    }

    /// Checks that `header` (the value of `X-Hub-Signature-256`; `None` also when there are several) signs
    /// `body` under the key of every owner. Only the most specific key that exists counts for an owner:
    /// `org/repo`, else `org`, else `*`.
    pub fn verify(
        &self,
        body: &[u8],
        header: Option<&str>,
        owners: &RepositoryKeys,
    ) -> Result<(), Unauthorized> {
        let signature = signature(header.ok_or(Unauthorized::Missing)?)?;
        self.hold(&[body], &signature, owners)
    }

    /// Checks that `signature` is that of the joined `parts` under the key of every owner.
    fn hold(
        &self,
        parts: &[&[u8]],
        signature: &[u8; 32],
        owners: &RepositoryKeys,
    ) -> Result<(), Unauthorized> {
        let keys = self.keys(owners)?;
        // The first key that does not hold ends it, so a forged body costs no more than one key's tokens.
        for key in keys {
            let tokens = self.tokens.get(key).map_or(&[][..], Vec::as_slice);
            if !tokens.iter().any(|token| signs(token, parts, signature)) {
                return Err(Unauthorized::Mismatch {
                    file: self.file.clone(),
                    key: key.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn keys(&self, owners: &RepositoryKeys) -> Result<BTreeSet<&str>, Unauthorized> {
        let nobody = [(String::new(), String::new())];
        let all = owners
            .0
            .iter()
            .chain(nobody.iter().filter(|_| owners.0.is_empty()));
        all.map(|(org, repo)| {
            let full = format!("{org}/{repo}");
            let key = [full.as_str(), org, EVERYBODY]
                .into_iter()
                .find_map(|key| self.tokens.get_key_value(key));
            key.map(|(key, _)| key.as_str())
                .ok_or_else(|| Unauthorized::NoKey {
                    file: self.file.clone(),
                    owner: full.trim_matches('/').to_owned(),
                })
        })
        .collect()
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

fn tokens(text: &str) -> Result<BTreeMap<String, Vec<SecretString>>, TokenFileProblem> {
    if text.is_empty() {
        return Err(TokenFileProblem::Empty);
    }
    let map: Option<BTreeMap<String, Vec<Entry>>> = to_json(text)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok());
    match map {
        Some(map) if map.is_empty() => Err(TokenFileProblem::Empty),
        Some(map) => map.into_iter().map(checked).collect(),
        None if text.lines().count() > 1 => Err(TokenFileProblem::Malformed),
        None => Ok(BTreeMap::from([(
            EVERYBODY.to_owned(),
            vec![text.to_owned().into()],
        )])),
    }
}

fn checked(
    (key, entries): (String, Vec<Entry>),
) -> Result<(String, Vec<SecretString>), TokenFileProblem> {
    if entries.is_empty() {
        return Err(TokenFileProblem::NoTokens(key));
    }
    let tokens = entries.into_iter().map(|entry| {
        let value = entry.value.filter(|value| !value.trim().is_empty())?;
        Some(value.into())
    });
    let tokens: Option<_> = tokens.collect();
    let tokens = tokens.ok_or_else(|| TokenFileProblem::EmptyToken(key.clone()))?;
    Ok((key, tokens))
}

fn signature(header: &str) -> Result<[u8; 32], Unauthorized> {
    let digits = header.strip_prefix(SCHEME).ok_or(Unauthorized::Malformed)?;
    let mut signature = [0; 32];
    hex::decode_to_slice(digits, &mut signature).map_err(|_| Unauthorized::Malformed)?;
    Ok(signature)
}

fn signs(token: &SecretString, parts: &[&[u8]], signature: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(signature).is_ok()
}
