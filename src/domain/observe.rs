//! Applies one observation: run → verdict → classification → incident → what is owed to whom, and the
//! one decision that says what became of it.

use std::{collections::BTreeSet, ops::Bound, time::Duration};

use jiff::Timestamp;

use super::{
    classify::{Classification, UNCLASSIFIED, annotation, classify, is_told_unmatched},
    decision::Decision,
    fold::{Cause, CauseKey, Digest, News, to_signed},
    incident::{Facts, GoodRun, Incident, IncidentId, Run, Target, alias},
    job::JobKey,
    matcher::Labels,
    notification::DigestKind,
    observation::{Observation, RunName},
    policy::{FIRST_START_GRACE, Policy, SHARED_FROM, WINDOW_CAP},
    prowjob::State as ProwState,
    route::Destination,
    state::State,
    verdict::{Judgement, Verdict, judge},
};

/// What became of one observation, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// Why, in one clause for people.
    pub reason: String,
    /// Our reading of the run.
    pub verdict: Verdict,
    /// What the rules made of it.
    pub class: Classification,
    /// Concrete receivers that are told because of it.
    pub receivers: Vec<String>,
    /// The incident that it opened, prolonged or closed.
    pub incident: Option<IncidentId>,
}

/// An observation with what was worked out of it.
struct Case<'a> {
    run: &'a Observation,
    judged: Judgement,
    class: Classification,
    job: JobKey,
    now: Timestamp,
}

impl State {
    /// Applies one observation at `now`. Repeating it changes nothing.
    pub fn observe(&mut self, policy: &Policy, run: &Observation, now: Timestamp) -> Outcome {
        let judged = judge(run);
        let mut class = classify(&policy.rules, run, judged.verdict);
        if class.rule.is_none() && is_told_unmatched(run) {
            class.stage.get_or_insert_with(|| UNCLASSIFIED.to_owned());
        }
        let case = Case {
            run,
            judged,
            class,
            job: JobKey::of(run),
            now,
        };
        let (decision, reason) = match self.known(run) {
            Some(reason) => (Decision::Deduplicated, reason),
            None => match unwatched(policy, &case) {
                Some(reason) => (Decision::Ignored, reason),
                None => return self.apply(policy, &case),
            },
        };
        case.outcome(decision, reason)
    }

    /// Why an observation tells nothing new, if it does not.
    fn known(&self, run: &Observation) -> Option<String> {
        if let Some(known) = self.runs.get(&run.run) {
            if known.finished_at.is_some() {
                return Some("this run's end is known already".to_owned());
            }
            let further = ProwState::parse(&known.state).progress() < run.state.progress();
            if !run.is_finished() && !further {
                return Some(format!("already seen as {}", known.state));
            }
        }
        let mut twins = self
            .aliases
            .get(&alias(run)?)?
            .iter()
            .filter_map(|name| self.runs.get(name));
        let twin = twins.find(|twin| {
            twin.name != run.run && twin.finished_at.is_some() && (twin.inferred || run.inferred)
        })?;
        Some(format!(
            "the same run as {}, known from another source",
            twin.name
        ))
    }

    fn apply(&mut self, policy: &Policy, case: &Case<'_>) -> Outcome {
        let record = Run::new(case.run, case.job.clone(), &case.judged);
        let finished_at = record.finished_at;
        self.changed.runs.insert(record.name.clone());
        self.load_run(record);
        let Some(at) = finished_at else {
            return case.outcome(Decision::NotFailed, still(case.run));
        };
        match case.judged.verdict {
            Verdict::Pass => self.good_run(case, at),
            Verdict::Fail | Verdict::Infra | Verdict::SoftFail => self.bad_run(policy, case, at),
            Verdict::Superseded => {
                case.outcome(Decision::Superseded, "a newer run replaced it".to_owned())
            }
            Verdict::NoOp => case.outcome(Decision::NoOp, "green with nothing to do".to_owned()),
            Verdict::AbortedByHuman => {
                case.outcome(Decision::NotFailed, "a person stopped it".to_owned())
            }
            Verdict::Running => case.outcome(Decision::NotFailed, still(case.run)),
        }
    }

    fn good_run(&mut self, case: &Case<'_>, at: Timestamp) -> Outcome {
        let key = (at, case.run.run.clone());
        let (before, after) = self.neighbours(&case.job, &key);
        let Some(good) = self.runs.get(&case.run.run).and_then(Run::as_good) else {
            return case.outcome(Decision::NotFailed, "passed".to_owned());
        };
        let after_incident = after.and_then(|run| self.incident_of(&run));
        if let Some(id) = after_incident {
            self.set_last_good(id, &good);
        }
        let Some(id) = before.and_then(|run| self.incident_of(&run)) else {
            return case.outcome(Decision::NotFailed, "passed".to_owned());
        };
        if after_incident == Some(id) {
            self.split(id, &key, &good, case.now);
        }
        let told = self.close(id, good, case.now);
        let mut outcome = if told {
            let receivers = self
                .incidents
                .get(&id)
                .map_or_else(Vec::new, Incident::receivers);
            case.outcome(Decision::Recovered, format!("closes incident {id}"))
                .to(receivers)
        } else {
            case.outcome(
                Decision::NotFailed,
                format!("passed; incident {id} was closed or never told"),
            )
        };
        outcome.incident = Some(id);
        outcome
    }

