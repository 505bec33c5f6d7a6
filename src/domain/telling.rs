//! What a bad run makes us say and to whom: the first failure, a repetition, and what is owed from then on.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    classify::{Classification, is_told_unmatched},
    decision::Decision,
    evidence::Finding,
    fold::{Cause, CauseKey, Digest, News, to_signed},
    incident::{Incident, IncidentId, Target},
    matcher::Labels,
    notification::DigestKind,
    observation::{Observation, RunName},
    observe::{Case, Outcome},
    policy::{FIRST_START_GRACE, Policy, SHARED_FROM, WINDOW_CAP},
    route::{Destination, targets},
    state::State,
    time::after,
};

/// Of a log that is being read.
const NOTHING_YET: &str = "no answer so far";

impl State {
    /// Decides what a bad run, already counted in its incident, makes us say.
    pub(super) fn tell_bad(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        at: Timestamp,
        id: IncidentId,
    ) -> Outcome {
        let first_start = is_before_first_start(policy, case.run, at);
        let is_summed_up = first_start || case.run.missed_since.is_some();
        if !is_summed_up && case.now.duration_since(at) > to_signed(policy.max_age) {
            return case.outcome(
                Decision::Stale,
                format!(
                    "finished {} ago, longer than watch.max_age",
                    about(case.now.duration_since(at))
                ),
            );
        }
        let after = case.class.after.map_or(1, |after| u64::from(after.get()));
        match self.incidents.get(&id) {
            Some(incident) if incident.announced_at.is_none() && incident.failures < after => case
                .outcome(
                    Decision::BelowThreshold,
                    format!(
                        "bad run {} in a row, told from {after} on",
                        incident.failures
                    ),
                ),
            Some(incident) if incident.announced_at.is_some() => self.repeat(policy, case, id),
            _ => self.announce(policy, case, first_start, id),
        }
    }

