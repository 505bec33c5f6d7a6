//! A failure upstream explains what it knocks over, in whichever order they arrive, and what outlives it is told.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    config::Config,
    domain::{
        decision::Decision,
        notification::{Event, Notification},
        observation::{Observation, Source},
        observe::Reading,
        pipeline::{Said, Sign},
        policy::Policy,
        state::State,
    },
    prow::parse,
    standin::prow::Job,
};

use crate::{
    inside::{passed, start},
    program::{no_environment, repository},
};

/// Shuffles with a fixed seed: the same orders in each run.
struct Dice(u64);

impl Dice {
    fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let other = usize::try_from(self.0 >> 33).unwrap() % (index + 1);
            list.swap(index, other);
        }
    }
}

struct World {
    state: State,
    policy: Policy,
    now: Timestamp,
    said: Vec<Notification>,
    decisions: Vec<Decision>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let receivers = folder.path().join("receivers.yaml");
        let text = "receivers:\n  - name: by-service\n    slack: { webhook_url_dir: /nowhere }\n  - name: platform\n    slack: { webhook_url_file: /nowhere/platform }\nroutes:\n  - match: ['service!=\"\"']\n    receiver: by-service\n    continue: true\n  - receiver: platform\n";
        std::fs::write(&receivers, text).unwrap();
        let paths = [repository("config/ack.yaml"), receivers];
        let config = Config::load(&paths, &no_environment()).unwrap();
        Self {
            state: State::default(),
            policy: Policy {
                // Of each release only the runs that break are seen here.
                keeps_deadlines: false,
                ..config.preview_policy()
            },
            now: start(),
            said: Vec::new(),
            decisions: Vec::new(),
        }
    }

    fn see(&mut self, run: &Observation) {
        self.see_green(run, None);
    }

    fn see_green(&mut self, run: &Observation, said: Option<Said>) {
        let reading = Reading::of(&self.policy, run, said);
        let outcome = self
            .state
            .observe_read(&self.policy, run, reading, self.now);
        self.decisions.push(outcome.decision);
    }

    fn flush(&mut self) {
        let told = self.state.flush(&self.policy, self.now, false);
        self.said
            .extend(told.into_iter().map(|told| told.notification));
    }

    fn pass(&mut self, time: SignedDuration) {
        let end = self.now + time;
        while let Some(due) = self.state.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.flush();
        }
        self.now = end;
        self.flush();
    }

    fn to(&self, receiver: &str) -> Vec<&Notification> {
        let said = self.said.iter();
        said.filter(|said| said.receiver == receiver).collect()
    }
}

fn run(job: &Job) -> Observation {
    let json = job.to_json().to_string();
    parse::observation(json.as_bytes(), Source::Webhook, start()).unwrap()
}

fn red(service: &str, job: &str, second: i64) -> Observation {
    let ended = start() + SignedDuration::from_secs(second);
    let began = ended - SignedDuration::from_mins(5);
    let job = Job::new(&format!("{service}-controller"), job, "v1.2.3", began);
    run(&job.ended("failure", "Job failed.", Some(ended)))
}

fn root() -> Observation {
    red("pipes", "pipes-controller-release-tag", 1)
}

fn knocked(index: i64) -> Observation {
    red(&format!("svc{index}"), "update-ack-chart", 2 + index)
}

/// A root and twelve that it knocks over.
fn shuffled(dice: &mut Dice) -> Vec<Observation> {
    let mut runs: Vec<Observation> = (0..12).map(knocked).chain([root()]).collect();
    dice.shuffle(&mut runs);
    runs
}

#[test]
fn a_root_and_its_twelve_knock_ons_in_fifty_orders_of_arrival() {
    let mut dice = Dice(7);
    for round in 0..50 {
        let runs = shuffled(&mut dice);
        let mut world = World::new();
        for run in &runs {
            world.see(run);
            world.decisions.pop();
        }
        world.flush();
        world.pass(SignedDuration::from_mins(30));
        let platform = world.to("platform");
        assert_eq!(platform.len(), 1, "round {round}: {platform:#?}");
        let item = &platform[0].items[0];
        assert_eq!(item.class.stage.as_deref(), Some("release-tag"));
        assert_eq!(
            item.blocks,
            [
                "publish",
                "umbrella-chart-update",
                "umbrella-chart-publish",
                "olm-bundle"
            ]
        );
        let own: BTreeMap<&str, &Notification> = world
            .said
            .iter()
            .filter(|said| said.receiver.starts_with("by-service/svc"))
            .map(|said| (said.receiver.as_str(), said))
            .collect();
        assert_eq!(own.len(), 12, "each service hears of its own");
        for said in own.values() {
            let root = said.items[0].root.as_ref().unwrap();
            assert_eq!(
                (root.owner.as_str(), root.stage.as_str()),
                ("pipes", "release-tag")
            );
        }
    }
}

