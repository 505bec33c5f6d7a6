//! What pages read of releases.

use super::*;
use crate::{
    domain::{
        incident::Incident,
        pipeline::{Pipeline, Stage},
        release::ReleaseKey,
    },
    store::pages::releases::{After, Which},
};

/// Every run of a tag is a stage of a release.
async fn world() -> World {
    let mut world = World::new().await;
    world.policy.pipelines = vec![Pipeline {
        name: "rollout".to_owned(),
        matchers: Vec::new(),
        stages: vec![Stage {
            name: "release".to_owned(),
            ..Stage::default()
        }],
    }];
    world
}

/// A run of a version that starts in this minute.
fn of_version(service: &str, version: &str, minute: u64, state: ProwState) -> Observation {
    let name = format!("{service}-{version}-{minute}");
    let mut run = ended(&name, service, state, minute + 1);
    run.started_at = Some(start() + minutes(minute));
    if let Some(refs) = &mut run.refs {
        refs.base_ref = format!("v{version}");
    }
    run
}

fn good(service: &str, version: &str, minute: u64) -> Observation {
    of_version(service, version, minute, ProwState::Success)
}

#[tokio::test]
async fn pages_of_releases_never_repeat_or_miss_one_while_others_come_in() {
    let mut world = world().await;
    // Two begin in the same minute.
    let first: Vec<Observation> = (0..9)
        .map(|patch| good("s3", &format!("1.0.{patch}"), patch / 2))
        .chain([good("rds", "1.0.1", 3)])
        .collect();
    world.accept_and_turn(first).await;
    let mut seen = Vec::new();
    let mut after = None;
    for round in 0..4 {
        let page = world.store.releases_of("s3", after, 3).await.unwrap();
        after = page.last().map(|release| After {
            began_at: release.began_at(),
            key: ReleaseKey::of("rollout", "s3", &release.version),
        });
        seen.extend(page.into_iter().map(|release| release.version));
        let newer = good("s3", &format!("2.0.{round}"), 100 + round);
        world.accept_and_turn(vec![newer]).await;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..9).rev().map(|patch| format!("1.0.{patch}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_release_is_found_with_its_runs_incidents_and_messages() {
    let mut world = world().await;
    let runs = vec![
        good("s3", "1.0.0", 0),
        of_version("s3", "1.0.1", 5, ProwState::Failure),
        of_version("rds", "1.0.1", 5, ProwState::Failure),
    ];
    world.accept_and_turn(runs).await;
    let store = &world.store;
    assert!(store.release("s3", "0.1").await.unwrap().is_none());
    let release = store.release("s3", "1.0.1").await.unwrap().unwrap();
    let parts = store.parts_of(&release, Vec::new()).await.unwrap();
    let names: Vec<&str> = parts.runs.iter().map(|run| run.name.0.as_str()).collect();
    assert_eq!(names, ["s3-1.0.1-5"]);
    let owners: Vec<&str> = parts.incidents.iter().map(Incident::owner).collect();
    assert_eq!(owners, ["s3"]);
    let said: Vec<(&str, &str)> = parts
        .said
        .iter()
        .map(|said| (said.event.as_str(), said.receiver.as_str()))
        .collect();
    assert_eq!(said, [("opened", "team")]);
    let to_whom = parts.said[0].delivery.as_ref();
    assert_eq!(to_whom, Some(&("pending".to_owned(), "team".to_owned())));
}

#[tokio::test]
async fn a_fleet_is_found_by_version_and_by_time() {
    let mut world = world().await;
    let runs = vec![
        good("s3", "1.0.0", 0),
        good("s3", "1.0.1", 60),
        good("rds", "1.0.1", 120),
    ];
    world.accept_and_turn(runs).await;
    let found = async |pipeline: &str, which: Which| -> Vec<String> {
        let releases = world.store.fleet(pipeline, which).await.unwrap();
        let name = |release: crate::domain::release::Release| {
            format!("{} {}", release.service, release.version)
        };
        releases.into_iter().map(name).collect()
    };
    let version = Which::Version("1.0.1".to_owned());
    assert_eq!(
        found("rollout", version.clone()).await,
        ["rds 1.0.1", "s3 1.0.1"]
    );
    assert!(found("roll", version).await.is_empty());
    let first_hours = Which::Began {
        from: start(),
        to: start() + minutes(120),
    };
    assert_eq!(
        found("rollout", first_hours).await,
        ["s3 1.0.1", "s3 1.0.0"]
    );
}

#[tokio::test]
async fn a_dossier_holds_jobs_days_and_told_incidents() {
    let mut world = world().await;
    let runs = vec![
        good("s3", "1.0.0", 0),
        of_version("s3", "1.0.1", 5, ProwState::Failure),
        good("rds", "1.0.1", 7),
    ];
    world.accept_and_turn(runs).await;
    let dossier = world.store.dossier("s3", start()).await.unwrap();
    assert_eq!(dossier.jobs.len(), 1);
    assert_eq!(dossier.jobs[0].stage.as_deref(), Some("release"));
    assert_eq!(dossier.incidents.len(), 1);
    let runs: u64 = dossier.days.iter().map(|(_, _, runs)| runs).sum();
    assert_eq!(runs, 2);
    let later = world
        .store
        .dossier("s3", start() + minutes(24 * 60))
        .await
        .unwrap();
    assert!(later.incidents.is_empty() && later.days.is_empty());
}

on_postgres![
    pages_of_releases_never_repeat_or_miss_one_while_others_come_in,
    a_release_is_found_with_its_runs_incidents_and_messages,
    a_fleet_is_found_by_version_and_by_time,
    a_dossier_holds_jobs_days_and_told_incidents,
];
