//! The address of a deck.

use std::{fmt, str::FromStr};

use reqwest::Url;

/// Where a deck answers: `http` or `https`, with a path when it stands behind a proxy. Credentials in it
/// are used and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct DeckUrl(Url);

/// Why a text is not the address of a deck. It does not repeat the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("not a URL ({0}); write it as https://prow.example.com")]
    Malformed(String),
    /// Neither http nor https.
    #[error("scheme {0} is not one that deck speaks; write the URL with http:// or https://")]
    Scheme(String),
}

impl FromStr for DeckUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut url =
            Url::parse(text.trim()).map_err(|error| AddressError::Malformed(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AddressError::Scheme(url.scheme().to_owned()));
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self(url))
    }
}

impl DeckUrl {
    /// Host and, unless it is the scheme's own, port.
    pub fn host(&self) -> String {
        authority(&self.0)
    }

    /// Where it shows a run.
    pub fn run(&self, job: &str, build_id: &str) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["view", "prowjob", job, build_id]);
        }
        url
    }

    /// The address of one of its pages.
    pub(super) fn page(&self, name: &str) -> Url {
        self.0.join(name).unwrap_or_else(|_| self.0.clone())
    }
}

/// Host and, unless it is the scheme's own, port of an address.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl fmt::Display for DeckUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path().trim_end_matches('/');
        write!(f, "{}://{}{path}", self.0.scheme(), self.host())
    }
}

impl fmt::Debug for DeckUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
