//! Moments later than others, and lengths of time in words.

use jiff::{Timestamp, TimestampArithmetic};

/// So much later, or the end of time.
pub(super) fn after(at: Timestamp, by: impl Into<TimestampArithmetic>) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// A length of time in its two largest units: `2 h 5 min`, `3 d`, `40 s`.
pub fn words(seconds: i64) -> String {
    let (large, small) = match seconds {
        86_400.. => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
        3_600.. => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        60.. => ((seconds / 60, "min"), (0, "s")),
        _ => ((seconds.max(0), "s"), (0, "")),
    };
    match small {
        (0, _) => format!("{} {}", large.0, large.1),
        (rest, unit) => format!("{} {} {rest} {unit}", large.0, large.1),
    }
}
