//! The outbox: order, blocking, dead letters.

use super::*;
use crate::domain::notification::Diverted;

pub(super) fn sent(delivery: i64) -> Recorded {
    Recorded {
        delivery,
        at: start(),
        outcome: "sent".to_owned(),
        detail: String::new(),
        counted: true,
        then: Then::Sent,
        health: None,
        divert: None,
        hold: None,
    }
}

fn dead(delivery: i64) -> Recorded {
    Recorded {
        outcome: "refused".to_owned(),
        detail: "channel_is_archived".to_owned(),
        then: Then::Dead,
        ..sent(delivery)
    }
}

/// Sends all that is due to a receiver; the services told, in order.
async fn drain(world: &World, receiver: &str) -> Vec<String> {
    let mut services = Vec::new();
    while let Some(delivery) = world
        .store
        .next_delivery(receiver, world.clock.now())
        .await
        .unwrap()
    {
        assert_eq!(delivery.notification.receiver, receiver);
        services.push(delivery.notification.items[0].class.owner().to_owned());
        world.store.record(sent(delivery.id)).await.unwrap();
    }
    services
}

/// Two critical failures and, after a less urgent one, a third, all for `team`.
async fn queue() -> World {
    let mut world = World::new().await;
    world.policy.routing.routes.clear();
    world.accept_and_turn(vec![failed("d1", "docs", 0)]).await;
    world.accept_and_turn(vec![failed("r1", "s3", 0)]).await;
    world.accept_and_turn(vec![failed("r2", "sqs", 0)]).await;
    world
}

#[tokio::test]
async fn critical_goes_first_and_then_in_order() {
    let world = queue().await;
    assert_eq!(world.store.receivers_due(start()).await.unwrap(), ["team"]);
    assert_eq!(drain(&world, "team").await, ["s3", "sqs", "docs"]);
    assert!(world.store.receivers_due(start()).await.unwrap().is_empty());
    assert_eq!(world.store.next_delivery_due().await.unwrap(), None);
    assert_eq!(world.store.counts().await.unwrap().outbox_pending, 0);
}

#[tokio::test]
async fn nothing_overtakes_a_delivery_that_waits_for_another_attempt() {
    let world = queue().await;
    let later = start() + minutes(1);
    let head = world
        .store
        .next_delivery("team", start())
        .await
        .unwrap()
        .unwrap();
    let again = Recorded {
        then: Then::Again {
            due_at: later,
            plain: true,
        },
        ..sent(head.id)
    };
    world.store.record(again).await.unwrap();
    assert_eq!(
        world.store.next_delivery("team", start()).await.unwrap(),
        None
    );
    assert!(world.store.receivers_due(start()).await.unwrap().is_empty());
    assert_eq!(world.store.next_delivery_due().await.unwrap(), Some(later));
    world.clock.advance(minutes(1));
    let head = world
        .store
        .next_delivery("team", later)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((head.attempts, head.plain, head.due_at), (1, true, later));
    assert_eq!(drain(&world, "team").await, ["s3", "sqs", "docs"]);
}

#[tokio::test]
async fn a_blocked_receiver_waits_without_counting_and_across_a_restart() {
    let mut world = queue().await;
    let until = start() + minutes(2);
    let head = world
        .store
        .next_delivery("team", start())
        .await
        .unwrap()
        .unwrap();
    let limited = Recorded {
        outcome: "rate-limited".to_owned(),
        counted: false,
        then: Then::Again {
            due_at: start(),
            plain: false,
        },
        health: Some(Health {
            blocked_until: Some(until),
            dead: None,
            failures: 1,
        }),
        ..sent(head.id)
    };
    world.store.record(limited).await.unwrap();
    world.restart().await;
    assert_eq!(
        world.store.next_delivery("team", start()).await.unwrap(),
        None
    );
    assert_eq!(world.store.next_delivery_due().await.unwrap(), Some(until));
    let states = world.store.receiver_states().await.unwrap();
    assert_eq!((states[0].health.failures, states[0].pending), (1, 3));
    let head = world
        .store
        .next_delivery("team", until)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.attempts, 0);
}

