//! Prow itself is unwell: told once to the default receiver, and once when it is well again.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use prow_notifier::{
    clock::Clock,
    standin::prow::{Fault, Job},
};

use rusqlite::Connection;

use crate::context::{Context, Reply, Setup, failed, hooks, passed, run, text};

fn setup() -> Setup {
    Setup::with_deck().with("watch: { deck_failures: 2, pile_up: 5, pile_up_age: 1h }")
}

/// The first line of the next message, which goes to the platform alone.
async fn headline(ctx: &Context) -> String {
    let messages = ctx.messages(1).await;
    assert_eq!(hooks(&messages), ["platform"]);
    text(&messages[0]).lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_deck_that_cannot_be_reached_is_told_once_and_its_return_once() {
    run(setup(), async |ctx| {
        ctx.polled_well().await;
        ctx.deck.set_fault(Some(Fault::Cut(0)));
        assert_eq!(
            headline(ctx).await,
            "┌ 🟡 prow-notifier: polling deck fails"
        );
        ctx.polled().await;
        assert_eq!(ctx.unread(), 0);
        ctx.deck.set_fault(None);
        assert_eq!(
            headline(ctx).await,
            "┌ ✅ prow-notifier: polling deck works again"
        );
    })
    .await;
}

/// Places on the board to which a page leads.
fn places(html: &str) -> BTreeSet<String> {
    let links = html.split("href=\"/").skip(1);
    let paths = links.filter_map(|rest| rest.split('"').next());
    paths.map(|path| format!("/{path}")).collect()
}

#[tokio::test]
async fn what_the_board_says_of_a_trouble_leads_somewhere() {
    run(setup(), async |ctx| {
        ctx.polled_well().await;
        ctx.deck.set_fault(Some(Fault::Cut(0)));
        headline(ctx).await;
        let page = async |path: &str| {
            let asked = ctx.request("GET", path).header("accept", "text/html");
            let reply = Reply::to(asked).await;
            assert_eq!(reply.status, 200, "{path}");
            reply.text
        };
        let first = places(&page("/").await);
        assert!(first.contains("/s/prow-notifier"), "{first:?}");
        for path in &first {
            page(path).await;
        }
        let shown = page("/s/prow-notifier").await;
        assert!(shown.contains("polling deck"), "{shown}");
        // It runs nothing and releases nothing.
        for wrong in ["Releases", "by week", "<h2>Jobs", "no good run"] {
            assert!(!shown.contains(wrong), "{wrong}: {shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_takes_nothing_in_is_no_failure_of_deck() {
    run(setup(), async |ctx| {
        ctx.expect_error("Cannot take in deck's list");
        ctx.allow_error("Cannot decide on what came in");
        ctx.polled_well().await;
        let inbox = Connection::open(ctx.store().with_extension("inbox.db")).unwrap();
        inbox.execute_batch("BEGIN EXCLUSIVE").unwrap();
        ctx.deck.upsert(failed("s3", 1).to_json());
        let metrics = ctx
            .until("deck was asked for a while", |metrics| {
                metrics.get("store_failures_total{reason=\"unavailable\"}") >= 3
            })
            .await;
        assert_eq!(metrics.get("deck_polls_total{result=\"failure\"}"), 0);
        inbox.execute_batch("ROLLBACK").unwrap();
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        ctx.polled_well().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_that_lacks_what_webhooks_told_long_before_is_told_as_old() {
    run(setup(), async |ctx| {
        ctx.deck.set_jobs(vec![passed("lambda", 90).to_json()]);
        ctx.polled_well().await;
        let fresh = passed("s3", 1);
        ctx.webhook(&fresh).await;
        assert_eq!(
            headline(ctx).await,
            "┌ 🟡 prow-notifier: reading deck's list fails"
        );
        ctx.deck.upsert(fresh.to_json());
        let well = "┌ ✅ prow-notifier: reading deck's list works again";
        assert_eq!(headline(ctx).await, well);
    })
    .await;
}

#[tokio::test]
async fn many_runs_that_wait_while_none_ends_are_told_as_a_stuck_prow() {
    run(setup(), async |ctx| {
        ctx.polled_well().await;
        let since = Clock::System.now() - SignedDuration::from_hours(2);
        let waiting: Vec<Job> = (0..6)
            .map(|number| {
                let job = Job::new("s3-controller", &format!("job-{number}"), "main", since);
                job.ended("triggered", "", None)
            })
            .collect();
        ctx.deck
            .set_jobs(waiting.iter().map(Job::to_json).collect());
        assert_eq!(
            headline(ctx).await,
            "┌ 🟡 prow-notifier: starting jobs fails"
        );
        ctx.polled().await;
        assert_eq!(ctx.unread(), 0);
        ctx.deck.set_jobs(vec![passed("s3", 1).to_json()]);
        assert_eq!(
            headline(ctx).await,
            "┌ ✅ prow-notifier: starting jobs works again"
        );
    })
    .await;
}

#[tokio::test]
async fn a_deck_that_is_given_up_is_in_trouble_no_more() {
    run(setup(), async |ctx| {
        ctx.polled_well().await;
        ctx.deck.set_fault(Some(Fault::Cut(0)));
        let trouble = "┌ 🟡 prow-notifier: polling deck fails";
        assert_eq!(headline(ctx).await, trouble);
        let file = ctx.config().join("20-receivers.yaml");
        let written = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = written.split_once("deck: {").unwrap();
        let (_, after) = rest.split_once('}').unwrap();
        std::fs::write(&file, format!("{before}{after}")).unwrap();
        let ended = "┌ ✅ prow-notifier: polling deck works again";
        assert_eq!(headline(ctx).await, ended);
    })
    .await;
}
