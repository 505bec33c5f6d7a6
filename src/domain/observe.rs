//! Applies one observation: run → verdict → classification → incident → what is owed to whom, and the
//! one decision that says what became of it.

use jiff::Timestamp;

use super::{
    classify::{Classification, UNCLASSIFIED, annotation, classify, is_told_unmatched},
    decision::Decision,
    incident::{Facts, GoodRun, Incident, IncidentId, Run, alias},
    job::JobKey,
    observation::Observation,
    pipeline::{self, Said, Spot},
    policy::Policy,
    prowjob::State as ProwState,
    release::ReleaseKey,
    rerun::Rerun,
    state::State,
    verdict::{Judgement, Verdict, judge},
};

#[cfg(test)]
mod tests;

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
    /// Whether it is worth reading why the run broke.
    pub to_read: bool,
}

/// What an observation says by itself, before anything else is known.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Our reading of the run.
    pub judged: Judgement,
    /// What the rules make of it.
    pub class: Classification,
    /// What the log of a green run said; `None` when it was not read.
    pub said: Option<Said>,
    /// The version that it works on.
    pub version: Option<String>,
    /// Indices of its pipeline and stage.
    at: Option<(usize, usize)>,
}

impl Reading {
    /// Reads a run; `said` is what the log of a green run says of its work.
    pub fn of(policy: &Policy, run: &Observation, said: Option<Said>) -> Self {
        let mut judged = judge(run);
        let mut class = classify(&policy.rules, run, judged.verdict);
        if class.rule.is_none() && is_told_unmatched(run) {
            class.stage.get_or_insert_with(|| UNCLASSIFIED.to_owned());
        }
        let at = pipeline::spot(&policy.pipelines, run, &class, judged.verdict);
        if let Some(said) = &said {
            judged = judged.reread(said);
        }
        let version = said.as_ref().and_then(|said| said.version.clone());
        Self {
            judged,
            class,
            version: version.or_else(|| pipeline::version(run)),
            said,
            at,
        }
    }

    /// Where it stands in a release.
    pub fn spot<'a>(&self, policy: &'a Policy) -> Option<Spot<'a>> {
        let (pipeline, stage) = self.at?;
        let pipeline = policy.pipelines.get(pipeline)?;
        Some(Spot {
            pipeline,
            stage: pipeline.stages.get(stage)?,
        })
    }

    /// The release that it belongs to.
    pub fn release(&self, policy: &Policy) -> Option<ReleaseKey> {
        let spot = self.spot(policy)?;
        let (service, version) = (self.class.service.as_ref()?, self.version.as_ref()?);
        Some(ReleaseKey::of(&spot.pipeline.name, service, version))
    }

    /// Whether its log must be read before it can be judged: it is green, and its stage has signs to look for.
    pub fn asks_for_log(&self, policy: &Policy) -> bool {
        self.judged.verdict == Verdict::Pass
            && self.said.is_none()
            && self
                .spot(policy)
                .is_some_and(|spot| !spot.stage.signs.is_empty())
    }
}

/// An observation with what was worked out of it.
pub(super) struct Case<'a> {
    pub(super) run: &'a Observation,
    pub(super) judged: Judgement,
    pub(super) class: Classification,
    pub(super) said: Option<Said>,
    pub(super) version: Option<String>,
    pub(super) release: Option<ReleaseKey>,
    pub(super) job: JobKey,
    pub(super) now: Timestamp,
}

impl State {
    /// Applies one observation at `now`. Repeating it changes nothing.
    pub fn observe(&mut self, policy: &Policy, run: &Observation, now: Timestamp) -> Outcome {
        self.observe_read(policy, run, Reading::of(policy, run, None), now)
    }

    /// Applies an observation that was read before.
    pub fn observe_read(
        &mut self,
        policy: &Policy,
        run: &Observation,
        reading: Reading,
        now: Timestamp,
    ) -> Outcome {
        let spot = reading.spot(policy);
        let case = Case {
            run,
            release: reading.release(policy),
            judged: reading.judged,
            class: reading.class,
            said: reading.said,
            version: reading.version,
            job: JobKey::of(run),
            now,
        };
        if let Some(reason) = self.known(&case) {
            self.confirm(run);
            return case.outcome(Decision::Deduplicated, reason);
        }
        if let Some(reason) = unwatched(policy, &case) {
            return case.outcome(Decision::Ignored, reason);
        }
        self.missed_since = run.missed_since;
        let outcome = self.apply(policy, &case, spot);
        self.note_ended(&run.run);
        let mut ended = spot.map_or_else(Vec::new, |spot| self.note_release(policy, &case, spot));
        if let Some(spot) = spot {
            self.note_pending(&case, spot);
        }
        ended.extend(self.note_watches(policy, &case, spot));
        self.missed_since = None;
        let outcome = self.with_ended(outcome, &ended);
        self.hushed(policy, outcome, case.now)
    }

