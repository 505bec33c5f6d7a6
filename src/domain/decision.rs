//! What became of an observation. Every observation has exactly one decision.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The same words in CLI, API, metrics and store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A message of its own goes out.
    Notify,
    /// It closed what had been told, and that is told.
    Recovered,
    /// Collected for a receiver's digest or the first start's summary.
    Digest,
    /// Told in one message with others of the same cause.
    Folded,
    /// Known already, or counted within the incident's window.
    Deduplicated,
    /// A silence held it back.
    Silenced,
    /// Not yet often enough in a row.
    BelowThreshold,
    /// Finished too long ago.
    Stale,
    /// Green with nothing to do.
    NoOp,
    /// Nothing bad: running, passed, or stopped by a person.
    NotFailed,
    /// Replaced by a newer run.
    Superseded,
    /// Not ours to report.
    Ignored,
    /// A failed postsubmit that no rule knows; told to the default receiver.
    Unmatched,
}

impl Decision {
    /// All decisions, in the order of the design.
    pub const ALL: [Self; 13] = [
        Self::Notify,
        Self::Recovered,
        Self::Digest,
        Self::Folded,
        Self::Deduplicated,
        Self::Silenced,
        Self::BelowThreshold,
        Self::Stale,
        Self::NoOp,
        Self::NotFailed,
        Self::Superseded,
        Self::Ignored,
        Self::Unmatched,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Recovered => "recovered",
            Self::Digest => "digest",
            Self::Folded => "folded",
            Self::Deduplicated => "deduplicated",
            Self::Silenced => "silenced",
            Self::BelowThreshold => "below-threshold",
            Self::Stale => "stale",
            Self::NoOp => "no-op",
            Self::NotFailed => "not-failed",
            Self::Superseded => "superseded",
            Self::Ignored => "ignored",
            Self::Unmatched => "unmatched",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
