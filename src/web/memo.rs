//! What many ask for at once is worked out once: after a change every page that is open asks anew, all within a moment.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Weak},
};

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use tokio::sync::Mutex;

use super::Web;
use crate::{
    board::{
        fanout::{self, FanOut},
        services::{self, Services},
        trends::{self, Query, Trends},
    },
    pipeline::{Shared, live::Live},
    store::StoreError,
};

/// Given out again for so long, if nothing changes before; ages in it are so much too small at most.
const KEPT: SignedDuration = SignedDuration::from_secs(5);
/// Answers that are kept.
const MOST: NonZeroUsize = NonZeroUsize::new(8).expect("it is not zero");

/// What costs most to work out.
#[derive(Debug, Default)]
pub(super) struct Memos {
    trends: Memo<Query, Trends>,
    services: Memo<(), Services>,
    fan_outs: Memo<(String, String), Option<FanOut>>,
}

impl Web {
    /// Figures by week.
    pub(super) async fn trends(&self, asked: &Query) -> Result<Arc<Trends>, StoreError> {
        let work = trends::load(&self.shared, asked);
        let memo = &self.memos.trends;
        memo.get(&self.shared, asked.clone(), work).await
    }

    /// All services with their strips.
    pub(super) async fn services(&self) -> Result<Arc<Services>, StoreError> {
        let work = async {
            let mut all = services::load(&self.shared).await?;
            services::add_strips(&self.shared, &mut all.services).await?;
            Ok(all)
        };
        self.memos.services.get(&self.shared, (), work).await
    }

    /// A pipeline across services; `None` when there is no such pipeline.
    pub(super) async fn fan_out(
        &self,
        pipeline: &str,
        asked: &str,
    ) -> Result<Arc<Option<FanOut>>, StoreError> {
        let work = fanout::load(&self.shared, pipeline, asked);
        let asked = (pipeline.to_owned(), asked.to_owned());
        self.memos.fan_outs.get(&self.shared, asked, work).await
    }
}

/// Answers by what was asked. Who asks while an answer is worked out waits for it.
#[derive(Debug)]
struct Memo<K: Hash + Eq, V>(Mutex<LruCache<K, Kept<V>>>);

#[derive(Debug)]
struct Kept<V> {
    value: Arc<V>,
    state: State,
}

/// What an answer depends on.
#[derive(Debug)]
struct State {
    changes: u64,
    live: Weak<Live>,
    at: Timestamp,
}

impl<K: Hash + Eq, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl<K: Hash + Eq, V> Memo<K, V> {
    /// The answer that is there, or the one that `work` gives.
    async fn get<E>(
        &self,
        shared: &Shared,
        asked: K,
        work: impl Future<Output = Result<V, E>>,
    ) -> Result<Arc<V>, E> {
        let mut kept = self.0.lock().await;
        // Taken before the work, so that what changes meanwhile counts as newer.
        let state = State {
            changes: *shared.changes.borrow(),
            live: Arc::downgrade(&shared.live()),
            at: shared.clock.now(),
        };
        if let Some(kept) = kept.get(&asked).filter(|kept| kept.state.holds(&state)) {
            return Ok(Arc::clone(&kept.value));
        }
        let value = Arc::new(work.await?);
        let entry = Kept {
            value: Arc::clone(&value),
            state,
        };
        kept.put(asked, entry);
        Ok(value)
    }
}

impl State {
    fn holds(&self, now: &Self) -> bool {
        let age = now.at.duration_since(self.at);
        self.changes == now.changes
            && self.live.ptr_eq(&now.live)
            && !age.is_negative()
            && age < KEPT
    }
}
