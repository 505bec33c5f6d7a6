//! A configuration turned into what the running process uses: checked webhooks, tokens, addresses.

use std::{collections::BTreeMap, fs};

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::{
    config::{
        Config,
        error::{ConfigError, Problem},
        snapshot::Snapshot,
    },
    prow::{deck::DeckUrl, signature::TokenFile},
    slack::{AllowedHosts, Look, Webhook},
};

/// What a running process obeys, all of it checked. Swapped whole.
#[derive(Debug)]
pub struct Live {
    /// The configuration with its secrets.
    pub snapshot: Snapshot,
    /// Concrete receivers by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Tokens of webhooks; `None` refuses all of them.
    pub tokens: Option<TokenFile>,
    /// Where deck is.
    pub deck: Option<DeckUrl>,
}

/// A concrete receiver, ready to be posted to.
#[derive(Debug)]
pub struct Endpoint {
    /// Its webhook.
    pub webhook: Webhook,
    /// How its messages look.
    pub look: Look,
    /// Equal for receivers that share one webhook, and so its pace.
    pub pace_key: [u8; 8],
}

impl Live {
    /// Reads secrets and checks everything a daemon needs. Every problem is told.
    pub fn build(
        config: Config,
        environment: &BTreeMap<String, String>,
        first_start: Option<Timestamp>,
    ) -> Result<Self, ConfigError> {
        let snapshot = config.snapshot(environment, first_start)?;
        let settings = &snapshot.config.settings;
        let mut problems = Vec::new();
        let endpoints = endpoints(&snapshot, &mut problems);
        let deck = settings.deck.as_ref().and_then(|deck| {
            deck.url
                .parse::<DeckUrl>()
                .map_err(|error| {
                    problems.push(Problem::general(format!("sources.deck.url: {error}"), ""));
                })
                .ok()
        });
        let tokens = settings.hmac_file.as_ref().and_then(|file| {
            let read = fs::read(file).map_err(|error| {
                Problem::general(
                    format!(
                        "sources.webhook.hmac_file: cannot read {}: {error}",
                        file.display()
                    ),
                    "mount Prow's HMAC secret there",
                )
            });
            let parsed = read.and_then(|bytes| {
                TokenFile::parse(&bytes, file).map_err(|error| {
                    Problem::general(format!("sources.webhook.hmac_file: {error}"), "")
                })
            });
            parsed.map_err(|problem| problems.push(problem)).ok()
        });
        if problems.is_empty() {
            Ok(Self {
                snapshot,
                endpoints,
                tokens,
                deck,
            })
        } else {
            Err(ConfigError(problems))
        }
    }
}

fn endpoints(snapshot: &Snapshot, problems: &mut Vec<Problem>) -> BTreeMap<String, Endpoint> {
    let settings = &snapshot.config.settings;
    let allowed = match AllowedHosts::parse(&settings.allowed_hosts) {
        Ok(allowed) => allowed,
        Err(error) => {
            problems.push(Problem::general(
                format!("delivery.allowed_hosts: {error}"),
                "",
            ));
            return BTreeMap::new();
        }
    };
    let mut endpoints = BTreeMap::new();
    for (name, destination) in &snapshot.destinations {
        let digest: [u8; 32] = Sha256::digest(destination.url.expose_secret()).into();
        let mut pace_key = [0; 8];
        pace_key.copy_from_slice(digest.split_at(8).0);
        match Webhook::new(destination.url.clone(), &allowed) {
            Ok(webhook) => {
                let look = Look {
                    mention: destination.mention.clone(),
                    external_url: settings.external_url.clone(),
                };
                endpoints.insert(
                    name.clone(),
                    Endpoint {
                        webhook,
                        look,
                        pace_key,
                    },
                );
            }
            Err(error) => {
                problems.push(Problem::general(format!("receiver `{name}`: {error}"), ""));
            }
        }
    }
    endpoints
}
