//! What a long history costs: one more event at 1,000 and at 1,000,000 stored runs, alone and in a flood, and the
//! start.
//!
//! `cargo bench --bench history`; a number as argument is the length of the long history (1,000,000).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    dead_code,
    reason = "a bench prints and measures, and nothing depends on it"
)]

mod support;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use prow_notifier::{
    clock::Clock,
    domain::{observation::Source, policy::Policy, state::State},
    prow::parse,
    standin::slack::{Options, SlackStandIn},
    store::{DecisionRow, Sighting, Store, Wanted, Work},
};
use support::{Daemon, config, job, now};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the worker takes at once in a flood.
const FLOOD: usize = 4_096;
/// How often events are timed, one at a time and a flood at a time.
const ONES: usize = 1_000;
const FLOODS: usize = 10;

/// What an event costs in seconds, from its bytes to what follows from it in the store.
struct Cost {
    alone: f64,
    in_flood: f64,
}

fn main() -> Result<()> {
    let long = support::runs_wanted();
    support::run(async {
        let (few, many) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let short = measure(few.path(), 1_000).await?;
        let long = measure(many.path(), long).await?;
        println!(
            "one event costs {:.2} times as much alone, {:.2} times in a flood (target: flat)",
            long.alone / short.alone,
            long.in_flood / short.in_flood
        );
        start(many.path()).await
    })
}

/// Fills a store with `runs` and times what comes after.
async fn measure(home: &Path, runs: usize) -> Result<Cost> {
    let store = Store::open(&home.join("state.db"), Clock::System).await?;
    let mut state = store.load_hot().await?;
    let began = Instant::now();
    let mut salt = 0;
    while salt < runs {
        let size = FLOOD.min(runs - salt);
        feed(&store, &mut state, &mut salt, size).await?;
    }
    let filled = began.elapsed();
    let mut alone = Vec::new();
    for _ in 0..ONES {
        alone.push(feed(&store, &mut state, &mut salt, 1).await?);
    }
    let mut floods = Vec::new();
    for _ in 0..FLOODS {
        floods.push(feed(&store, &mut state, &mut salt, FLOOD).await?);
    }
    store.close().await;
    let cost = Cost {
        alone: median(alone),
        in_flood: median(floods) / FLOOD as f64,
    };
    println!(
        "{runs} stored runs: an event costs {:.0} µs alone, {:.1} µs in a flood (filled in {filled:.1?}, {:.0}/s)",
        cost.alone * 1e6,
        cost.in_flood * 1e6,
        runs as f64 / filled.as_secs_f64()
    );
    Ok(cost)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// Feeds `count` events in one batch and tells how long they took.
async fn feed(
    store: &Store,
    state: &mut State,
    salt: &mut usize,
    count: usize,
) -> Result<Duration> {
    let policy = Policy {
        max_age: Duration::from_secs(u64::MAX / 4),
        ..Policy::default()
    };
    let bodies: Result<Vec<String>> = (*salt..*salt + count).map(body).collect();
    *salt += count;
    let bodies = bodies?;
    let began = Instant::now();
    let batch = bodies
        .iter()
        .map(|body| Ok(parse::observation(body.as_bytes(), Source::Deck, now())?))
        .collect::<Result<_>>()?;
    store.accept(batch).await?;
    step(store, state, &policy, count).await?;
    Ok(began.elapsed())
}

/// Run `salt` of 1,000 jobs, one in ten bad, a minute apart.
fn body(salt: usize) -> Result<String> {
    let state = if salt.is_multiple_of(10) {
        "failure"
    } else {
        "success"
    };
    let mut job = job(salt % 1_000, salt, state, "post-submit");
    job.started = jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(salt)?)?;
    job.completed = Some(job.started + Duration::from_secs(30));
    Ok(job.to_json().to_string())
}

/// What the worker does with a batch.
async fn step(store: &Store, state: &mut State, policy: &Policy, size: usize) -> Result<()> {
    let now = now();
    let claim = store.claim(size, now).await?;
    let sightings = claim
        .rows
        .iter()
        .map(|row| Sighting::of(&row.observation))
        .collect();
    let wanted = Wanted {
        sightings,
        incidents: state.missing(now),
        ..Wanted::default()
    };
    store.load_slice(state, wanted, now).await?;
    let decisions = claim
        .rows
        .iter()
        .map(|row| {
            DecisionRow::new(
                &row.observation,
                state.observe(policy, &row.observation, now),
                now,
            )
        })
        .collect();
    let told = state.flush(policy, now, false);
    let done = claim.rows.iter().map(|row| row.seq).collect();
    let changed = Work::changes(state);
    state.forget_slices();
    store
        .commit(Work {
            done,
            state: changed,
            decisions,
            told,
            ..Work::default()
        })
        .await?;
    Ok(())
}

async fn start(home: &Path) -> Result<()> {
    let slack = SlackStandIn::start(Options {
        pace: None,
        ..Options::default()
    })
    .await?;
    let config = config(home, &slack.url("x"), &slack.host(), "");
    let began = Instant::now();
    let daemon = Daemon::start(home, &config)?;
    let ready = daemon.get("/readyz").await?;
    println!(
        "start to ready: {:.0?} (target: under 300 ms) {}",
        began.elapsed(),
        ready.contains("\"ready\":true")
    );
    drop(Arc::new(slack));
    Ok(())
}
