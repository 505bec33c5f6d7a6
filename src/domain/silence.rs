//! Silences: for a while, with a reason and an end, what matches is not told. Made by people while the daemon runs;
//! what was to be told then waits, see [`super::hush`].

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    fold::to_signed,
    matcher::{Label, Labels, Matcher, MatcherError},
};

/// Number of a silence, given when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SilenceId(pub u64);

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One silence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: SilenceId,
    /// All must match; never empty.
    #[serde(with = "as_text")]
    pub matchers: Vec<Matcher>,
    /// Who made it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// In force from then on.
    pub starts_at: Timestamp,
    /// In force until then; moved to the moment when somebody ended it early.
    pub ends_at: Timestamp,
    /// Who ended it early; `None` when nobody did.
    pub expired_by: Option<String>,
}

/// What somebody asks for, checked.
#[derive(Debug, Clone)]
pub struct Draft {
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// Who asks.
    pub author: String,
    /// Why.
    pub reason: String,
    /// From then on.
    pub starts_at: Timestamp,
    /// Until then.
    pub ends_at: Timestamp,
}

/// What somebody asks for, as written.
#[derive(Debug, Clone, Default)]
pub struct Wish<'a> {
    /// Matchers.
    pub matchers: &'a [String],
    /// Who asks.
    pub author: &'a str,
    /// Why.
    pub reason: &'a str,
    /// From then on; `None` is now.
    pub starts_at: Option<Timestamp>,
    /// Until then.
    pub ends_at: Timestamp,
}

/// Whether a silence is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is.
    Active,
    /// It will be.
    Pending,
    /// It was.
    Expired,
}

/// Why a silence is not made.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// A matcher cannot be read.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// A matcher looks at what an incident does not keep.
    #[error(
        "`{0}` cannot be silenced on: write type, org, repo, job, ref, cluster, state, verdict, service, component, stage or severity"
    )]
    Label(String),
    /// No matcher at all.
    #[error("a silence needs at least one matcher, such as service=\"s3\"")]
    Everything,
    /// Nobody says who.
    #[error("a silence needs an author: whoever asks why it is quiet wants to know whom to ask")]
    Author,
    /// Nobody says why.
    #[error("a silence needs a reason: it is shown wherever something is held back")]
    Reason,
    /// Author or reason is too long.
    #[error("`{0}` is longer than {MAX_TEXT} characters")]
    TooLong(&'static str),
    /// It would never be in force.
    #[error("a silence that ends at {ends_at} hides nothing: its end must be after {after}")]
    Over {
        /// Its end.
        ends_at: Timestamp,
        /// What it must be after.
        after: Timestamp,
    },
    /// It is too long.
    #[error("a silence may last {} at most (silences.max)", super::time::words(to_signed(*.0).as_secs()))]
    TooMuch(Duration),
    /// There are too many matchers.
    #[error("a silence may have {MAX_MATCHERS} matchers at most")]
    TooMany,
}

/// Longest author or reason, in characters.
pub const MAX_TEXT: usize = 500;
/// Most matchers of one silence.
pub const MAX_MATCHERS: usize = 20;

impl Standing {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Expired => "expired",
        }
    }
}

impl Draft {
    /// Checks what somebody asks for; `longest` is how long a silence may last.
    pub fn read(wish: &Wish<'_>, now: Timestamp, longest: Duration) -> Result<Self, SilenceError> {
        let matchers = read_matchers(wish.matchers)?;
        let (author, reason) = (wish.author.trim(), wish.reason.trim());
        if author.is_empty() {
            return Err(SilenceError::Author);
        }
        if reason.is_empty() {
            return Err(SilenceError::Reason);
        }
        for (name, text) in [("author", author), ("reason", reason)] {
            if text.chars().count() > MAX_TEXT {
                return Err(SilenceError::TooLong(name));
            }
        }
        let starts_at = wish.starts_at.unwrap_or(now).max(now);
        let ends_at = wish.ends_at;
        if ends_at <= starts_at {
            let after = starts_at;
            return Err(SilenceError::Over { ends_at, after });
        }
        if ends_at.duration_since(starts_at) > to_signed(longest) {
            return Err(SilenceError::TooMuch(longest));
        }
        Ok(Self {
            matchers,
            author: author.to_owned(),
            reason: reason.to_owned(),
            starts_at,
            ends_at,
        })
    }

