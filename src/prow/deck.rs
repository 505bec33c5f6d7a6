//! Deck, Prow's web interface: its list of ProwJobs, read as a stream so that memory does not grow with it,
//! and single ProwJobs. What is not a list in words of Prow is an error, never an empty list.

mod address;
mod log;
mod splitter;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};

pub(crate) use address::authority;
pub use address::{AddressError, DeckUrl};
pub use log::log;
pub use splitter::{Piece, SplitError, Splitter};

use super::parse::{self, ParseError};
use crate::{
    domain::observation::{Observation, RunName, Source},
    http::root_cause,
};

/// How many bad elements of a list are described; the others are only counted.
const MAX_DESCRIBED: usize = 10;

/// Longest answer of `/prowjob` that is read, in bytes.
const MAX_PROWJOB: usize = 4 << 20;

/// What a list held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListStats {
    /// Elements of the list, good and bad.
    pub items: u64,
    /// Length of the list after decompression.
    pub bytes: u64,
    /// Elements that could not be read.
    pub bad: u64,
    /// What was wrong with the first ten of them.
    pub bad_items: Vec<String>,
}

/// Why deck could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} from {deck}: {problem}")]
pub struct DeckError {
    /// What was asked for.
    pub what: &'static str,
    /// Which deck.
    pub deck: Box<DeckUrl>,
    /// What came instead.
    pub problem: DeckProblem,
}

/// What deck answered instead of data.
#[derive(Debug, thiserror::Error)]
pub enum DeckProblem {
    /// No connection.
    #[error("no connection ({0}); check the address, DNS and the network policy")]
    Unreachable(String),
    /// Not done in time.
    #[error(
        "no complete answer in time; raise sources.deck.timeout or ask deck's operator why it is slow"
    )]
    Timeout,
    /// The connection ended or what came could not be unpacked.
    #[error(
        "the answer broke off ({0}); nothing is lost, the next poll reads the whole list again"
    )]
    Broken(String),
    /// An answer that says no.
    #[error("it answered {0}; {hint}", hint = status_hint(*.0))]
    Status(StatusCode),
    /// It sent us elsewhere.
    #[error(
        "it redirected, most likely to a login page; give the address that answers without one"
    )]
    Redirected,
    /// A page for people came.
    #[error(
        "an HTML page came, most likely of a login or of a failing proxy; give the address that answers without one"
    )]
    Html,
    /// The body is no list of ProwJobs.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The body is no ProwJob.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

fn status_hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "it wants a login, so give an address that answers without one",
        404 => "the address has no deck behind it, check its path",
        429 => "it is asked too often, raise sources.deck.interval",
        _ => "the next poll tries again",
    }
}

/// Deck's list while it is read, piece by piece, so that no more than one piece is ever in memory.
///
/// Labels and annotations are asked for because matchers use them; pod specs and decoration are not.
#[derive(Debug)]
pub struct Listing {
    deck: DeckUrl,
    response: reqwest::Response,
    reader: ListReader,
    /// What broke the list off; told after the runs that came before it.
    broken: Option<DeckProblem>,
}

impl Listing {
    /// Asks for the list. `timeout` covers the whole answer.
    pub async fn open(
        http: &reqwest::Client,
        deck: &DeckUrl,
        timeout: Duration,
        seen_at: Timestamp,
    ) -> Result<Self, DeckError> {
        let query = [("omit", "pod_spec,decoration_config")];
        let opened = async {
            let response = get(http, deck, "prowjobs.js", &query, timeout).await?;
            check(&response)?;
            Ok(response)
        };
        let response = opened.await.map_err(|problem| failed(deck, problem))?;
        let reader = ListReader::new(seen_at);
        Ok(Self {
            deck: deck.clone(),
            response,
            reader,
            broken: None,
        })
    }

    /// The runs of the next piece; `None` at the end of a whole list. Fails when the list is not whole;
    /// what was given until then holds all the same, since observations may be repeated.
    pub async fn next(&mut self) -> Result<Option<Vec<Observation>>, DeckError> {
        if let Some(problem) = self.broken.take() {
            return Err(failed(&self.deck, problem));
        }
        let chunk = self.response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| failed(&self.deck, error.into()))? else {
            return Ok(None);
        };
        let mut runs = Vec::new();
        let read = self.reader.push(&chunk, &mut |run| runs.push(run));
        self.broken = read.err().map(DeckProblem::from);
        Ok(Some(runs))
    }

    /// What the list held; fails when it ended too early.
    pub fn finish(self) -> Result<ListStats, DeckError> {
        self.reader
            .finish()
            .map_err(|error| failed(&self.deck, error.into()))
    }
}

fn failed(deck: &DeckUrl, problem: DeckProblem) -> DeckError {
    DeckError {
        what: "the list of ProwJobs",
        deck: Box::new(deck.clone()),
        problem,
    }
}