    fn bad_run(&mut self, policy: &Policy, case: &Case<'_>, at: Timestamp) -> Outcome {
        let facts = Facts::new(case.run, at, case.judged.clone(), case.class.clone());
        let id = self.place(case, &facts, at);
        if let Some(run) = self.runs.get_mut(&case.run.run) {
            run.incident = Some(id);
            run.facts = Some(Box::new(facts));
        }
        let mut outcome = self.tell_bad(policy, case, at, id);
        outcome.incident = Some(id);
        outcome
    }

    /// Finds or opens the incident of a bad run and counts it there.
    fn place(&mut self, case: &Case<'_>, facts: &Facts, at: Timestamp) -> IncidentId {
        let key = (at, case.run.run.clone());
        let (before, after) = self.neighbours(&case.job, &key);
        let joined = before
            .as_ref()
            .and_then(|run| self.incident_of(run))
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
        let (last_good, closed_by) = (good(before), good(after));
        self.open(
            facts.clone(),
            facts.clone(),
            1,
            case.job.clone(),
            last_good,
            closed_by,
        )
    }

    fn open(
        &mut self,
        first: Facts,
        latest: Facts,
        failures: u64,
        job: JobKey,
        last_good: Option<GoodRun>,
        closed_by: Option<GoodRun>,
    ) -> IncidentId {
        let id = IncidentId(self.next_incident);
        self.next_incident += 1;
        let cause = CauseKey::of(&first.class, &job);
        let incident = Incident {
            id,
            job,
            cause,
            first,
            latest,
            failures,
            last_good,
            closed_by,
            announced_at: None,
            told_failures: 0,
            window_ends: None,
            window_length: None,
            targets: Vec::new(),
        };
        self.incidents.insert(id, incident);
        self.changed.incidents.insert(id);
        id
    }

    /// Decides what a bad run, already counted in its incident, makes us say.
    fn tell_bad(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        at: Timestamp,
        id: IncidentId,
    ) -> Outcome {
        let first_start = is_before_first_start(policy, case.run, at);
        if !first_start && case.now.duration_since(at) > to_signed(policy.max_age) {
            return case.outcome(
                Decision::Stale,
                format!(
                    "finished {} ago, longer than watch.max_age",
                    about(case.now.duration_since(at))
                ),
            );
        }
        match self.incidents.get(&id) {
            Some(incident) if incident.announced_at.is_some() => self.repeat(policy, case, id),
            _ => self.announce(policy, case, first_start, id),
        }
    }

