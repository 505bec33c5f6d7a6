//! The inbox's odd rows, trails, totals, and forgetting.

use super::*;
use crate::domain::silence::{Draft, SilenceId, Wish};

/// Numbers and attempts of the rows that are due.
fn due(claim: &Claim) -> Vec<(i64, u32)> {
    let rows = claim.rows.iter();
    rows.map(|row| (row.seq, row.attempts)).collect()
}

/// Takes a claim whole: the rows with these numbers are put off, the others decided.
async fn take(world: &World, claim: Claim, put_off: &[i64], until: Timestamp) {
    let mut work = Work {
        poisoned: claim.poisoned,
        ..Work::default()
    };
    for row in claim.rows {
        if put_off.contains(&row.seq) {
            work.parked.push((row, until));
        } else {
            work.done.push(row.seq);
        }
    }
    world.store.commit(work).await.unwrap();
}

#[tokio::test]
async fn a_postponed_row_waits_for_its_time_and_counts() {
    let mut world = World::new().await;
    let three = ["r1", "r2", "r3"].map(|name| failed(name, "s3", 0));
    world.store.accept(three.to_vec()).await.unwrap();
    let (later, last) = (start() + minutes(1), start() + minutes(2));
    let claim = world.store.claim(2, start()).await.unwrap();
    assert_eq!((due(&claim), claim.more), (vec![(1, 0), (2, 0)], true));
    take(&world, claim, &[1], later).await;
    assert_eq!(world.store.inbox_depth().await.unwrap(), 2);
    assert_eq!(world.store.next_inbox_due().await.unwrap(), Some(start()));
    world.restart().await;
    let claim = world.store.claim(10, start()).await.unwrap();
    assert_eq!(due(&claim), [(3, 0)]);
    let claim = world.store.claim(10, later).await.unwrap();
    assert_eq!(due(&claim), [(1, 1), (3, 0)]);
    assert_eq!(claim.rows[0].observation, three[0]);
    take(&world, claim, &[1], last).await;
    assert_eq!(world.store.next_inbox_due().await.unwrap(), Some(last));
    let claim = world.store.claim(10, last).await.unwrap();
    assert_eq!(due(&claim), [(1, 2)]);
    take(&world, claim, &[], last).await;
    assert_eq!(world.store.inbox_depth().await.unwrap(), 0);
    assert_eq!(world.store.next_inbox_due().await.unwrap(), None);
}

#[tokio::test]
async fn an_unreadable_row_is_set_aside_and_does_not_stop_the_others() {
    let mut world = World::new().await;
    let three = ["r1", "r2", "r3"].map(|name| failed(name, "s3", 0));
    world.store.accept(three.to_vec()).await.unwrap();
    world
        .inbox_sql("UPDATE inbox SET body = '{\"run\": 7}' WHERE seq = 2")
        .await;
    let claim = world.store.claim(10, start()).await.unwrap();
    assert_eq!(due(&claim), [(1, 0), (3, 0)]);
    assert_eq!(claim.poisoned[0].seq, 2);
    world.turn(false).await;
    assert_eq!(world.store.inbox_depth().await.unwrap(), 0);
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.inbox, counts.poisoned, counts.accepted), (0, 1, 3));
    let aside = world.dump().await;
    let mut aside = aside.iter().filter(|line| line.starts_with("poison:"));
    assert!(aside.next().unwrap().starts_with("poison: 2 ") && aside.next().is_none());
}

#[tokio::test]
async fn an_unreadable_row_that_was_put_off_is_set_aside_too() {
    let world = World::new().await;
    world
        .store
        .accept(vec![failed("r1", "s3", 0)])
        .await
        .unwrap();
    let claim = world.store.claim(10, start()).await.unwrap();
    take(&world, claim, &[1], start()).await;
    world.sql("UPDATE parked SET body = 'x'").await;
    let claim = world.store.claim(10, start()).await.unwrap();
    assert_eq!(claim.poisoned[0].seq, 1);
    take(&world, claim, &[], start()).await;
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.inbox, counts.poisoned, counts.accepted), (0, 1, 1));
}

