//! What silences and mute windows hold back. It waits where it is owed: what is still broken when they end is told
//! then, what recovered meanwhile goes into one summary to each receiver that would have been told. Incidents open,
//! count and close as ever.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    classify::Severity,
    decision::Decision,
    flush::Told,
    fold::{Fold, News},
    incident::{Facts, Incident, IncidentId, Target},
    matcher::Labels,
    notification::{DigestKind, Event, Item, MAX_ITEMS},
    observation::{Artifacts, Observation, RunName, Source},
    observe::Outcome,
    policy::Policy,
    prowjob::{JobType, Refs, State as ProwState, org_and_repo},
    silence::{Silence, SilenceId, Standing},
    state::{FoldKey, State},
    time::after,
};

/// What holds news back: `silence|3`, or `mute|nights`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HushKey(pub String);

/// What holds a piece of news back, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hush {
    /// What.
    pub key: HushKey,
    /// Looked at again then.
    pub until: Timestamp,
    /// In one clause for people: `silence 3 of jane (registry moves)`.
    pub by: String,
}

/// What one silence or window hides from one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// What hides it, in one clause for people.
    pub by: String,
    /// Since when something is hidden.
    pub since: Timestamp,
    /// Summed up then.
    pub until: Timestamp,
    /// The incidents, each once, in order of arrival.
    pub incidents: Vec<IncidentId>,
}

/// What hides it, and the concrete receiver.
pub type HiddenKey = (HushKey, String);

impl HushKey {
    /// Of a silence.
    pub fn of_silence(id: SilenceId) -> Self {
        Self(format!("silence|{id}"))
    }

    /// Of a mute window.
    pub fn of_window(name: &str) -> Self {
        Self(format!("mute|{name}"))
    }
}

/// What of a run an incident keeps for matchers, beside what it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Type of the job.
    #[serde(rename = "type")]
    pub job_type: String,
    /// Build cluster.
    pub cluster: String,
    /// Prow's state.
    pub state: String,
}

impl Marks {
    /// Of a run.
    pub fn of(run: &Observation) -> Self {
        Self {
            job_type: run.job_type.as_str().to_owned(),
            cluster: run.cluster.clone(),
            state: run.state.as_str().to_owned(),
        }
    }
}

/// A run with all that matchers of silences and windows can look at.
fn as_run(facts: &Facts) -> Observation {
    let (org, repo) = org_and_repo(&facts.repository);
    Observation {
        run: RunName(String::new()),
        source: Source::File,
        seen_at: facts.at,
        job_type: JobType::parse(&facts.marks.job_type),
        job: facts.job.clone(),
        agent: String::new(),
        cluster: facts.marks.cluster.clone(),
        refs: Some(Refs {
            org: org.to_owned(),
            repo: repo.to_owned(),
            base_ref: facts.base_ref.clone(),
            ..Refs::default()
        }),
        state: ProwState::parse(&facts.marks.state),
        description: String::new(),
        url: None,
        build_id: None,
        started_at: None,
        pending_at: None,
        completed_at: None,
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
        commit: None,
        artifacts: Artifacts::default(),
        inferred: false,
        initial: false,
        missed_since: None,
        provisional: false,
        log_tail: None,
    }
}

/// Whether a silence with these matchers would hide an incident.
pub fn would_hide(matchers: &[super::matcher::Matcher], incident: &Incident) -> bool {
    let run = as_run(&incident.latest);
    let labels = labels(&run, &incident.latest);
    matchers.iter().all(|matcher| matcher.matches(&labels))
}

fn labels<'a>(run: &'a Observation, facts: &'a Facts) -> Labels<'a> {
    Labels {
        run,
        verdict: facts.verdict,
        class: Some(&facts.class),
    }
}

