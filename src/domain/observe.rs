//! Applies one observation: run → verdict → classification → incident → what is owed to whom, and the
//! one decision that says what became of it.

use jiff::Timestamp;

use super::{
    classify::{Classification, UNCLASSIFIED, annotation, classify, is_told_unmatched},
    decision::Decision,
    incident::{Facts, Incident, IncidentId, Run, alias},
    job::JobKey,
    observation::Observation,
    policy::Policy,
    prowjob::State as ProwState,
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

/// An observation with what was worked out of it.
pub(super) struct Case<'a> {
    pub(super) run: &'a Observation,
    pub(super) judged: Judgement,
    pub(super) class: Classification,
    pub(super) job: JobKey,
    pub(super) now: Timestamp,
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
        let (decision, reason) = match self.known(&case) {
            Some(reason) => {
                self.confirm(run);
                (Decision::Deduplicated, reason)
            }
            None => match unwatched(policy, &case) {
                Some(reason) => (Decision::Ignored, reason),
                None => return self.apply(policy, &case),
            },
        };
        case.outcome(decision, reason)
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

    fn apply(&mut self, policy: &Policy, case: &Case<'_>) -> Outcome {
        let reported = self.take_back(case.run);
        let record = Run::new(case.run, case.job.clone(), &case.judged);
        let finished_at = record.finished_at;
        self.changed.runs.insert(record.name.clone());
        self.load_run(record);
        let Some(at) = finished_at else {
            return case.outcome(Decision::NotFailed, still(case.run));
        };
        match case.judged.verdict {
            Verdict::Pass => self.good_run(case, at, reported),
            Verdict::NoOp if reported.is_some() => self.good_run(case, at, reported),
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
        let Some(id) = broken.or(reported) else {
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

    fn bad_run(&mut self, policy: &Policy, case: &Case<'_>, at: Timestamp) -> Outcome {
        let facts = Facts::new(case.run, at, case.judged.clone(), case.class.clone());
        let id = self.place(case, &facts, at);
        if let Some(run) = self.runs.get_mut(&case.run.run) {
            run.incident = Some(id);
            run.facts = Some(Box::new(facts));
        }
        let mut outcome = self.tell_bad(policy, case, at, id);
        outcome.incident = Some(id);
        outcome.to_read = policy.reads_evidence
            && !matches!(outcome.decision, Decision::Stale | Decision::Ignored);
        if outcome.to_read {
            self.hold_for_reason(id, &case.run.run, policy.group_wait);
        }
        outcome
    }
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