    /// A failure of an incident that has been announced.
    pub(super) fn repeat(&mut self, policy: &Policy, case: &Case<'_>, id: IncidentId) -> Outcome {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return case.outcome(Decision::Deduplicated, format!("belongs to incident {id}"));
        };
        if !incident.is_open() {
            return case.outcome(
                Decision::Deduplicated,
                format!("belongs to incident {id}, which is closed"),
            );
        }
        let failures = incident.failures;
        if let Some(ends) = incident.window_ends {
            return case.outcome(
                Decision::Deduplicated,
                format!("failure {failures} of incident {id}, counted until {ends}"),
            );
        }
        // A quiet window has ended, so this failure is news again.
        incident.window_length = Some(doubled(incident.window_length.unwrap_or(policy.window)));
        let receivers = incident.receivers();
        self.start_window(id, case.now);
        self.owe(id, News::Still, case.now);
        let reason = format!("failure {failures} of incident {id}, after a quiet window");
        let targets = self
            .incidents
            .get(&id)
            .map(|incident| incident.targets.clone())
            .unwrap_or_default();
        let decision =
            if !targets.is_empty() && targets.iter().all(|target| target.digest.is_some()) {
                Decision::Digest
            } else {
                Decision::Notify
            };
        case.outcome(decision, reason).to(receivers)
    }

    /// The first failure of an incident that is worth telling.
    pub(super) fn announce(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        first_start: bool,
        id: IncidentId,
    ) -> Outcome {
        let unmatched = case.class.rule.is_none();
        if unmatched && !is_told_unmatched(case.run) {
            return case.outcome(
                Decision::Ignored,
                "no rule matches, and only failed postsubmits are told without one".to_owned(),
            );
        }
        let is_open = self.incidents.get(&id).is_some_and(Incident::is_open);
        if case.run.missed_since.is_some() && !is_open {
            let reason = "missed, and over before anybody could be told".to_owned();
            return case.outcome(Decision::Stale, reason);
        }
        let labels = Labels {
            run: case.run,
            verdict: case.judged.verdict,
            class: Some(&case.class),
        };
        let destinations = if unmatched {
            policy.routing.fallthrough(&labels).into_iter().collect()
        } else {
            policy.routing.destinations(&labels)
        };
        let targets = targets(&destinations, case.class.severity);
        let cause = self.strike(id, targets.clone(), case.now, policy.window);
        if case.run.missed_since.is_some() {
            self.owe(id, News::Opened, case.now);
            return case
                .outcome(
                    Decision::Digest,
                    "missed while nobody told of it: told in one summary".to_owned(),
                )
                .to(names(&destinations));
        }
        if first_start {
            self.summarise(id, &targets, &DigestKind::FirstStart, case.now);
            return case
                .outcome(
                    Decision::Digest,
                    "finished before the first start: told in one summary".to_owned(),
                )
                .to(names(&destinations));
        }
        let decision = self.decide_telling(&cause, &targets);
        self.owe(id, News::Opened, case.now);
        if self
            .incidents
            .get(&id)
            .is_some_and(|incident| !incident.is_open())
        {
            self.owe(id, News::Recovered, case.now);
        }
        let reason = announce_reason(
            decision,
            unmatched,
            &case.class,
            &destinations,
            self.causes.get(&cause),
        );
        let decision = if unmatched {
            Decision::Unmatched
        } else {
            decision
        };
        case.outcome(decision, reason).to(names(&destinations))
    }

    /// Marks an incident as announced and counts it towards its cause.
    pub(super) fn strike(
        &mut self,
        id: IncidentId,
        targets: Vec<Target>,
        now: Timestamp,
        window: Duration,
    ) -> CauseKey {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return CauseKey(String::new());
        };
        incident.announced_at = Some(now);
        incident.targets = targets;
        incident.window_length = Some(window);
        let cause = incident.cause.clone();
        let open = incident.is_open();
        let shared_stage = incident.shared_stage;
        let owner = incident.owner().to_owned();
        // What was missed did not strike together only because we hear of it together.
        let struck_at = self.missed_since.map_or(now, |_| incident.latest.at);
        self.changed.incidents.insert(id);
        let suffering = self.causes.entry(cause.clone()).or_default();
        suffering.strike(id, &owner, shared_stage, struck_at);
        if !open {
            suffering.heal(id);
        }
        self.changed.causes.insert(cause.clone());
        if open {
            self.start_window(id, now);
        }
        cause
    }

    /// `Folded` when every receiver that is told at once has heard, or is about to hear, of the cause.
    pub(super) fn decide_telling(&self, cause: &CauseKey, targets: &[Target]) -> Decision {
        let at_once: Vec<&Target> = targets
            .iter()
            .filter(|target| target.digest.is_none())
            .collect();
        if at_once.is_empty() && !targets.is_empty() {
            return Decision::Digest;
        }
        let shared = self.causes.get(cause).is_some_and(Cause::is_shared);
        let heard = |target: &&Target| {
            self.folds
                .get(&(cause.clone(), target.receiver.clone()))
                .is_some_and(|fold| {
                    let about: BTreeSet<IncidentId> =
                        fold.will_tell().map(|owed| owed.incident).collect();
                    fold.told_owners.len() + about.len() >= SHARED_FROM - 1
                        || fold.told_at.contains_key(&News::Opened)
                })
        };
        if shared && !at_once.is_empty() && at_once.iter().all(heard) {
            Decision::Folded
        } else {
            Decision::Notify
        }
    }

    /// Puts an incident into the summary of each of its receivers.
    pub(super) fn summarise(
        &mut self,
        id: IncidentId,
        targets: &[Target],
        kind: &DigestKind,
        now: Timestamp,
    ) {
        for target in targets {
            let key = (target.receiver.clone(), true);
            let digest = self.digests.entry(key.clone()).or_insert_with(|| Digest {
                kind: kind.clone(),
                due_at: now,
                incidents: Vec::new(),
            });
            if !digest.incidents.contains(&id) {
                digest.incidents.push(id);
            }
            self.changed.digests.insert(key);
        }
    }

    /// Whether somebody is still owed this news of an incident.
    pub(super) fn is_waiting(&self, id: IncidentId, news: News) -> bool {
        let Some(incident) = self.incidents.get(&id) else {
            return false;
        };
        incident.targets.iter().any(|target| {
            let folded = self
                .folds
                .get(&(incident.cause.clone(), target.receiver.clone()));
            let collected = self.digests.get(&(target.receiver.clone(), false));
            self.is_hidden(id, &target.receiver)
                || folded.is_some_and(|fold| {
                    fold.waiting
                        .iter()
                        .any(|owed| owed.incident == id && owed.news == news)
                })
                || collected.is_some_and(|digest| digest.incidents.contains(&id))
        })
    }

    /// Starts the dedup window of an incident at its current length.
    pub(super) fn start_window(&mut self, id: IncidentId, now: Timestamp) {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return;
        };
        let ends_at = after(now, incident.window_length.unwrap_or_default());
        incident.window_ends = Some(ends_at);
        self.windows.insert((ends_at, id));
        self.changed.incidents.insert(id);
    }

    /// Holds back what is owed of an incident until the reason of its latest run is known, for `longest` at most.
    pub(super) fn hold_for_reason(&mut self, id: IncidentId, run: &RunName, longest: Duration) {
        let held_for = (!longest.is_zero()).then_some(longest);
        let Some(incident) = self
            .incidents
            .get_mut(&id)
            .filter(|incident| incident.latest.run == *run)
        else {
            return;
        };
        // What a message says that cannot wait for the answer.
        let nothing_yet = Finding::Unreadable(NOTHING_YET.to_owned());
        incident.latest.finding = Some(Box::new(nothing_yet));
        self.changed.incidents.insert(id);
        self.set_hold(id, held_for);
    }

    /// Takes in why a run broke. What waits for it goes out, unless there is `more_soon`; a later message of the
    /// incident tells what is known then.
    pub fn learn(&mut self, run: &RunName, finding: &Finding, more_soon: bool) {
        let Some(known) = self.runs.get_mut(run) else {
            return;
        };
        let Some(facts) = &mut known.facts else {
            return;
        };
        facts.finding = Some(Box::new(finding.clone()));
        self.changed.runs.insert(run.clone());
        let Some(id) = known.incident else { return };
        let Some(incident) = self.incidents.get_mut(&id) else {
            return;
        };
        incident.learn(run, finding);
        let is_latest = incident.latest.run == *run;
        self.changed.incidents.insert(id);
        if is_latest && !more_soon {
            self.set_hold(id, None);
        }
        self.note_ended(run);
        let incident = self.incidents.get(&id);
        if incident.is_some_and(|incident| self.is_apart(incident)) {
            self.unfold(id);
        }
    }

    fn set_hold(&mut self, id: IncidentId, held_for: Option<Duration>) {
        let Some(incident) = self.incidents.get(&id) else {
            return;
        };
        for target in &incident.targets {
            let key = (incident.cause.clone(), target.receiver.clone());
            let Some(fold) = self.folds.get_mut(&key) else {
                continue;
            };
            let owed = fold
                .waiting
                .iter_mut()
                .filter(|owed| owed.incident == id && owed.news != News::Recovered);
            for owed in owed.filter(|owed| owed.held_for != held_for) {
                owed.held_for = held_for;
                self.changed.folds.insert(key.clone());
            }
        }
    }

    /// Owes news of an incident to each of its receivers.
    pub(super) fn owe(&mut self, id: IncidentId, news: News, now: Timestamp) {
        let Some(incident) = self.incidents.get(&id) else {
            return;
        };
        let was_told = incident.told_failures > 0;
        if let Some(since) = self.missed_since
            && (news != News::Recovered || was_told)
        {
            let targets = incident.targets.clone();
            return self.summarise(id, &targets, &DigestKind::CatchUp { since }, now);
        }
        for target in &incident.targets {
            let collects = target.digest.is_some() && news == News::Recovered;
            if collects && self.is_hidden(id, &target.receiver) {
                continue;
            }
            if let Some(summary) = self.digests.get_mut(&(target.receiver.clone(), true))
                && summary.incidents.contains(&id)
            {
                // It closed before the summary went out: nothing to tell of it, unless it was told of before.
                let is_told = news != News::Recovered || was_told;
                summary.incidents.retain(|known| is_told || *known != id);
                self.changed.digests.insert((target.receiver.clone(), true));
            } else if let Some(period) = target.digest {
                let key = (target.receiver.clone(), false);
                let due_at = after(now, period);
                let kind = DigestKind::Period { since: now };
                let digest = self.digests.entry(key.clone()).or_insert_with(|| Digest {
                    kind,
                    due_at,
                    incidents: Vec::new(),
                });
                if !digest.incidents.contains(&id) {
                    digest.incidents.push(id);
                }
                self.changed.digests.insert(key);
            } else {
                let key = (incident.cause.clone(), target.receiver.clone());
                let fold = self.folds.entry(key.clone()).or_default();
                if news != News::Recovered || !fold.drop_untold(id) {
                    fold.owe(id, news, now);
                }
                self.owing.insert(key.clone());
                self.changed.folds.insert(key);
            }
        }
    }
}

