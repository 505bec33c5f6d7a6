//! The table of Slack's answers: what each makes of the message and of its receiver. Pure.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    config::settings::Retry,
    domain::{backoff, fold::to_signed},
    slack::Answer,
    store::{Delivery, Health, Then},
};

/// An answer that is neither yes nor no (a proxy's page with status 200) is tried this often.
const SUSPICIOUS_TRIES: u32 = 3;
/// Failures in a row after which a receiver counts as failing: one message probes it at each pause's end.
const BREAKER_AFTER: u32 = 5;

/// An attempt and its answer.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// What Slack said.
    pub(super) answer: &'a Answer,
    /// Of which delivery.
    pub(super) delivery: &'a Delivery,
    /// When.
    pub(super) now: Timestamp,
    /// The receiver's failures in a row before it.
    pub(super) failures: u32,
    /// How to retry.
    pub(super) retry: Retry,
    /// A random number.
    pub(super) jitter: u64,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruling {
    /// One word for the audit and the metric.
    pub(super) outcome: &'static str,
    /// The answer in words.
    pub(super) detail: String,
    /// Whether it counts as an attempt.
    pub(super) counted: bool,
    /// What becomes of the message.
    pub(super) then: Then,
    /// How the receiver fares.
    pub(super) health: Health,
    /// Whether the fallback gets a copy.
    pub(super) divert: bool,
}

/// Rules on an attempt.
pub(super) fn rule(attempt: &Attempt<'_>) -> Ruling {
    match attempt.answer {
        Answer::Sent => Ruling {
            health: Health::default(),
            ..attempt.ruling("sent", "", Then::Sent)
        },
        Answer::RateLimited { retry_after } => attempt.pause(*retry_after),
        Answer::Retry {
            reason,
            maybe_delivered,
        } => {
            let doubt = if *maybe_delivered {
                "; it may have been delivered all the same"
            } else {
                ""
            };
            let outcome = if attempt.failures + 1 >= BREAKER_AFTER {
                "failing"
            } else {
                "retry"
            };
            attempt.later(outcome, &format!("{reason}{doubt}"), u32::MAX)
        }
        Answer::Suspicious { reason } => attempt.later("suspicious", reason, SUSPICIOUS_TRIES),
        Answer::BadPayload { reason } if attempt.delivery.plain => {
            attempt.ruling("bad-payload", reason, Then::Dead)
        }
        Answer::BadPayload { reason } => attempt.ruling(
            "bad-payload",
            reason,
            Then::Again {
                due_at: attempt.now,
                plain: true,
            },
        ),
        Answer::Dead { reason } => {
            let health = Health {
                blocked_until: None,
                dead: Some(reason.clone()),
                failures: attempt.failures + 1,
            };
            Ruling {
                health,
                divert: true,
                ..attempt.ruling("dead", reason, Then::Dead)
            }
        }
        Answer::Refused { reason } => attempt.ruling("refused", reason, Then::Dead),
    }
}

impl Attempt<'_> {
    fn ruling(&self, outcome: &'static str, detail: &str, then: Then) -> Ruling {
        let health = Health {
            blocked_until: None,
            dead: None,
            failures: self.failures,
        };
        Ruling {
            outcome,
            detail: detail.to_owned(),
            counted: true,
            then,
            health,
            divert: false,
        }
    }

    /// Slack says when; it is obeyed to the second, and the attempt does not count.
    fn pause(&self, retry_after: Duration) -> Ruling {
        let due_at = self.now + retry_after;
        let health = Health {
            blocked_until: Some(due_at),
            dead: None,
            failures: self.failures,
        };
        let detail = format!("asked to wait {} s", retry_after.as_secs());
        let then = Then::Again {
            due_at,
            plain: self.delivery.plain,
        };
        Ruling {
            counted: false,
            health,
            ..self.ruling("rate-limited", &detail, then)
        }
    }

    /// Tries again after a pause, unless it was tried often or long enough.
    fn later(&self, outcome: &'static str, detail: &str, tries: u32) -> Ruling {
        let attempts = self.delivery.attempts + 1;
        let too_old =
            self.now.duration_since(self.delivery.created_at) >= to_signed(self.retry.max_age);
        if too_old || attempts >= tries {
            return self.ruling(outcome, detail, Then::Dead);
        }
        let due_at =
            self.now + backoff::delay(self.retry.base, self.retry.cap, attempts, self.jitter);
        // The whole receiver waits, so that order is kept and one message alone probes a failing hook.
        let health = Health {
            blocked_until: Some(due_at),
            dead: None,
            failures: self.failures + 1,
        };
        Ruling {
            health,
            ..self.ruling(
                outcome,
                detail,
                Then::Again {
                    due_at,
                    plain: self.delivery.plain,
                },
            )
        }
    }
}