#[tokio::test]
async fn times_are_kept_to_the_millisecond() {
    let world = World::new().await;
    let mut finer = failed("r1", "s3", 0);
    finer.completed_at = Some("2026-03-01T12:00:00.123456789Z".parse().unwrap());
    world.store.accept(vec![finer]).await.unwrap();
    let claim = world.store.claim(1, start()).await.unwrap();
    assert_eq!(
        claim.rows[0].observation.completed_at,
        Some("2026-03-01T12:00:00.123Z".parse().unwrap())
    );
}

#[tokio::test]
async fn our_own_values_are_kept_and_the_first_one_can_win() {
    let mut world = World::new().await;
    assert_eq!(world.store.meta("first-start").await.unwrap(), None);
    assert_eq!(
        world
            .store
            .init_meta("first-start", "a".to_owned())
            .await
            .unwrap(),
        "a"
    );
    assert_eq!(
        world
            .store
            .init_meta("first-start", "b".to_owned())
            .await
            .unwrap(),
        "a"
    );
    world.store.set_meta("seen", "1".to_owned()).await.unwrap();
    world.store.set_meta("seen", "2".to_owned()).await.unwrap();
    world.restart().await;
    assert_eq!(
        world.store.meta("first-start").await.unwrap().as_deref(),
        Some("a")
    );
    assert_eq!(
        world.store.meta("seen").await.unwrap().as_deref(),
        Some("2")
    );
}