/// Whether a run of the first deck list belongs into the first start's summary.
fn is_before_first_start(policy: &Policy, run: &Observation, at: Timestamp) -> bool {
    run.initial
        && policy
            .first_start
            .is_some_and(|start| start.duration_since(at) > to_signed(FIRST_START_GRACE))
}

fn names(destinations: &[Destination]) -> Vec<String> {
    destinations.iter().map(|to| to.receiver.clone()).collect()
}

fn announce_reason(
    decision: Decision,
    unmatched: bool,
    class: &Classification,
    to: &[Destination],
    cause: Option<&Cause>,
) -> String {
    let by: Vec<String> = to
        .iter()
        .map(|to| format!("{} by {}", to.receiver, to.by))
        .collect();
    let to = if by.is_empty() {
        "no receiver is configured".to_owned()
    } else {
        by.join(", ")
    };
    let stage = class.stage.as_deref().unwrap_or("this job");
    match decision {
        _ if unmatched => format!("no rule matches this failed postsubmit; {to}"),
        Decision::Folded => format!(
            "{stage} fails in {} services: one message for all; {to}",
            cause.map_or(0, Cause::owners)
        ),
        Decision::Digest => format!("first failure, not critical: collected; {to}"),
        _ => format!("first failure; {to}"),
    }
}

/// Twice as long, up to the cap.
pub(super) fn doubled(window: Duration) -> Duration {
    (window * 2).min(WINDOW_CAP.max(window))
}

/// A duration in its largest unit: `3 d`, `5 h`, `12 min`, `40 s`.
fn about(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        172_800.. => format!("{} d", seconds / 86_400),
        7_200.. => format!("{} h", seconds / 3_600),
        120.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
