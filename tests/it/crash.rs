//! `kill -9` at random moments under load: nothing that was answered 2xx is lost, and what a kill doubles
//! shows the same id.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prow_notifier::standin::prow::Job;
use tokio::task::JoinSet;

use crate::context::{Context, Setup, failed, id, random::Random, run};

const ROUNDS: u64 = 30;
const WEBHOOKS: u64 = 24;
/// A kill comes up to so long after a random number of answers: while others are under way, while the
/// worker decides, while messages go out, or when all is done.
const LONGEST_MICROS: u64 = 40_000;
const SEED: u64 = 0x5eed_0fac_1d00;

/// A failed job of its own cause, so that it is told in a message of its own, and to the platform alone.
fn job(round: u64, number: u64) -> Job {
    let mut job = failed("s3", 1);
    job.job = format!("job-{round}-{number}-end");
    job.annotations = vec![(
        "prow-notifier.io/stage".to_owned(),
        format!("stage-{round}-{number}"),
    )];
    job
}

/// Posts all of a round at once, kills the daemon in the midst of it, and gives the jobs that were accepted.
async fn post_and_kill(ctx: &mut Context, round: u64, random: &mut Random) -> Vec<String> {
    let mut posts = JoinSet::new();
    for number in 0..WEBHOOKS {
        let job = job(round, number);
        let request = ctx.post("/hooks/prowjob", job.to_json().to_string());
        posts.spawn(async move {
            let answer = request.send().await.ok()?;
            answer.status().is_success().then_some(job.job)
        });
    }
    let mut accepted = Vec::new();
    for _ in 0..random.below(WEBHOOKS + 1) {
        accepted.push(posts.join_next().await.unwrap().unwrap());
    }
    tokio::time::sleep(Duration::from_micros(random.below(LONGEST_MICROS))).await;
    ctx.kill().await;
    accepted.extend(posts.join_all().await);
    accepted.into_iter().flatten().collect()
}

#[tokio::test]
async fn kill_9_under_load_loses_nothing_and_doubles_at_most_one_message_a_time() {
    run(Setup::default().unpaced(), async |ctx| {
        println!("seed {SEED:#x}");
        let mut random = Random(SEED);
        let mut accepted = BTreeSet::new();
        for round in 0..ROUNDS {
            if round > 0 {
                ctx.start().await;
            }
            accepted.extend(post_and_kill(ctx, round, &mut random).await);
        }
        ctx.start().await;
        ctx.settle().await;
        let sent = WEBHOOKS * ROUNDS;
        let messages = ctx.messages(ctx.unread()).await;
        let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for message in &messages {
            assert_eq!(message.hook, "platform");
            let shown = message.payload.to_string();
            // Most of what ends fails, which is told beside.
            if shown.contains("Mass failure") {
                continue;
            }
            let (_, rest) = shown.split_once("job-").expect("a job is named");
            let (numbers, _) = rest.split_once("-end").expect("a job is named");
            ids.entry(format!("job-{numbers}-end"))
                .or_default()
                .push(id(message));
        }
        let lost: Vec<&String> = accepted
            .iter()
            .filter(|job| !ids.contains_key(*job))
            .collect();
        assert!(lost.is_empty(), "accepted and never told: {lost:?}");
        for (job, ids) in &ids {
            assert!(
                ids.iter().all(|id| *id == ids[0]),
                "{job} was told under several ids: {ids:?}"
            );
        }
        let doubled = ids.values().map(Vec::len).sum::<usize>() - ids.len();
        println!(
            "{sent} sent, {} accepted, {} told, {doubled} doubled",
            accepted.len(),
            ids.len()
        );
        assert!(
            doubled <= usize::try_from(ROUNDS).unwrap(),
            "{doubled} messages were doubled"
        );
        // Otherwise the moments were badly chosen and nothing is proven.
        assert!(
            accepted.len() > 100 && (accepted.len() as u64) < sent,
            "{} of {sent}",
            accepted.len()
        );
    })
    .await;
}