#[tokio::test]
async fn a_trail_tells_the_whole_way_of_a_run() {
    let mut world = World::new().await;
    world.accept_and_turn(vec![pending("r1", "s3")]).await;
    let told = world.accept_and_turn(vec![failed("r1", "s3", 10)]).await;
    let head = world
        .store
        .next_delivery("team", start())
        .await
        .unwrap()
        .unwrap();
    world.store.record(sending::sent(head.id)).await.unwrap();
    world.accept_and_turn(vec![passed("r2", "s3", 20)]).await;

    let trail = world
        .store
        .explain(&RunName("r1".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(trail.run.as_ref().unwrap().state, "failure");
    let made: Vec<&str> = trail
        .decisions
        .iter()
        .map(|made| made.decision.as_str())
        .collect();
    assert_eq!(made, ["not-failed", "notify"]);
    assert_eq!(trail.decisions[1].rule.as_deref(), Some("release"));
    assert_eq!(trail.incidents.len(), 1);
    let said: Vec<(&str, &str, usize)> = trail
        .notifications
        .iter()
        .map(|said| {
            let delivery = &said.deliveries[0];
            (
                said.notification.event.as_str(),
                delivery.state.as_str(),
                delivery.attempts.len(),
            )
        })
        .collect();
    assert_eq!(said, [("opened", "sent", 1), ("recovered", "pending", 0)]);
    assert!(
        serde_json::to_string(&trail)
            .unwrap()
            .contains("\"decision\":\"notify\"")
    );

    for other in ["19r1", "acme/s3-controller|s3-release|19r1"] {
        let same = world
            .store
            .explain(&RunName(other.to_owned()))
            .await
            .unwrap();
        assert_eq!(same.as_ref(), Some(&trail), "{other}");
    }
    // The run that closed the incident leads to it too.
    let good = world
        .store
        .explain(&RunName("r2".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(good.incidents, trail.incidents);

    let shown = &told[0].notification.id;
    let said = world
        .store
        .explain(&RunName(shown.clone()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((said.run, said.notifications.len()), (None, 1));
    assert_eq!(said.decisions, trail.decisions);
    assert_eq!(said.incidents, trail.incidents);
    assert_eq!(
        world
            .store
            .explain(&RunName("nobody".to_owned()))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn a_run_that_is_not_kept_has_a_trail_too() {
    let mut world = World::new().await;
    let ignored = Observation {
        job_type: JobType::Presubmit,
        ..failed("p1", "s3", 0)
    };
    world.accept_and_turn(vec![ignored]).await;
    let trail = world
        .store
        .explain(&RunName("p1".to_owned()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(trail.run, None);
    assert_eq!(trail.decisions[0].decision.as_str(), "ignored");
    assert_eq!(world.store.counts().await.unwrap().runs, 0);
}

#[tokio::test]
async fn forgetting_spares_what_is_open_running_or_unsent() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![
            failed("open", "s3", 0),
            failed("bad", "sqs", 0),
            passed("good", "sqs", 1),
            pending("running", "sns"),
        ])
        .await;
    assert_eq!(drain_all(&world).await, 3);
    world.clock.advance(minutes(600));
    world
        .accept_and_turn(vec![failed("late", "sqs", 590)])
        .await;

    let old = start() + minutes(300);
    let mut steps = 0;
    while world.store.prune(old, 2).await.unwrap() > 0 {
        steps += 1;
        assert!(steps < 50, "pruning ends");
    }
    assert!(steps > 1, "in small steps");
    let all = ["open", "bad", "good", "running", "late"].map(|name| RunName(name.to_owned()));
    let known = world.store.known(all.to_vec()).await.unwrap();
    let left: Vec<&str> = known.keys().map(|name| name.0.as_str()).collect();
    assert_eq!(left, ["late", "open", "running"]);
    let counts = world.store.counts().await.unwrap();
    assert_eq!(
        (counts.runs, counts.incidents_open, counts.outbox_pending),
        (3, 2, 1)
    );
    assert_eq!(
        world
            .store
            .explain(&RunName("bad".to_owned()))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        world
            .store
            .explain(&RunName("open".to_owned()))
            .await
            .unwrap()
            .unwrap()
            .incidents
            .len(),
        1
    );
    let incidents = world
        .dump()
        .await
        .iter()
        .filter(|line| line.starts_with("incidents:"))
        .count();
    assert_eq!(incidents, 2);
}

#[tokio::test]
async fn forgetting_spares_incidents_that_somebody_is_owed_news_of() {
    let mut world = World::new().await;
    world
        .accept_and_turn(vec![failed("bad", "docs", 0), passed("good", "docs", 1)])
        .await;
    while world
        .store
        .prune(start() + minutes(300), 100)
        .await
        .unwrap()
        > 0
    {}
    world.clock.advance(minutes(31));
    let (_, told) = world.turn(false).await;
    assert_eq!(told[0].notification.event.as_str(), "digest");
}

#[tokio::test]
async fn forgetting_spares_what_a_silence_still_hides() {
    let mut world = World::new().await;
    let ends_at = start() + minutes(600);
    let wish = Wish {
        matchers: &[r#"service="s3""#.to_owned()],
        author: "jane",
        reason: "registry moves",
        starts_at: None,
        ends_at,
    };
    let silence = Draft::read(&wish, start(), minutes(1000)).unwrap();
    let silence = silence.made(SilenceId(1), start());
    world.state.set_silences(vec![silence], start());
    let runs = vec![failed("bad", "s3", 0), passed("good", "s3", 1)];
    assert!(world.accept_and_turn(runs).await.is_empty());
    let old = start() + minutes(300);
    while world.store.prune(old, 100).await.unwrap() > 0 {}
    world.clock.advance(minutes(601));
    let (_, told) = world.turn(false).await;
    let items = told.iter().flat_map(|told| &told.notification.items);
    let recovered: Vec<bool> = items.map(|item| item.recovered.is_some()).collect();
    assert_eq!(recovered, [true]);
}

async fn drain_all(world: &World) -> usize {
    let mut count = 0;
    while let Some(delivery) = world
        .store
        .next_delivery("team", world.clock.now())
        .await
        .unwrap()
    {
        world
            .store
            .record(sending::sent(delivery.id))
            .await
            .unwrap();
        count += 1;
    }
    count
}

on_postgres![
    a_postponed_row_waits_for_its_time_and_counts,
    an_unreadable_row_is_set_aside_and_does_not_stop_the_others,
    an_unreadable_row_that_was_put_off_is_set_aside_too,
    times_are_kept_to_the_millisecond,
    our_own_values_are_kept_and_the_first_one_can_win,
    a_trail_tells_the_whole_way_of_a_run,
    a_run_that_is_not_kept_has_a_trail_too,
    forgetting_spares_what_is_open_running_or_unsent,
    forgetting_spares_incidents_that_somebody_is_owed_news_of,
    forgetting_spares_what_a_silence_still_hides,
];