    /// A run that is no news of its own, but came or ended after all where it was missed, is told as a recovery.
    fn with_ended(&self, outcome: Outcome, ended: &[IncidentId]) -> Outcome {
        let told = ended.first().and_then(|id| self.incidents.get(id));
        let (Some(incident), Decision::NotFailed | Decision::NoOp) = (told, outcome.decision)
        else {
            return outcome;
        };
        Outcome {
            decision: Decision::Recovered,
            reason: format!("{}; closes incident {}", outcome.reason, incident.id),
            receivers: incident.receivers(),
            incident: Some(incident.id),
            ..outcome
        }
    }

    /// Why an observation tells nothing new, if it does not.
    fn known(&self, case: &Case<'_>) -> Option<String> {
        let run = case.run;
        let known = self.runs.get(&run.run);
        if let Some(reported) = known.filter(|known| known.provisional) {
            return reported.stands_against(case);
        }
        if let Some(known) = known {
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
            twin.name != run.run
                && twin.finished_at.is_some()
                && (twin.inferred || run.inferred)
                && (!twin.provisional || twin.stands_against(case).is_some())
        })?;
        Some(format!(
            "the same run as {}, known from another source",
            twin.name
        ))
    }

    /// Notes that the run's end has come, which a command inside its job had told before. The run keeps its place
    /// among the others of its job.
    fn confirm(&mut self, run: &Observation) {
        if run.provisional || !run.is_finished() {
            return;
        }
        if let Some(known) = self.runs.get_mut(&run.run)
            && known.provisional
        {
            known.provisional = false;
            run.state.as_str().clone_into(&mut known.state);
            known.url = known.url.take().or_else(|| run.url.clone());
            self.changed.runs.insert(run.run.clone());
            self.note_history(&run.run);
        }
    }

    /// Takes back what a command inside the job had told of the run's end. Returns the incident that it was counted in.
    fn take_back(&mut self, run: &Observation) -> Option<IncidentId> {
        let reported = self.runs.get(&run.run).filter(|run| run.provisional)?;
        let at = reported.finished_at?;
        if let Some(line) = self.timelines.get_mut(&reported.job) {
            line.remove(&(at, reported.name.clone()));
        }
        reported.incident
    }

    fn apply(&mut self, policy: &Policy, case: &Case<'_>, spot: Option<Spot<'_>>) -> Outcome {
        let reported = self.take_back(case.run);
        let record = Run {
            release: case.release.clone(),
            ..Run::new(case.run, case.job.clone(), &case.judged)
        };
        let finished_at = record.finished_at;
        self.changed.runs.insert(record.name.clone());
        self.load_run(record);
        self.note_history(&case.run.run);
        let Some(at) = finished_at else {
            return case.outcome(Decision::NotFailed, still(case.run));
        };
        match case.judged.verdict {
            Verdict::Pass => {
                let outcome = self.good_run(case, at, reported);
                match spot.filter(|spot| spot.stage.shared) {
                    Some(spot) => self.heal_shared(case, spot, at, outcome),
                    None => outcome,
                }
            }
            Verdict::NoOp if reported.is_some() => self.good_run(case, at, reported),
            Verdict::Fail | Verdict::Infra | Verdict::SoftFail => {
                let outcome = self.bad_run(policy, case, spot, at);
                let healed = spot
                    .filter(|spot| spot.stage.shared)
                    .and_then(|spot| self.healed.get(&healed_key(case, spot)).cloned());
                // It turned up late: what heals all had come by then.
                let ended = |good: &GoodRun, id| {
                    let incident = self.incidents.get(&id);
                    incident.is_some_and(|incident| incident.latest.at < good.at)
                };
                if let (Some(good), Some(id)) = (healed, outcome.incident)
                    && ended(&good, id)
                {
                    self.close(id, good, case.now);
                }
                outcome
            }
            Verdict::Superseded => case.outcome(Decision::Superseded, case.judged.what.clone()),
            Verdict::NoOp => case.outcome(Decision::NoOp, case.judged.what.clone()),
            Verdict::AbortedByHuman => case.outcome(Decision::NotFailed, case.judged.what.clone()),
            Verdict::Running => case.outcome(Decision::NotFailed, still(case.run)),
        }
    }

    /// `reported` is the incident of an earlier report that this very run had failed.
    fn good_run(
        &mut self,
        case: &Case<'_>,
        at: Timestamp,
        reported: Option<IncidentId>,
    ) -> Outcome {
        let key = (at, case.run.run.clone());
        let (before, after) = self.neighbours(&case.job, &key);
        let Some(good) = self.runs.get(&case.run.run).and_then(Run::as_good) else {
            return case.outcome(Decision::NotFailed, "passed".to_owned());
        };
        let after_incident = after.and_then(|run| self.incident_of(&run));
        if let Some(id) = after_incident {
            self.set_last_good(id, &good);
        }
        let broken = before.and_then(|run| self.incident_of(&run));
        // What its own report had opened comes first: what was broken before that was over by then.
        let Some(id) = reported.or(broken) else {
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
            let reason = if reported.is_some() {
                format!(
                    "passed in the end, though one of its commands failed: closes incident {id}"
                )
            } else {
                format!("closes incident {id}")
            };
            case.outcome(Decision::Recovered, reason).to(receivers)
        } else {
            case.outcome(
                Decision::NotFailed,
                format!("passed; incident {id} was closed or never told"),
            )
        };
        outcome.incident = Some(id);
        outcome
    }

    fn bad_run(
        &mut self,
        policy: &Policy,
        case: &Case<'_>,
        spot: Option<Spot<'_>>,
        at: Timestamp,
    ) -> Outcome {
        let mut facts = Facts::new(case.run, at, case.judged.clone(), case.class.clone());
        facts.version.clone_from(&case.version);
        facts.in_release = case.release.is_some();
        let id = self.place(case, &facts, at);
        if let Some(incident) = self.incidents.get_mut(&id) {
            incident.shared_stage = spot.is_some_and(|spot| spot.stage.shared);
        }
        if let Some(run) = self.runs.get_mut(&case.run.run) {
            run.incident = Some(id);
            run.facts = Some(Box::new(facts));
        }
        let mut outcome = self.tell_bad(policy, case, at, id);
        let is_new = matches!(outcome.decision, Decision::Notify | Decision::Folded);
        if let Some(spot) = spot.filter(|_| is_new)
            && self.find_root(case, spot, id)
        {
            let root = self
                .incidents
                .get(&id)
                .and_then(|incident| incident.root.clone());
            if let Some(root) = root {
                outcome.decision = Decision::Folded;
                outcome.reason = format!(
                    "knocked over by incident {}: {} of {} has failed since {}",
                    root.incident, root.stage, root.owner, root.since
                );
            }
        }
        if is_new
            && outcome.decision == Decision::Notify
            && let Some(mass) = self.fold_into_mass(policy, id, case.now)
        {
            outcome.decision = Decision::Folded;
            outcome.reason = format!("part of the mass failure that incident {mass} tells of");
        }
        outcome.incident = Some(id);
        outcome.to_read = policy.reads_evidence
            && !matches!(outcome.decision, Decision::Stale | Decision::Ignored);
        if outcome.to_read {
            self.hold_for_reason(id, &case.run.run, policy.group_wait);
        }
        outcome
    }
}