#[test]
fn one_by_one_too_nothing_is_lost_and_little_is_said() {
    let mut dice = Dice(11);
    for round in 0..50 {
        let runs = shuffled(&mut dice);
        let mut world = World::new();
        for run in &runs {
            world.see(run);
            world.pass(SignedDuration::from_secs(60));
        }
        let platform = world.to("platform");
        assert!(platform.len() <= 5, "round {round}: {}", platform.len());
        let stages: BTreeSet<_> = platform
            .iter()
            .flat_map(|said| said.items.iter().map(|item| item.class.stage.clone()))
            .collect();
        assert!(
            stages.contains(&Some("release-tag".to_owned())),
            "round {round}"
        );
        let own = world
            .said
            .iter()
            .filter(|said| said.receiver.starts_with("by-service/svc"));
        assert_eq!(own.count(), 12, "round {round}");
    }
}

#[test]
fn what_outlives_its_root_is_told_and_what_ends_with_it_is_not() {
    let mut world = World::new();
    world.see(&root());
    world.flush();
    for index in 0..4 {
        world.see(&knocked(index));
    }
    world.flush();
    assert_eq!(
        world.decisions[1..],
        [Decision::Notify; 4],
        "told to their own"
    );
    world.pass(SignedDuration::from_mins(60));
    assert_eq!(world.to("platform").len(), 1, "folded behind the root");
    let healed = passed("pipes", "pipes-controller-release-tag", world.now);
    let said = Said {
        sign: Some(Sign::Done),
        line: String::new(),
        version: Some("1.2.3".to_owned()),
    };
    world.see_green(&run(&healed), Some(said));
    world.pass(SignedDuration::from_mins(10));
    let events = |world: &World| -> Vec<Event> {
        world.to("platform").iter().map(|said| said.event).collect()
    };
    assert_eq!(events(&world), [Event::Opened, Event::Recovered]);
    world.pass(SignedDuration::from_mins(10));
    assert_eq!(
        events(&world),
        [Event::Opened, Event::Recovered, Event::SharedCause]
    );
    assert_eq!(world.to("platform")[2].total, 4);

    let mut world = World::new();
    world.see(&root());
    world.see(&knocked(0));
    world.flush();
    let healed = passed(
        "sns",
        "update-ack-chart",
        world.now + SignedDuration::from_mins(5),
    );
    world.pass(SignedDuration::from_mins(5));
    world.see(&run(&healed));
    world.pass(SignedDuration::from_hours(24));
    let about: Vec<_> = world
        .to("platform")
        .iter()
        .filter(|said| said.items[0].class.stage.as_deref() == Some("umbrella-chart-update"))
        .map(|said| said.event)
        .collect();
    assert_eq!(about, [], "it came and went behind its root");
    let own: Vec<Event> = world
        .to("by-service/svc0")
        .iter()
        .map(|said| said.event)
        .collect();
    assert_eq!(own, [Event::Opened, Event::Recovered]);
}

#[test]
fn nothing_is_folded_for_longer_than_its_limit() {
    let mut world = World::new();
    world.see(&root());
    world.see(&knocked(0));
    world.flush();
    world.pass(SignedDuration::from_hours(5));
    assert_eq!(world.to("platform").len(), 1);
    world.pass(SignedDuration::from_hours(2));
    assert_eq!(world.to("platform").len(), 2);
}

#[test]
fn a_failure_in_another_organisation_is_no_root() {
    let mut world = World::new();
    let mut other = root();
    other.refs.as_mut().unwrap().org = "ack-prow-staging".to_owned();
    world.see(&other);
    world.flush();
    world.see(&knocked(0));
    world.flush();
    let told = world.to("by-service/svc0")[0];
    assert_eq!(told.items[0].root, None);
    assert!(
        world
            .to("platform")
            .iter()
            .any(|said| said.items[0].class.owner() == "svc0")
    );
}
