//! What several replicas on one server do to each other.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::store::{Obstacle, Turn, schema};

/// Two handles to one database, as of two replicas.
async fn two() -> Option<(World, Store)> {
    postgres::shared()?;
    ON_POSTGRES.set(true);
    let world = World::new().await;
    let other = Store::connect(&world.url(), world.clock.clone())
        .await
        .unwrap();
    Some((world, other))
}

fn obstacle<T>(result: &Result<T, StoreError>) -> Option<Obstacle> {
    match result {
        Err(StoreError::Unavailable { why, .. }) => Some(*why),
        _ => None,
    }
}

/// Strives for the lease until the token is cancelled.
fn take_part(tasks: &TaskTracker, store: &Store) -> CancellationToken {
    let stop = CancellationToken::new();
    let (store, inner) = (store.clone(), stop.clone());
    tasks.spawn(async move { store.take_part(inner, |_| {}).await });
    stop
}

async fn leads(store: &Store) -> Epoch {
    let mut leadership = store.leadership();
    let led = leadership.wait_for(Option::is_some);
    let led = tokio::time::timeout(Duration::from_secs(30), led).await;
    led.expect("it never leads").unwrap().unwrap()
}

#[tokio::test]
async fn a_leader_that_was_replaced_changes_nothing() {
    let Some((mut world, _)) = two().await else {
        return;
    };
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    let (work, _) = world.decide(false).await;
    world.sql("UPDATE lead SET epoch = epoch + 1").await;
    let before = world.dump().await;
    let refused = world.store.commit(work).await;
    assert_eq!(obstacle(&refused), Some(Obstacle::Fenced), "{refused:?}");
    assert_eq!(world.dump().await, before);
    assert_eq!(world.waiting().await, ["r1"]);
}

