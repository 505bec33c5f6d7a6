//! A job's runs in order of their end, and the incidents they form. A run that turns up late takes its
//! place as if it had come in time: it joins an incident, moves its begin or end, or parts it in two.

use std::ops::Bound;

use jiff::Timestamp;

use super::{
    fold::News,
    incident::{Facts, GoodRun, Incident, IncidentId, Run},
    job::JobKey,
    observation::RunName,
    observe::Case,
    policy::{Policy, WINDOW_CAP},
    state::State,
};

impl State {
    /// Finds or opens the incident of a bad run and counts it there.
    pub(super) fn place(&mut self, case: &Case<'_>, facts: &Facts, at: Timestamp) -> IncidentId {
        let key = (at, case.run.run.clone());
        let (before, after) = self.neighbours(&case.job, &key);
        let earlier = before.as_ref().and_then(|run| self.incident_of(run));
        // What something else than its own job ended before this run is over.
        let ended = earlier
            .and_then(|id| self.incidents.get(&id)?.closed_by.clone())
            .filter(|good| good.at <= at);
        let joined = earlier
            .filter(|_| ended.is_none())
            .or_else(|| after.as_ref().and_then(|run| self.incident_of(run)));
        if let Some(incident) = joined.and_then(|id| self.incidents.get_mut(&id)) {
            incident.join(facts);
            self.changed.incidents.insert(incident.id);
            return incident.id;
        }
        let good = |name: Option<RunName>| {
            name.and_then(|name| self.runs.get(&name))
                .and_then(Run::as_good)
        };
        let (last_good, closed_by) = (ended.or_else(|| good(before)), good(after));
        self.open(Incident {
            last_good,
            closed_by,
            ..Incident::new(case.job.clone(), facts.clone())
        })
    }

    /// Takes in an incident and gives it its number.
    pub(super) fn open(&mut self, incident: Incident) -> IncidentId {
        let id = IncidentId(self.next_incident.max(1));
        self.next_incident = id.0 + 1;
        self.incidents.insert(id, Incident { id, ..incident });
        self.changed.incidents.insert(id);
        id
    }

    /// Opens an incident that no bad run makes, and owes it to its targets.
    pub(super) fn open_and_tell(
        &mut self,
        policy: &Policy,
        mut incident: Incident,
        now: Timestamp,
    ) -> IncidentId {
        let targets = std::mem::take(&mut incident.targets);
        let id = self.open(incident);
        self.strike(id, targets, now, policy.window);
        self.owe(id, News::Opened, now);
        id
    }

    /// Closes an incident, or moves its end earlier. Returns whether that is news to somebody.
    pub(super) fn close(&mut self, id: IncidentId, good: GoodRun, now: Timestamp) -> bool {
        let is_news = self.end(id, good);
        if is_news {
            self.owe(id, News::Recovered, now);
            self.release_behind(id, now);
        }
        is_news
    }

    /// Closes an incident without a word: something else tells what became of it.
    pub(super) fn close_silently(&mut self, id: IncidentId, by: GoodRun) {
        if !self.incidents.get(&id).is_some_and(Incident::is_open) {
            return;
        }
        self.end(id, by);
        self.unhide(id);
        let Some(incident) = self.incidents.get(&id) else {
            return;
        };
        for target in &incident.targets {
            let fold_key = (incident.cause.clone(), target.receiver.clone());
            if let Some(fold) = self.folds.get_mut(&fold_key) {
                fold.waiting.retain(|owed| owed.incident != id);
                self.changed.folds.insert(fold_key);
            }
            let digest_key = (target.receiver.clone(), false);
            if let Some(digest) = self.digests.get_mut(&digest_key) {
                digest.incidents.retain(|known| *known != id);
                self.changed.digests.insert(digest_key);
            }
        }
    }

