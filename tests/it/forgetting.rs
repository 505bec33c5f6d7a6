//! A replay forgets, and says to the letter what one says that remembers everything.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    config::Config,
    domain::{
        flush::Told,
        observation::{Observation, Source},
        policy::Policy,
        replay::Replay,
    },
    prow::parse,
    standin::prow::Job,
};

use crate::program::{no_environment, repository};

const JOBS: [&str; 5] = [
    "S-controller-release-tag",
    "S-post-submit",
    "update-ack-chart",
    "S-controller-olm-bundle-pr",
    "S-soak-on-release",
];
const SERVICES: usize = 5;
const RUNS: usize = 1_500;

fn policy() -> Policy {
    let paths = ["config/ack.yaml", "tests/data/history/receivers.yaml"].map(repository);
    let config = Config::load(&paths, &no_environment()).unwrap();
    Policy {
        keeps_deadlines: true,
        ..config.preview_policy()
    }
}

fn started(number: usize) -> Timestamp {
    let hours = SignedDuration::from_hours(2 * i64::try_from(number).unwrap());
    "2024-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours
}

/// Runs of four months, each as it begins and as it ends. Some fail, some are missing, some are repeated, and now and
/// then one of a version of long ago is run again.
fn sightings() -> Vec<Observation> {
    let mut all = Vec::new();
    for number in 0..RUNS {
        if number % 31 == 7 {
            continue;
        }
        let old = if number % 41 == 5 { number / 3 } else { number };
        let (release, begun) = (old / JOBS.len(), started(number));
        let service = format!("svc{}", release % SERVICES);
        let name = JOBS[old % JOBS.len()].replace('S', &service);
        let version = format!("v1.{}.0", release / SERVICES);
        let job = Job::new(&format!("{service}-controller"), &name, &version, begun);
        let ended = Some(begun + SignedDuration::from_mins(20));
        let over = match number % 9 {
            3 => job.clone().ended("failure", "Job failed.", ended),
            _ => job.clone().ended("success", "Job succeeded.", ended),
        };
        all.push((begun, job.ended("pending", "", None)));
        all.push((over.completed.unwrap(), over.clone()));
        if number % 13 == 2 {
            all.push((over.completed.unwrap(), over));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let read = |(at, job): (Timestamp, Job)| {
        let json = job.to_json().to_string();
        let run = parse::observation(json.as_bytes(), Source::File, at).unwrap();
        Observation { seen_at: at, ..run }
    };
    all.into_iter().map(read).collect()
}

#[test]
fn what_is_forgotten_is_not_missed() {
    let (policy, sightings) = (policy(), sightings());
    let mut told: Vec<Vec<Told>> = Vec::new();
    let mut held = Vec::new();
    for forgets in [false, true] {
        let (mut replay, mut said) = (Replay::default(), Vec::new());
        for run in &sightings {
            let seen = replay.see_at(&policy, run, run.seen_at, None, None);
            said.extend(seen.earlier.into_iter().chain(seen.told));
            if forgets {
                replay.state.forget(&policy, run.seen_at, Duration::MAX);
            }
        }
        said.extend(replay.finish(&policy));
        held.push([
            replay.state.runs.len(),
            replay.state.releases.len(),
            replay.state.incidents.len(),
        ]);
        told.push(said);
    }
    assert!(told[0].len() > 200, "{}", told[0].len());
    for (one, other) in told[0].iter().zip(&told[1]) {
        assert_eq!(one, other);
    }
    assert_eq!(told[0].len(), told[1].len());
    for (all, few) in held[0].iter().zip(held[1]) {
        assert!(few * 3 < *all, "{held:?}");
    }
}

#[test]
fn age_alone_forgets_what_a_store_forgets() {
    let (policy, sightings) = (policy(), sightings());
    let mut replay = Replay::default();
    for run in &sightings {
        replay.see_at(&policy, run, run.seen_at, None, None);
        let week = Duration::from_secs(7 * 86_400);
        replay.state.forget(&policy, run.seen_at, week);
    }
    assert!(
        replay.state.releases.len() < 12,
        "{}",
        replay.state.releases.len()
    );
}
