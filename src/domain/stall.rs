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
            let is_person =
                |stage: &&&Stage| release.due.get(&stage.name).is_some_and(|due| due.person);
            let (by_person, by_itself): (Vec<&Stage>, Vec<&Stage>) =
                missing.iter().partition(|stage| is_person(stage));
            let missing = if by_itself.is_empty() {
                by_person
            } else {
                by_itself
            };
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
        in_release: true,
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
        ) + if is_done {
            " did its work"
        } else {
            " must have done its work"
        };
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        classify::{Assignments, Rule, Template},
        matcher::Matcher,
        notification::Notification,
        pipeline::Need,
        prowjob::{Refs, State as ProwState},
        route::Routing,
        samples,
    };

    const DAY: i64 = 86_400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// `review`, which starts `build` by itself within an hour and `publish` by a person.
    fn policy(patience: Option<Duration>) -> Policy {
        let text = |text: &str| Some(Template::parse(text));
        let need = |within: Option<Duration>| Need {
            stage: "review".to_owned(),
            gate: within.is_none(),
            patience: patience.filter(|_| within.is_none()),
            within,
            ..Need::default()
        };
        let stage = |name: &str, needs: Vec<Need>| Stage {
            name: name.to_owned(),
            needs,
            ..Stage::default()
        };
        Policy {
            rules: vec![Rule {
                name: "all".to_owned(),
                matchers: vec![Matcher::parse(r#"job=~"(?<stage>.+)""#).unwrap()],
                set: Assignments {
                    service: text("s3"),
                    stage: text("$stage"),
                    ..Assignments::default()
                },
            }],
            pipelines: vec![Pipeline {
                name: "release".to_owned(),
                matchers: Vec::new(),
                stages: vec![
                    stage("review", Vec::new()),
                    stage("build", vec![need(Some(Duration::from_secs(3600)))]),
                    stage("publish", vec![need(None)]),
                ],
            }],
            routing: Routing {
                receivers: vec![("platform".to_owned(), crate::domain::route::Reach::Single)],
                default_receiver: Some("platform".to_owned()),
                ..Routing::default()
            },
            ..Policy::default()
        }
    }

    fn passed(job: &str, end: i64) -> Observation {
        Observation {
            state: ProwState::Success,
            started_at: Some(at(end - 60)),
            completed_at: Some(at(end)),
            refs: Some(Refs {
                org: "my-org".to_owned(),
                repo: "s3-controller".to_owned(),
                base_ref: "v1.0.0".to_owned(),
                ..Refs::default()
            }),
            ..samples::run(&format!("{job}-{end}"), job)
        }
    }

    fn whats(told: Vec<crate::domain::flush::Told>) -> Vec<String> {
        let notifications = told.into_iter().map(|told| told.notification);
        let items = notifications.flat_map(|Notification { items, .. }| items);
        items.map(|item| item.what).collect()
    }

    #[test]
    fn what_a_person_is_to_start_waits_and_is_told_when_they_take_too_long() {
        let policy = policy(Some(Duration::from_secs(7 * 86_400)));
        let mut state = State::default();
        for job in ["review", "build"] {
            state.observe(&policy, &passed(job, 60), at(60));
        }
        let release = state.releases.values().next().unwrap();
        assert_eq!(release.waiting.keys().collect::<Vec<_>>(), ["publish"]);
        assert!(state.flush(&policy, at(7 * DAY - 1), false).is_empty());
        assert_eq!(
            whats(state.flush(&policy, at(7 * DAY + 60), false)),
            [
                "nobody has approved publish for 7 d: it waits for a person since review did its work"
            ]
        );
        state.observe(&policy, &passed("publish", 8 * DAY), at(8 * DAY));
        let release = state.releases.values().next().unwrap();
        assert!(release.waiting.is_empty() && release.late.is_none());
        assert_eq!(
            state.flush(&policy, at(8 * DAY), false).len(),
            1,
            "it came after all"
        );
    }

    #[test]
    fn a_gate_without_a_time_waits_for_ever_and_what_starts_by_itself_is_late_all_the_same() {
        let policy = policy(None);
        let mut state = State::default();
        state.observe(&policy, &passed("review", 60), at(60));
        let told = whats(state.flush(&policy, at(3_660), false));
        assert_eq!(
            told,
            ["build did not start within 1 h after review did its work"]
        );
        assert!(state.flush(&policy, at(400 * DAY), false).is_empty());
        let release = state.releases.values().next().unwrap();
        assert!(release.waiting.contains_key("publish"));
    }

    #[test]
    fn nothing_is_late_before_the_sources_were_read() {
        let policy = policy(None);
        let mut state = State::default();
        state.observe(&policy, &passed("review", 60), at(60));
        state.deadlines_from = Timestamp::MAX;
        assert_eq!(state.next_due(), None, "nothing to wake up for");
        assert!(state.flush(&policy, at(DAY), false).is_empty());
        // What was awaited came while nobody looked.
        let mut heard = state.clone();
        heard.deadlines_from = at(DAY);
        heard.observe(&policy, &passed("build", 900), at(DAY));
        assert!(heard.flush(&policy, at(DAY), false).is_empty());
        state.deadlines_from = at(DAY);
        assert_eq!(state.next_due(), Some(at(DAY)));
        assert_eq!(state.flush(&policy, at(DAY), false).len(), 1);
    }
}