    /// Ends an incident, or moves its end. Returns whether it was announced and still open.
    fn end(&mut self, id: IncidentId, good: GoodRun) -> bool {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return false;
        };
        let is_news = incident.is_open() && incident.announced_at.is_some();
        incident.closed_by = Some(good);
        if let Some(ends) = incident.window_ends.take() {
            self.windows.remove(&(ends, id));
        }
        self.changed.incidents.insert(id);
        if is_news && let Some(suffering) = self.causes.get_mut(&incident.cause) {
            suffering.heal(id);
            self.changed.causes.insert(incident.cause.clone());
        }
        is_news
    }

    /// A good run turned up between the bad runs of one incident: what follows it is another one.
    pub(super) fn split(
        &mut self,
        id: IncidentId,
        good_key: &(Timestamp, RunName),
        good: &GoodRun,
        now: Timestamp,
    ) {
        let Some(old) = self.incidents.get(&id).cloned() else {
            return;
        };
        let later: Vec<Facts> = self
            .timelines
            .get(&old.job)
            .into_iter()
            .flat_map(|line| line.range((Bound::Excluded(good_key.clone()), Bound::Unbounded)))
            .map_while(|(_, name)| self.runs.get(name).filter(|run| run.incident == Some(id)))
            .filter_map(|run| run.facts.as_deref().cloned())
            .collect();
        let (Some(first), Some(latest)) = (later.first().cloned(), later.last().cloned()) else {
            return;
        };
        let new = self.open(Incident {
            latest,
            failures: later.len() as u64,
            last_good: Some(good.clone()),
            closed_by: old.closed_by.clone(),
            ..Incident::new(old.job.clone(), first)
        });
        for facts in &later {
            if let Some(run) = self.runs.get_mut(&facts.run) {
                run.incident = Some(new);
                self.changed.runs.insert(facts.run.clone());
            }
        }
        self.shorten(id, good_key, later.len() as u64);
        // Of an incident whose end has been told, everything has been said. Otherwise the later part is news.
        if old.announced_at.is_some() && (old.is_open() || self.is_waiting(id, News::Recovered)) {
            self.strike(
                new,
                old.targets.clone(),
                now,
                old.window_length.unwrap_or(WINDOW_CAP),
            );
            self.owe(new, News::Opened, now);
            if !old.is_open() {
                self.owe(new, News::Recovered, now);
            }
        }
    }

    /// Takes the `lost` bad runs after `good_key` out of an incident's count.
    pub(super) fn shorten(&mut self, id: IncidentId, good_key: &(Timestamp, RunName), lost: u64) {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return;
        };
        incident.failures = incident.failures.saturating_sub(lost);
        incident.told_failures = incident.told_failures.min(incident.failures);
        let last = self
            .timelines
            .get(&incident.job)
            .and_then(|line| line.range(..good_key.clone()).next_back());
        if let Some(facts) = last
            .and_then(|(_, name)| self.runs.get(name))
            .and_then(|run| run.facts.as_deref())
        {
            incident.latest = facts.clone();
        }
        self.changed.incidents.insert(id);
    }

    pub(super) fn set_last_good(&mut self, id: IncidentId, good: &GoodRun) {
        if let Some(incident) = self.incidents.get_mut(&id)
            && good.at <= incident.first.at
            && incident
                .last_good
                .as_ref()
                .is_none_or(|known| known.at <= good.at)
        {
            incident.last_good = Some(good.clone());
            self.changed.incidents.insert(id);
        }
    }

    /// The counting runs of a job just before and just after a place in its timeline.
    pub(super) fn neighbours(
        &self,
        job: &JobKey,
        key: &(Timestamp, RunName),
    ) -> (Option<RunName>, Option<RunName>) {
        let Some(line) = self.timelines.get(job) else {
            return (None, None);
        };
        let before = line.range(..key.clone()).next_back();
        let after = line
            .range((Bound::Excluded(key.clone()), Bound::Unbounded))
            .next();
        (
            before.map(|(_, name)| name.clone()),
            after.map(|(_, name)| name.clone()),
        )
    }

    pub(super) fn incident_of(&self, run: &RunName) -> Option<IncidentId> {
        self.runs.get(run).and_then(|run| run.incident)
    }
}