impl State {
    /// Takes in the silences that are not over: those that are new hide from now on, of those that are gone or
    /// changed what they hid is looked at anew.
    pub fn set_silences(&mut self, silences: Vec<Silence>, now: Timestamp) {
        self.silences = silences
            .into_iter()
            .map(|silence| (silence.id, silence))
            .collect();
        let ends: Vec<(HushKey, Timestamp)> = self
            .silences
            .values()
            .map(|silence| (HushKey::of_silence(silence.id), silence.ends_at))
            .collect();
        let end_of = |key: &HushKey| {
            let found = ends.iter().find(|(known, _)| known == key);
            found.map_or(now, |(_, end)| *end)
        };
        let is_silence = |key: &HushKey| key.0.starts_with("silence|");
        for (key, hidden) in &mut self.hidden {
            let until = end_of(&key.0);
            if is_silence(&key.0) && hidden.until > until {
                hidden.until = until;
                self.changed.hidden.insert(key.clone());
            }
        }
        for key in &self.owing {
            let Some(fold) = self.folds.get_mut(key) else {
                continue;
            };
            let hushes = fold
                .waiting
                .iter_mut()
                .filter_map(|owed| owed.hush.as_mut());
            for hush in hushes.filter(|hush| is_silence(&hush.key)) {
                let until = end_of(&hush.key);
                if hush.until > until {
                    hush.until = until;
                    self.changed.folds.insert(key.clone());
                }
            }
        }
    }

    /// What holds back what is told of an incident to one of its receivers: of several what lasts longest.
    pub fn hush_of(
        &self,
        policy: &Policy,
        incident: &Incident,
        target: &Target,
        now: Timestamp,
    ) -> Option<Hush> {
        if self.silences.is_empty() && policy.mutes.is_empty() {
            return None;
        }
        let run = as_run(&incident.latest);
        let labels = labels(&run, &incident.latest);
        let silences = self
            .silences
            .values()
            .filter(|silence| silence.standing(now) == Standing::Active && silence.matches(&labels))
            .map(|silence| Hush {
                key: HushKey::of_silence(silence.id),
                until: silence.ends_at,
                by: silence.words(),
            });
        let severity: Severity = incident.latest.class.severity;
        let windows = policy
            .mutes
            .iter()
            .filter(|window| !window.on_routes || target.mute.contains(&window.name))
            .filter(|window| window.covers(&labels, severity))
            .filter_map(|window| {
                Some(Hush {
                    key: HushKey::of_window(&window.name),
                    until: window.until(now)?,
                    by: format!("mute window {}", window.name),
                })
            });
        silences.chain(windows).max_by_key(|hush| hush.until)
    }

    /// Says that an outcome is silenced when nobody is told of it for now.
    pub(super) fn hushed(&self, policy: &Policy, outcome: Outcome, now: Timestamp) -> Outcome {
        let incident = outcome.incident.and_then(|id| self.incidents.get(&id));
        let Some(incident) = incident.filter(|_| is_told(&outcome)) else {
            return outcome;
        };
        // What a root explains is held back by that.
        if outcome.decision == Decision::Folded && incident.root.is_some() {
            return outcome;
        }
        let hushes: Option<Vec<Hush>> = incident
            .targets
            .iter()
            .map(|target| {
                let told_at = after(now, target.digest.unwrap_or_default());
                let hush = self.hush_of(policy, incident, target, now)?;
                (hush.until > told_at).then_some(hush)
            })
            .collect();
        let Some(hush) = hushes.and_then(|hushes| hushes.into_iter().min_by_key(|hush| hush.until))
        else {
            return outcome;
        };
        Outcome {
            decision: Decision::Silenced,
            reason: format!(
                "{}; held back by {} until {}",
                outcome.reason, hush.by, hush.until
            ),
            receivers: Vec::new(),
            ..outcome
        }
    }

    /// Holds back what is due in a fold and silenced.
    pub(super) fn hush_fold(&mut self, policy: &Policy, key: &FoldKey, now: Timestamp) {
        let Some(fold) = self.folds.get(key) else {
            return;
        };
        for id in unhushed(fold, now) {
            let Some(incident) = self.incidents.get(&id) else {
                continue;
            };
            let target = incident.targets.iter().find(|one| one.receiver == key.1);
            let hush = target.and_then(|target| self.hush_of(policy, incident, target, now));
            let Some(fold) = self.folds.get_mut(key) else {
                return;
            };
            if fold.hush(id, hush.as_ref()) {
                self.changed.folds.insert(key.clone());
            }
            if let Some(hush) = hush {
                self.hide(hush, &key.1, id, now);
            }
        }
    }

