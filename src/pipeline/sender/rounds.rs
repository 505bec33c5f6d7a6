//! Which receivers are being sent to, and which are left alone for a while. Each is sent to by one task at a time, so
//! that its order stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tracing::error;

use crate::store::StoreError;

/// Pause of a receiver after a failure of the store.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Pause of a receiver after a panic: the next try most likely ends in the same one.
const AFTER_PANIC: Duration = Duration::from_secs(60);
/// No pause is longer.
const LONGEST: Duration = AFTER_PANIC;

/// When to look at a receiver again, if not at once.
pub(super) type Ended = Result<Option<Timestamp>, StoreError>;

/// The tasks that send.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    running: JoinSet<(String, Option<Ended>)>,
    busy: BTreeSet<String>,
    paused: BTreeMap<String, Timestamp>,
}

impl Rounds {
    /// Ends the pauses that are over, and those made before the clock went back.
    pub(super) fn look(&mut self, now: Timestamp) {
        let longest = now + LONGEST;
        self.paused
            .retain(|_, until| *until > now && *until <= longest);
    }

    /// When the next pause is over.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.paused.values().copied().min()
    }

    /// Whether nobody sends to a receiver and it has no pause.
    pub(super) fn is_free(&self, receiver: &str) -> bool {
        !self.busy.contains(receiver) && !self.paused.contains_key(receiver)
    }

    /// Starts to send to a receiver that is free.
    pub(super) fn start(
        &mut self,
        receiver: String,
        sending: impl Future<Output = Ended> + Send + 'static,
    ) {
        self.busy.insert(receiver.clone());
        self.running.spawn(async move {
            let ended = AssertUnwindSafe(sending).catch_unwind().await;
            (receiver, ended.ok())
        });
    }

    /// Waits for the end of a task; `None` when there is none. Gives the receiver and how it ended, without that after
    /// a panic.
    pub(super) async fn next(&mut self) -> Option<(String, Option<Ended>)> {
        loop {
            // Nobody stops a task, and each catches its panic.
            if let Ok(ended) = self.running.join_next().await? {
                return Some(ended);
            }
        }
    }

    /// Takes in how a task ended. Returns what the store could not do.
    pub(super) fn note(
        &mut self,
        receiver: &str,
        ended: Option<Ended>,
        now: Timestamp,
    ) -> Option<StoreError> {
        self.busy.remove(receiver);
        let (until, failed) = match ended {
            Some(Ok(until)) => (until, None),
            Some(Err(error)) => (Some(now + PAUSE), Some(error)),
            None => {
                error!(
                    receiver,
                    "Sending a message panicked, its receiver waits a minute"
                );
                (Some(now + AFTER_PANIC), None)
            }
        };
        if let Some(until) = until {
            self.paused
                .insert(receiver.to_owned(), until.min(now + LONGEST));
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_holds_up_its_own_receiver_and_lets_nobody_else_be_sent_to_twice() {
        let (mut rounds, now) = (Rounds::default(), Timestamp::UNIX_EPOCH);
        rounds.start("broken".to_owned(), async { panic!("on purpose") });
        rounds.start("slow".to_owned(), std::future::pending());
        let (receiver, ended) = rounds.next().await.unwrap();
        assert_eq!(receiver, "broken");
        assert!(rounds.note(&receiver, ended, now).is_none());
        assert!(!rounds.is_free("slow"), "its task still runs");
        assert!(!rounds.is_free("broken"), "no panic after the other");
        assert!(rounds.is_free("other"));
        assert_eq!(rounds.next_due(), Some(now + AFTER_PANIC));
        rounds.look(now + AFTER_PANIC);
        assert!(rounds.is_free("broken"));
    }
}
