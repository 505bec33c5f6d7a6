//! Turns what is owed into notifications: ends of windows, folding, digests.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{
    classify::Severity,
    flaky,
    fold::{Cause, Digest, Fold, News, Owed, to_signed},
    incident::{Incident, IncidentId},
    notification::{DigestKind, Event, Item, MAX_ITEMS, Notification},
    policy::{Policy, SHARED_FROM},
    state::{DigestKey, FoldKey, State},
    telling::doubled,
};

/// A notification and the incidents it speaks of, in the order of its items and beyond them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What to send.
    pub notification: Notification,
    /// Of which incidents.
    pub incidents: Vec<IncidentId>,
}

impl State {
    /// Takes what is due at `now`. With `more_to_come` (siblings are still in the inbox) news waits for
    /// them, but never longer than the policy's `group_wait`.
    pub fn flush(&mut self, policy: &Policy, now: Timestamp, more_to_come: bool) -> Vec<Told> {
        self.end_windows(now);
        self.end_deadlines(policy, now, more_to_come);
        self.end_watches(policy, now, more_to_come);
        if !more_to_come {
            self.weigh_masses(policy, now);
        }
        let mut told = Vec::new();
        for key in self.owing.iter().cloned().collect::<Vec<_>>() {
            self.hush_fold(policy, &key, now);
            self.flush_fold(policy, &key, now, more_to_come, &mut told);
            if self
                .folds
                .get(&key)
                .is_none_or(|fold| fold.waiting.is_empty())
            {
                self.owing.remove(&key);
            }
        }
        for key in self.digests.keys().cloned().collect::<Vec<_>>() {
            self.flush_digest(policy, &key, now, more_to_come, &mut told);
        }
        self.end_hushes(policy, now, &mut told);
        self.drop_finished_causes(now);
        told
    }

    /// Ends dedup windows: what came within is owed as one piece of news, and the next window is twice as
    /// long. Nothing came: silence until something changes.
    fn end_windows(&mut self, now: Timestamp) {
        let is_over = |(ends, _): &&(Timestamp, IncidentId)| *ends <= now;
        let over: Vec<_> = self.windows.iter().take_while(is_over).copied().collect();
        for (ends, id) in over {
            self.windows.remove(&(ends, id));
            let Some(incident) = self
                .incidents
                .get_mut(&id)
                .filter(|incident| incident.window_ends == Some(ends))
            else {
                continue;
            };
            incident.window_ends = None;
            let length = incident.window_length.unwrap_or_default();
            // Within no time nothing can have come.
            let again = !length.is_zero() && incident.failures > incident.told_failures;
            if again {
                incident.window_length = Some(doubled(length));
            }
            self.changed.incidents.insert(id);
            if again {
                self.owe(id, News::Still, now);
                self.start_window(id, now);
            }
        }
    }

    fn flush_fold(
        &mut self,
        policy: &Policy,
        key: &FoldKey,
        now: Timestamp,
        more_to_come: bool,
        told: &mut Vec<Told>,
    ) {
        for news in [News::Opened, News::Still, News::Recovered] {
            let Some(owed) = self.take_due(policy, key, news, now, more_to_come) else {
                continue;
            };
            self.changed.folds.insert(key.clone());
            if let (News::Opened, Some(fold)) = (news, self.folds.get_mut(key)) {
                fold.drop_still(&owed);
            }
            // Failures that were told alone, days apart, may all end with one success.
            let together = news == News::Recovered && owed.len() >= SHARED_FROM;
            let shared = together || self.causes.get(&key.0).is_some_and(Cause::is_shared);
            let incidents = self.in_order(owed.iter().map(|owed| owed.incident).collect());
            for id in incidents.iter().filter(|_| news != News::Recovered) {
                self.doom(policy, *id, now);
            }
            if shared {
                told.extend(self.tell_shared(key, news, &incidents, now));
            } else {
                told.extend(
                    incidents
                        .iter()
                        .filter_map(|id| self.tell_alone(key, news, *id, now)),
                );
            }
        }
    }

    /// By the end of their first bad run, whatever the order in which we heard of them.
    pub(super) fn in_order(&self, mut incidents: Vec<IncidentId>) -> Vec<IncidentId> {
        incidents.sort_by_key(|id| {
            self.incidents
                .get(id)
                .map(|incident| (incident.first.at, incident.first.run.clone()))
        });
        incidents
    }