    /// Takes out of a digest that is due what is silenced. Returns what is left.
    pub(super) fn hush_digest(
        &mut self,
        policy: &Policy,
        receiver: &str,
        incidents: Vec<IncidentId>,
        now: Timestamp,
    ) -> Vec<IncidentId> {
        let mut left = Vec::with_capacity(incidents.len());
        for id in incidents {
            let hush = self.incidents.get(&id).and_then(|incident| {
                let target = incident.targets.iter().find(|one| one.receiver == receiver);
                self.hush_of(policy, incident, target?, now)
            });
            match hush {
                Some(hush) => self.hide(hush, receiver, id, now),
                None => left.push(id),
            }
        }
        left
    }

    fn hide(&mut self, hush: Hush, receiver: &str, id: IncidentId, now: Timestamp) {
        let key = (hush.key, receiver.to_owned());
        let hidden = self.hidden.entry(key.clone()).or_insert_with(|| Hidden {
            by: hush.by,
            since: now,
            until: hush.until,
            incidents: Vec::new(),
        });
        hidden.until = hush.until;
        if !hidden.incidents.contains(&id) {
            hidden.incidents.push(id);
        }
        self.changed.hidden.insert(key);
        if self.is_unheard(id, receiver) {
            self.unfold_behind(id, receiver);
        }
    }

    /// Whether a receiver is spared an incident until something ends.
    pub(super) fn is_hidden(&self, id: IncidentId, receiver: &str) -> bool {
        let mut own = self.hidden.iter().filter(|(key, _)| key.1 == receiver);
        own.any(|(_, hidden)| hidden.incidents.contains(&id))
    }

    /// Whether a receiver was never told of an incident because that is silenced.
    pub(super) fn is_unheard(&self, id: IncidentId, receiver: &str) -> bool {
        let incident = self.incidents.get(&id);
        incident.is_some_and(|incident| incident.told_failures == 0) && self.is_hidden(id, receiver)
    }

    /// Who does not hear of a root is told of what it knocks over.
    fn unfold_behind(&mut self, root: IncidentId, receiver: &str) {
        for key in self.owing.iter().filter(|(_, other)| other == receiver) {
            let Some(fold) = self.folds.get_mut(key) else {
                continue;
            };
            let explained = fold.waiting.iter_mut().filter(|owed| {
                let behind = owed.behind.as_ref();
                behind.is_some_and(|behind| behind.root == root)
            });
            for owed in explained {
                owed.behind = None;
                self.changed.folds.insert(key.clone());
            }
        }
    }

    /// What ended is not to be summed up: nobody waits for it any more.
    pub(super) fn unhide(&mut self, id: IncidentId) {
        for (key, hidden) in &mut self.hidden {
            if hidden.incidents.contains(&id) {
                hidden.incidents.retain(|known| *known != id);
                self.changed.hidden.insert(key.clone());
            }
        }
    }

