//! The program stopped, or killed, while it reads.

use std::time::{Duration, Instant};

use prow_notifier::standin::bucket::{BucketStandin, Fault, Object};
use tokio_util::task::TaskTracker;

use super::{log, reading};
use crate::context::{Context, Setup, failed, run, text};

const WAIT: Duration = Duration::from_secs(1);

async fn setup() -> (BucketStandin, Setup) {
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let reading = reading(&bucket.url(), "base: 100ms, cap: 200ms");
    let setup = Setup::default()
        .unpaced()
        .with(&reading)
        .with("dedup: { group_wait: 1s }");
    (bucket, setup)
}

/// Waits until the bucket has been asked once more.
async fn asked(bucket: &BucketStandin) {
    let before = bucket.requests().len();
    while bucket.requests().len() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn evidence(ctx: &Context, run: &str) -> String {
    ctx.until("the reason is read", |metrics| {
        metrics.get("artifact_reads_total{result=\"found\"}") > 0
    })
    .await;
    loop {
        let explained = ctx.explain(run).unwrap();
        let found = &explained["evidence"]["finding"]["found"]["headline"];
        if let Some(headline) = found.as_str() {
            return headline.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_bucket_that_hangs_holds_no_message_up_and_reading_survives_the_end_of_the_program() {
    for killed in [false, true] {
        let (bucket, setup) = setup().await;
        run(setup, async |ctx| {
            let job = failed("sns", 0);
            let path = format!("{}/build-log.txt", job.directory());
            bucket.put(&path, Object::Bytes(log("newManager").into()));
            bucket.set_fault(Some(Fault::Hang));
            let began = Instant::now();
            ctx.webhook(&job).await;
            let told = ctx.messages(1).await;
            assert!(began.elapsed() >= WAIT.saturating_sub(Duration::from_millis(50)));
            assert!(
                text(&told[0]).contains("the log could not be read: no answer so far"),
                "{}",
                text(&told[0])
            );
            // A message that is sent and not yet marked so is sent again.
            ctx.settle().await;
            if killed {
                ctx.kill().await;
            } else {
                ctx.stop().await;
            }
            let asking = asked(&bucket);
            tokio::join!(ctx.start(), asking);
            bucket.set_fault(None);
            // What hangs, hangs on; the next attempt after one more end gets through.
            ctx.kill().await;
            ctx.start().await;
            let headline = evidence(ctx, &job.name()).await;
            assert!(headline.contains("undefined: newManager"), "{headline}");
            assert_eq!(ctx.unread(), 0, "a late reason is no message of its own");
        })
        .await;
    }
}