#[tokio::test]
async fn a_refused_delivery_goes_to_the_fallback_and_can_be_replayed() {
    let world = queue().await;
    let head = world
        .store
        .next_delivery("team", start())
        .await
        .unwrap()
        .unwrap();
    let why = Diverted {
        from: "team".to_owned(),
        reason: "channel_is_archived".to_owned(),
    };
    let refused = Recorded {
        health: Some(Health {
            dead: Some("channel_is_archived".to_owned()),
            ..Health::default()
        }),
        divert: Some(Divert {
            to: "platform".to_owned(),
            why: why.clone(),
        }),
        ..dead(head.id)
    };
    world.store.record(refused.clone()).await.unwrap();
    // Told twice, as after a crash between two steps: no second copy.
    world.store.record(refused).await.unwrap();
    let copy = world
        .store
        .next_delivery("platform", start())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(copy.notification.diverted, Some(why));
    assert_eq!(copy.notification.id, head.notification.id);
    assert_eq!(drain(&world, "platform").await, ["s3"]);

    // The copy says it all, so nobody has to look after the original.
    assert!(world.store.dead_letters(10).await.unwrap().is_empty());
    world.clock.advance(minutes(60));
    let actor = Actor {
        who: "ann".to_owned(),
        by: "token".to_owned(),
    };
    assert!(world.store.replay(head.id, &actor).await.unwrap());
    assert!(!world.store.replay(head.id, &actor).await.unwrap());
    let done = world.store.actions(None, 10).await.unwrap();
    assert_eq!(done.len(), 1, "what changed nothing is no action");
    assert_eq!((&done[0].actor, done[0].at), (&actor, world.clock.now()));
    assert_eq!(done[0].subject, format!("delivery {}", head.id));
    assert_eq!(done[0].before.as_ref().unwrap()["state"], "diverted");
    assert_eq!(done[0].after.as_ref().unwrap()["state"], "pending");
    let again = world
        .store
        .next_delivery("team", world.clock.now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (again.id, again.attempts, again.created_at),
        (head.id, 0, world.clock.now())
    );
    assert!(world.store.dead_letters(10).await.unwrap().is_empty());
    let states = world.store.receiver_states().await.unwrap();
    assert_eq!(
        states[1].health.dead.as_deref(),
        Some("channel_is_archived")
    );
}

#[tokio::test]
async fn what_was_put_off_before_the_clock_went_back_does_not_wait() {
    let world = queue().await;
    let head = world.store.next_delivery("team", start()).await;
    let until = start() + minutes(60);
    let limited = Recorded {
        then: Then::Again {
            due_at: until,
            plain: false,
        },
        health: Some(Health {
            blocked_until: Some(until),
            ..Health::default()
        }),
        ..sent(head.unwrap().unwrap().id)
    };
    world.store.record(limited).await.unwrap();
    for (now, is_due) in [(start(), false), (start() - minutes(1), true)] {
        let horizon = Horizon {
            now,
            latest: now + minutes(60),
        };
        let due = world.store.receivers_due(horizon).await.unwrap();
        assert_eq!(!due.is_empty(), is_due, "{now}");
        let head = world.store.next_delivery("team", horizon).await.unwrap();
        assert_eq!(head.is_some(), is_due, "{now}");
    }
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_becomes_a_dead_letter_and_the_next_one_goes() {
    let world = queue().await;
    let head = world.store.next_delivery("team", start()).await;
    let id = head.unwrap().unwrap().id;
    let set_aside = async || world.store.set_aside_head("team", start(), None).await;
    assert_eq!(set_aside().await.unwrap(), None, "it can be read");
    world
        .sql(&format!(
            "UPDATE notifications SET body = '{{\"id\": 7}}' WHERE id = (SELECT notification_id FROM outbox WHERE id = {id})"
        ))
        .await;
    let failed = world.store.next_delivery("team", start()).await;
    assert!(failed.unwrap_err().is_unreadable());
    let aside = set_aside().await.unwrap().unwrap();
    assert_eq!(aside.what, id.to_string());
    assert_eq!(drain(&world, "team").await, ["sqs", "docs"]);
    let states = world.store.receiver_states().await.unwrap();
    assert_eq!((states[0].pending, states[0].dead_letters), (0, 1));
    // Lists show the others.
    assert_eq!(world.store.dead_letters(10).await.unwrap(), []);
    assert!(world.store.delivery(id).await.unwrap().is_none());
}

on_postgres![
    critical_goes_first_and_then_in_order,
    nothing_overtakes_a_delivery_that_waits_for_another_attempt,
    a_blocked_receiver_waits_without_counting_and_across_a_restart,
    a_refused_delivery_goes_to_the_fallback_and_can_be_replayed,
    what_was_put_off_before_the_clock_went_back_does_not_wait,
    a_delivery_that_cannot_be_read_becomes_a_dead_letter_and_the_next_one_goes,
];
