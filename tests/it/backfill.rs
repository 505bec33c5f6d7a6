//! An outage longer than Prow keeps ProwJobs: what ended meanwhile is found in the bucket, counted as if it had been
//! told in time, and summed up in one message to each receiver.

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    clock::Clock,
    standin::{
        bucket::{BucketStandin, Fault, Object},
        prow::Job,
    },
};
use rusqlite::Connection;
use tokio_util::task::TaskTracker;

use crate::{
    context::{Context, Metrics, Setup, hooks, postgres, run, text},
    program::program,
};

fn hours_ago(hours: i64) -> Timestamp {
    Clock::System.now() - SignedDuration::from_hours(hours)
}

/// A run of the job that publishes a service.
fn ended(service: &str, state: &str, hours: i64) -> Job {
    let (repository, job) = (
        format!("{service}-controller"),
        format!("{service}-post-submit"),
    );
    let at = hours_ago(hours);
    let started = at - SignedDuration::from_mins(5);
    Job::new(&repository, &job, "v1.2.3", started).ended(state, "The end.", Some(at))
}

fn failed(service: &str, hours: i64) -> Job {
    ended(service, "failure", hours)
}

fn passed(service: &str, hours: i64) -> Job {
    ended(service, "success", hours)
}

/// What Prow stores of a run.
fn store(bucket: &BucketStandin, job: &Job) {
    let bytes = job.to_json().to_string().into_bytes().into();
    bucket.put(
        &format!("{}/prowjob.json", job.directory()),
        Object::Bytes(bytes),
    );
}

fn settings(bucket: &BucketStandin) -> String {
    format!(
        "artifacts: {{ enabled: true, defaults: [{{ location: 's3://ack-prow-logs' }}], endpoints: [{{ for: s3, endpoint: '{}', anonymous: true }}] }}",
        bucket.url()
    )
}

/// Makes it so that a stopped daemon was last told anything so long ago.
fn last_heard(ctx: &Context, at: Timestamp) {
    let changed = Connection::open(ctx.store())
        .unwrap()
        .execute(
            "UPDATE meta SET value = $1 WHERE key = 'heard_at'",
            [at.to_string()],
        )
        .unwrap();
    assert_eq!(
        changed, 1,
        "the daemon keeps when it was last told anything"
    );
}

/// Was told something once, and then nothing for so long.
async fn be_away_for(ctx: &mut Context, hours: i64) {
    ctx.webhook(&passed("lambda", 70)).await;
    ctx.settle().await;
    ctx.stop().await;
    last_heard(ctx, hours_ago(hours));
}

/// Starts again, with much to be found, and does not look for it.
async fn looks_nowhere(ctx: &mut Context, bucket: &BucketStandin) {
    missed(bucket);
    ctx.start().await;
    ctx.webhook(&passed("lambda", 69)).await;
    ctx.settle().await;
    let asked = bucket.requests();
    assert!(!asked.iter().any(is_listing), "{asked:?}");
}

/// Orders a time to be looked through.
async fn order(ctx: &Context, since: i64, until: i64) -> String {
    let (since, until) = (hours_ago(since).to_string(), hours_ago(until).to_string());
    let config = ctx.config();
    let command = move || {
        let args = ["backfill", "--since", &since, "--until", &until];
        program(&args).config(config).run().ok()
    };
    tokio::task::spawn_blocking(command).await.unwrap()
}

fn is_listing(request: &String) -> bool {
    request == "GET ack-prow-logs"
}

async fn bucket() -> BucketStandin {
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    bucket.set_page(2);
    bucket
}

/// Sixty hours of runs.
fn missed(bucket: &BucketStandin) -> Vec<Job> {
    let runs = vec![
        failed("s3", 55),
        failed("s3", 30),
        failed("s3", 5),
        // Over before anybody could be told.
        failed("lambda", 50),
        passed("lambda", 40),
        passed("sqs", 58),
        failed("sqs", 20),
        // Over, and broken again.
        failed("sns", 52),
        passed("sns", 51),
        failed("sns", 3),
    ];
    for job in &runs {
        store(bucket, job);
    }
    store(bucket, &ended("s3", "pending", 1));
    bucket.put(
        "ack-prow-logs/logs/s3-post-submit/latest-build.txt",
        Object::Bytes("1".into()),
    );
    bucket.put(
        "ack-prow-logs/logs/s3-post-submit/42/prowjob.json",
        Object::Bytes("{}".into()),
    );
    runs
}

