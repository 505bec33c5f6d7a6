//! What one piece of evidence says, as it was written: not yet redacted, not yet cut.

use crate::domain::evidence::{CauseClass, Origin};

/// A reason read from one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clue {
    /// What kind of thing.
    pub(super) class: CauseClass,
    /// The rule that found it.
    pub(super) rule: &'static str,
    /// Where.
    pub(super) origin: Origin,
    /// Whether it says more than any log can; otherwise a log that explains comes first.
    pub(super) is_firm: bool,
    /// What decides, on one line.
    pub(super) headline: String,
    /// The lines around, and the file they are of; often there are none.
    pub(super) lines: Option<Lines>,
}

/// Lines of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    /// Name of the file within the run's folder.
    pub(super) file: String,
    /// The lines, uncut.
    pub(super) texts: Vec<String>,
    /// Index of the one that decides.
    pub(super) deciding: usize,
}

impl Clue {
    /// A firm one without lines.
    pub(super) fn new(
        origin: Origin,
        rule: &'static str,
        class: CauseClass,
        headline: impl Into<String>,
    ) -> Self {
        Self {
            class,
            rule,
            origin,
            is_firm: true,
            headline: headline.into(),
            lines: None,
        }
    }

    /// The same, giving way to a log that explains.
    pub(super) fn weak(mut self) -> Self {
        self.is_firm = false;
        self
    }
}

/// The class that a message of a registry, a forge or a network gives away; `other` when none does.
pub(super) fn class_of(message: &str, other: CauseClass) -> CauseClass {
    const TELLING: [(&[&str], CauseClass); 5] = [
        (
            &["toomanyrequests", "too many requests", "rate limit", "429"],
            CauseClass::RateLimit,
        ),
        (
            &[
                "unauthorized",
                "authentication required",
                "authentication failed",
                "could not read username",
                "permission denied",
                "no basic auth",
                "access denied",
                "403 forbidden",
                "401 ",
                "pull access denied",
                "returned error: 403",
                "invalid username or",
            ],
            CauseClass::Auth,
        ),
        (&["no space left"], CauseClass::Disk),
        (
            &[
                "i/o timeout",
                "no such host",
                "could not resolve host",
                "connection refused",
                "connection reset",
                "connection timed out",
                "tls handshake",
                "unexpected eof",
                "early eof",
                "hung up unexpectedly",
                "returned error: 5",
                "bad gateway",
                "service unavailable",
                "gateway timeout",
            ],
            CauseClass::Network,
        ),
        (
            &["manifest unknown", "name unknown", "not found: manifest"],
            CauseClass::Registry,
        ),
    ];
    let message = message.to_lowercase();
    TELLING
        .iter()
        .find(|(words, _)| words.iter().any(|word| message.contains(word)))
        .map_or(other, |(_, class)| *class)
}