    /// What of one kind of news may go out now. Held back whole while siblings may come, or while the gap
    /// since the last message on a shared cause lasts.
    fn take_due(
        &mut self,
        policy: &Policy,
        key: &FoldKey,
        news: News,
        now: Timestamp,
        more_to_come: bool,
    ) -> Option<Vec<Owed>> {
        let fold = self.folds.get_mut(key)?;
        let may_go = |owed: &Owed| {
            let is_free = |until: Option<Timestamp>| until.is_none_or(|until| until <= now);
            owed.news == news
                && is_free(owed.behind.as_ref().map(|behind| behind.until))
                && is_free(owed.hush.as_ref().map(|hush| hush.until))
        };
        let oldest = fold
            .waiting
            .iter()
            .filter(|owed| may_go(owed))
            .map(|owed| owed.since)
            .min()?;
        let cause = self.causes.get(&key.0).cloned().unwrap_or_default();
        let siblings = more_to_come && now.duration_since(oldest) < to_signed(policy.group_wait);
        let reading = fold.held_until(news).is_some_and(|until| until > now);
        // The opening of an incident is never overtaken by its end.
        let behind = news != News::Opened
            && fold
                .waiting
                .iter()
                .filter(|owed| owed.news == News::Opened && owed.hush.is_none())
                .any(|owed| fold_has(fold, owed.incident, news));
        if siblings
            || reading
            || behind
            || fold.free_at(&cause, news).is_some_and(|free| free > now)
        {
            return None;
        }
        let (due, rest) = std::mem::take(&mut fold.waiting)
            .into_iter()
            .partition(may_go);
        fold.waiting = rest;
        Some(due)
    }

    fn tell_alone(
        &mut self,
        key: &FoldKey,
        news: News,
        id: IncidentId,
        now: Timestamp,
    ) -> Option<Told> {
        let item = self.spoken_of(id, news)?;
        let owner = self.incidents.get(&id)?.owner().to_owned();
        if let Some(fold) = self.folds.get_mut(key) {
            fold.remember(&owner);
        }
        let event = self.single_event(news, id);
        Some(self.told(event, &key.1, now, vec![item], vec![id]))
    }

    fn tell_shared(
        &mut self,
        key: &FoldKey,
        news: News,
        incidents: &[IncidentId],
        now: Timestamp,
    ) -> Option<Told> {
        let fold = self.folds.get_mut(key)?;
        fold.told(news, now);
        let earlier = fold.told_owners.clone();
        let owners: BTreeSet<String> = incidents
            .iter()
            .filter_map(|id| self.incidents.get(id))
            .map(|incident| incident.owner().to_owned())
            .collect();
        let items: Vec<Item> = incidents
            .iter()
            .take(MAX_ITEMS)
            .filter_map(|id| self.spoken_of(*id, news))
            .collect();
        for id in incidents.iter().skip(MAX_ITEMS) {
            self.mark_spoken_of(*id, news);
        }
        if items.is_empty() {
            return None;
        }
        let fold = self.folds.get_mut(key)?;
        for owner in &owners {
            fold.remember(owner);
        }
        let first_and_only = incidents.len() == 1 && earlier.is_empty();
        let event = if news == News::Opened && !first_and_only {
            Event::SharedCause
        } else {
            let first = incidents.first().copied();
            first.map_or(Event::Opened, |id| self.single_event(news, id))
        };
        let mut told = self.told(event, &key.1, now, items, incidents.to_vec());
        told.notification.shared_by = self.causes.get(&key.0).map_or(0, Cause::owners);
        told.notification.earlier = earlier
            .into_iter()
            .filter(|owner| !owners.contains(owner))
            .collect();
        Some(told)
    }

    fn flush_digest(
        &mut self,
        policy: &Policy,
        key: &DigestKey,
        now: Timestamp,
        more_to_come: bool,
        told: &mut Vec<Told>,
    ) {
        let due = |digest: &&Digest| self.due_at(digest) <= now;
        let Some(digest) = self.digests.get(key).filter(due) else {
            return;
        };
        let (kind, incidents) = (digest.kind.clone(), self.in_order(digest.incidents.clone()));
        // A first start, or what was missed, is summed up once all of it has been read.
        let sums_up = matches!(kind, DigestKind::FirstStart | DigestKind::CatchUp { .. });
        if sums_up && more_to_come {
            return;
        }
        self.digests.remove(key);
        self.changed.digests.insert(key.clone());
        let mut incidents = self.hush_digest(policy, &key.0, incidents, now);
        if sums_up {
            // What is broken now comes first, and is not cut off by what is over.
            let is_over =
                |id: &IncidentId| self.incidents.get(id).is_some_and(|one| !one.is_open());
            incidents.sort_by_key(is_over);
        }
        let items: Vec<Item> = incidents
            .iter()
            .filter_map(|id| self.spoken_of(*id, News::Opened))
            .take(MAX_ITEMS)
            .collect();
        if items.is_empty() {
            return;
        }
        let mut summary = self.told(Event::Digest, &key.0, now, items, incidents);
        summary.notification.digest = Some(kind);
        told.push(summary);
    }

