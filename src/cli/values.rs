//! Values of flags: how people write them, and what to write where they cannot be read.

use std::{str::FromStr, time::Duration};

use jiff::Timestamp;

use crate::config::units;

/// Reads a duration, as the configuration has them.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "write a duration such as 90s, 2h or 7d".to_owned())
}

/// Reads the number of something that `list` shows.
pub fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse()
        .map_err(|_| "write the number with which its line begins in `list`".to_owned())
}

/// Reads a point in time.
pub fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        "write a date, a time of day and a zone, such as 2026-07-01T18:00:00Z".to_owned()
    })
}
