//! Stages that did not start in time: the incidents about them.

use jiff::Timestamp;

use super::{
    classify::Classification,
    fold::CauseKey,
    incident::{Facts, Incident, Kind},
    job::JobKey,
    matcher::Labels,
    observation::{Observation, RunName},
    observe::Reading,
    pipeline::{Pipeline, Stage},
    policy::Policy,
    release::{Due, Late, Release, ReleaseKey},
    route::targets,
    state::State,
    time::words,
    verdict::{Judgement, Verdict},
};

impl State {
    /// Opens incidents about stages that did not start in time.
    pub(super) fn end_deadlines(&mut self, policy: &Policy, now: Timestamp, more_to_come: bool) {
        // What is late may stand further back in the inbox.
        if more_to_come || now < self.deadlines_from {
            return;
        }
        let due: Vec<ReleaseKey> = self
            .due_releases
            .iter()
            .filter(|(_, by)| **by <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.stall(policy, &key, now);
        }
    }

    fn stall(&mut self, policy: &Policy, key: &ReleaseKey, now: Timestamp) {
        let Some(mut release) = self.releases.remove(key) else {
            return;
        };
        self.due_releases.remove(key);
        self.changed.releases.insert(key.clone());
        let pipeline = policy
            .pipelines
            .iter()
            .find(|pipeline| pipeline.name == release.pipeline);
        if let Some(pipeline) = pipeline {
            let missing: Vec<&Stage> = pipeline
                .stages
                .iter()
                .filter(|stage| {
                    release
                        .due
                        .get(&stage.name)
                        .is_some_and(|due| due.by <= now)
                })
                .collect();
            // What a person has not started and what did not start by itself are told apart.
            let is_person = |stage: &&&Stage| release.due.get(&stage.name).is_some_and(|due| due.person);
            let (by_person, by_itself): (Vec<&Stage>, Vec<&Stage>) = missing.iter().partition(|stage| is_person(stage));
            let missing = if by_itself.is_empty() { by_person } else { by_itself };
            if let Some(stalled) = stalled(policy, pipeline, &release, &missing) {
                let stage = stalled.first.class.stage.clone().unwrap_or_default();
                let incident = self.open_and_tell(policy, stalled, now);
                release.late = Some(Late { incident, stage });
                release.due.retain(|_, due| due.by > now);
            }
        }
        if let Some(due_at) = release.due_at() {
            self.due_releases.insert(key.clone(), due_at);
        }
        self.releases.insert(key.clone(), release);
    }
}

/// The incident about stages that did not start; `None` where there are none.
fn stalled(
    policy: &Policy,
    pipeline: &Pipeline,
    release: &Release,
    missing: &[&Stage],
) -> Option<Incident> {
    let stage = missing.first()?;
    let due = release.due.get(&stage.name)?;
    let origin = release.origin.as_ref();
    let class = Classification {
        stage: Some(stage.name.clone()),
        rule: Some(format!("pipeline {}", pipeline.name)),
        severity: stage.severity,
        ..Reading::of(policy, origin, None).class
    };
    let labels = Labels {
        run: origin,
        verdict: Verdict::Running,
        class: Some(&class),
    };
    let targets = targets(&policy.routing.destinations(&labels), class.severity);
    let job = JobKey(format!(
        "stalled|{}|{}",
        ReleaseKey::of(&release.pipeline, &release.service, &release.version),
        stage.name
    ));
    let judged = Judgement {
        verdict: Verdict::Running,
        what: what_is_missing(release, missing, due),
    };
    let facts = Facts {
        run: RunName(job.0.clone()),
        base_ref: version_ref(origin, &release.version),
        base_sha: None,
        version: Some(release.version.clone()),
        ..Facts::new(origin, due.by, judged, class)
    };
    let incident = Incident::new(job, facts);
    Some(Incident {
        kind: Kind::Stalled,
        cause: CauseKey(format!("{}|stalled", incident.cause)),
        targets,
        ..incident
    })
}

fn what_is_missing(release: &Release, missing: &[&Stage], due: &Due) -> String {
    let names: Vec<&str> = missing.iter().map(|stage| stage.name.as_str()).collect();
    let seen = release.stages.get(&due.after);
    let is_done = seen.is_some_and(|seen| seen.done_at.is_some());
    if due.person {
        return format!(
            "nobody has approved {} for {}: it waits for a person since {}",
            listed(&names),
            words(due.by.duration_since(due.since).as_secs()),
            due.after,
        ) + if is_done { " did its work" } else { " must have done its work" };
    }
    format!(
        "{} did not start within {} after {} {}",
        listed(&names),
        words(due.by.duration_since(due.since).as_secs()),
        due.after,
        if is_done {
            "did its work"
        } else {
            "must have done its work"
        },
    )
}

/// The tag as this repository writes it.
fn version_ref(origin: &Observation, version: &str) -> String {
    if origin.base_ref().trim_start_matches('v') == version {
        origin.base_ref().to_owned()
    } else {
        format!("v{version}")
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