    /// An incident as a message tells it; from now on its failures up to here count as told.
    pub(super) fn spoken_of(&mut self, id: IncidentId, news: News) -> Option<Item> {
        let incident = self.incidents.get(&id)?;
        let mut item = incident.item();
        let history = self.histories.get(&incident.job);
        item.flaky = history.and_then(flaky::sentence);
        if news == News::Opened || news == News::Still {
            self.mark_spoken_of(id, news);
        }
        // Opened and closed within one flush: the opening is told first, as an opening.
        if news == News::Opened && self.owes_recovery(id) {
            item.recovered = None;
        }
        Some(item)
    }

    fn single_event(&self, news: News, id: IncidentId) -> Event {
        let stalled = || {
            let incident = self.incidents.get(&id);
            incident.is_some_and(|incident| incident.kind.is_lateness())
        };
        match news {
            News::Opened if stalled() => Event::Stalled,
            News::Opened if self.masses().any(|mass| mass == id) => Event::SharedCause,
            News::Opened => Event::Opened,
            News::Still => Event::StillFailing,
            News::Recovered => Event::Recovered,
        }
    }

    fn owes_recovery(&self, id: IncidentId) -> bool {
        self.incidents.get(&id).is_some_and(|incident| {
            incident.targets.iter().any(|target| {
                self.folds
                    .get(&(incident.cause.clone(), target.receiver.clone()))
                    .is_some_and(|fold| fold_has(fold, id, News::Recovered))
            })
        })
    }

    fn mark_spoken_of(&mut self, id: IncidentId, news: News) {
        if news == News::Recovered {
            return;
        }
        if let Some(incident) = self.incidents.get_mut(&id) {
            incident.told_failures = incident.failures;
            self.changed.incidents.insert(id);
        }
    }

    pub(super) fn told(
        &self,
        event: Event,
        receiver: &str,
        at: Timestamp,
        items: Vec<Item>,
        incidents: Vec<IncidentId>,
    ) -> Told {
        let severity = items
            .iter()
            .map(|item| item.class.severity)
            .max()
            .unwrap_or(Severity::NonCritical);
        let id = notification_id(
            event,
            receiver,
            at,
            incidents.iter().filter_map(|id| self.incidents.get(id)),
        );
        let total = incidents.len();
        let notification = Notification {
            id,
            event,
            receiver: receiver.to_owned(),
            severity,
            at,
            items,
            total,
            shared_by: 0,
            earlier: Vec::new(),
            digest: None,
            diverted: None,
        };
        Told {
            notification,
            incidents,
        }
    }

    /// Causes that are over, with what was remembered of who heard of them.
    fn drop_finished_causes(&mut self, now: Timestamp) {
        let over: BTreeSet<_> = self
            .causes
            .iter()
            .filter(|(_, cause)| cause.is_over(now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            let folds: Vec<FoldKey> = self
                .folds
                .keys()
                .filter(|(cause, _)| *cause == key)
                .cloned()
                .collect();
            if folds.iter().any(|fold| {
                self.folds
                    .get(fold)
                    .is_some_and(|fold| !fold.waiting.is_empty())
            }) {
                continue;
            }
            for fold in folds {
                self.folds.remove(&fold);
                self.changed.folds.insert(fold);
            }
            self.causes.remove(&key);
            self.changed.causes.insert(key);
        }
    }
}

fn fold_has(fold: &Fold, id: IncidentId, news: News) -> bool {
    fold.waiting
        .iter()
        .any(|owed| owed.incident == id && owed.news == news)
}

/// Eight hex digits that follow from what is said to whom when, and not from numbers given on the way.
fn notification_id<'a>(
    event: Event,
    receiver: &str,
    at: Timestamp,
    incidents: impl Iterator<Item = &'a Incident>,
) -> String {
    let mut hash = Sha256::new();
    for part in [event.as_str(), receiver, &at.to_string()] {
        hash.update(part);
        hash.update([0]);
    }
    for incident in incidents {
        hash.update(&incident.job.0);
        hash.update([0]);
        hash.update(&incident.first.run.0);
        hash.update([0]);
    }
    let mut id = String::with_capacity(8);
    for byte in hash.finalize().iter().take(4) {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
    }
    id
}
