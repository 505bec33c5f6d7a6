//! The two files beside each other: what either does when the other cannot, and stops between any two steps.

use super::*;

/// Whether the store said that it cannot be used for now, for this reason.
fn is_unavailable<T>(result: &Result<T, StoreError>, reason: Obstacle) -> bool {
    matches!(result, Err(StoreError::Unavailable { why, .. }) if *why == reason)
}

async fn accept(world: &World, name: &str) -> Result<(), StoreError> {
    world.store.accept(vec![failed(name, "s3", 0)]).await
}

/// Makes both writers give up at once when another process holds a lock.
async fn impatient(world: &World) {
    world.sql("PRAGMA busy_timeout = 1").await;
    world.inbox_sql("PRAGMA busy_timeout = 1").await;
}

#[tokio::test]
async fn a_stop_between_commit_and_deletion_decides_nothing_again() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![failed("r1", "s3", 0), failed("r2", "s3", 1)])
        .await;
    assert_eq!(world.stored().await, [1, 2], "not deleted yet");
    assert!(world.waiting().await.is_empty());
    world.restart().await;
    assert!(world.waiting().await.is_empty());
    world.store.writable().await.unwrap();
    assert!(world.stored().await.is_empty(), "deleted at the start");
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.inbox, counts.accepted, counts.runs), (0, 2, 2));
}

#[tokio::test]
async fn numbers_are_not_given_twice_though_the_inbox_was_empty() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![failed("r1", "s3", 0), failed("r2", "s3", 1)])
        .await;
    world.restart().await;
    world.restart().await;
    accept(&world, "r3").await.unwrap();
    assert_eq!(world.stored().await, [3]);
    assert_eq!(world.waiting().await, ["r3"]);
}

#[tokio::test]
async fn decided_rows_are_deleted_while_others_come_in() {
    let mut world = World::new().await;
    let many = |from: u64| (from..from + 500).map(|n| passed(&format!("r{n}"), "s3", n));
    for from in [0, 500] {
        world.accept_and_turn(many(from).collect()).await;
    }
    accept(&world, "late").await.unwrap();
    assert_eq!(world.stored().await, [1001]);
    assert_eq!(world.waiting().await, ["late"]);
}

#[tokio::test]
async fn an_inbox_that_was_taken_away_begins_behind_what_is_decided() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![failed("r1", "s3", 0)]).await;
    world.store.clone().close().await;
    std::fs::remove_file(world.inbox_path()).unwrap();
    world.restart().await;
    accept(&world, "r2").await.unwrap();
    assert_eq!(world.stored().await, [2]);
    assert_eq!(world.waiting().await, ["r2"]);
    assert_eq!(world.store.inbox_depth().await.unwrap(), 1);
}

#[tokio::test]
async fn an_inbox_whose_main_file_was_taken_away_is_decided_anew() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![failed("r1", "s3", 0)]).await;
    world.restart().await;
    for name in ["r2", "r3"] {
        accept(&world, name).await.unwrap();
    }
    world.store.clone().close().await;
    std::fs::remove_file(world.path()).unwrap();
    world.restart().await;
    assert_eq!(world.waiting().await, ["r2", "r3"]);
    assert_eq!(world.store.inbox_depth().await.unwrap(), 2);
    assert_eq!(
        names(&world.turn(false).await.0),
        ["notify", "deduplicated"]
    );
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let mut world = World::new().await;
    world.fill(true).await;
    let mut stored = 0;
    let refused = loop {
        match accept(&world, &format!("r{stored}")).await {
            Ok(()) => stored += 1,
            refused => break refused,
        }
    };
    assert!(is_unavailable(&refused, Obstacle::Full), "{refused:?}");
    assert_eq!(world.store.inbox_depth().await.unwrap(), stored);
    world.inbox_sql("PRAGMA max_page_count = 1000000").await;
    accept(&world, "late").await.unwrap();
    world.restart().await;
    assert_eq!(world.store.inbox_depth().await.unwrap(), stored + 1);
    assert_eq!(world.waiting().await.last().unwrap(), "late");
}

#[tokio::test]
async fn intake_goes_on_while_the_main_file_is_full() {
    let mut world = World::new().await;
    let many = (0..200).map(|n| passed(&format!("r{n}"), "s3", n));
    world.store.accept(many.collect()).await.unwrap();
    world.fill(false).await;
    let (work, _) = world.decide(false).await;
    let refused = world.store.commit(work).await;
    assert!(is_unavailable(&refused, Obstacle::Full), "{refused:?}");
    accept(&world, "late").await.unwrap();
    assert_eq!(world.store.inbox_depth().await.unwrap(), 201);
    world.sql("PRAGMA max_page_count = 1000000").await;
    world.restart().await;
    assert_eq!(world.turn(false).await.0.len(), 201);
}

#[tokio::test]
async fn a_locked_inbox_is_told_and_loses_nothing() {
    let world = World::new().await;
    accept(&world, "r1").await.unwrap();
    impatient(&world).await;
    let other = rusqlite::Connection::open(world.inbox_path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = accept(&world, "r2").await;
    assert!(is_unavailable(&refused, Obstacle::Busy), "{refused:?}");
    assert!(world.store.writable().await.is_err());
    other.execute_batch("ROLLBACK").unwrap();
    accept(&world, "r2").await.unwrap();
    world.store.writable().await.unwrap();
    assert_eq!(world.waiting().await, ["r1", "r2"]);
    assert_eq!(world.stored().await, [1, 2]);
}

#[tokio::test]
async fn intake_goes_on_while_the_main_file_is_locked() {
    let mut world = World::new().await;
    accept(&world, "r1").await.unwrap();
    impatient(&world).await;
    let other = rusqlite::Connection::open(world.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    accept(&world, "r2").await.unwrap();
    assert!(world.store.writable().await.is_err());
    let refused = world.store.set_meta("seen", "1".to_owned()).await;
    assert!(is_unavailable(&refused, Obstacle::Busy), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        names(&world.turn(false).await.0),
        ["notify", "deduplicated"]
    );
}

#[tokio::test]
async fn a_read_only_file_is_told() {
    let world = World::new().await;
    world.inbox_sql("PRAGMA query_only = ON").await;
    let refused = accept(&world, "r1").await;
    assert!(is_unavailable(&refused, Obstacle::ReadOnly), "{refused:?}");
    assert!(world.store.writable().await.is_err());
    assert_eq!(world.store.inbox_depth().await.unwrap(), 0);

    let world = World::new().await;
    world.sql("PRAGMA query_only = ON").await;
    accept(&world, "r1").await.unwrap();
    assert!(world.store.writable().await.is_err());
}