/// What each receiver is told of [`missed`], and nothing else.
async fn check_summaries(ctx: &Context) {
    let messages = ctx.messages(3).await;
    assert_eq!(hooks(&messages), ["platform", "s3", "sqs"]);
    let platform = text(&messages[0]);
    assert!(
        platform.contains("After an outage: 3 jobs failing"),
        "{platform}"
    );
    for service in ["s3", "sqs", "sns"] {
        assert!(platform.contains(service), "{service} is not in {platform}");
    }
    assert!(!platform.contains("lambda"), "{platform}");
}

#[tokio::test]
async fn sixty_missed_hours_are_one_summary_of_what_is_broken_now() {
    let bucket = bucket().await;
    run(Setup::with_deck().with(&settings(&bucket)), async |ctx| {
        ctx.logged("Took in deck's first list").await;
        ctx.stop().await;
        last_heard(ctx, hours_ago(60));
        let (runs, older) = (missed(&bucket), failed("s3", 90));
        store(&bucket, &older);
        // Deck still lists the later ones.
        let two_days = hours_ago(47);
        let listed = runs.iter().filter(|run| run.started > two_days);
        ctx.deck.set_jobs(listed.map(Job::to_json).collect());
        ctx.start().await;
        check_summaries(ctx).await;
        let metrics = ctx.polled().await;
        assert_eq!(metrics.sum("open_incidents"), 3);
        assert_eq!(metrics.decided("notify"), 0);
        assert_eq!(metrics.sum("backfill_active"), 0);
        for job in &runs {
            assert!(ctx.explain(&job.name()).is_some(), "{job:?}");
        }
        assert!(ctx.explain(&older.name()).is_none());
        // From now on all is told as ever.
        ctx.webhook(&passed("s3", 0)).await;
        let messages = ctx.messages(2).await;
        assert!(
            text(&messages[1]).contains("recovered"),
            "{}",
            text(&messages[1])
        );
        // A second start finds no gap.
        let asked = bucket.requests().len();
        ctx.stop().await;
        ctx.start().await;
        ctx.polled().await;
        let listings = bucket.requests().split_off(asked);
        assert!(!listings.iter().any(is_listing), "{listings:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_told_before_the_outage_is_summed_up_as_over() {
    let bucket = bucket().await;
    let more = "watch: { max_age: 100h }\n";
    run(
        Setup::default().with(&settings(&bucket)).with(more),
        async |ctx| {
            ctx.webhook(&failed("s3", 61)).await;
            ctx.webhook(&failed("sqs", 61)).await;
            ctx.messages(4).await;
            ctx.settle().await;
            ctx.stop().await;
            last_heard(ctx, hours_ago(60));
            store(&bucket, &passed("s3", 30));
            store(&bucket, &failed("sqs", 20));
            ctx.start().await;
            let messages = ctx.messages(2).await;
            assert_eq!(hooks(&messages), ["platform", "s3"]);
            assert!(
                text(&messages[0]).contains("After an outage: 1 job recovered"),
                "{}",
                text(&messages[0])
            );
            let metrics = ctx.settle().await;
            // The other one is counted in its window, as ever.
            assert_eq!(
                (
                    metrics.sum("open_incidents"),
                    metrics.decided("deduplicated")
                ),
                (1, 1)
            );
        },
    )
    .await;
}

#[tokio::test]
async fn a_bucket_that_fails_half_way_is_gone_on_with() {
    let bucket = bucket().await;
    let setup = Setup::default()
        .with(&settings(&bucket))
        .with("backfill: { concurrency: 1 }");
    run(setup, async |ctx| {
        be_away_for(ctx, 60).await;
        missed(&bucket);
        let broken = "ack-prow-logs/logs/sns-post-submit";
        bucket.set_fault_of(broken, Some(Fault::Status(500, "InternalError")));
        ctx.start().await;
        ctx.logged("Cannot look into a bucket").await;
        // Killed in between, and what is known so far is not told.
        ctx.kill().await;
        assert_eq!(ctx.unread(), 0);
        bucket.set_fault_of(broken, None);
        let asked = bucket.requests().len();
        ctx.start().await;
        check_summaries(ctx).await;
        ctx.settle().await;
        let again = bucket.requests().split_off(asked);
        let is_done = |request: &String| {
            request.contains("lambda-post-submit") && request.ends_with("prowjob.json")
        };
        assert!(!again.iter().any(is_done), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_leads_no_more_does_not_show_that_it_fills_a_gap() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let (server, bucket) = (postgres::shared().unwrap(), bucket().await);
    let (_, database) = url.rsplit_once('/').unwrap();
    bucket.set_fault(Some(Fault::Status(500, "InternalError")));
    let setup = Setup::default()
        .with(&settings(&bucket))
        .with(&format!("store: {{ url: \"{url}\" }}"));
    run(setup, async |ctx| {
        ctx.allow_error("Cannot decide on what came in");
        let shows = async |leads: u64, fills: u64| {
            let is_so = |metrics: &Metrics| {
                metrics.sum("leader") == leads && metrics.sum("backfill_active") == fills
            };
            ctx.until(&format!("leads: {leads}, fills: {fills}"), is_so)
                .await;
        };
        order(ctx, 60, 0).await;
        shows(1, 1).await;
        let another =
            "UPDATE lead SET holder = 'another', epoch = epoch + 1, until = 9000000000000000";
        server.sql(database, another);
        shows(0, 0).await;
        server.sql(database, "UPDATE lead SET until = 0");
        shows(1, 1).await;
        bucket.set_fault(None);
        shows(1, 0).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_looked_for_when_that_is_switched_off() {
    let bucket = bucket().await;
    let setup = Setup::default()
        .with(&settings(&bucket))
        .with("backfill: { enabled: false }");
    run(setup, async |ctx| {
        be_away_for(ctx, 60).await;
        looks_nowhere(ctx, &bucket).await;
    })
    .await;
}

#[tokio::test]
async fn an_outage_shorter_than_prow_keeps_prowjobs_is_left_to_deck() {
    let bucket = bucket().await;
    run(Setup::default().with(&settings(&bucket)), async |ctx| {
        be_away_for(ctx, 40).await;
        looks_nowhere(ctx, &bucket).await;
    })
    .await;
}

#[tokio::test]
async fn a_time_that_somebody_orders_is_looked_through_by_the_running_daemon() {
    let bucket = bucket().await;
    run(Setup::default().with(&settings(&bucket)), async |ctx| {
        ctx.logged("Listening on").await;
        missed(&bucket);
        let said = order(ctx, 60, 0).await;
        assert!(said.contains("will look for runs"), "{said}");
        check_summaries(ctx).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("open_incidents"), 3);
        let found = metrics.sum("backfill_runs_total");
        // What is known is not told again, and what ends later is not looked for.
        store(&bucket, &failed("ec2", 49));
        store(&bucket, &failed("rds", 10));
        order(ctx, 60, 45).await;
        let more = ctx
            .until("it is through", |metrics| {
                metrics.sum("backfill_runs_total") > found && metrics.sum("backfill_active") == 0
            })
            .await;
        assert_eq!(more.sum("backfill_runs_total"), found + 1);
        let told = ctx.messages(1).await;
        assert!(text(&told[0]).contains("ec2"), "{}", text(&told[0]));
    })
    .await;
}

#[test]
fn nothing_can_be_ordered_where_there_is_nowhere_to_look() {
    let said = program(&["backfill", "--since", "2026-07-01T18:00:00Z"])
        .config("config/ack.yaml")
        .env("PROW_NOTIFIER__BACKFILL__ENABLED", "false")
        .run()
        .refused();
    assert!(said.contains("artifacts.defaults"), "{said}");
}
