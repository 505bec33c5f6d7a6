//! What survives, and what happens when the disk does not play along.

use super::*;

#[tokio::test]
async fn many_accepts_at_once_are_all_stored_in_order() {
    let world = World::new().await;
    let accepts = (0..200).map(|n| {
        let store = world.store.clone();
        async move { store.accept(vec![failed(&format!("r{n}"), "s3", n)]).await }
    });
    let mut waiting = tokio::task::JoinSet::new();
    for accept in accepts {
        waiting.spawn(accept);
    }
    assert!(
        waiting
            .join_all()
            .await
            .into_iter()
            .all(|result| result.is_ok())
    );
    let claim = world.store.claim(150, start()).await.unwrap();
    assert_eq!((claim.rows.len(), claim.more), (150, true));
    let seqs: Vec<i64> = claim.rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=150).collect::<Vec<i64>>());
    assert_eq!(world.store.inbox_depth().await.unwrap(), 200);
}

#[tokio::test]
async fn what_was_accepted_survives_a_stop_without_a_word() {
    let mut world = World::new().await;
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    world.restart().await;
    let claim = world.store.claim(10, start()).await.unwrap();
    assert_eq!(claim.rows.len(), 1);
    assert_eq!(claim.rows[0].observation, failed("r1", "s3", 0));
    assert_eq!(claim.rows[0].received_at, start());
}

#[tokio::test]
async fn a_stop_before_the_commit_decides_again_and_the_same() {
    let mut world = World::new().await;
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    let (lost, outcomes) = world.decide(false).await;
    world.restart().await;
    let (again, same) = world.turn(false).await;
    assert_eq!((outcomes, lost.told), (again, same));
    assert_eq!(world.store.counts().await.unwrap().outbox_pending, 1);
}

#[tokio::test]
async fn a_restart_keeps_windows_and_what_is_owed() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![failed("r1", "s3", 0), failed("d1", "docs", 0)])
        .await;
    world.accept_and_turn(vec![failed("r2", "s3", 1)]).await;
    world.restart().await;
    assert_eq!(
        world.store.next_window().await.unwrap(),
        Some(start() + minutes(60))
    );
    world.clock.advance(minutes(60));
    let (_, told) = world.turn(false).await;
    let events: Vec<_> = told
        .iter()
        .map(|told| told.notification.event.as_str())
        .collect();
    assert_eq!(events, ["still-failing", "digest"]);
}

#[tokio::test]
async fn a_commit_is_stored_whole_or_not_at_all() {
    let mut world = World::new().await;
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    for table in ["runs", "incidents", "decisions", "notifications", "outbox"] {
        let before = world.dump().await;
        world.refuse(table).await;
        let (work, _) = world.decide(false).await;
        let refused = world.store.commit(work).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{table}: {refused:?}"
        );
        assert_eq!(world.dump().await, before, "{table}");
        world.allow(table).await;
        world.state = world.store.load_hot().await.unwrap();
    }
    let (outcomes, _) = world.turn(false).await;
    assert_eq!(names(&outcomes), ["notify"]);
}

#[tokio::test]
async fn a_failing_write_leaves_its_group_alone() {
    let world = World::new().await;
    world.refuse("attempts").await;
    let record = world.store.record(sending::sent(7));
    let note = world.store.set_meta("seen", "1".to_owned());
    let (record, note) = tokio::join!(record, note);
    assert!(record.is_err() && note.is_ok());
    assert!(world.store.meta("seen").await.unwrap().is_some());
}

#[tokio::test]
async fn a_failing_commit_leaves_what_waits_beside_it_alone() {
    let mut world = World::new().await;
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    world.refuse("outbox").await;
    let (work, _) = world.decide(false).await;
    let before = world.store.set_meta("before", "1".to_owned());
    let after = world.store.set_meta("after", "1".to_owned());
    let (before, refused, after) = tokio::join!(before, world.store.commit(work), after);
    assert!(before.is_ok() && refused.is_err() && after.is_ok());
    for key in ["before", "after"] {
        assert!(world.store.meta(key).await.unwrap().is_some(), "{key}");
    }
}

