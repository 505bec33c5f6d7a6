//! How old the data is: stale data is never to be taken for good news.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::Shared;

/// Without a list to compare with, data that nothing was added to for so long is called old.
const QUIET: SignedDuration = SignedDuration::from_hours(24);
/// A list may be so many polls late.
const POLLS: u32 = 5;

/// How old what is shown is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DataAge {
    /// When it was worked out.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// When a source last told us something; `None` before the first time.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// Seconds between both.
    pub data_age_s: Option<i64>,
    /// Whether that is too long.
    pub stale: bool,
}

impl DataAge {
    /// By when deck was last read whole, when Kubernetes last told anything, and when anything last came in.
    pub fn of(shared: &Shared) -> Self {
        let now = shared.clock.now();
        let metrics = &shared.metrics;
        let heard = [
            metrics.deck_last_success.get(),
            metrics.watch_last_heard.get(),
            metrics.last_observation.get(),
        ];
        let latest = heard.into_iter().fold(0.0, f64::max);
        let as_of = (latest > 0.0)
            .then(|| SignedDuration::try_from_secs_f64(latest).ok())
            .flatten()
            .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok());
        let age = as_of.map(|as_of| now.duration_since(as_of).max(SignedDuration::ZERO));
        let settings = &shared.live().snapshot.config.settings;
        let limit = match (&settings.deck, &settings.watch) {
            (Some(deck), _) => {
                signed(deck.interval * POLLS + deck.timeout).max(SignedDuration::from_mins(5))
            }
            (None, Some(watch)) => signed(watch.patience()),
            (None, None) => QUIET,
        };
        Self {
            now,
            as_of,
            data_age_s: age.map(|age| age.as_secs()),
            stale: age.is_none_or(|age| age > limit),
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
