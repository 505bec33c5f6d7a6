//! Settings of time that must not be too short: a pause of nothing is none, and a gap shorter than what lies between
//! two words of a source would never end.

use std::time::Duration;

use super::{Reader, WatchSettings};
use crate::config::{error::Problem, units};

/// Pauses between attempts, and the least of each.
const PAUSES: [(&str, Duration); 4] = [
    ("delivery.retry.base", Duration::from_millis(10)),
    ("delivery.retry.cap", Duration::from_millis(100)),
    ("artifacts.retry.base", Duration::from_millis(10)),
    ("artifacts.retry.cap", Duration::from_millis(100)),
];
/// Between two webhooks of a quiet Prow more passes than that.
const SHORTEST_GAP: Duration = Duration::from_secs(300);

impl Reader<'_> {
    /// Pauses that are none.
    pub(super) fn short_pauses(&self) -> impl Iterator<Item = Problem> {
        let is_short = |(key, least): &(&str, Duration)| self.duration(key) < *least;
        PAUSES.into_iter().filter(is_short).map(|(key, least)| {
            let text = self.text(key).unwrap_or_default();
            let what = format!("after `{text}` what failed would be tried again without a pause");
            let hint = format!("write at least {}", units::show(least));
            self.layers.problem(key, &what, &hint)
        })
    }

    /// From when on hearing nothing is a gap. Sources that work tell something well before.
    pub(super) fn gap_after(&self, watch: Option<&WatchSettings>) -> Result<Duration, Problem> {
        let key = "backfill.after";
        let after = self.duration(key);
        // A pause between polls is up to a tenth longer than its setting.
        let deck = self
            .deck()
            .map(|deck| deck.interval + deck.interval / 10 + deck.timeout);
        let watch = watch.map(|watch| watch.renew + watch.timeout);
        let least = [deck, watch]
            .into_iter()
            .flatten()
            .fold(SHORTEST_GAP, Duration::max);
        if after < least {
            let text = self.text(key).unwrap_or_default();
            let what = format!(
                "sources that work may tell nothing for longer than `{text}`, and buckets would be looked through without end"
            );
            let hint = format!(
                "write a little less than Prow keeps ProwJobs, such as 47h; at least {}",
                units::show(least)
            );
            return Err(self.layers.problem(key, &what, &hint));
        }
        Ok(after)
    }
}