#[tokio::test]
async fn what_is_no_database_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(start());
    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to look at ".repeat(50),
    )
    .unwrap();
    for path in [
        text,
        folder.path().to_owned(),
        folder.path().join("notes.txt/state.db"),
    ] {
        let refused = Store::open(&path, clock.clone()).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Unusable { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains(&path.display().to_string()),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_closed_store_says_so_and_what_was_asked_before_is_done() {
    let world = World::new().await;
    let other = world.store.clone();
    other.accept(vec![failed("r1", "s3", 0)]).await.unwrap();
    world.store.clone().close().await;
    assert!(matches!(
        other.accept(vec![failed("r2", "s3", 1)]).await,
        Err(StoreError::Stopped)
    ));
    assert!(matches!(other.counts().await, Err(StoreError::Stopped)));
    for log in ["state.db-wal", "state.inbox.db-wal"] {
        let log = world.folder.path().join(log);
        assert!(!log.exists(), "{} is in its file", log.display());
    }
}

#[tokio::test]
async fn a_long_log_is_copied_into_its_file_while_others_write() {
    let world = World::new().await;
    let file = world.folder.path().join("state.inbox.db");
    let size = || std::fs::metadata(&file).unwrap().len();
    let runs = |from: u64| (from..from + 1_000).map(|n| failed(&format!("r{n}"), "s3", n));
    world.store.accept(runs(0).collect()).await.unwrap();
    assert!(size() < 100_000, "a short one is not worth a sync");
    for from in [1_000, 2_000] {
        world.store.accept(runs(from).collect()).await.unwrap();
    }
    world.store.inbox.file.copied().await;
    assert!(size() > 1_000_000, "{}", size());
    assert_eq!(world.store.inbox_depth().await.unwrap(), 3_000);
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date_with_its_rows() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![failed("r1", "s3", 0)]).await;
    let path: Arc<Path> = Arc::from(world.path());
    let (before, Store { .. }) = (world.dump().await, &world.store);
    let mut conn = rusqlite::Connection::open(&path).unwrap();
    let mut steps = setup::MAIN.migrations.to_vec();
    steps.push("ALTER TABLE runs ADD COLUMN colour text; UPDATE runs SET colour = 'red'");
    setup::migrate(&mut conn, &path, &steps).unwrap();
    setup::migrate(&mut conn, &path, &steps).unwrap();
    let red: i64 = conn
        .query_row(
            "SELECT count(*) FROM runs WHERE colour = 'red'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(red, 1);
    assert_eq!(world.dump().await.len(), before.len());

    steps.push("DELETE FROM runs; SELECT nonsense");
    assert!(setup::migrate(&mut conn, &path, &steps).is_err());
    assert_eq!(
        world.dump().await.len(),
        before.len(),
        "a failed step changes nothing"
    );
    drop(conn);

    let refused = Store::open(&path, world.clock.clone()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Unusable { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("made/state.db");
    let store = Store::open(&path, Clock::manual(start())).await.unwrap();
    store.writable().await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in ["state.db", "state.inbox.db"] {
        let path = outer.path().join("made").join(file);
        assert_eq!(mode(&path), 0o600, "{file}");
        assert_eq!(mode(&path.with_extension("db-wal")), 0o600, "{file}");
    }
}

on_postgres![
    many_accepts_at_once_are_all_stored_in_order,
    what_was_accepted_survives_a_stop_without_a_word,
    a_stop_before_the_commit_decides_again_and_the_same,
    a_restart_keeps_windows_and_what_is_owed,
    a_commit_is_stored_whole_or_not_at_all,
    a_failing_write_leaves_its_group_alone,
    a_failing_commit_leaves_what_waits_beside_it_alone,
];