impl State {
    /// One success of a stage that all services share ends whatever was broken there before it.
    fn heal_shared(
        &mut self,
        case: &Case<'_>,
        spot: Spot<'_>,
        at: Timestamp,
        mut outcome: Outcome,
    ) -> Outcome {
        let open: Vec<IncidentId> = self.open_at(&spot.stage.name).map(|(id, _)| id).collect();
        let Some(mut good) = self.runs.get(&case.run.run).and_then(Run::as_good) else {
            return outcome;
        };
        good.owner = Some(case.class.owner().to_owned());
        let key = healed_key(case, spot);
        if self.healed.get(&key).is_none_or(|known| known.at < at) {
            self.healed.insert(key.clone(), good.clone());
            self.changed.healed.insert(key);
        }
        for id in open {
            let Some(incident) = self.incidents.get(&id) else {
                continue;
            };
            if !incident.is_open()
                || !incident.is_of_org(case.run.org())
                || incident.latest.at >= at
            {
                continue;
            }
            let receivers = incident.receivers();
            if self.close(id, good.clone(), case.now) {
                let reason = format!("closes incident {id} of a stage that all share");
                outcome = case.outcome(Decision::Recovered, reason).to(receivers);
                outcome.incident = Some(id);
            }
        }
        outcome
    }
}

fn healed_key(case: &Case<'_>, spot: Spot<'_>) -> String {
    format!("{}|{}", case.run.org(), spot.stage.name)
}

impl Run {
    /// Why a sighting changes nothing of the failure that a command inside this run's job reported. `None` when it
    /// does: the run ended well in the end.
    fn stands_against(&self, case: &Case<'_>) -> Option<String> {
        if case.run.provisional {
            return Some("a command in this job was reported as failed already".to_owned());
        }
        if !case.run.is_finished() {
            return Some("still running, after one of its commands failed".to_owned());
        }
        let name = &self.name;
        let ended_well = matches!(case.judged.verdict, Verdict::Pass | Verdict::NoOp);
        (!ended_well).then(|| format!("the failure that a command in {name} reported already"))
    }
}

impl Case<'_> {
    pub(super) fn outcome(&self, decision: Decision, reason: String) -> Outcome {
        Outcome {
            decision,
            reason,
            verdict: self.judged.verdict,
            class: self.class.clone(),
            receivers: Vec::new(),
            incident: None,
            to_read: false,
        }
    }
}

impl Outcome {
    pub(super) fn to(mut self, receivers: Vec<String>) -> Self {
        self.receivers = receivers;
        self
    }
}

/// An aborted run without an end is winding down.
fn still(run: &Observation) -> String {
    if run.state == ProwState::Aborted {
        return "being stopped".to_owned();
    }
    match Rerun::of(run) {
        Some(rerun) => format!("still {}: {}", run.state, rerun.words()),
        None => format!("still {}", run.state),
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