#[tokio::test]
async fn one_leads_and_gives_it_up_when_it_stops() {
    let Some((world, other)) = two().await else {
        return;
    };
    let tasks = TaskTracker::new();
    let first = take_part(&tasks, &world.store);
    let began = leads(&world.store).await;
    let second = take_part(&tasks, &other);
    assert_eq!(other.leads(), None);
    first.cancel();
    world.store.clone().close().await;
    let next = leads(&other).await;
    assert_ne!(began, next);
    second.cancel();
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn what_replicas_accept_is_decided_by_one() {
    let Some((mut world, other)) = two().await else {
        return;
    };
    for number in 0..20 {
        let run = failed(&format!("r{number}"), "s3", number);
        let store = if number % 2 == 0 {
            &world.store
        } else {
            &other
        };
        store.accept(vec![run]).await.unwrap();
    }
    assert_eq!(other.inbox_depth().await.unwrap(), 20);
    assert_eq!(world.turn(false).await.0.len(), 20);
    let counts = other.counts().await.unwrap();
    assert_eq!((counts.inbox, counts.accepted, counts.runs), (0, 20, 20));
}

#[tokio::test]
async fn a_receiver_is_in_one_replicas_hands() {
    let Some((mut world, other)) = two().await else {
        return;
    };
    world.accept_and_turn(vec![failed("r1", "s3", 0)]).await;
    let mine = world.store.hold("team").await.unwrap().unwrap();
    assert_eq!(other.hold("team").await.unwrap(), None);
    let head = world.store.next_delivery("team", start()).await.unwrap();
    let head = head.unwrap();
    world.sql("UPDATE holds SET until = 0").await;
    let theirs = other.hold("team").await.unwrap().unwrap();
    let every = Duration::from_secs(1);
    let key = || "k".to_owned();
    let late = world.store.may_post("team", &mine, key(), every, 1).await;
    assert_eq!(late.unwrap(), Turn::Lost);
    let sent = |hold: &Hold| Recorded {
        hold: Some(hold.clone()),
        ..sending::sent(head.id)
    };
    world.store.record(sent(&mine)).await.unwrap();
    assert_eq!(other.counts().await.unwrap().outbox_pending, 1);
    other.record(sent(&theirs)).await.unwrap();
    assert_eq!(other.counts().await.unwrap().outbox_pending, 0);
    other.let_go("team", &theirs).await.unwrap();
    assert!(world.store.hold("team").await.unwrap().is_some());
}

#[tokio::test]
async fn the_pace_of_a_webhook_is_one_for_all() {
    let Some((world, other)) = two().await else {
        return;
    };
    let every = Duration::from_secs(3600);
    let mut turns = Vec::new();
    for (store, receiver) in [
        (&world.store, "a"),
        (&other, "b"),
        (&world.store, "c"),
        (&other, "d"),
    ] {
        let hold = store.hold(receiver).await.unwrap().unwrap();
        let key = "one webhook".to_owned();
        let turn = store.may_post(receiver, &hold, key, every, 3).await;
        turns.push(turn.unwrap());
    }
    assert_eq!(turns[..3], [Turn::Now; 3]);
    let Turn::Wait(wait) = turns[3] else {
        panic!("{turns:?}");
    };
    assert!(wait <= every && wait > every.checked_sub(Duration::from_secs(60)).unwrap());
}

#[tokio::test]
async fn a_connection_that_broke_is_replaced() {
    let Some((world, other)) = two().await else {
        return;
    };
    other
        .main
        .write(|session| {
            session.conn.execute_batch(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        })
        .await
        .unwrap();
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    assert_eq!(world.waiting().await, ["r1"]);
    world.store.writable().await.unwrap();
}

#[tokio::test]
async fn a_migration_waits_for_replicas_that_use_the_tables_and_holds_nobody_up() {
    let Some((world, _)) = two().await else {
        return;
    };
    let Location::Server(server) = world.store.main.location().clone() else {
        panic!("it is a server");
    };
    let connect = move || {
        let client = sql::postgres::Client::open(&server.server, Duration::from_secs(20));
        Connection::Postgres(Box::new(client.unwrap()))
    };
    // Connections of this kind are for a thread of their own.
    let migrated = tokio::task::spawn_blocking(move || {
        let (older, newer) = (connect(), connect());
        older.begin().unwrap();
        older
            .execute_batch("LOCK TABLE runs IN ACCESS SHARE MODE")
            .unwrap();
        let steps = [schema::STEPS, &["ALTER TABLE runs ADD COLUMN colour text"]].concat();
        let refused = schema::apply(&newer, &steps).unwrap_err();
        assert!(refused.is_about_locks(), "{refused}");
        // The server ends what is idle for so long.
        let migrated = schema::in_between(&newer, &steps).unwrap();
        assert!(older.execute_batch("SELECT 1").is_err());
        migrated
    });
    let known = i64::try_from(schema::STEPS.len()).unwrap();
    assert_eq!(migrated.await.unwrap(), known + 1);
}

#[tokio::test]
async fn a_schema_that_is_newer_by_one_step_is_worked_with() {
    let Some((world, _)) = two().await else {
        return;
    };
    let step = "ALTER TABLE runs ADD COLUMN colour text";
    let steps = [schema::STEPS, &[step]].concat();
    let Location::Server(server) = world.store.main.location().clone() else {
        panic!("it is a server");
    };
    // A connection of this kind is for a thread of its own.
    let newer = tokio::task::spawn_blocking(move || {
        let client = sql::postgres::Client::open(&server.server, Duration::from_secs(20));
        let conn = Connection::Postgres(Box::new(client.unwrap()));
        let bad = [&steps[..], &["SELECT nonsense"]].concat();
        assert!(schema::apply(&conn, &bad).is_err());
        schema::apply(&conn, &steps).unwrap()
    });
    let known = i64::try_from(schema::STEPS.len()).unwrap();
    assert_eq!(newer.await.unwrap(), known + 1);
    let again = Store::connect(&world.url(), world.clock.clone()).await;
    again
        .unwrap()
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    world
        .sql("UPDATE schema_version SET version = version + 1")
        .await;
    let refused = Store::connect(&world.url(), world.clock.clone()).await;
    assert!(
        matches!(refused, Err(StoreError::Unusable { .. })),
        "{refused:?}"
    );
}

/// So many new runs of jobs of their own; every third failed.
fn arrivals(first: usize, count: usize, minute: u64) -> Vec<Observation> {
    let run = |number: usize| {
        let (name, service) = (format!("r{number}-{minute}"), format!("s{number}"));
        match number % 3 {
            0 => failed(&name, &service, minute),
            _ => passed(&name, &service, minute),
        }
    };
    (first..first + count).map(run).collect()
}

/// How often the writer waits for the server while it decides on these.
async fn waits(world: &mut World, runs: Vec<Observation>) -> usize {
    let count = |session: &mut Session<Jobs>| match &session.conn {
        Connection::Postgres(client) => Ok(client.waits()),
        Connection::Sqlite(_) => unreachable!(),
    };
    let before = world.store.main.write(count).await.unwrap();
    world.accept_and_turn(runs).await;
    world.store.main.write(count).await.unwrap() - before
}

#[tokio::test]
async fn a_server_is_asked_as_often_for_many_runs_as_for_few() {
    let Some((mut world, _)) = two().await else {
        return;
    };
    // Its first questions of a kind take one more each.
    for minute in 1..4 {
        world.clock.advance(minutes(1));
        world.accept_and_turn(arrivals(0, 6, minute)).await;
    }
    world.clock.advance(minutes(1));
    let few_new = waits(&mut world, arrivals(1_000, 6, 4)).await;
    world.clock.advance(minutes(1));
    let many_new = waits(&mut world, arrivals(2_000, 240, 5)).await;
    assert!(many_new <= few_new, "{many_new} of 240, {few_new} of 6");
    world.restart().await;
    world.clock.advance(minutes(1));
    world.accept_and_turn(arrivals(0, 6, 6)).await;
    world.clock.advance(minutes(1));
    let few_known = waits(&mut world, arrivals(1_000, 6, 7)).await;
    world.clock.advance(minutes(1));
    let many_known = waits(&mut world, arrivals(2_000, 240, 8)).await;
    assert!(
        many_known <= few_known,
        "{many_known} of 240, {few_known} of 6"
    );
    let again = waits(&mut world, arrivals(2_000, 240, 8)).await;
    assert!(again <= few_known, "{again} of 240 told again");
}
