//! The state loaded in slices behaves as the whole state kept in memory.

use proptest::prelude::*;

use super::*;
use crate::domain::{
    job::JobKey,
    pipeline::{Need, Pipeline, Stage},
    verdict::judge,
};

/// Names of what was loaded for one sighting.
async fn loaded(world: &World, sighting: &Observation) -> (Vec<String>, Vec<u64>) {
    let mut state = State::default();
    world
        .store
        .load_slice(
            &mut state,
            Wanted {
                sightings: vec![Sighting::of(sighting)],
                ..Wanted::default()
            },
            start(),
        )
        .await
        .unwrap();
    let runs = state.runs.keys().map(|name| name.0.clone()).collect();
    (runs, state.incidents.keys().map(|id| id.0).collect())
}

#[tokio::test]
async fn a_slice_holds_the_neighbours_and_the_rest_of_an_incident_that_may_be_parted() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![
            passed("a0", "s3", 10),
            failed("a1", "s3", 20),
            failed("a2", "s3", 30),
            failed("a3", "s3", 30),
            failed("a4", "s3", 40),
            passed("a5", "s3", 50),
            failed("a6", "s3", 60),
            failed("b1", "sqs", 25),
            ended("n1", "s3", ProwState::Aborted, 35),
        ])
        .await;
    let cases: [(&str, u64, &[&str], &[u64]); 6] = [
        // Before all: the next one alone, which passed.
        ("x", 5, &["a0"], &[]),
        // Inside the incident: all that follow in it, and who ended it.
        ("x", 25, &["a1", "a2", "a3", "a4", "a5"], &[1]),
        // Among those that ended in the same moment the name decides.
        ("a2b", 30, &["a1", "a2", "a3", "a4", "a5"], &[1]),
        ("z", 30, &["a1", "a2", "a3", "a4", "a5"], &[1]),
        ("x", 45, &["a4", "a5"], &[1]),
        ("x", 70, &["a6"], &[2]),
    ];
    for (name, minute, runs, incidents) in cases {
        let (found, opened) = loaded(&world, &passed(name, "s3", minute)).await;
        assert_eq!(found, runs, "{name} at {minute}");
        assert_eq!(opened, incidents, "{name} at {minute}");
    }
    // A run whose end is known needs only itself and its incident; one that still runs no neighbours.
    assert_eq!(
        loaded(&world, &failed("a4", "s3", 40)).await,
        (vec!["a4".to_owned()], vec![1])
    );
    assert_eq!(loaded(&world, &pending("x", "s3")).await, (vec![], vec![]));
}

#[tokio::test]
async fn what_is_remembered_of_a_job_follows_what_is_stored() {
    let mut world = World::new().await;
    for run in [
        passed("a1", "s3", 10),
        failed("a2", "s3", 20),
        failed("a3", "s3", 30),
    ] {
        world.accept_and_turn(vec![run]).await;
    }
    let later = passed("x", "s3", 40);
    assert_eq!(
        loaded(&world, &later).await,
        (vec!["a3".to_owned()], vec![1])
    );
    // A late good run parts the incident, and the last run belongs to the second half of it.
    world.accept_and_turn(vec![passed("a2b", "s3", 25)]).await;
    assert_eq!(
        loaded(&world, &later).await,
        (vec!["a3".to_owned()], vec![2])
    );
    let refused = world.store.main.write_alone(|session| {
        let run = &passed("lost", "s3", 35);
        let run = crate::domain::incident::Run::new(run, JobKey::of(run), &judge(run));
        let job = session.job_id(&run.job.0)?;
        session.memory.note(job, &run);
        Err::<(), _>(sql::Error::NoRow)
    });
    assert!(refused.await.is_err());
    assert_eq!(loaded(&world, &later).await.0, ["a3"]);
    world.accept_and_turn(vec![passed("a4", "s3", 35)]).await;
    assert_eq!(loaded(&world, &later).await.0, ["a4"]);
    while world.store.prune(start() + minutes(60), 100).await.unwrap() > 0 {}
    assert!(loaded(&world, &later).await.0.is_empty());
}

