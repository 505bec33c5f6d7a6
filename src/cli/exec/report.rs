//! Tells the daemon that a command failed: signed, at once, and without ever holding up or changing the job.

use std::{collections::BTreeMap, fs, time::Duration};

use reqwest::{StatusCode, Url};

use super::needs::words;
use crate::{
    clock::Clock,
    http::Http,
    prow::{
        signature::{DATED_HEADER, sign_dated},
        stage::Report,
    },
};

/// Attempts to send a report.
const TRIES: usize = 2;
/// For each attempt; a job never waits longer than both take.
const TIMEOUT: Duration = Duration::from_millis(2500);

/// Where reports go and what they are signed with.
pub(super) struct Reporter {
    url: Url,
    token: String,
}

impl Reporter {
    /// `None` when no address is given. An error says why reports cannot be sent.
    pub(super) fn new(
        address: Option<&str>,
        token_file: Option<&str>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Option<Self>, String> {
        let set = |name: &str| {
            let value = environment.get(name).map(String::as_str);
            value.filter(|value| !value.is_empty())
        };
        let Some(address) = address.or_else(|| set("PROW_NOTIFIER_REPORT_URL")) else {
            return Ok(None);
        };
        let file = token_file
            .or_else(|| set("PROW_NOTIFIER_TOKEN_FILE"))
            .ok_or("no token file is given (--token-file or PROW_NOTIFIER_TOKEN_FILE)")?;
        let token = fs::read_to_string(file)
            .map_err(|error| format!("cannot read token file {file}: {error}"))?;
        let token = token.trim();
        if token.is_empty() || token.contains('\n') {
            return Err(format!("token file {file} must hold one token in one line"));
        }
        Ok(Some(Self {
            url: hook(address)?,
            token: token.to_owned(),
        }))
    }

    /// Sends a report. An error says why it did not arrive.
    pub(super) async fn send(&self, report: &Report) -> Result<(), String> {
        let body = serde_json::to_vec(report).map_err(|error| error.to_string())?;
        let http = Http::new().map_err(|error| error.to_string())?;
        let mut last = String::new();
        for _ in 0..TRIES {
            let signature = sign_dated(&self.token, Clock::System.now(), &report.id, &body);
            let request = http
                .open()
                .post(self.url.clone())
                .header("Content-Type", "application/json")
                .header(DATED_HEADER, signature)
                .timeout(TIMEOUT)
                .body(body.clone());
            match request.send().await.map(|answer| answer.status()) {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(StatusCode::UNAUTHORIZED) => {
                    return Err("401: another token, or clocks that differ".to_owned());
                }
                Ok(status) => last = status.to_string(),
                Err(error) => last = words(&error),
            }
        }
        Err(last)
    }

    /// The daemon, without what may be a password in its address.
    pub(super) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }
}

/// The hook of the daemon at an address, which may be the hook's own already.
fn hook(address: &str) -> Result<Url, String> {
    let mut url = Url::parse(address.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or("the address to report to is not an http or https URL")?;
    let path = url.path().trim_end_matches('/');
    if !path.ends_with("/hooks/stage") {
        let path = format!("{path}/hooks/stage");
        url.set_path(&path);
    }
    Ok(url)
}

/// A random id in the form of a UUID, version 4.
pub(super) fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness an id may repeat, which costs a report at worst.
    getrandom::fill(&mut bytes).ok();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut id = hex::encode(bytes);
    for place in [20, 16, 12, 8] {
        id.insert(place, '-');
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_is_found_at_any_form_of_the_address() {
        for (address, wanted) in [
            ("http://notifier", "http://notifier/hooks/stage"),
            ("http://notifier:8080/", "http://notifier:8080/hooks/stage"),
            ("https://a/b", "https://a/b/hooks/stage"),
            ("https://a/hooks/stage", "https://a/hooks/stage"),
        ] {
            assert_eq!(hook(address).unwrap().as_str(), wanted);
        }
        for wrong in ["notifier", "file:///etc", ""] {
            assert!(hook(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let id = new_id();
        assert_eq!((id.len(), id.split('-').count()), (36, 5));
        assert_eq!(id.get(14..15), Some("4"));
        assert_ne!(id, new_id());
    }
}
