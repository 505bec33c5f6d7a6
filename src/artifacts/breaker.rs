//! Leaves an endpoint alone for a while when it keeps failing, longer each time. Pure: the time is passed in.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::backoff;

/// First pause; long enough for a restart of a bucket's server.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Longest pause; short enough that a mended endpoint is noticed while people still look.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long one that is tried again has to answer before another is let through.
const TRIAL: Duration = Duration::from_secs(60);

/// How an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The last read went through.
    Working,
    /// The last read failed, and the next is tried all the same.
    Failing,
    /// Left alone until then.
    Open {
        /// When it is tried again.
        until: Timestamp,
    },
}

impl State {
    /// The word used in metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Failing => "failing",
            Self::Open { .. } => "open",
        }
    }
}

/// Counts the failures of one endpoint.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    /// Failures in a row.
    failures: u32,
    since: Timestamp,
    why: String,
}

impl Breaker {
    /// One that has not failed.
    pub fn new(now: Timestamp) -> Self {
        Self {
            state: State::Working,
            failures: 0,
            since: now,
            why: String::new(),
        }
    }

    /// How the endpoint does.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when it works, or since when it fails.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Why the last read failed; empty when it did not.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether to try now. After a pause one is let through, and the others wait for what becomes of it.
    pub fn allows(&mut self, now: Timestamp) -> bool {
        let State::Open { until } = self.state else {
            return true;
        };
        if now < until {
            return false;
        }
        self.state = State::Open {
            until: now.saturating_add(TRIAL).unwrap_or(Timestamp::MAX),
        };
        true
    }

    /// A read went through, if only to find nothing.
    pub fn succeeded(&mut self, now: Timestamp) {
        if self.state != State::Working {
            *self = Self::new(now);
        }
    }

    /// A read failed; `limit` failures in a row open it.
    pub fn failed(&mut self, now: Timestamp, why: &str, limit: u32) {
        if self.state == State::Working {
            self.state = State::Failing;
            self.since = now;
        }
        self.failures = self.failures.saturating_add(1);
        why.clone_into(&mut self.why);
        if let Some(over) = self.failures.checked_sub(limit) {
            // Jitter keeps machines apart; here there is one.
            let pause = backoff::delay(FIRST_PAUSE * 2, LONGEST_PAUSE * 2, over + 1, 0);
            self.state = State::Open {
                until: now.saturating_add(pause).unwrap_or(Timestamp::MAX),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_for_longer_each_time() {
        let mut breaker = Breaker::new(at(0));
        breaker.failed(at(1), "no", 2);
        assert_eq!((breaker.state(), breaker.since()), (State::Failing, at(1)));
        assert!(breaker.allows(at(1)));
        breaker.failed(at(2), "no", 2);
        assert_eq!(breaker.state(), State::Open { until: at(12) });
        assert!(!breaker.allows(at(11)));
        assert!(breaker.allows(at(12)), "one is let through");
        assert!(!breaker.allows(at(13)), "and only one");
        breaker.failed(at(14), "still no", 2);
        assert_eq!(breaker.state(), State::Open { until: at(34) });
        assert_eq!((breaker.since(), breaker.why()), (at(1), "still no"));
        for _ in 0..100 {
            breaker.failed(at(100), "no", 2);
        }
        assert_eq!(breaker.state(), State::Open { until: at(700) });
    }

    #[test]
    fn one_success_closes_it() {
        let mut breaker = Breaker::new(at(0));
        for second in 1..9 {
            breaker.failed(at(second), "no", 2);
        }
        breaker.succeeded(at(1000));
        assert_eq!(
            (breaker.state(), breaker.since()),
            (State::Working, at(1000))
        );
        breaker.succeeded(at(2000));
        assert_eq!(breaker.since(), at(1000));
        breaker.failed(at(2001), "no", 2);
        assert_eq!(breaker.state(), State::Failing, "the count began anew");
    }

    #[test]
    fn a_trial_that_never_ends_does_not_block_forever() {
        let mut breaker = Breaker::new(at(0));
        breaker.failed(at(0), "no", 1);
        assert!(breaker.allows(at(10)));
        assert!(!breaker.allows(at(69)));
        assert!(breaker.allows(at(70)));
    }
}