#[tokio::test]
async fn a_run_is_found_by_its_alias() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![failed("r1", "s3", 10)]).await;
    let told = Observation {
        build_id: Some("19r1".to_owned()),
        inferred: true,
        ..failed("status-1", "s3", 10)
    };
    assert_eq!(loaded(&world, &told).await.0, ["r1"]);
    let alias = Sighting::of(&told).alias.unwrap();
    assert_eq!(
        world.store.find_by_alias(alias).await.unwrap(),
        Some(RunName("r1".to_owned()))
    );
    let other = "acme/s3-controller|other|19r1".to_owned();
    assert_eq!(world.store.find_by_alias(other).await.unwrap(), None);
    world.store.accept(vec![told]).await.unwrap();
    assert_eq!(names(&world.turn(false).await.0), ["deduplicated"]);
}

#[tokio::test]
async fn loading_again_does_not_undo_what_the_batch_changed() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![failed("r1", "s3", 10)]).await;
    let now = start();
    let second = failed("r2", "s3", 20);
    let mut state = world.store.load_hot().await.unwrap();
    let mut wanted = Wanted {
        sightings: vec![Sighting::of(&second)],
        ..Wanted::default()
    };
    world
        .store
        .load_slice(&mut state, wanted.clone(), now)
        .await
        .unwrap();
    state.observe(&world.policy, &second, now);
    wanted.incidents = vec![IncidentId(1)];
    world
        .store
        .load_slice(&mut state, wanted, now)
        .await
        .unwrap();
    assert_eq!(state.incidents[&IncidentId(1)].failures, 2);
}

#[tokio::test]
async fn known_runs_are_told_from_new_ones() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![failed("r1", "s3", 10), pending("r2", "s3")])
        .await;
    let asked = ["r1", "r2", "r3"]
        .map(|name| RunName(name.to_owned()))
        .to_vec();
    let known = world.store.known(asked).await.unwrap();
    let seen: Vec<(&str, &str, bool)> = known
        .iter()
        .map(|(name, run)| (name.0.as_str(), run.state.as_str(), run.finished))
        .collect();
    assert_eq!(seen, [("r1", "failure", true), ("r2", "pending", false)]);
}

