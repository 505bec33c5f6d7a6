//! One failed run whose log is there, not there yet, or cannot be read.

use prow_notifier::{domain::observation::RunName, standin::bucket::Fault};

use super::{DECIDING, HOUR, MINUTE, SECOND, World, log};
use crate::inside::{failed, passed};

const DOWN: Fault = Fault::Status(503, "SlowDown");

#[tokio::test]
async fn a_failure_is_told_with_its_deciding_line_where_it_stands_in_the_log() {
    let mut world = World::new("base: 10s").await;
    let job = failed("s3", "publish", world.inside.now());
    let secret = ["AK", "IA", "KV54OIUYQDKQC4B2"].concat();
    let text = log("newManager") + &format!("+ aws configure set aws_access_key_id {secret}\n");
    world.put_log(&job, &text);
    world.see(&job).await;
    let said = world.said();
    assert_eq!((said.len(), said[0].0), (1, jiff::SignedDuration::ZERO));
    let message = &world.inside.messages("platform")[0];
    let payload = message.payload.to_string();
    let excerpt = &said[0].1;
    for part in [
        "compile error: ",
        "undefined: newManager",
        &format!("{DECIDING}  pkg/resource/manager.go:42:7"),
        &format!("{}  make: ***", DECIDING + 1),
    ] {
        assert!(excerpt.contains(part), "{part}: {excerpt}");
    }
    let link = format!("/view/s3/{}#1:build-log.txt%3A{DECIDING}|", job.directory());
    assert!(payload.contains(&link), "{link}: {payload}");
    assert!(!payload.contains(&secret), "{payload}");
    // Who has only the message learns by its id what who has the run does.
    let (_, id) = payload.rsplit_once("id:").unwrap();
    let id = RunName(id.chars().take(8).collect());
    let store = &world.inside.shared().store;
    let by_message = store.explain(&id).await.unwrap().unwrap().evidence;
    assert!(by_message.is_some());
    assert_eq!(by_message, world.trail(&job).await.evidence);
    world.inside.counts().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_holds_nothing_up_and_its_reason_follows() {
    for (retry, latest) in [
        ("base: 10s", jiff::SignedDuration::ZERO),
        ("base: 2s", 5 * SECOND),
    ] {
        let mut world = World::new(retry).await;
        world.bucket.set_fault(Some(DOWN));
        let job = failed("s3", "publish", world.inside.now());
        world.put_log(&job, &log("newManager"));
        world.see(&job).await;
        world.inside.pass(MINUTE).await;
        let said = world.said();
        assert_eq!((said.len(), said[0].0), (1, latest), "{said:?}");
        let note = "the log could not be read: s3://ack-prow-logs cannot be read: it answered 503";
        assert!(said[0].1.contains(note), "{said:?}");
        world.inside.pass(9 * MINUTE).await;
        let again = failed("s3", "publish", world.inside.now());
        world.put_log(&again, &log("newManager"));
        world.see(&again).await;
        world.inside.pass(10 * MINUTE).await;
        assert!(world.headline(&job).await.is_err());
        world.bucket.set_fault(None);
        world.inside.pass(HOUR).await;
        for job in [&job, &again] {
            let found = world.headline(job).await.unwrap();
            assert!(found.contains("undefined: newManager"), "{found}");
        }
        let said = world.said();
        assert_eq!(said.len(), 2, "{said:#?}");
        let still = &said[1];
        assert!((HOUR..HOUR + MINUTE).contains(&still.0), "{still:?}");
        assert!(still.1.contains("undefined: newManager"), "{still:?}");
        world.inside.counts().await;
    }
}

#[tokio::test]
async fn a_log_that_comes_a_little_after_the_end_is_waited_for() {
    let mut world = World::new("base: 2s").await;
    let job = failed("s3", "publish", world.inside.now());
    world.see(&job).await;
    world.inside.pass(3 * SECOND / 2).await;
    world.put_log(&job, &log("newManager"));
    world.inside.pass(MINUTE).await;
    let said = world.said();
    assert_eq!(said.len(), 1);
    assert!(said[0].0 <= 5 * SECOND, "{said:?}");
    assert!(said[0].1.contains("undefined: newManager"), "{said:?}");
    let trail = world.trail(&job).await;
    assert!(trail.evidence.unwrap().attempts >= 2);
}

#[tokio::test]
async fn a_log_that_never_comes_is_given_up_and_its_recovery_told() {
    let mut world = World::new("base: 10s").await;
    let job = failed("s3", "publish", world.inside.now());
    world.see(&job).await;
    world.inside.pass(30 * MINUTE).await;
    let trail = world.trail(&job).await.evidence.unwrap();
    assert_eq!(trail.again_at, None, "{trail:?}");
    let asked = world.bucket.requests().len();
    world.inside.pass(6 * HOUR).await;
    assert_eq!(world.bucket.requests().len(), asked);
    world
        .see(&passed("s3", "publish", world.inside.now()))
        .await;
    assert_eq!(world.said().len(), 2);
    assert!(
        world.said()[0].1.contains("there is no log in"),
        "{:?}",
        world.said()
    );
    world.inside.counts().await;
}