/// Reads deck's whole list and calls `each` for every run as it comes.
pub async fn list(
    http: &reqwest::Client,
    deck: &DeckUrl,
    timeout: Duration,
    seen_at: Timestamp,
    mut each: impl FnMut(Observation),
) -> Result<ListStats, DeckError> {
    let mut listing = Listing::open(http, deck, timeout, seen_at).await?;
    while let Some(runs) = listing.next().await? {
        runs.into_iter().for_each(&mut each);
    }
    listing.finish()
}

/// Reads one run; `None` when deck does not have it (any more).
pub async fn prowjob(
    http: &reqwest::Client,
    deck: &DeckUrl,
    name: &RunName,
    timeout: Duration,
    seen_at: Timestamp,
) -> Result<Option<Observation>, DeckError> {
    let read = async {
        let response = get(http, deck, "prowjob", &[("prowjob", &name.0)], timeout).await?;
        if response.status() == StatusCode::NOT_FOUND && !is_html(&response) {
            return Ok(None);
        }
        check(&response)?;
        let body = bounded(response).await?;
        let parsed = parse::document(&body, Source::Deck, seen_at)?;
        Ok(parsed.observations.into_iter().next())
    };
    read.await.map_err(|problem| DeckError {
        what: "a ProwJob",
        deck: Box::new(deck.clone()),
        problem,
    })
}

async fn get(
    http: &reqwest::Client,
    deck: &DeckUrl,
    page: &str,
    query: &[(&str, &str)],
    timeout: Duration,
) -> Result<Response, DeckProblem> {
    let asked = deck.page(page);
    let response = http
        .get(asked.clone())
        .query(query)
        .timeout(timeout)
        .send()
        .await?;
    // A client that follows redirects has been led away when another page answers.
    let came = response.url();
    if came.host_str() != asked.host_str() || came.path() != asked.path() {
        return Err(DeckProblem::Redirected);
    }
    Ok(response)
}

fn check(response: &Response) -> Result<(), DeckProblem> {
    let status = response.status();
    if status.is_redirection() {
        return Err(DeckProblem::Redirected);
    }
    if status != StatusCode::OK {
        return Err(DeckProblem::Status(status));
    }
    if is_html(response) {
        return Err(DeckProblem::Html);
    }
    Ok(())
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| {
        let kind = kind.as_bytes().to_ascii_lowercase();
        kind.starts_with(b"text/html") || kind.starts_with(b"application/xhtml")
    })
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, DeckProblem> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_PROWJOB {
            return Err(ParseError::TooLong {
                place: String::new(),
            }
            .into());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl From<reqwest::Error> for DeckProblem {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_redirect() {
            Self::Redirected
        } else if error.is_connect() {
            Self::Unreachable(root_cause(&error))
        } else {
            Self::Broken(root_cause(&error))
        }
    }
}

/// Reads a list piece by piece, without input or output of its own.
#[derive(Debug)]
pub struct ListReader {
    splitter: Splitter,
    stats: ListStats,
    seen_at: Timestamp,
}

impl ListReader {
    /// A reader whose observations carry this time.
    pub fn new(seen_at: Timestamp) -> Self {
        Self {
            splitter: Splitter::default(),
            stats: ListStats::default(),
            seen_at,
        }
    }

    /// Takes the next piece of the body.
    pub fn push(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(Observation),
    ) -> Result<(), SplitError> {
        self.stats.bytes += chunk.len() as u64;
        let (stats, seen_at) = (&mut self.stats, self.seen_at);
        self.splitter.push_reading(chunk, &mut |piece| {
            let (result, length) = match piece {
                Piece::Begun(bytes) => parse::leading(bytes, Source::Deck, seen_at)?,
                Piece::Whole(bytes) => {
                    let result = parse::observation(bytes, Source::Deck, seen_at);
                    (result, bytes.len())
                }
                Piece::TooLong => (
                    Err(ParseError::TooLong {
                        place: String::new(),
                    }),
                    0,
                ),
            };
            stats.count(result, each);
            Some(length)
        })
    }

    /// Ends the list; fails when it is not whole.
    pub fn finish(self) -> Result<ListStats, SplitError> {
        self.splitter.finish()?;
        Ok(self.stats)
    }
}

impl ListStats {
    fn count(&mut self, item: Result<Observation, ParseError>, each: &mut impl FnMut(Observation)) {
        match item {
            Ok(observation) => each(observation),
            Err(error) => {
                self.bad += 1;
                if self.bad_items.len() < MAX_DESCRIBED {
                    let error = error.within(&format!("items[{}]", self.items));
                    self.bad_items.push(error.to_string());
                }
            }
        }
        self.items += 1;
    }
}