/// No query on a growing table may scan it.
#[tokio::test]
async fn lookups_use_an_index() {
    let world = World::new().await;
    let conn = rusqlite::Connection::open(world.path()).unwrap();
    for (sql, index) in [
        (
            "SELECT * FROM runs WHERE job_id = 1 AND counts = 1 AND finished_at < 5 ORDER BY finished_at DESC, name DESC LIMIT 1",
            "runs_timeline",
        ),
        (
            "SELECT * FROM runs WHERE job_id = 1 AND counts = 1 AND finished_at >= 5 ORDER BY finished_at, name",
            "runs_timeline",
        ),
        (
            "SELECT * FROM runs WHERE inferred = 1 AND alias = 'a|1'",
            "runs_inferred",
        ),
        (
            "SELECT * FROM runs WHERE build_id = '1' AND alias = 'a|1' ORDER BY id",
            "runs_build",
        ),
        (
            "SELECT id FROM runs WHERE finished_at < 5 ORDER BY finished_at LIMIT 5",
            "runs_finished",
        ),
        ("SELECT 1 FROM runs WHERE incident = 5", "runs_incident"),
        (
            "SELECT id FROM incidents WHERE window_ends <= 5",
            "incidents_window",
        ),
        (
            "SELECT min(window_ends) FROM incidents WHERE window_ends IS NOT NULL",
            "incidents_window",
        ),
        (
            "SELECT count(*) FROM incidents WHERE open = 1",
            "incidents_open",
        ),
        (
            "SELECT due_at FROM outbox WHERE state = 'pending' AND receiver = 'x' ORDER BY critical DESC, id LIMIT 1",
            "outbox_pending",
        ),
        (
            "SELECT * FROM decisions WHERE run_id = 1 OR run = 'x'",
            "decisions_run",
        ),
    ] {
        let plan: Vec<String> = conn
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let plan = plan.join("; ");
        assert!(plan.contains(index), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// One batch: its observations, the minutes that pass before it, and whether the daemon is restarted.
type Batch = (Vec<Observation>, u64, bool, bool);

fn any_observation() -> impl Strategy<Value = Observation> {
    let services = prop::sample::select(vec!["s3", "sqs", "sns", "docs", "docs-old"]);
    let states = prop::sample::select(vec![
        ProwState::Success,
        ProwState::Failure,
        ProwState::Failure,
        ProwState::Failure,
        ProwState::Error,
        ProwState::Aborted,
        ProwState::Pending,
    ]);
    (services, 0..14_u64, states, 0..4_u8).prop_map(|(service, number, state, twist)| {
        // A run's end follows from its number, and often falls together with another's.
        let name = format!("{service}-{number}");
        let mut seen = match state {
            ProwState::Pending => pending(&name, service),
            _ => ended(&name, service, state, number / 2 * 7),
        };
        if twist == 0 {
            seen = by_status(seen);
        }
        seen
    })
}

/// The same run as GitHub tells of it.
fn by_status(mut seen: Observation) -> Observation {
    seen.run = RunName(format!("status-{}", seen.run.0));
    seen.inferred = true;
    seen.source = Source::Github;
    seen
}

fn any_history() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (
        prop::collection::vec(any_observation(), 0..10),
        prop::sample::select(vec![0, 1, 5, 11, 31, 61, 130]),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(batch, 1..14)
}

/// A tag job, what it starts, and a stage that all share.
fn pipelines() -> Vec<Pipeline> {
    let stage = |name: &str, needs: &[(&str, Option<u64>)], shared| Stage {
        name: name.to_owned(),
        needs: needs
            .iter()
            .map(|(stage, within)| Need {
                stage: (*stage).to_owned(),
                within: within.map(minutes),
                ..Need::default()
            })
            .collect(),
        shared,
        severity: Severity::Critical,
        ..Stage::default()
    };
    vec![Pipeline {
        name: "release".to_owned(),
        matchers: Vec::new(),
        stages: vec![
            stage("tag", &[], false),
            stage("publish", &[("tag", Some(30))], false),
            stage("chart", &[("tag", Some(45)), ("publish", None)], true),
        ],
    }]
}

/// A run of a version of a service at one of its stages, whose job is called as the stage.
fn any_stage() -> impl Strategy<Value = Observation> {
    let services = prop::sample::select(vec!["s3", "sqs", "sns"]);
    let stages = prop::sample::select(vec!["tag", "publish", "chart"]);
    let states = prop::sample::select(vec![
        ProwState::Success,
        ProwState::Success,
        ProwState::Failure,
        ProwState::Pending,
    ]);
    let numbers = (0..12_u64, 1..3_u8);
    (services, stages, states, numbers).prop_map(|(service, stage, state, (number, version))| {
        let name = format!("{service}-{stage}-{number}");
        let mut seen = match state {
            ProwState::Pending => pending(&name, service),
            _ => ended(&name, service, state, number * 9),
        };
        stage.clone_into(&mut seen.job);
        seen.started_at = Some(start() + minutes(number * 9));
        if let Some(refs) = &mut seen.refs {
            refs.base_ref = format!("v1.0.{version}");
        }
        seen
    })
}

fn any_release() -> impl Strategy<Value = Vec<Batch>> {
    let batch = (
        prop::collection::vec(any_stage(), 0..8),
        prop::sample::select(vec![0, 1, 5, 11, 31, 61, 130]),
        any::<bool>(),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(batch, 1..10)
}

fn release_policy() -> Policy {
    let mut policy = policy();
    let rule = policy.rules.last_mut().unwrap();
    rule.matchers
        .push(Matcher::parse(r#"job=~"(?<stage>.+)""#).unwrap());
    rule.set.stage = Some(Template::parse("$stage"));
    policy.pipelines = pipelines();
    policy
}

async fn compare(policy: Policy, history: Vec<Batch>) {
    let mut world = World::new().await;
    world.policy = policy;
    let mut whole = State::default();
    for (observations, wait, more_to_come, restart) in history {
        world.clock.advance(minutes(wait));
        let now = world.clock.now();
        world.store.accept(observations.clone()).await.unwrap();
        if restart {
            world.restart().await;
        }
        let (outcomes, told) = world.turn(more_to_come).await;
        let expected: Vec<Outcome> = observations
            .iter()
            .map(|seen| whole.observe(&world.policy, seen, now))
            .collect();
        assert_eq!(outcomes, expected);
        assert_eq!(told, whole.flush(&world.policy, now, more_to_come));
    }
    let stored = world.store.load_hot().await.unwrap();
    assert_eq!(stored.causes, whole.causes);
    assert_eq!(stored.folds, whole.folds);
    assert_eq!(stored.digests, whole.digests);
    assert_eq!(stored.healed, whole.healed);
    assert_eq!(stored.due_releases, whole.due_releases);
    assert_eq!(stored.next_incident, whole.next_incident);
    let (runs, incidents) = everything(&world).await;
    assert_eq!(runs, whole.runs.into_values().collect::<Vec<_>>());
    assert_eq!(incidents, whole.incidents.into_values().collect::<Vec<_>>());
    assert_sums(&world).await;
}

async fn everything(
    world: &World,
) -> (
    Vec<crate::domain::incident::Run>,
    Vec<crate::domain::incident::Incident>,
) {
    world
        .look(|conn| {
            let runs = conn
                .prepare_cached(rows::run_query!("ORDER BY name"))?
                .query_map(&[], rows::run)?
                .collect::<sql::Result<_>>()?;
            let incidents = conn
                .prepare_cached("SELECT body FROM incidents ORDER BY id")?
                .query_map(&[], |row| rows::json(row, 0))?
                .collect::<sql::Result<_>>()?;
            Ok((runs, incidents))
        })
        .await
}

async fn assert_sums(world: &World) {
    let counts = world.store.counts().await.unwrap();
    let decided: u64 = counts.decisions.values().sum();
    assert_eq!(counts.accepted, counts.inbox + counts.poisoned + decided);
    let (rows, mark) = world
        .look(|conn| {
            let rows = ["runs", "decisions", "parked"].map(|table| {
                let sql = format!("SELECT count(*) FROM {table}");
                conn.query_row(&sql, &[], |row| row.get::<u64>(0))
            });
            let [runs, decisions, parked] = rows;
            Ok(([runs?, decisions?, parked?], mark::floor(conn)?))
        })
        .await;
    assert_eq!([counts.runs, decided, 0], rows);
    let waiting = world.stored().await.into_iter().filter(|seq| *seq > mark);
    assert_eq!(counts.inbox, waiting.count() as u64);
}

/// Clocks differ: a run may have ended in the future, and counts in a mass failure after a restart as before it.
#[tokio::test]
async fn a_mass_failure_counts_runs_whose_end_is_to_come_after_a_restart_too() {
    let error = |name, service, minute| ended(name, service, ProwState::Error, minute);
    let first = by_status(passed("docs-old-9", "docs-old", 28));
    let later = vec![
        error("docs-old-8", "docs-old", 28),
        error("sqs-8", "sqs", 28),
        error("s3-1", "s3", 0),
    ];
    let history = vec![(vec![first], 0, false, false), (later, 1, false, true)];
    compare(policy(), history).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if ON_POSTGRES.get() { 12 } else { 96 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slices_decide_and_tell_what_the_whole_state_would(history in any_history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(policy(), history));
    }

    #[test]
    fn slices_decide_and_tell_the_same_of_releases(history in any_release()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(compare(release_policy(), history));
    }
}

on_postgres![
    a_mass_failure_counts_runs_whose_end_is_to_come_after_a_restart_too,
    a_slice_holds_the_neighbours_and_the_rest_of_an_incident_that_may_be_parted,
    what_is_remembered_of_a_job_follows_what_is_stored,
    a_run_is_found_by_its_alias,
    loading_again_does_not_undo_what_the_batch_changed,
    known_runs_are_told_from_new_ones,
    slices_decide_and_tell_what_the_whole_state_would,
    slices_decide_and_tell_the_same_of_releases,
];
