//! Takes the next batch out of the inbox and reads it, if it can while the last one is being stored.

use std::sync::Arc;

use jiff::Timestamp;

use super::{AT_ONCE, Worker};
use crate::{
    domain::observe::Reading,
    pipeline::live::Live,
    store::{Claim, InboxRow, Poisoned, StoreError},
};

/// An observation that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) row: InboxRow,
    pub(super) reading: Reading,
}

/// What is to be decided on in one go.
#[derive(Debug)]
pub(super) struct Batch {
    /// By whose rules it was read.
    live: Arc<Live>,
    pub(super) read: Vec<Read>,
    pub(super) poisoned: Vec<Poisoned>,
    /// Number of its last row, poisoned ones included; `None` when it is empty.
    pub(super) last: Option<i64>,
    /// Whether more wait behind it.
    pub(super) more: bool,
    /// Nothing is late before; from a time at which all that was listed is in this batch or before it.
    pub(super) deadlines_from: Timestamp,
}

impl Worker {
    /// The batch that was read ahead, or the oldest rows that are due.
    pub(super) async fn next_batch(
        &mut self,
        live: &Arc<Live>,
        now: Timestamp,
    ) -> Result<Batch, StoreError> {
        let ahead = self.ahead.take();
        if let Some(batch) = ahead.filter(|batch| Arc::ptr_eq(&batch.live, live)) {
            return Ok(batch);
        }
        let deadlines_from = self.deadlines_from(live);
        let claim = self.shared.store.claim(self.size.get(), now).await?;
        Ok(Batch::read(live, claim, deadlines_from).await)
    }

    /// The batch behind row `last`, which is being stored; only good once that has come through.
    pub(super) async fn read_ahead(
        &self,
        live: &Arc<Live>,
        last: i64,
    ) -> Result<Option<Batch>, StoreError> {
        let deadlines_from = self.deadlines_from(live);
        let now = self.shared.clock.now();
        let claim = self
            .shared
            .store
            .claim_behind(last, self.size.get(), now)
            .await?;
        Ok(match claim {
            Some(claim) => Some(Batch::read(live, claim, deadlines_from).await),
            None => None,
        })
    }
}

impl Batch {
    async fn read(live: &Arc<Live>, claim: Claim, deadlines_from: Timestamp) -> Self {
        let seqs = claim.rows.iter().map(|row| row.seq);
        let last = seqs.chain(claim.poisoned.iter().map(|row| row.seq)).max();
        let mut read = Vec::with_capacity(claim.rows.len());
        for row in claim.rows {
            let reading = Reading::of(&live.snapshot.policy, &row.observation, None);
            read.push(Read { row, reading });
            if read.len().is_multiple_of(AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        Self {
            live: Arc::clone(live),
            read,
            poisoned: claim.poisoned,
            last,
            more: claim.more,
            deadlines_from,
        }
    }
}
