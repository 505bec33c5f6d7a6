//! The state that observations change, and what of it changed.
//!
//! A daemon loads the slice that a batch needs (see [`State::missing`]), a preview keeps everything here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    doom::Stop,
    fold::{Cause, CauseKey, Digest, Fold},
    forget::Settled,
    gaps::{EdgeKey, Gaps},
    history::History,
    hush::{Hidden, HiddenKey},
    incident::{GoodRun, Incident, IncidentId, Run},
    job::JobKey,
    mass::Recent,
    notification::DigestKind,
    observation::RunName,
    release::{Release, ReleaseKey},
    silence::{Silence, SilenceId},
    watch::{Watch, WatchKey},
};

/// A fold's key: cause and concrete receiver.
pub type FoldKey = (CauseKey, String);
/// A digest's key: concrete receiver, and whether it is the first start's summary.
pub type DigestKey = (String, bool);

/// Runs, incidents and what is owed to whom.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Runs by name.
    pub runs: BTreeMap<RunName, Run>,
    /// Names of runs by [`Run::alias`].
    pub aliases: BTreeMap<String, BTreeSet<RunName>>,
    /// Finished runs that count, of each job in order of their end.
    pub timelines: BTreeMap<JobKey, BTreeSet<(Timestamp, RunName)>>,
    /// Incidents by number.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Ends of running dedup windows.
    pub windows: BTreeSet<(Timestamp, IncidentId)>,
    /// Causes; always complete.
    pub causes: BTreeMap<CauseKey, Cause>,
    /// What is owed per cause and receiver; always complete.
    pub folds: BTreeMap<FoldKey, Fold>,
    /// Folds in which something waits.
    pub owing: BTreeSet<FoldKey>,
    /// Digests being collected; always complete.
    pub digests: BTreeMap<DigestKey, Digest>,
    /// Releases by pipeline, service and version.
    pub releases: BTreeMap<ReleaseKey, Release>,
    /// Releases that a replay has forgotten because nothing in them can be late any more; none elsewhere.
    pub settled: Settled,
    /// When the next stage of each release is late; always complete.
    pub due_releases: BTreeMap<ReleaseKey, Timestamp>,
    /// The latest success of each shared stage, by org and stage; always complete.
    pub healed: BTreeMap<String, GoodRun>,
    /// Open incidents of the watch itself, by what is in trouble; always complete.
    pub troubles: BTreeMap<String, IncidentId>,
    /// What is awaited by a time: ends of runs, next runs of jobs; always complete.
    pub watches: BTreeMap<WatchKey, Watch>,
    /// The last runs of each job, as far as anybody may ask for them.
    pub histories: BTreeMap<JobKey, History>,
    /// How long each learned edge took; always complete.
    pub gaps: BTreeMap<EdgeKey, Gaps>,
    /// Silences that are not over; always complete.
    pub silences: BTreeMap<SilenceId, Silence>,
    /// What silences and mute windows hide; always complete.
    pub hidden: BTreeMap<HiddenKey, Hidden>,
    /// Nothing is told to be late before: what was awaited may have come while nobody looked.
    pub deadlines_from: Timestamp,
    /// How jobs ended lately; always complete.
    pub recent: Recent,
    /// Runs whose stop was suggested within the last hour; always complete.
    pub stops: BTreeMap<RunName, Stop>,
    /// Number of the next incident.
    pub next_incident: u64,
    /// What was touched since the last [`State::take_changes`].
    pub changed: Changes,
    /// Set while a run is observed that was missed: what it makes us say belongs into the summary of all of them.
    pub(super) missed_since: Option<Timestamp>,
}

/// Keys of what was touched; a key that is no longer in the state was removed.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Runs.
    pub runs: BTreeSet<RunName>,
    /// Incidents.
    pub incidents: BTreeSet<IncidentId>,
    /// Causes.
    pub causes: BTreeSet<CauseKey>,
    /// Folds.
    pub folds: BTreeSet<FoldKey>,
    /// Digests.
    pub digests: BTreeSet<DigestKey>,
    /// Troubles.
    pub troubles: BTreeSet<String>,
    /// Successes of shared stages.
    pub healed: BTreeSet<String>,
    /// Releases.
    pub releases: BTreeSet<ReleaseKey>,
    /// Learned edges.
    pub gaps: BTreeSet<EdgeKey>,
    /// Watches.
    pub watches: BTreeSet<WatchKey>,
    /// What is hidden.
    pub hidden: BTreeSet<HiddenKey>,
    /// Runs whose stop was suggested.
    pub stops: BTreeSet<RunName>,
}