    /// A failure of an incident that has been announced.
    fn repeat(&mut self, policy: &Policy, case: &Case<'_>, id: IncidentId) -> Outcome {
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
    fn announce(
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
        let critical = case.class.severity == super::classify::Severity::Critical;
        let targets: Vec<Target> = destinations
            .iter()
            .map(|to| Target {
                receiver: to.receiver.clone(),
                digest: to.digest.filter(|_| !critical),
            })
            .collect();
        let cause = self.strike(id, targets.clone(), case.now, policy.window);
        if first_start {
            self.summarise(id, &targets, case.now);
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
    fn strike(
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
        let owner = incident.owner().to_owned();
        self.changed.incidents.insert(id);
        let suffering = self.causes.entry(cause.clone()).or_default();
        suffering.strike(&owner, now);
        if !open {
            suffering.heal(&owner);
        }
        self.changed.causes.insert(cause.clone());
        if open {
            self.start_window(id, now);
        }
        cause
    }

    /// `Folded` when every receiver that is told at once has heard, or is about to hear, of the cause.
    fn decide_telling(&self, cause: &CauseKey, targets: &[Target]) -> Decision {
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
                        fold.waiting.iter().map(|owed| owed.incident).collect();
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

    fn summarise(&mut self, id: IncidentId, targets: &[Target], now: Timestamp) {
        for target in targets {
            let key = (target.receiver.clone(), true);
            let digest = self.digests.entry(key.clone()).or_insert_with(|| Digest {
                kind: DigestKind::FirstStart,
                due_at: now,
                incidents: Vec::new(),
            });
            digest.incidents.push(id);
            self.changed.digests.insert(key);
        }
    }

    /// Closes an incident, or moves its end earlier. Returns whether that is news to somebody.
    fn close(&mut self, id: IncidentId, good: GoodRun, now: Timestamp) -> bool {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return false;
        };
        let was_open = incident.is_open();
        incident.closed_by = Some(good);
        if let Some(ends) = incident.window_ends.take() {
            self.windows.remove(&(ends, id));
        }
        self.changed.incidents.insert(id);
        let announced = incident.announced_at.is_some();
        if announced && was_open {
            let (owner, cause) = (incident.owner().to_owned(), incident.cause.clone());
            if let Some(suffering) = self.causes.get_mut(&cause) {
                suffering.heal(&owner);
                self.changed.causes.insert(cause);
            }
            self.owe(id, News::Recovered, now);
        }
        announced && was_open
    }

    /// A good run turned up between the bad runs of one incident: what follows it is another one.
    fn split(
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
        let new = self.open(
            first,
            latest,
            later.len() as u64,
            old.job.clone(),
            Some(good.clone()),
            old.closed_by.clone(),
        );
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
    fn shorten(&mut self, id: IncidentId, good_key: &(Timestamp, RunName), lost: u64) {
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

    fn set_last_good(&mut self, id: IncidentId, good: &GoodRun) {
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
    fn neighbours(
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

    fn incident_of(&self, run: &RunName) -> Option<IncidentId> {
        self.runs.get(run).and_then(|run| run.incident)
    }

    /// Whether somebody is still owed this news of an incident.
    fn is_waiting(&self, id: IncidentId, news: News) -> bool {
        let Some(incident) = self.incidents.get(&id) else {
            return false;
        };
        incident.targets.iter().any(|target| {
            let folded = self
                .folds
                .get(&(incident.cause.clone(), target.receiver.clone()));
            let collected = self.digests.get(&(target.receiver.clone(), false));
            folded.is_some_and(|fold| {
                fold.waiting
                    .iter()
                    .any(|owed| owed.incident == id && owed.news == news)
            }) || collected.is_some_and(|digest| digest.incidents.contains(&id))
        })
    }

    /// Starts the dedup window of an incident at its current length.
    pub(super) fn start_window(&mut self, id: IncidentId, now: Timestamp) {
        let Some(incident) = self.incidents.get_mut(&id) else {
            return;
        };
        let ends_at = now
            .checked_add(incident.window_length.unwrap_or_default())
            .unwrap_or(Timestamp::MAX);
        incident.window_ends = Some(ends_at);
        self.windows.insert((ends_at, id));
        self.changed.incidents.insert(id);
    }

    /// Owes news of an incident to each of its receivers.
    pub(super) fn owe(&mut self, id: IncidentId, news: News, now: Timestamp) {
        let Some(incident) = self.incidents.get(&id) else {
            return;
        };
        for target in &incident.targets {
            if let Some(summary) = self.digests.get_mut(&(target.receiver.clone(), true))
                && summary.incidents.contains(&id)
            {
                // It closed before the first start's summary went out: nothing to tell of it any more.
                summary
                    .incidents
                    .retain(|known| news != News::Recovered || *known != id);
                self.changed.digests.insert((target.receiver.clone(), true));
            } else if let Some(period) = target.digest {
                let key = (target.receiver.clone(), false);
                let due_at = now.checked_add(period).unwrap_or(Timestamp::MAX);
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
                self.folds
                    .entry(key.clone())
                    .or_default()
                    .owe(id, news, now);
                self.changed.folds.insert(key);
            }
        }
    }
}

impl Incident {
    /// Whose it is, for counting who suffers from a cause. The first bad run may change when an older one
    /// turns up late, but not its owner, which follows from the job.
    pub fn owner(&self) -> &str {
        self.first.class.owner()
    }

    /// Its concrete receivers.
    pub fn receivers(&self) -> Vec<String> {
        self.targets
            .iter()
            .map(|target| target.receiver.clone())
            .collect()
    }
}

impl Case<'_> {
    fn outcome(&self, decision: Decision, reason: String) -> Outcome {
        Outcome {
            decision,
            reason,
            verdict: self.judged.verdict,
            class: self.class.clone(),
            receivers: Vec::new(),
            incident: None,
        }
    }
}

impl Outcome {
    fn to(mut self, receivers: Vec<String>) -> Self {
        self.receivers = receivers;
        self
    }
}

/// An aborted run without an end is winding down.
fn still(run: &Observation) -> String {
    if run.state == ProwState::Aborted {
        "being stopped".to_owned()
    } else {
        format!("still {}", run.state)
    }
}

/// Why a run is not ours to report.
fn unwatched(policy: &Policy, case: &Case<'_>) -> Option<String> {
    if !policy.types.contains(&case.run.job_type) {
        return Some(format!("type {} is not in watch.types", case.run.job_type));
    }
    if case
        .run
        .annotations
        .get(annotation::REPORT)
        .is_some_and(|value| value == "false")
    {
        return Some(format!("the job says {}: \"false\"", annotation::REPORT));
    }
    None
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
            cause.map_or(0, |cause| cause.open.len())
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
pub fn about(duration: jiff::SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        172_800.. => format!("{} d", seconds / 86_400),
        7_200.. => format!("{} h", seconds / 3_600),
        120.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
