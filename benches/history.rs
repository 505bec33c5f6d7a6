//! What a long history costs: one more event at 1,000 and at 1,000,000 stored runs, and the start.
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
    domain::{
        observation::{Observation, Source},
        policy::Policy,
        state::State,
    },
    prow::parse,
    standin::slack::{Options, SlackStandIn},
    store::{DecisionRow, Sighting, Store, Wanted, Work},
};
use support::{Daemon, config, job, now};

const BATCH: usize = 500;
/// Events that are timed.
const TIMED: usize = 5_000;

fn main() -> Result<()> {
    let long = support::runs_wanted();
    support::run(async {
        let (few, many) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let short = measure(few.path(), 1_000).await?;
        let long = measure(many.path(), long).await?;
        println!(
            "one event costs {:.2} times as much (target: flat)",
            long / short
        );
        start(many.path()).await
    })
}

/// Fills a store with `runs` and times what comes after; seconds an event.
async fn measure(home: &Path, runs: usize) -> Result<f64> {
    let store = Store::open(&home.join("state.db"), Clock::System).await?;
    let mut state = store.load_hot().await?;
    let began = Instant::now();
    feed(&store, &mut state, 0, runs).await?;
    let filled = began.elapsed();
    let mut times = Vec::new();
    for round in 0..TIMED / BATCH {
        let began = Instant::now();
        feed(&store, &mut state, runs + round * BATCH, BATCH).await?;
        times.push(began.elapsed() / BATCH as u32);
    }
    times.sort();
    let median = times[times.len() / 2].as_secs_f64();
    println!(
        "{runs} stored runs: {:.1} µs an event (filled in {filled:.1?}, {:.0}/s)",
        median * 1e6,
        runs as f64 / filled.as_secs_f64()
    );
    store.close().await;
    Ok(median)
}

async fn feed(store: &Store, state: &mut State, from: usize, count: usize) -> Result<()> {
    let policy = Policy {
        max_age: Duration::from_secs(u64::MAX / 4),
        ..Policy::default()
    };
    let mut salt = from;
    while salt < from + count {
        let batch: Vec<Observation> = (salt..(salt + BATCH).min(from + count))
            .map(observation)
            .collect::<Result<_>>()?;
        salt += batch.len();
        store.accept(batch).await?;
        step(store, state, &policy).await?;
    }
    Ok(())
}

/// Run `salt` of 1,000 jobs, one in ten bad, a minute apart.
fn observation(salt: usize) -> Result<Observation> {
    let state = if salt.is_multiple_of(10) {
        "failure"
    } else {
        "success"
    };
    let mut job = job(salt % 1_000, salt, state, "post-submit");
    job.started = jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(salt)?)?;
    job.completed = Some(job.started + Duration::from_secs(30));
    Ok(parse::observation(
        job.to_json().to_string().as_bytes(),
        Source::Deck,
        now(),
    )?)
}

/// What the worker does with a batch.
async fn step(store: &Store, state: &mut State, policy: &Policy) -> Result<()> {
    let now = now();
    let claim = store.claim(BATCH, now).await?;
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
