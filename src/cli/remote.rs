//! Asking a running daemon, for commands that can also read the store themselves.

use std::{collections::BTreeMap, fs, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

use super::UsageError;
use crate::{
    config::{Config, settings::without_credentials},
    http::Http,
};

/// A daemon that is there answers at once; one that is not must not hold up who only wants to look.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Environment variable with a token.
const TOKEN: &str = "PROW_NOTIFIER_TOKEN";

/// Where the daemon is and who asks.
#[derive(Debug, clap::Args)]
pub struct Where {
    /// Address of a running daemon; by default the one that the configuration describes, else its store
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
        let addresses = match (&self.url, config) {
            (Some(url), _) => vec![url.trim_end_matches('/').to_owned()],
            (None, Some(config)) => likely(config),
            (None, None) => Vec::new(),
        };
        Ok(Remote {
            http: Http::new()?,
            addresses,
            named: self.url.is_some(),
            token: self.token(environment)?,
        })
    }

    /// Whether an address was given.
    pub fn is_named(&self) -> bool {
        self.url.is_some()
    }

    /// The token that was named. One of the daemon's own file would be somebody else's.
    fn token(&self, environment: &BTreeMap<String, String>) -> Result<Option<SecretString>> {
        if let Some(file) = &self.token_file {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            return Ok(Some(SecretString::from(text.trim().to_owned())));
        }
        let token = environment.get(TOKEN);
        Ok(token.map(|token| SecretString::from(token.trim().to_owned())))
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
        for address in &self.addresses {
            let url = format!("{address}{path}");
            let mut request = self.http.open().request(method.clone(), &url);
            request = request.timeout(TIMEOUT);
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.expose_secret());
            }
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    let text = response.text().await;
                    let text = text.with_context(|| {
                        format!("the answer of {} broke off", without_credentials(address))
                    })?;
                    return Ok(Some(Reply { status, text }));
                }
                Err(error) if self.named => {
                    let error = error.without_url();
                    return Err(anyhow::Error::new(error).context(format!(
                        "no daemon answers at {}",
                        without_credentials(address)
                    )));
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

impl Reply {
    /// What the daemon says is wrong, for people.
    pub fn problem(&self) -> anyhow::Error {
        let problem: serde_json::Value = serde_json::from_str(&self.text).unwrap_or_default();
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        let (title, detail) = (text("title"), text("detail"));
        let told = match (title.is_empty(), detail.is_empty()) {
            (true, _) => format!("the daemon answers {}", self.status),
            (false, true) => title,
            (false, false) => format!("{title}: {detail}"),
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
