//! A bucket that fails now and then, and one that is wrong for an hour.

use std::sync::Arc;

use prow_notifier::{
    pipeline::reload::Reload,
    standin::{bucket::Fault, prow::Job},
    web::Web,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{HOUR, MINUTE, SECOND, World, log};
use crate::inside::{EACH_JOB_A_STAGE, Inside, failed};

const WRONG: Fault = Fault::Status(403, "AccessDenied");
const FLAKY: Fault = Fault::Status(503, "SlowDown");

/// What a page of the daemon says.
async fn page(inside: &Inside, path: &str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}{path}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let web = Web::new(inside.shared().clone(), stop.clone());
    let serving = prow_notifier::web::serve(listener, web, stop.clone());
    let asking = async {
        let answer = inside.shared().http.open().get(url).send().await.unwrap();
        let text = answer.text().await.unwrap();
        stop.cancel();
        text
    };
    tokio::join!(serving, asking).1
}

/// Addresses of what the page shows as runs.
fn linked_runs(page: &str) -> impl Iterator<Item = &str> {
    let links = page.split("href=\"").skip(1);
    links
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.starts_with("/r/"))
}

async fn failing_endpoints(inside: &Inside) -> String {
    let metrics = page(inside, "/metrics").await;
    let name = "prow_notifier_artifact_endpoints_failing ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().to_owned()
}

async fn see_all(world: &mut World) -> Vec<Job> {
    let mut jobs = Vec::new();
    for number in 0..40 {
        let mut job = failed(
            &format!("s{number}"),
            &format!("job{number}"),
            world.inside.now(),
        );
        if number % 2 == 1 {
            "other-logs".clone_into(&mut job.bucket);
        }
        world.put_log(&job, &log(&format!("thing{number}")));
        world.see(&job).await;
        world.inside.pass(90 * SECOND).await;
        jobs.push(job);
    }
    jobs
}

#[tokio::test]
async fn every_message_goes_out_in_time_and_evidence_comes_for_all() {
    let mut world = World::new("base: 2s").await;
    world.bucket.set_flaky(10, FLAKY);
    world.bucket.set_fault_of("other-logs", Some(WRONG));
    let jobs = see_all(&mut world).await;
    assert_eq!(world.troubles().len(), 1, "{:#?}", world.troubles());
    let trouble = world.troubles().remove(0).1;
    assert!(
        trouble.contains("s3://other-logs") && trouble.contains("403"),
        "{trouble}"
    );
    assert_eq!(failing_endpoints(&world.inside).await, "1");
    let now = page(&world.inside, "/").await;
    let links: Vec<&str> = linked_runs(&now).collect();
    assert!(
        links
            .iter()
            .any(|link| link.starts_with("/r/prow-notifier%7C")),
        "the trouble is among them: {links:?}"
    );
    for link in links {
        let shown = page(&world.inside, link).await;
        assert!(!shown.contains("Nothing is known"), "{link}");
    }
    let ready = page(&world.inside, "/readyz").await;
    assert!(
        ready.contains("s3://other-logs") && ready.contains("403"),
        "{ready}"
    );
    world.bucket.set_fault_of("other-logs", None);
    world.inside.pass(2 * HOUR).await;
    for (number, job) in jobs.iter().enumerate() {
        let found = world.headline(job).await;
        assert!(
            found
                .as_ref()
                .is_ok_and(|line| line.contains(&format!("thing{number}"))),
            "{number}: {found:?}"
        );
        let trail = world.trail(job).await;
        let told = &trail.notifications[0];
        let late = told
            .notification
            .at
            .duration_since(trail.decisions[0].decided_at);
        assert!(late <= 5 * SECOND, "{number}: {late}");
        assert_eq!(trail.notifications.len(), 1, "{number}");
        let flaky = number % 2 == 0;
        assert!(
            !flaky || told.notification.items[0].evidence.is_some(),
            "{number}"
        );
    }
    assert_eq!(world.troubles().len(), 2, "{:#?}", world.troubles());
    // Each once, and once that most of what ends fails.
    assert_eq!(world.said().len(), jobs.len() + 1);
    assert_eq!(failing_endpoints(&world.inside).await, "0");
    assert!(!page(&world.inside, "/readyz").await.contains("403"));
    world.inside.counts().await;
}

#[tokio::test]
async fn a_bucket_that_works_again_after_a_restart_is_told_once() {
    let mut world = World::new("base: 2s").await;
    world.bucket.set_fault(Some(WRONG));
    let job = failed("s3", "publish", world.inside.now());
    world.put_log(&job, &log("newManager"));
    world.see(&job).await;
    world.inside.pass(10 * MINUTE).await;
    assert_eq!(world.troubles().len(), 1);
    world.inside.restart().await;
    world.inside.pass(10 * MINUTE).await;
    assert_eq!(world.troubles().len(), 1, "still the same trouble");
    world.bucket.set_fault(None);
    world.inside.restart().await;
    world.inside.pass(HOUR).await;
    assert_eq!(world.troubles().len(), 2, "{:#?}", world.troubles());
    world.inside.restart().await;
    let next = failed("sqs", "publish", world.inside.now());
    world.put_log(&next, &log("newManager"));
    world.see(&next).await;
    assert_eq!(world.troubles().len(), 2);
    let shared = Arc::clone(&world.inside.shared().library);
    assert!(shared.health().iter().all(|one| one.why.is_empty()));
}

#[tokio::test]
async fn a_wrong_bucket_does_not_hold_up_another() {
    let mut world = World::with(EACH_JOB_A_STAGE, "base: 2s").await;
    world.bucket.set_fault_of("other-logs", Some(WRONG));
    for number in 0..20 {
        let mut job = failed(
            &format!("s{number}"),
            &format!("job{number}"),
            world.inside.now(),
        );
        job.bucket = "other-logs".to_owned();
        world.see(&job).await;
    }
    let job = failed("s3", "publish", world.inside.now());
    world.put_log(&job, &log("newManager"));
    world.see(&job).await;
    let last = world.said().pop().unwrap();
    assert!(last.1.contains("undefined: newManager"), "{last:?}");
}

#[tokio::test]
async fn a_bucket_that_is_taken_out_of_the_configuration_is_in_trouble_no_more() {
    for restarts in [false, true] {
        let mut world = World::new("base: 2s, max_age: 2m").await;
        let config = world.inside.home().join("config/30-bucket.yaml");
        let default = "artifacts: { defaults: [{ location: 's3://ack-prow-logs' }] }\n";
        std::fs::write(&config, default).unwrap();
        assert_eq!(world.inside.reload(), Reload::Swapped);
        world.bucket.set_fault(Some(WRONG));
        let job = failed("s3", "publish", world.inside.now());
        world.see(&job).await;
        world.inside.pass(10 * MINUTE).await;
        assert_eq!(world.troubles().len(), 1, "{:#?}", world.troubles());
        std::fs::remove_file(&config).unwrap();
        if restarts {
            world.inside.restart().await;
        } else {
            assert_eq!(world.inside.reload(), Reload::Swapped);
        }
        world.inside.pass(MINUTE).await;
        assert_eq!(world.troubles().len(), 2, "{:#?}", world.troubles());
        assert_eq!(failing_endpoints(&world.inside).await, "0");
    }
}
