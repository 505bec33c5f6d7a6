//! Asking a running daemon, for commands that can also read the store themselves.

use std::{collections::BTreeMap, fs, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::UsageError;
use crate::{
    config::{Config, settings::without_credentials},
    http::{Http, root_cause},
};

/// A daemon that is there answers at once; one that is not must not hold up who only wants to look.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Environment variable with a token.
const TOKEN: &str = "PROW_NOTIFIER_TOKEN";
/// Environment variable with the address of a daemon.
const URL: &str = "PROW_NOTIFIER_URL";

/// Where the daemon is and who asks.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Address of a running daemon; by default the variable `PROW_NOTIFIER_URL`, then the one that the
    /// configuration describes, else its store
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// File with a token for it; the variable `PROW_NOTIFIER_TOKEN` holds one too
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What a daemon answered.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// The body.
    pub text: String,
    /// Who answers, without credentials.
    from: String,
    /// Whether a token was sent.
    known: bool,
}

/// What became of a question or an order.
#[derive(Debug)]
pub enum Answer {
    /// Done; the body.
    Good(String),
    /// The daemon knows nothing of what was named.
    Unknown,
    /// No daemon is there, or none that takes this from us: who may use its store does it there.
    Nobody,
}

/// A daemon that may be there.
#[derive(Debug)]
pub struct Remote {
    http: Http,
    /// In the order in which they are tried.
    addresses: Vec<String>,
    /// Whether the address was given, and not guessed from the configuration.
    pub named: bool,
    token: Option<SecretString>,
}

impl Where {
    /// The daemon to ask. `config` may be missing when an address was given.
    pub fn remote(
        &self,
        config: Option<&Config>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Remote> {
        let named = self.address(environment);
        let addresses = match (named, config) {
            (Some(url), _) => vec![read_address(url)?],
            (None, Some(config)) => likely(config),
            (None, None) => Vec::new(),
        };
        Ok(Remote {
            http: Http::new()?,
            addresses,
            named: named.is_some(),
            token: self.token(environment)?,
        })
    }

    /// Whether an address was given.
    pub fn is_named(&self, environment: &BTreeMap<String, String>) -> bool {
        self.address(environment).is_some()
    }

    fn address<'a>(&'a self, environment: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let set = || environment.get(URL).map(String::as_str);
        let url = self.url.as_deref().or_else(set)?.trim();
        (!url.is_empty()).then_some(url)
    }

    /// The token that was named. One of the daemon's own file would be somebody else's.
    fn token(&self, environment: &BTreeMap<String, String>) -> Result<Option<SecretString>> {
        if let Some(file) = &self.token_file {
            let text = fs::read_to_string(file)
                .map_err(|error| UsageError(format!("cannot read {}: {error}", file.display())))?;
            return Ok(Some(SecretString::from(text.trim().to_owned())));
        }
        let token = environment.get(TOKEN);
        Ok(token.map(|token| SecretString::from(token.trim().to_owned())))
    }
}

/// An address that somebody wrote, to which paths are added.
fn read_address(text: &str) -> Result<String, UsageError> {
    match reqwest::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(UsageError(format!(
            "`{}` is not the address of a daemon; give --url or {URL} as https://releases.example.com",
            without_credentials(text)
        ))),
    }
}

/// Where the daemon of a configuration may be: here, or where people reach it.
fn likely(config: &Config) -> Vec<String> {
    let settings = &config.settings;
    let listen = settings.listen;
    let here = match listen.ip() {
        ip if ip.is_unspecified() && ip.is_ipv6() => "[::1]".to_owned(),
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    let here = (listen.port() != 0).then(|| format!("http://{here}:{}", listen.port()));
    let outside = settings.external_url.as_ref();
    let outside = outside.map(|url| url.trim_end_matches('/').to_owned());
    here.into_iter().chain(outside).collect()
}

impl Remote {
    /// Asks for a path. `None` when no daemon answers; that is told if an address was given.
    pub async fn ask(&self, method: Method, path: &str) -> Result<Option<Reply>> {
        self.send(method, path, None).await
    }

    /// Asks the API for something, or to do it. `what` is what an unknown name would be one of, as the API calls it.
    /// One that was named and refuses is an error; one that was guessed may be no daemon of ours.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: &str,
    ) -> Result<Answer> {
        let Some(reply) = self.send(method, path, body).await? else {
            return Ok(Answer::Nobody);
        };
        let refuses_us = matches!(
            reply.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
        );
        let title = reply.word("title");
        if reply.status.is_success() {
            Ok(Answer::Good(reply.text))
        } else if reply.status == StatusCode::NOT_FOUND && title == format!("no such {what}") {
            Ok(Answer::Unknown)
        } else if !self.named && (refuses_us || title.is_empty()) {
            Ok(Answer::Nobody)
        } else {
            Err(reply.problem())
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Reply>> {
        for address in &self.addresses {
            let url = format!("{address}{path}");
            let mut request = self.http.open().request(method.clone(), &url);
            request = request.timeout(TIMEOUT);
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.expose_secret());
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let from = without_credentials(address);
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    let text = response.text().await;
                    let text = text.with_context(|| format!("the answer of {from} broke off"))?;
                    return Ok(Some(Reply {
                        status,
                        text,
                        from,
                        known: self.token.is_some(),
                    }));
                }
                Err(error) if self.named => {
                    let why = root_cause(&error);
                    anyhow::bail!(
                        "no daemon answers at {from} ({why}); is it running, and is this its address?"
                    );
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

impl Reply {
    /// A text of problem details; empty when the answer is none.
    fn word(&self, key: &str) -> String {
        let problem: Value = serde_json::from_str(&self.text).unwrap_or_default();
        problem[key].as_str().unwrap_or_default().to_owned()
    }

    /// What the daemon says is wrong, for people.
    pub fn problem(&self) -> anyhow::Error {
        let (title, detail) = (self.word("title"), self.word("detail"));
        let told = match (self.status, title.is_empty()) {
            (StatusCode::UNAUTHORIZED, _) if self.known => {
                format!(
                    "{} does not know this token: is it in the file at server.access.tokens_file?",
                    self.from
                )
            }
            (StatusCode::UNAUTHORIZED, _) => format!(
                "{} wants to know who asks: give a token with --token-file or {TOKEN}",
                self.from
            ),
            (_, true) => format!(
                "{} answers {}: is it prow-notifier, of this version ({})?",
                self.from,
                self.status,
                env!("CARGO_PKG_VERSION")
            ),
            (_, false) if detail.is_empty() => title,
            (_, false) => format!("{title}: {detail}"),
        };
        let usage = matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
        );
        if usage {
            UsageError(told).into()
        } else {
            anyhow::anyhow!(told)
        }
    }
}

/// Reads the body of a good answer.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).with_context(|| {
        let version = env!("CARGO_PKG_VERSION");
        format!("the daemon answers in another way, is it of this version ({version})?")
    })
}

/// One part of a path, encoded.
pub fn part(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}
