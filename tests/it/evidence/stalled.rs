//! A stage that was to start and does not.

use jiff::SignedDuration;
use prow_notifier::standin::prow::Job;

use super::{HOUR, MINUTE, World, green::RULES};
use crate::inside::passed;

/// The tag job's work is done at the start of the test.
async fn tagged() -> (World, Job) {
    let world = World::with(RULES, "base: 2s").await;
    let mut job = passed("s3", "tag", world.inside.now());
    "main".clone_into(&mut job.base_ref);
    world.put_log(&job, "ok: tagged with v1.2.3\n");
    world.inside.accept(&[job.clone()]).await;
    (world, job)
}

fn stages(world: &World) -> Vec<(SignedDuration, bool)> {
    let said = world.said().into_iter();
    said.map(|(at, text)| (at, text.contains("did not start within 30 min")))
        .collect()
}

#[tokio::test]
async fn stages_that_do_not_start_are_told_once_and_their_start_ends_it() {
    let (mut world, _) = tagged().await;
    world.inside.pass(5 * HOUR).await;
    assert_eq!(stages(&world), [(30 * MINUTE, true)], "{:?}", world.said());
    let text = world.said()[0].1.clone();
    let missing = "publish and chart did not start within 30 min after tag did its work";
    assert!(text.contains(missing), "{text}");
    let started = passed("s3", "publish", world.inside.now()).ended("pending", "", None);
    world.see(&started).await;
    let chart = passed("s3", "chart", world.inside.now()).ended("pending", "", None);
    world.see(&chart).await;
    world.inside.pass(5 * HOUR).await;
    assert_eq!(world.said().len(), 2, "{:#?}", world.said());
    assert!(
        world.said()[1].1.contains("publish started"),
        "{:#?}",
        world.said()
    );
    world.inside.counts().await;
}

#[tokio::test]
async fn a_restart_at_any_point_changes_nothing_of_it() {
    let mut expected = None;
    for at in 0..10 {
        let (mut world, _) = tagged().await;
        for step in 0..9 {
            if step == at {
                world.inside.restart().await;
            }
            match step {
                0 | 2 | 5 => drop(world.inside.decide().await),
                1 => drop(world.inside.read().await),
                3 | 6 => drop(world.inside.step().await),
                4 => {
                    world
                        .inside
                        .until(crate::inside::start() + 29 * MINUTE)
                        .await;
                    world
                        .inside
                        .clock
                        .advance(std::time::Duration::from_secs(60));
                }
                7 => {
                    let job = passed("s3", "publish", world.inside.now());
                    let started = job.ended("pending", "", None);
                    world.inside.accept(&[started]).await;
                }
                _ => world.inside.pass(HOUR).await,
            }
        }
        let said = world.said();
        world.inside.counts().await;
        if at == 5 {
            // Restarted right when it was due: what comes within the grace of a start was not late.
            assert_eq!(said.len(), 1, "{said:#?}");
            assert!(said[0].1.contains("chart did not start"), "{said:#?}");
            continue;
        }
        let first = expected.get_or_insert_with(|| said.clone());
        assert_eq!(&said, first, "restarted before step {at}");
    }
    // Chart never starts.
    let said = expected.unwrap();
    assert_eq!(said.len(), 3, "{said:#?}");
}