impl State {
    /// Takes in a stored run, without marking it as changed.
    pub fn load_run(&mut self, run: Run) {
        if let Some(alias) = &run.alias {
            let twins = self.aliases.entry(alias.clone()).or_default();
            twins.insert(run.name.clone());
        }
        if let (true, Some(at)) = (run.verdict.counts(), run.finished_at) {
            self.timelines
                .entry(run.job.clone())
                .or_default()
                .insert((at, run.name.clone()));
        }
        self.runs.insert(run.name.clone(), run);
    }

    /// Takes in a stored incident, without marking it as changed.
    pub fn load_incident(&mut self, incident: Incident) {
        if let Some(ends) = incident.window_ends {
            self.windows.insert((ends, incident.id));
        }
        self.incidents.insert(incident.id, incident);
    }

    /// Takes in a stored fold, without marking it as changed.
    pub fn load_fold(&mut self, key: FoldKey, fold: Fold) {
        if !fold.waiting.is_empty() {
            self.owing.insert(key.clone());
        }
        self.folds.insert(key, fold);
    }

    /// Folds in which something waits.
    fn owing_folds(&self) -> impl Iterator<Item = (&FoldKey, &Fold)> {
        self.owing
            .iter()
            .filter_map(|key| Some((key, self.folds.get(key)?)))
    }

    /// What was touched since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changed)
    }

    /// Forgets what a store can load again: runs, timelines and incidents.
    pub fn forget_slices(&mut self) {
        self.runs.clear();
        self.aliases.clear();
        self.timelines.clear();
        self.incidents.clear();
        self.windows.clear();
        self.releases.clear();
        self.histories.clear();
    }

    /// Incidents whose news may go out by `now`; a store loads them before [`State::flush`].
    pub fn missing(&self, now: Timestamp) -> Vec<IncidentId> {
        let folds = self
            .owing_folds()
            .filter(|((cause, _), fold)| {
                self.causes
                    .get(cause)
                    .is_none_or(|cause| fold.due_at(cause).is_some_and(|due| due <= now))
            })
            .flat_map(|(_, fold)| fold.waiting.iter().map(|owed| owed.incident));
        let digests = self
            .digests
            .values()
            .filter(|digest| self.due_at(digest) <= now)
            .flat_map(|digest| digest.incidents.iter().copied());
        let wanted: BTreeSet<IncidentId> = folds
            .chain(digests)
            .chain(self.forgotten_incidents(now))
            .chain(self.hidden_until(now))
            .chain(self.masses())
            .collect();
        wanted
            .into_iter()
            .filter(|id| !self.incidents.contains_key(id))
            .collect()
    }

    /// Releases with a stage that is late by `now`; a store loads them before [`State::flush`].
    pub fn missing_releases(&self, now: Timestamp) -> Vec<ReleaseKey> {
        self.due_releases
            .iter()
            .filter(|(key, due)| **due <= now && !self.releases.contains_key(key))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// When something falls due that is held here: owed news, digests, and windows of loaded incidents.
    /// `None` when nothing is under way.
    pub fn next_due(&self) -> Option<Timestamp> {
        let deadlines = self
            .due_releases
            .values()
            .copied()
            .chain(self.watches.values().map(Watch::looked_at))
            .min()
            .map(|due| due.max(self.deadlines_from));
        self.next_owed()
            .into_iter()
            .chain(self.windows.first().map(|(at, _)| *at))
            .chain(deadlines.filter(|due| *due < Timestamp::MAX))
            .min()
    }

    /// When news that is owed already may go out.
    pub fn next_owed(&self) -> Option<Timestamp> {
        let folds = self
            .owing_folds()
            .filter_map(|((cause, _), fold)| fold.due_at(self.causes.get(cause)?));
        let digests = self.digests.values().map(|digest| self.due_at(digest));
        let hushes = self.hidden.values().map(|hidden| hidden.until);
        folds
            .chain(digests.filter(|due| *due < Timestamp::MAX))
            .chain(hushes)
            .min()
    }

    /// When a digest goes out. What was missed is summed up once all of it has been looked at.
    pub(super) fn due_at(&self, digest: &Digest) -> Timestamp {
        match digest.kind {
            DigestKind::CatchUp { .. } if self.deadlines_from == Timestamp::MAX => Timestamp::MAX,
            DigestKind::CatchUp { .. } => digest.due_at,
            DigestKind::Period { .. } | DigestKind::FirstStart | DigestKind::Hushed { .. } => {
                digest.due_at
            }
        }
    }

    /// Whether what was missed is still to be summed up.
    pub fn owes_catch_up(&self) -> bool {
        let mut kinds = self.digests.values().map(|digest| &digest.kind);
        kinds.any(|kind| matches!(kind, DigestKind::CatchUp { .. }))
    }

    /// Incidents that are to be summed up by `now`.
    fn hidden_until(&self, now: Timestamp) -> impl Iterator<Item = IncidentId> + '_ {
        self.hidden
            .values()
            .filter(move |hidden| hidden.until <= now)
            .flat_map(|hidden| hidden.incidents.iter().copied())
    }
}
