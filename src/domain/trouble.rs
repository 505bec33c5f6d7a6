//! What is wrong with the watch itself: a bucket that cannot be read, a deck that does not answer. Told as an
//! incident of our own, once when it begins and once when it ends, to the default receiver.

use jiff::Timestamp;

use super::{
    classify::{Classification, Severity},
    incident::{Facts, GoodRun, Incident, IncidentId, Kind, Target},
    job::JobKey,
    observation::RunName,
    policy::Policy,
    state::State,
};

/// Whose trouble it is, in messages.
pub const OURSELVES: &str = "prow-notifier";

/// Something that we need and that does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In place of a stage: `reading logs`.
    pub part: String,
    /// What is wrong and what follows from it, for people.
    pub what: String,
}

impl State {
    /// Takes in how something fares, by a key that is stable while that lasts (`logs s3://bucket`): begins its incident, or ends it when there is no trouble (any more). Saying
    /// the same again changes nothing.
    pub fn fares(&mut self, policy: &Policy, key: &str, trouble: Option<&Trouble>, now: Timestamp) {
        match (trouble, self.troubles.get(key).copied()) {
            (Some(trouble), None) => self.begin_trouble(policy, key, trouble, now),
            (None, Some(id)) => self.end_trouble(key, id, name(key, now), now),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn begin_trouble(&mut self, policy: &Policy, key: &str, trouble: &Trouble, now: Timestamp) {
        let receiver = policy.routing.default_receiver.clone();
        let targets = receiver.map(|receiver| Target {
            receiver,
            digest: None,
            mute: Vec::new(),
        });
        let job = JobKey(format!("{OURSELVES}|{key}"));
        let incident = Incident {
            kind: Kind::Trouble,
            targets: targets.into_iter().collect(),
            ..Incident::new(job, facts(key, trouble, now))
        };
        let id = self.open_and_tell(policy, incident, now);
        self.troubles.insert(key.to_owned(), id);
        self.changed.troubles.insert(key.to_owned());
    }

    /// Ends an incident that has a name of its own for the run that it has not.
    pub(super) fn end_trouble(&mut self, key: &str, id: IncidentId, run: RunName, now: Timestamp) {
        let good = GoodRun {
            run,
            at: now,
            base_ref: String::new(),
            base_sha: None,
            owner: None,
        };
        self.close(id, good, now);
        self.troubles.remove(key);
        self.changed.troubles.insert(key.to_owned());
    }

    /// Incidents of troubles that may end; a store loads them before [`State::fares`].
    pub fn trouble(&self, key: &str) -> Option<IncidentId> {
        self.troubles.get(key).copied()
    }
}

fn facts(key: &str, trouble: &Trouble, now: Timestamp) -> Facts {
    let class = Classification {
        component: OURSELVES.to_owned(),
        stage: Some(trouble.part.clone()),
        severity: Severity::NonCritical,
        ..Classification::default()
    };
    Facts::without_run(name(key, now), key, trouble.what.clone(), class, now)
}

/// No ProwJob can be called so.
fn name(key: &str, at: Timestamp) -> RunName {
    RunName(format!("{OURSELVES}|{key}|{at}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{notification::Event, route::Routing};

    #[test]
    fn trouble_is_told_once_and_its_end_once() {
        let policy = Policy {
            routing: Routing {
                default_receiver: Some("platform".to_owned()),
                ..Routing::default()
            },
            ..Policy::default()
        };
        let mut state = State::default();
        let trouble = Trouble {
            part: "reading logs".to_owned(),
            what: "403 Forbidden".to_owned(),
        };
        let mut told = Vec::new();
        for (second, trouble) in [
            (1, None),
            (2, Some(&trouble)),
            (3, Some(&trouble)),
            (9, None),
            (10, None),
        ] {
            let now = Timestamp::from_second(second).unwrap();
            state.fares(&policy, "logs s3://bucket", trouble, now);
            let said = state.flush(&policy, now, false).into_iter();
            told.extend(said.map(|said| (second, said.notification)));
        }
        let events: Vec<_> = told.iter().map(|(at, said)| (*at, said.event)).collect();
        assert_eq!(events, [(2, Event::Opened), (9, Event::Recovered)]);
        let item = &told[0].1.items[0];
        assert_eq!(
            (item.class.owner(), item.what.as_str()),
            (OURSELVES, "403 Forbidden")
        );
        assert!(state.troubles.is_empty());
    }
}
