//! Knows since when nobody told us anything, and that what was missed is being caught up with.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::domain::{fold::to_signed, observation::Observation, policy::FIRST_START_GRACE};

/// What was missed: from the last word of any source to the next one, or to the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// When somebody last told us anything.
    pub since: Timestamp,
    /// When that was noticed.
    pub until: Timestamp,
}

/// Shared by those who accept, those who decide and the one who fills gaps.
#[derive(Debug, Default)]
pub struct CatchUp {
    inner: Mutex<Inner>,
    /// Rung when a gap was found.
    pub bell: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// When somebody last told us anything, before or after the last start.
    heard: Option<Timestamp>,
    gap: Option<Gap>,
}

impl CatchUp {
    /// Goes on from what was known before the start.
    pub fn resume(&self, heard: Option<Timestamp>, gap: Option<Gap>) {
        let mut inner = self.lock();
        inner.heard = heard;
        inner.gap = gap;
    }

    /// A source tells something, if only that there is nothing new. `after`: nothing for longer is a gap; `None`
    /// when none is to be filled.
    pub fn hear(&self, at: Timestamp, after: Option<Duration>) {
        let mut inner = self.lock();
        inner.look(at, after);
        inner.heard = inner.heard.max(Some(at));
        if inner.gap.is_some() {
            self.bell.notify_one();
        }
    }

    /// Looks for a gap without anybody telling anything, at the start.
    pub fn look(&self, at: Timestamp, after: Option<Duration>) {
        self.lock().look(at, after);
    }

    /// When somebody last told us anything.
    pub fn heard(&self) -> Option<Timestamp> {
        self.lock().heard
    }

    /// The gap that is being filled.
    pub fn gap(&self) -> Option<Gap> {
        self.lock().gap
    }

    /// Somebody wants a gap to be filled, if none is.
    pub fn order(&self, gap: Gap) {
        self.lock().gap.get_or_insert(gap);
    }

    /// It is filled.
    pub fn end(&self) {
        self.lock().gap = None;
    }

    /// Marks runs that ended within the gap, whoever tells of them. What ended just now is told as ever.
    pub fn mark(&self, runs: &mut [Observation]) {
        let Some(gap) = self.gap() else { return };
        let grace = to_signed(FIRST_START_GRACE);
        let is_missed = |at: Timestamp| gap.until.duration_since(at) > grace;
        for run in runs {
            if run.completed_at.is_some_and(is_missed) {
                run.missed_since = Some(gap.since);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn look(&mut self, at: Timestamp, after: Option<Duration>) {
        let (Some(since), Some(after)) = (self.heard, after) else {
            return;
        };
        if at.duration_since(since) > to_signed(after) {
            self.gap.get_or_insert(Gap { since, until: at });
        }
    }
}
