//! What other parts report to the worker, beside the observations in the inbox: reasons that were read, and how
//! what we need fares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::{
    domain::{observation::RunName, trouble::Trouble},
    store::{Epoch, Learned},
};

/// Reports on their way to the worker.
#[derive(Debug, Default)]
pub struct Reports {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: Taken,
    /// Runs that are being read, or were read and are not stored yet.
    under_way: BTreeSet<RunName>,
    /// When the last webhook came; `None` when none has since the start.
    heard: Option<Timestamp>,
    /// When Kubernetes last told anything of its watch.
    watched: Option<Timestamp>,
    /// The latest thing that happened to a run, by the word of Kubernetes.
    active: Option<Timestamp>,
    /// When a whole list was first taken in since the start.
    listed: Option<Timestamp>,
    /// The lease under which all this was reported.
    epoch: Epoch,
}

/// What was reported.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Reasons, in the order in which they were read.
    pub learned: Vec<Learned>,
    /// The latest word on each thing that we need; `None` when it works.
    pub fares: BTreeMap<String, Option<Trouble>>,
}

impl Reports {
    /// Forgets what was reported under another lease, and the lists that were read before. Whoever is the first to work
    /// under a new one calls this; what was reported under it since is kept.
    pub fn belong_to(&self, epoch: Epoch) {
        let mut inner = self.lock();
        if inner.epoch == epoch {
            return;
        }
        *inner = Inner {
            heard: inner.heard,
            epoch,
            ..Inner::default()
        };
    }

    /// Takes what was reported; to be followed by [`Self::settle`] or [`Self::put_back`].
    pub fn take(&self) -> Taken {
        std::mem::take(&mut self.lock().taken)
    }

    /// It is stored.
    pub fn settle(&self, taken: &Taken) {
        let mut inner = self.lock();
        for reason in &taken.learned {
            inner.under_way.remove(&reason.run);
        }
    }

    /// It could not be stored: what was reported since then comes after it.
    pub fn put_back(&self, mut taken: Taken) {
        let mut inner = self.lock();
        taken.learned.append(&mut inner.taken.learned);
        taken.fares.append(&mut inner.taken.fares);
        inner.taken = taken;
    }

    /// Something that we need works, or does not.
    pub fn fares(&self, key: &str, trouble: Option<Trouble>) {
        self.lock().taken.fares.insert(key.to_owned(), trouble);
    }

    /// A webhook came.
    pub fn hear(&self, at: Timestamp) {
        let mut inner = self.lock();
        inner.heard = inner.heard.max(Some(at));
    }

    /// When the last webhook came; `None` when none has since the start.
    pub fn heard(&self) -> Option<Timestamp> {
        self.lock().heard
    }

    /// Kubernetes told something; `active` is the latest thing that happened to the run that it told of.
    pub fn watch(&self, at: Timestamp, active: Option<Timestamp>) {
        let mut inner = self.lock();
        inner.watched = inner.watched.max(Some(at));
        inner.active = inner.active.max(active);
    }

    /// When Kubernetes last told anything, if only that nothing changed.
    pub fn watched(&self) -> Option<Timestamp> {
        self.lock().watched
    }

    /// The latest thing that happened to a run, by the word of Kubernetes.
    pub fn active(&self) -> Option<Timestamp> {
        self.lock().active
    }

    /// A source's whole list was taken in. Returns whether it is the first one.
    pub fn list(&self, at: Timestamp) -> bool {
        let mut inner = self.lock();
        let is_first = inner.listed.is_none();
        inner.listed.get_or_insert(at);
        is_first
    }

    /// When a whole list was first taken in since the start.
    pub fn listed(&self) -> Option<Timestamp> {
        self.lock().listed
    }

    /// These runs are being read.
    pub fn begin(&self, runs: impl Iterator<Item = RunName>) {
        self.lock().under_way.extend(runs);
    }

    /// A run was read.
    pub fn learned(&self, learned: Learned) {
        self.lock().taken.learned.push(learned);
    }

    /// Runs that are being read, or were read and are not stored yet.
    pub fn under_way(&self) -> BTreeSet<RunName> {
        self.lock().under_way.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reported_under_the_lease_in_force_is_kept_whoever_takes_note_of_it_next() {
        let reports = Reports::default();
        let trouble = Trouble {
            part: "polling deck".to_owned(),
            what: "it does not answer".to_owned(),
        };
        reports.fares("deck", Some(trouble));
        reports.list(Timestamp::UNIX_EPOCH);
        reports.hear(Timestamp::UNIX_EPOCH);
        let (before, now) = (Epoch::default(), Epoch::for_tests(7));
        reports.belong_to(before);
        assert!(reports.listed().is_some());
        // The poller is the first to see that this replica leads again.
        reports.belong_to(now);
        assert!(reports.listed().is_none() && reports.heard().is_some());
        assert!(reports.take().fares.is_empty());
        reports.fares("deck", None);
        reports.list(Timestamp::UNIX_EPOCH);
        // Then the worker.
        reports.belong_to(now);
        assert!(reports.listed().is_some());
        assert_eq!(reports.take().fares, [("deck".to_owned(), None)].into());
    }
}
