//! Green runs whose log says what they did.

use super::{HOUR, MINUTE, SECOND, World};
use crate::inside::{failed, passed};
use prow_notifier::standin::{bucket::Fault, prow::Job};

pub(super) const RULES: &str = r#"
classify:
  - name: any
    match: ['repo=~"(?<service>.+)-controller"', 'job=~"(?<stage>.+)"']
    set: { service: "$service", stage: "$stage", severity: critical }
pipelines:
  - name: release
    stages:
      - name: tag
        log:
          done: ['tagged with v(?<version>\S+)']
          no_op: ['Skipping']
          soft_fail: ['\[ERROR\]']
      - name: publish
        needs: [{ stage: tag, within: 30m }]
      - name: chart
        needs: [{ stage: tag, within: 30m }]
"#;
const DOWN: Fault = Fault::Status(503, "SlowDown");

fn tag(world: &World) -> Job {
    let mut job = passed("s3", "tag", world.inside.now());
    "main".clone_into(&mut job.base_ref);
    job
}

async fn world() -> World {
    World::with(RULES, "base: 2s").await
}

async fn green(world: &mut World, log: &str) -> Job {
    let job = tag(world);
    world.put_log(&job, log);
    world.see(&job).await;
    world.inside.pass(2 * SECOND).await;
    job
}

#[tokio::test]
async fn a_green_run_that_did_not_do_its_work_opens_an_incident_and_the_next_good_one_closes_it() {
    let mut world = world().await;
    let soft = green(&mut world, "+ tag\n[ERROR] v1.2.3 exists already\n").await;
    assert_eq!(world.decisions(&soft).await, ["notify"]);
    assert!(
        world.said()[0].1.contains("[ERROR] v1.2.3 exists already"),
        "{:?}",
        world.said()
    );
    world.inside.pass(MINUTE).await;
    let idle = green(&mut world, "Skipping\n").await;
    assert_eq!(world.decisions(&idle).await, ["no-op"]);
    assert_eq!(world.said().len(), 1, "idleness closes nothing");
    world.inside.pass(MINUTE).await;
    let good = green(&mut world, "tagged with v1.2.3\n").await;
    assert_eq!(world.decisions(&good).await, ["recovered"]);
    assert_eq!(world.said().len(), 2);
    world.inside.counts().await;
}

#[tokio::test]
async fn a_green_run_that_had_nothing_to_do_opens_nothing() {
    let mut world = world().await;
    let idle = green(&mut world, "Skipping\n").await;
    assert_eq!(world.decisions(&idle).await, ["no-op"]);
    world.inside.pass(2 * HOUR).await;
    assert_eq!(world.said(), []);
    world.inside.counts().await;
}

#[tokio::test]
async fn a_green_run_whose_log_cannot_be_read_counts_as_passed_after_a_while() {
    for restarts in [false, true] {
        let mut world = world().await;
        let bad = failed("s3", "tag", world.inside.now());
        world.see(&bad).await;
        world.inside.pass(10 * SECOND).await;
        world.bucket.set_fault(Some(DOWN));
        let mut job = tag(&world);
        job.base_ref.clone_from(&bad.base_ref);
        world.put_log(&job, "[ERROR] nobody reads this in time\n");
        world.see(&job).await;
        for _ in 0..11 {
            world.inside.pass(10 * SECOND).await;
            if restarts {
                world.inside.restart().await;
            }
        }
        assert_eq!(world.said().len(), 1);
        world.inside.pass(15 * SECOND).await;
        assert_eq!(world.decisions(&job).await, ["recovered"]);
        world.bucket.set_fault(None);
        world.inside.pass(3 * HOUR).await;
        assert_eq!(world.decisions(&job).await, ["recovered"]);
        world.inside.accept(&[job.clone()]).await;
        world.inside.pass(5 * MINUTE).await;
        assert_eq!(world.decisions(&job).await, ["recovered", "deduplicated"]);
        world.inside.counts().await;
    }
}

#[tokio::test]
async fn a_green_run_is_decided_once_wherever_a_restart_falls() {
    for at in 0..5 {
        let mut world = world().await;
        let job = tag(&world);
        world.put_log(&job, "[ERROR] v1.2.3 exists already\n");
        world.inside.accept(&[job.clone(), job.clone()]).await;
        for step in 0..5 {
            if step == at {
                world.inside.restart().await;
            }
            match step {
                0 | 2 => drop(world.inside.decide().await),
                1 => drop(world.inside.read().await),
                3 => drop(world.inside.step().await),
                _ => world.inside.pass(MINUTE).await,
            }
        }
        assert_eq!(
            world.decisions(&job).await,
            ["notify", "deduplicated"],
            "{at}"
        );
        assert_eq!(world.said().len(), 1, "{at}");
        world.inside.counts().await;
    }
}
