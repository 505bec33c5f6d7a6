//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential delay with jitter before attempt `attempt + 1`, where `attempt` counts those already made
/// (at least 1): between half and all of `base × 2^(attempt-1)`, never above `cap`. `jitter` is a random
/// number that the caller brings.
pub fn delay(base: Duration, cap: Duration, attempt: u32, jitter: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(20);
    let full = base.saturating_mul(1 << doublings).min(cap);
    let half = full / 2;
    let span = u64::try_from(half.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    half + Duration::from_millis(jitter % span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_keep_within_half_and_all() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(300));
        for (attempt, full) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)] {
            for jitter in [0, 1, 499, 12_345, u64::MAX] {
                let delay = delay(base, cap, attempt, jitter);
                assert!(
                    delay >= Duration::from_secs(full) / 2 && delay <= Duration::from_secs(full),
                    "{attempt} {jitter} {delay:?}"
                );
            }
        }
    }
}
