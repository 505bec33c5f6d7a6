//! Stages that did not start in time: the incidents about them.

use jiff::Timestamp;

use super::{
    fold::{CauseKey, News},
    incident::{Facts, IncidentId, Kind},
    job::JobKey,
    matcher::Labels,
    observation::{Observation, RunName},
    observe::Reading,
    pipeline::Pipeline,
    policy::Policy,
    release::{Due, Late, Release, ReleaseKey},
    route::targets,
    state::State,
    verdict::{Judgement, Verdict},
};

impl State {
    /// Opens incidents about stages that did not start in time.
    pub(super) fn end_deadlines(&mut self, policy: &Policy, now: Timestamp, more_to_come: bool) {
        // What is late may stand further back in the inbox.
        if more_to_come {
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
            let missing: Vec<&str> = pipeline
                .stages
                .iter()
                .map(|stage| stage.name.as_str())
                .filter(|stage| release.due.get(*stage).is_some_and(|due| due.by <= now))
                .collect();
            if let Some(first) = missing.first().copied()
                && let Some(due) = release.due.get(first).cloned()
            {
                let incident =
                    self.open_stalled(policy, pipeline, &release, first, &missing, &due, now);
                let stage = first.to_owned();
                release.late = Some(Late { incident, stage });
                release.due.retain(|_, due| due.by > now);
            }
        }
        if let Some(due_at) = release.due_at() {
            self.due_releases.insert(key.clone(), due_at);
        }
        self.releases.insert(key.clone(), release);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "all of it goes into one incident"
    )]
    fn open_stalled(
        &mut self,
        policy: &Policy,
        pipeline: &Pipeline,
        release: &Release,
        stage: &str,
        missing: &[&str],
        due: &Due,
        now: Timestamp,
    ) -> IncidentId {
        let origin = release.origin.as_ref();
        let reading = Reading::of(policy, origin, None);
        let mut class = reading.class;
        class.stage = Some(stage.to_owned());
        class.rule = Some(format!("pipeline {}", pipeline.name));
        class.severity = pipeline
            .stage(stage)
            .map(|stage| stage.severity)
            .unwrap_or_default();
        let labels = Labels {
            run: origin,
            verdict: Verdict::Running,
            class: Some(&class),
        };
        let targets = targets(&policy.routing.destinations(&labels), class.severity);
        let what = format!(
            "{} did not start within {} min after {} {}",
            listed(missing),
            due.by.duration_since(due.since).as_secs() / 60,
            due.after,
            if release
                .stages
                .get(&due.after)
                .is_some_and(|seen| seen.done_at.is_some())
            {
                "did its work"
            } else {
                "must have done its work"
            },
        );
        let job = JobKey(format!(
            "stalled|{}|{stage}",
            ReleaseKey::of(&release.pipeline, &release.service, &release.version)
        ));
        let mut facts = Facts::new(
            origin,
            due.by,
            Judgement {
                verdict: Verdict::Running,
                what,
            },
            class,
        );
        facts.run = RunName(job.0.clone());
        facts.base_ref = version_ref(origin, &release.version);
        facts.base_sha = None;
        facts.version = Some(release.version.clone());
        let id = self.open(facts.clone(), facts, 1, job, None, None);
        if let Some(incident) = self.incidents.get_mut(&id) {
            incident.kind = Kind::Stalled;
            incident.cause = CauseKey(format!("{}|stalled", incident.cause));
        }
        self.strike(id, targets, now, policy.window);
        self.owe(id, News::Opened, now);
        id
    }
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