    /// The silence, with its number.
    pub fn made(self, id: SilenceId, now: Timestamp) -> Silence {
        Silence {
            id,
            matchers: self.matchers,
            author: self.author,
            reason: self.reason,
            created_at: now,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            expired_by: None,
        }
    }
}

/// Reads the matchers of a silence; blank ones are left out.
pub fn read_matchers(texts: &[String]) -> Result<Vec<Matcher>, SilenceError> {
    let texts = texts.iter().map(|text| text.trim());
    let matchers: Vec<Matcher> = texts
        .filter(|text| !text.is_empty())
        .map(Matcher::written)
        .collect::<Result<_, _>>()?;
    if matchers.is_empty() {
        return Err(SilenceError::Everything);
    }
    if matchers.len() > MAX_MATCHERS {
        return Err(SilenceError::TooMany);
    }
    match matchers.iter().find(|matcher| !is_kept(&matcher.label)) {
        Some(matcher) => Err(SilenceError::Label(matcher.to_string())),
        None => Ok(matchers),
    }
}

/// Whether an incident keeps what a matcher looks at.
pub fn is_kept(label: &Label) -> bool {
    !matches!(label, Label::JobLabel(_) | Label::Annotation(_))
}

impl Silence {
    /// Whether it is in force.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if now >= self.ends_at {
            Standing::Expired
        } else if now < self.starts_at {
            Standing::Pending
        } else {
            Standing::Active
        }
    }

    /// Whether it is about something.
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whose it is and why, in one clause for people.
    pub fn words(&self) -> String {
        format!("silence {} of {} ({})", self.id, self.author, self.reason)
    }
}

/// Matchers as they were written.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Matcher;

    pub(super) fn serialize<S: Serializer>(
        matchers: &[Matcher],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(matchers.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Matcher>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let parsed = texts.iter().map(|text| Matcher::parse(text));
        parsed.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Standing::{Active, Expired, Pending},
        *,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn read(matchers: &[&str], author: &str, reason: &str, ends_at: i64) -> Result<Draft, String> {
        let matchers: Vec<String> = matchers.iter().map(|&text| text.to_owned()).collect();
        let wish = Wish {
            matchers: &matchers,
            author,
            reason,
            starts_at: None,
            ends_at: at(ends_at),
        };
        Draft::read(&wish, at(100), Duration::from_secs(3600)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_silence_needs_matchers_an_author_a_reason_and_an_end_within_bounds() {
        let s3 = r#"service="s3""#;
        for (matchers, author, reason, ends_at, told) in [
            (&[][..], "jane", "move", 200, "at least one matcher"),
            (&["  "], "jane", "move", 200, "at least one matcher"),
            (&["service=s3"], "jane", "move", 200, "double quotes"),
            (
                &[r#"label:a="b""#],
                "jane",
                "move",
                200,
                "cannot be silenced on",
            ),
            (&[s3], " ", "move", 200, "needs an author"),
            (&[s3], "jane", "", 200, "needs a reason"),
            (
                &[s3],
                "jane",
                "move",
                100,
                "must be after 1970-01-01T00:01:40Z",
            ),
            (&[s3], "jane", "move", 3_701, "1 h at most"),
        ] {
            let error = read(matchers, author, reason, ends_at).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
        let draft = read(&[s3], " jane ", "move", 3_700).unwrap();
        assert_eq!((draft.author.as_str(), draft.starts_at), ("jane", at(100)));
    }

    #[test]
    fn a_silence_is_stored_with_its_matchers_as_written() {
        let written = r#"stage=~"publish|chart""#;
        let silence = read(&[written], "jane", "move", 200)
            .unwrap()
            .made(SilenceId(3), at(100));
        let body = serde_json::to_string(&silence).unwrap();
        let read: Silence = serde_json::from_str(&body).unwrap();
        assert_eq!(read.matchers[0].to_string(), written);
        assert_eq!(read.words(), "silence 3 of jane (move)");
        let standing = [99, 100, 199, 200].map(|second| read.standing(at(second)));
        assert_eq!(standing, [Pending, Active, Active, Expired]);
    }
}
