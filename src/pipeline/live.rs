//! A configuration turned into what the running process uses: checked webhooks, tokens, addresses.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Mutex, OnceLock, PoisonError},
};

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::{
    config::{
        Config,
        access::AccessTokens,
        error::{ConfigError, Problem},
        snapshot::Snapshot,
    },
    domain::observation::Source,
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
    /// Tokens of people and programs.
    pub access: AccessTokens,
    /// Where deck is.
    pub deck: Option<DeckUrl>,
    loaded_at: OnceLock<Timestamp>,
    /// When a newer one was refused, and why.
    refused: Mutex<Option<(Timestamp, String)>>,
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
        let mut snapshot = config.snapshot(environment, first_start)?;
        snapshot.policy.reads_evidence = snapshot.config.settings.artifacts.enabled;
        let settings = &snapshot.config.settings;
        let mut problems = Vec::new();
        let endpoints = endpoints(&snapshot, &mut problems);
        let deck = settings.deck.as_ref().and_then(|deck| {
            deck.url
                .parse::<DeckUrl>()
                .map_err(|error| {
                    let layers = &snapshot.config.layers;
                    problems.push(layers.problem("sources.deck.url", &error.to_string(), ""));
                })
                .ok()
        });
        let tokens = match tokens(&snapshot.config) {
            Ok(tokens) => tokens,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let access = access(&snapshot.config).unwrap_or_else(|problem| {
            problems.push(problem);
            AccessTokens::default()
        });
        if snapshot.policy.orders_stops() && settings.watch.is_none() {
            problems.push(Problem::general(
                "`abort_downstream: on` stops runs through the API of Kubernetes, and there is no way to it",
                "set sources.watch.namespace, or write `abort_downstream: suggest`",
            ));
        }
        if problems.is_empty() {
            Ok(Self {
                snapshot,
                endpoints,
                tokens,
                access,
                deck,
                loaded_at: OnceLock::new(),
                refused: Mutex::default(),
            })
        } else {
            Err(ConfigError(problems))
        }
    }
}

impl Live {
    /// Notes when it came into force; the first word counts.
    pub fn note_loaded(&self, at: Timestamp) {
        self.loaded_at.get_or_init(|| at);
    }

    /// Whether there is a source that lists runs.
    pub fn lists(&self) -> bool {
        self.deck.is_some() || self.snapshot.config.settings.watch.is_some()
    }

    /// What is known while this source fails, in words.
    pub fn others(&self, failing: Source) -> &'static str {
        let deck = failing != Source::Deck && self.deck.is_some();
        let watch = failing != Source::Watch && self.snapshot.config.settings.watch.is_some();
        match (deck || watch, deck, self.tokens.is_some()) {
            (true, true, true) => "deck and webhooks tell what happens",
            (true, true, false) => "deck tells what happens",
            (true, false, true) => "Kubernetes and webhooks tell what happens",
            (true, false, false) => "Kubernetes tells what happens",
            (false, _, true) => "only what webhooks tell is known",
            (false, _, false) => "nothing that happens is known",
        }
    }

    /// When it came into force; `None` outside a running daemon.
    pub fn loaded_at(&self) -> Option<Timestamp> {
        self.loaded_at.get().copied()
    }

    /// Notes that a newer one was refused, or with `None` that the files on disk are this one again.
    pub fn note_refused(&self, refused: Option<(Timestamp, String)>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// When a newer one was refused, and why.
    pub fn refused(&self) -> Option<(Timestamp, String)> {
        let refused = self.refused.lock();
        refused.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn access(config: &Config) -> Result<AccessTokens, Problem> {
    let Some(file) = &config.settings.access.tokens_file else {
        return Ok(AccessTokens::default());
    };
    AccessTokens::read(file).map_err(|what| {
        let hint = "write a line `name: token` for everybody who may act";
        let layers = &config.layers;
        layers.problem("server.access.tokens_file", &what, hint)
    })
}

fn tokens(config: &Config) -> Result<Option<TokenFile>, Problem> {
    let Some(file) = &config.settings.hmac_file else {
        return Ok(None);
    };
    let failed = |what: String, hint: &str| {
        let key = "sources.webhook.hmac_file";
        Err(config.layers.problem(key, &what, hint))
    };
    match fs::read(file) {
        Ok(bytes) => TokenFile::parse(&bytes, file)
            .map(Some)
            .or_else(|error| failed(error.to_string(), "")),
        Err(error) => failed(
            format!("cannot read {}: {error}", file.display()),
            "mount Prow's HMAC secret there",
        ),
    }
}

fn endpoints(snapshot: &Snapshot, problems: &mut Vec<Problem>) -> BTreeMap<String, Endpoint> {
    let settings = &snapshot.config.settings;
    let allowed = match AllowedHosts::parse(&settings.allowed_hosts) {
        Ok(allowed) => allowed,
        Err(error) => {
            let layers = &snapshot.config.layers;
            problems.push(layers.problem("delivery.allowed_hosts", &error.to_string(), ""));
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
                let what = format!("receiver `{name}`: {error}");
                let hint = format!("the webhook URL stands in {}", destination.read_from);
                problems.push(Problem::at(destination.place.clone(), what, hint));
            }
        }
    }
    endpoints
}