    /// Sums up what silences and windows hid that are over. What was just told by itself is only counted.
    pub(super) fn end_hushes(&mut self, policy: &Policy, now: Timestamp, told: &mut Vec<Told>) {
        let over: Vec<HiddenKey> = self
            .hidden
            .iter()
            .filter(|(_, hidden)| hidden.until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            let Some(hidden) = self.hidden.remove(&key) else {
                continue;
            };
            self.changed.hidden.insert(key.clone());
            let receiver = &key.1;
            let all = self.in_order(hidden.incidents.clone());
            // Another one may have taken over.
            let all = self.hush_open(policy, receiver, all, now);
            let (told_apart, summed): (Vec<_>, Vec<_>) = all
                .into_iter()
                .filter(|id| !self.is_hidden(*id, receiver))
                .partition(|id| self.is_told_apart(*id, receiver, now, told));
            let items: Vec<Item> = summed
                .iter()
                .filter_map(|id| self.spoken_of(*id, News::Opened))
                .take(MAX_ITEMS)
                .collect();
            if items.is_empty() {
                continue;
            }
            let mut summary = self.told(Event::Digest, receiver, now, items, summed);
            let open = summary.notification.items.iter();
            let open = open.filter(|item| item.recovered.is_none());
            let worst = open.map(|item| item.class.severity).max();
            summary.notification.severity = worst.unwrap_or(Severity::NonCritical);
            summary.notification.digest = Some(DigestKind::Hushed {
                by: hidden.by,
                since: hidden.since,
                told_apart: told_apart.len(),
            });
            told.push(summary);
        }
    }

    /// Hands on what is open, waits nowhere else and is silenced by something that goes on.
    fn hush_open(
        &mut self,
        policy: &Policy,
        receiver: &str,
        all: Vec<IncidentId>,
        now: Timestamp,
    ) -> Vec<IncidentId> {
        let (open, over): (Vec<_>, Vec<_>) = all.into_iter().partition(|id| {
            let incident = self.incidents.get(id);
            incident.is_some_and(Incident::is_open) && !self.is_waiting_at(*id, receiver)
        });
        let mut left = self.hush_digest(policy, receiver, open, now);
        left.extend(over);
        self.in_order(left)
    }

    /// Whether a receiver hears of an open incident in another message at the same time.
    fn is_told_apart(&self, id: IncidentId, receiver: &str, now: Timestamp, told: &[Told]) -> bool {
        let just_told = |told: &&Told| {
            told.notification.receiver == receiver
                && told.notification.at == now
                && told.incidents.contains(&id)
        };
        let is_open = self.incidents.get(&id).is_some_and(Incident::is_open);
        is_open && told.iter().any(|one| just_told(&one))
    }

    fn is_waiting_at(&self, id: IncidentId, receiver: &str) -> bool {
        let Some(incident) = self.incidents.get(&id) else {
            return false;
        };
        let key = (incident.cause.clone(), receiver.to_owned());
        let fold = self.folds.get(&key);
        fold.is_some_and(|fold| fold.waiting.iter().any(|owed| owed.incident == id))
    }
}

/// Whether somebody would hear of it.
fn is_told(outcome: &Outcome) -> bool {
    matches!(
        outcome.decision,
        Decision::Notify
            | Decision::Recovered
            | Decision::Digest
            | Decision::Folded
            | Decision::Unmatched
    )
}

/// Incidents of which something may go out that nothing is known to hold back.
fn unhushed(fold: &Fold, now: Timestamp) -> BTreeSet<IncidentId> {
    let waiting = fold.waiting.iter();
    waiting
        .filter(|owed| owed.hush.as_ref().is_none_or(|hush| hush.until <= now))
        .filter(|owed| {
            let behind = owed.behind.as_ref();
            behind.is_none_or(|behind| behind.until <= now)
        })
        .map(|owed| owed.incident)
        .collect()
}

impl Fold {
    /// Holds back what is owed of an incident, or no longer. What is over by then is left to the summary, and an
    /// opening says all that a reminder would. Returns whether anything changed.
    fn hush(&mut self, incident: IncidentId, hush: Option<&Hush>) -> bool {
        let before = self.waiting.clone();
        let of = |news: News| {
            move |owed: &super::fold::Owed| owed.incident == incident && owed.news == news
        };
        if hush.is_some() && self.waiting.iter().any(of(News::Recovered)) {
            self.waiting.retain(|owed| owed.incident != incident);
        } else if hush.is_some() && self.waiting.iter().any(of(News::Opened)) {
            self.waiting.retain(|owed| !of(News::Still)(owed));
        }
        for owed in self
            .waiting
            .iter_mut()
            .filter(|owed| owed.incident == incident)
        {
            owed.hush = hush.cloned();
        }
        before != self.waiting
    }
}
